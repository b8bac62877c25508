"""The guard in front: hosts, versions, paths, headers, methods, errors."""

import httpx
import pytest

from posthouse.app import create_app
from posthouse.kernel.auth import Role, Scope
from posthouse.kernel.routing import Routes
from posthouse.runtime import Runtime
from posthouse.settings import Settings
from tests.conftest import client_of
from tests.make import Maker


async def test_every_answer_carries_an_id_and_safe_headers(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v1/links")
    assert len(answer.headers["x-request-id"]) == 24
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "server" not in answer.headers


async def test_the_callers_request_id_is_kept_if_it_is_harmless(client: httpx.AsyncClient) -> None:
    kept = await client.get("/api/v1/links", headers={"X-Request-Id": "order-12345"})
    assert kept.headers["x-request-id"] == "order-12345"
    odd = await client.get("/api/v1/links", headers={"X-Request-Id": "a b<script>"})
    assert odd.headers["x-request-id"] != "a b<script>"


@pytest.mark.parametrize("token", ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer ph_live_x",
                                   "Bearer a.b.c", "bearer  ", "Bearer " + "x" * 5000])  # fmt: skip
async def test_without_credentials_the_answer_is_401_before_the_body_is_read(
    stranger: httpx.AsyncClient, token: str
) -> None:
    headers = {"Authorization": token} if token else {}
    answer = await stranger.post(
        "/api/v1/links", content=b"{not json", headers={**headers, "Content-Type": "text/plain"}
    )
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_path_answers_with_and_without_its_last_slash(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/v1/links/")).status_code == 200
    made = await client.post("/api/v1/shorten/", json={"url": "https://example.com/"})
    assert made.status_code == 201


async def test_an_unknown_path_is_404_and_never_a_redirect(client: httpx.AsyncClient) -> None:
    for path in ("/api/v1/nothing", "/api/v99/links", "/api", "/api/", "/-/x", "/app", "/"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found"), path


async def test_405_names_all_methods_that_the_path_has(client: httpx.AsyncClient) -> None:
    answer = await client.put("/api/v1/links/lnk_x")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "DELETE, GET, PATCH"
    assert (await client.delete("/api/v1/links")).headers["allow"] == "GET, POST"


@pytest.mark.parametrize(
    ("accept", "status"),
    [("application/json", 200), ("*/*", 200), ("text/html, */*;q=0.1", 200),
     ("application/msgpack", 406), ("audio/ogg", 406)],
)  # fmt: skip
async def test_accept_is_respected(client: httpx.AsyncClient, accept: str, status: int) -> None:
    assert (await client.get("/api/v1/links", headers={"Accept": accept})).status_code == status


@pytest.mark.parametrize(
    "path",
    ["/api/v1/links/a%00b", "/api/v1/links?q=%00", "/x%00y", "/api/v1/links/%ff", "/%ff%fe",
     "/api/v1/links?q=%ff"],
)  # fmt: skip
async def test_what_is_no_text_is_refused(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code in {400, 404, 422}, answer.text


@pytest.mark.parametrize(
    "link_id", ["lnk_", "lnk_x", "usr_01m82jhctpewar6a4wgv3k4fbj", "1", "9" * 40, "lnk_" + "z" * 26,
                "LNK_01m82jhctpewar6a4wgv3k4fbj", "lnk_01M82JHCTPEWAR6A4WGV3K4FBJ"],
)  # fmt: skip
async def test_an_id_of_another_form_is_404(client: httpx.AsyncClient, link_id: str) -> None:
    for suffix in ("", "/stats", "/qr"):
        answer = await client.get(f"/api/v1/links/{link_id}{suffix}")
        assert answer.status_code == 404


async def test_versions_come_by_path_or_header(runtime: Runtime, make: Maker) -> None:
    routes = Routes.of("second")

    @routes.get("/links", needs=Scope("links:read", Role.VIEWER), response_model=dict[str, str])
    async def links() -> dict[str, str]:
        return {"version": "2"}

    app = create_app(runtime, further={"v2": [routes]})
    async with client_of(app, await make.key()) as client:

        async def ask(path: str, version: str | None = None) -> httpx.Response:
            headers = {"Accept-Version": version} if version else {}
            return await client.get(path, headers=headers)

        assert (await ask("/api/v2/links")).json() == {"version": "2"}
        assert (await ask("/api/links", "v2")).json() == {"version": "2"}
        assert "items" in (await ask("/api/links", "v1")).json()
        assert "items" in (await ask("/api/links")).json()
        assert "items" in (await ask("/api/v1/links", "v1")).json()
        for path, version, code in (
            ("/api/v1/links", "v2", "version-conflict"),
            ("/api/v1/links", "v99", "unsupported-version"),
            ("/api/links", "v99", "unsupported-version"),
            ("/api/links", "2", "unsupported-version"),
        ):
            refused = await ask(path, version)
            assert (refused.status_code, refused.json()["code"]) == (400, code)
        assert "Accept-Version" in (await ask("/api/v1/links")).headers["vary"]


async def test_cors_is_off_unless_origins_are_named(
    settings: Settings, runtime: Runtime, make: Maker, app
) -> None:
    headers = {"Origin": "https://app.example"}
    async with client_of(app) as client:
        assert (
            "access-control-allow-origin"
            not in (await client.get("/api/v1/links", headers=headers)).headers
        )
    named = settings.model_copy(update={"cors_origins": ["https://app.example"]})
    from dataclasses import replace

    async with client_of(create_app(replace(runtime, settings=named))) as client:
        for path in ("/api/v1/links", "/api/v1/nothing"):  # 401 and 404 carry them too
            answer = await client.get(path, headers=headers)
            assert answer.headers["access-control-allow-origin"] == "https://app.example"
        other = await client.get("/api/v1/links", headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers
        preflight = await client.options(
            "/api/v1/links", headers={**headers, "Access-Control-Request-Method": "POST"}
        )
        assert preflight.status_code == 200


def test_any_origin_is_no_origin() -> None:
    with pytest.raises(ValueError, match="name the origins"):
        Settings(cors_origins=["*"])


async def test_long_json_is_compressed_and_redirects_are_not(
    client: httpx.AsyncClient, stranger: httpx.AsyncClient
) -> None:
    for _ in range(5):
        await client.post("/api/v1/links", json={"url": "https://example.com/", "notes": "x" * 300})
    listed = await client.get("/api/v1/links", headers={"Accept-Encoding": "gzip"})
    assert listed.headers["content-encoding"] == "gzip"
    code = listed.json()["items"][0]["code"]
    followed = await stranger.get(f"/{code}", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in followed.headers


async def test_probes_need_no_host_and_no_key(stranger: httpx.AsyncClient) -> None:
    for path in ("/livez", "/readyz"):
        answer = await stranger.get(path, headers={"Host": "10.1.2.3:80"})
        assert answer.status_code == 200, answer.text


async def test_a_malformed_traceparent_is_dropped(client: httpx.AsyncClient) -> None:
    for header in ("00-" + "0" * 32 + "-" + "1" * 16 + "-01", "nonsense", "x" * 10_000):
        answer = await client.get("/api/v1/links", headers={"traceparent": header})
        assert answer.status_code == 200
