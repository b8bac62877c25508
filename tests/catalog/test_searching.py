"""Finding products and links by what a person types."""

from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.catalog import store
from posthouse.catalog.model import FoundKind
from posthouse.catalog.ranking import Place, key_of, merge
from posthouse.kernel import search
from posthouse.kernel.auth import Role
from posthouse.kernel.edge import App
from posthouse.kernel.pagination import Keyset
from posthouse.kernel.search import Hit, Wanted, patterns
from posthouse.links.store import links as link_store
from posthouse.runtime import Runtime
from tests.catalog.products import made, walk
from tests.conftest import client_of
from tests.make import Maker


async def found(client: httpx.AsyncClient, text: str, **params: Any) -> list[str]:
    answer = await client.get("/api/v1/search", params={"q": text, **params})
    assert answer.status_code == 200, answer.text
    return [one["name"] for one in answer.json()["items"]]


async def link(client: httpx.AsyncClient, title: str, url: str = "https://example.com/") -> str:
    answer = await client.post("/api/v1/links", json={"url": url, "title": title})
    assert answer.status_code == 201
    return answer.json()["id"]


async def test_products_and_links_are_found_together(client: httpx.AsyncClient) -> None:
    product = await made(client, name="Steel kettle")
    link_id = await link(client, "Kettle sale")
    answer = await client.get("/api/v1/search?q=kettle")
    items = {one["type"]: one for one in answer.json()["items"]}
    assert items["product"] == {
        "type": "product",
        "id": str(product["id"]),
        "name": "Steel kettle",
        "url": f"/api/v1/products/{product['id']}",
        "score": items["product"]["score"],
    }
    assert (items["link"]["id"], items["link"]["url"]) == (link_id, f"/api/v1/links/{link_id}")
    for one in items.values():
        assert (await client.get(one["url"])).status_code == 200


@pytest.mark.parametrize(
    "text",
    ["keyboard", "KEYBOARD", "board", "keybaord", "kayboard", "keybord", "keyboards",
     "oak keyboard", "keyboard of oak", "K-100", "office", " keyboard "],
)  # fmt: skip
async def test_a_product_is_found_by(client: httpx.AsyncClient, text: str) -> None:
    await made(client, name="Keyboard of oak", sku="K-100", category="office")
    await made(client, name="Lamp", sku="L-200", category="hall")
    assert await found(client, text) == ["Keyboard of oak"]


@pytest.mark.parametrize("text", ["shop.example", "spring", "sprnig", "offer"])
async def test_a_link_is_found_by(client: httpx.AsyncClient, text: str) -> None:
    await link(client, "Spring offer", "https://shop.example.com/offers")
    await link(client, "Winter", "https://example.com/")
    assert await found(client, text) == ["Spring offer"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("100%", ["100% wool"]),
        ("%", ["100% wool"]),
        ("_", ["a_b"]),
        ("\\", ["back\\slash"]),
        ("' OR 1=1 --", []),
        ("tv", ["TV stand"]),
        ("xylophone", []),
        ("日本", ["日本茶"]),
        ("🫖", ["🫖 pot"]),
        ("\u202e", None),
    ],
)
async def test_a_search_means_what_was_typed(
    client: httpx.AsyncClient, text: str, names: list[str] | None
) -> None:
    for name in ("100% wool", "a_b", "axb", "back\\slash", "TV stand", "日本茶", "🫖 pot"):
        await made(client, name=name)
    if names is None:
        assert (await client.get("/api/v1/search", params={"q": text})).status_code == 422
    else:
        assert await found(client, text) == names


async def test_what_fits_best_comes_first(client: httpx.AsyncClient) -> None:
    for name in ("Kettle for the camp fire and the boat", "Kettle", "Water kettle", "Kettledrum"):
        await made(client, name=name)
    answer = await client.get("/api/v1/search?q=kettle")
    items = answer.json()["items"]
    assert items[0]["name"] == "Kettle"
    scores = [one["score"] for one in items]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 1 for score in scores)


async def test_words_as_they_are_typed_come_before_words_like_them(
    client: httpx.AsyncClient,
) -> None:
    await made(client, name="Kettle")
    await made(client, name="Settle")
    assert await found(client, "kettle") == ["Kettle"]
    assert sorted(await found(client, "mettle")) == ["Kettle", "Settle"]


async def test_deleted_things_are_not_found(client: httpx.AsyncClient) -> None:
    product = await made(client, name="Kettle")
    link_id = await link(client, "Kettle")
    await client.delete(f"/api/v1/products/{product['id']}")
    await client.delete(f"/api/v1/links/{link_id}")
    assert await found(client, "kettle") == []


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
@pytest.mark.parametrize("text", ["kettle", "ketlte"])
async def test_one_cursor_leads_through_both(
    client: httpx.AsyncClient, limit: int, text: str
) -> None:
    for number in range(5):
        await made(client, name="Kettle" if number < 3 else f"Kettle {number}")
        await link(client, "Kettle" if number < 2 else f"Kettle {number}")
    whole = (await client.get(f"/api/v1/search?q={text}&limit=100")).json()["items"]
    assert len(whole) == 10
    assert await walk(client, "/search", q=text, limit=limit) == whole


async def test_links_are_shown_to_those_who_may_read_them(app: App, make: Maker) -> None:
    owner = await make.principal()
    await make.product(owner, name="Kettle")
    await make.link(owner, title="Kettle")
    scopes = frozenset({"catalog:read"})
    key = await make.key(workspace=owner.workspace_id, role=Role.VIEWER, scopes=scopes)
    async with client_of(app, key) as narrow:
        items = (await narrow.get("/api/v1/search?q=kettle")).json()["items"]
    assert [one["type"] for one in items] == ["product"]


@pytest.mark.parametrize("query", ["", "q=", "q=%20", f"q={'x' * 101}", "q=a&limit=0", "q=a&skip=1",
                                   "q=a&limit=101", "q=a&cursor=abc"])  # fmt: skip
async def test_a_bad_search_is_refused(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"/api/v1/search?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"]


@pytest.mark.parametrize(
    ("text", "is_rare"),
    [("c4ca4238", True), ("steel c4ca4238", False), ("steel", False), ("x", False), ("%", False)],
)
@pytest.mark.parametrize("is_fuzzy", [False, True])
@pytest.mark.parametrize("table", ["products", "links"])
async def test_a_search_never_reads_the_whole_table(
    runtime: Runtime,
    make: Maker,
    table: str,
    is_fuzzy: bool,
    text: str,
    is_rare: bool,
) -> None:
    principal = await make.principal()
    async with runtime.parts.db.begin() as tx:
        await tx.execute(_BULK[table], principal.workspace_id)
    module = {"products": store, "links": link_store}[table]
    place = (principal.workspace_id, text, None, None, 21)
    await make.analyze(table)
    async with runtime.parts.db.begin() as tx:
        await tx.execute(search._PLAN)
        if is_fuzzy:
            rows = await tx.fetch(f"EXPLAIN {module._BY_LIKENESS}", *place)
        else:
            rows = await tx.fetch(f"EXPLAIN {module._BY_WORDS}", *place, *patterns(text))
        plan = "\n".join(row[0] for row in rows)
    assert "Seq Scan" not in plan, plan
    if is_rare and not is_fuzzy:  # by likeness a small workspace may be read by its own index
        assert f"ix_{table}_search" in plan, plan


_BULK = {
    "products": (
        "INSERT INTO products (workspace_id, name, price, currency, category) "
        "SELECT $1, 'steel ' || md5(n::text), 1, 'EUR', 'bulk' FROM generate_series(1, 20000) n"
    ),
    "links": (
        "INSERT INTO links (id, workspace_id, domain_id, code, url, title, created_by) "
        "SELECT uuidv7(), $1::uuid, (SELECT id FROM domains WHERE host = 'go.example'), "
        "substr($1::uuid::text, 25) || to_hex(n), 'https://example.com/', "
        "'steel ' || md5(n::text), 'test' FROM generate_series(1, 20000) n"
    ),
}


def test_patterns_are_the_four_longest_words_with_their_own_signs_escaped() -> None:
    assert patterns("TV") == ("% tv%", "%", "%", "%")
    assert patterns("50%_off now") == (r"%50\%\_off%", "%now%", "%", "%")
    assert patterns("a bb ccc dddd eeeee ccc") == ("%eeeee%", "%dddd%", "%ccc%", "% bb%")


HITS = st.lists(st.integers(0, 3), max_size=8).map(lambda scores: sorted(scores, reverse=True))


@settings(deadline=None)
@given(links=HITS, products=HITS, limit=st.integers(1, 5))
def test_pages_of_merged_hits_show_each_hit_once(
    links: list[int], products: list[int], limit: int
) -> None:
    stored = {
        FoundKind.LINK: [Hit(f"lnk_{n:02}", "", score) for n, score in enumerate(links)],
        FoundKind.PRODUCT: [Hit(f"{n:02}", "", score) for n, score in enumerate(products)],
    }

    def below(kind: FoundKind, wanted: Wanted) -> list[Hit]:
        return [
            hit
            for hit in stored[kind]
            if wanted.score is None
            or hit.score < wanted.score
            or (hit.score == wanted.score and wanted.after_id and hit.id > wanted.after_id)
        ][: wanted.limit]

    shown: list[tuple[str, str]] = []
    keyset = Keyset(limit)
    while True:
        place = Place.of(keyset)
        parts = [below(kind, place.wanted(kind, "x", limit + 1)) for kind in FoundKind]
        page = merge(*parts, is_fuzzy=False, limit=limit + 1)
        shown += [(one.kind, one.id) for one in page[:limit]]
        if len(page) <= limit:
            break
        keyset = Keyset(limit, key_of(page[limit - 1]))
    assert len(shown) == len(set(shown)) == len(links) + len(products)
