"""Recipients and their devices."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import pytest

from posthouse.kernel import ids
from posthouse.kernel.auth import Role
from posthouse.kernel.edge import App
from posthouse.notifications.model import RECIPIENT
from posthouse.runtime import Runtime
from tests.conftest import client_of
from tests.make import Maker

ANN: dict[str, Any] = {
    "name": "Ann",
    "email": "ann@example.com",
    "phone": "+4930901820",
    "locale": "de-AT",
    "timezone": "Europe/Vienna",
    "attributes": {"plan": "gold", "years": [2024, 2025]},
    "quiet_hours": {"from": "22:00", "until": "07:00"},
}
WEBPUSH: dict[str, Any] = {
    "endpoint": "https://push.example.com/abc",
    "expirationTime": None,
    "keys": {
        "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",  # noqa: E501
        "auth": "BTBZMqHH6r4Tts7J_aSIgg",
    },
}


async def made(client: httpx.AsyncClient, **known: Any) -> dict[str, Any]:
    answer = await client.post("/api/v1/recipients", json=known)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def consent_of(runtime: Runtime, recipient: dict[str, Any]) -> int:
    async with runtime.parts.db.read() as connection:
        found: int = await connection.fetchval(
            "SELECT consent FROM recipients WHERE id = $1", RECIPIENT.read(recipient["id"])
        )
    return found


async def test_a_recipient_keeps_all_that_it_was_given(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/v1/recipients", json={**ANN, "external_id": "user-1"})
    found = answer.json()
    assert answer.status_code == 201
    assert {name: found[name] for name in ANN} == ANN
    assert found["external_id"] == "user-1"
    assert found["stopped"] is False
    assert answer.headers["location"] == f"/api/v1/recipients/{found['id']}"
    for name in (found["id"], "user-1"):
        shown = await client.get(f"/api/v1/recipients/{name}")
        assert shown.json() == found
        assert shown.headers["etag"] == answer.headers["etag"] == '"v1"'


async def test_a_recipient_without_an_own_id_goes_by_ours(client: httpx.AsyncClient) -> None:
    found = await made(client)
    assert found["external_id"] == found["id"]
    assert [found[name] for name in ("name", "email", "phone", "quiet_hours")] == [None] * 4


async def test_an_own_id_is_taken_once(client: httpx.AsyncClient) -> None:
    await made(client, external_id="user-1")
    again = await client.post("/api/v1/recipients", json={"external_id": "user-1"})
    assert (again.status_code, again.json()["code"]) == (409, "external-id-taken")


async def test_to_put_a_recipient_makes_it_and_then_replaces_it(client: httpx.AsyncClient) -> None:
    first = await client.put("/api/v1/recipients/user-1", json=ANN)
    assert first.status_code == 201
    again = await client.put("/api/v1/recipients/user-1", json={"email": "new@example.com"})
    assert again.status_code == 200
    found = again.json()
    assert found["id"] == first.json()["id"]
    assert (found["email"], found["name"], found["attributes"]) == ("new@example.com", None, {})
    assert found["quiet_hours"] == ANN["quiet_hours"]
    cleared = await client.put("/api/v1/recipients/user-1", json={"quiet_hours": None})
    assert cleared.json()["quiet_hours"] is None


async def test_our_ids_cannot_be_put(client: httpx.AsyncClient) -> None:
    for name in (RECIPIENT.show(ids.fresh()), "rcp_x"):
        answer = await client.put(f"/api/v1/recipients/{name}", json={})
        assert answer.status_code == 404
    answer = await client.post("/api/v1/recipients", json={"external_id": "rcp_x"})
    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("field", "given", "kept"),
    [
        ("phone", "+49 (30) 901820", "+4930901820"),
        ("phone", "+1 650-253-0000", "+16502530000"),
        ("locale", "DE_at", "de-AT"),
        ("email", "Ann@EXAMPLE.com", "Ann@example.com"),
        ("email", "ann@bücher.example", "ann@xn--bcher-kva.example"),
        ("name", "  Ann\u202e ", "Ann"),
    ],
)
async def test_what_is_known_is_kept_in_one_spelling(
    client: httpx.AsyncClient, field: str, given: str, kept: str
) -> None:
    assert (await made(client, **{field: given}))[field] == kept


BAD: list[tuple[str, Any]] = [
    *[("email", bad) for bad in ("", "x", "a@b", "a@b@c.example", "a@b.example\n", 5, "a\x00@b.example")],  # noqa: E501
    *[("phone", bad) for bad in ("", "030901820", "+", "+4", "+49abc", "x" * 40, "+493090182012345678901", 5)],  # noqa: E501
    *[("locale", bad) for bad in ("", "english", "de-", "de-AT-", "x" * 40, "1")],
    *[("timezone", bad) for bad in ("", "Mars/Phobos", "../etc/passwd", "localtime", "europe/vienna")],  # noqa: E501
    *[("name", bad) for bad in ("", " ", "x" * 201, "a\x00b")],
    *[("attributes", bad) for bad in ([], "x", {"a": "x" * 17_000}, {"a": "\x00"}, {"\ud800": 1}, {"a": ["\ud800"]})],  # noqa: E501
    *[("quiet_hours", bad) for bad in ({"from": "22:00"}, {"from": "24:00", "until": "07:00"}, {"from": "7", "until": "8"},  # noqa: E501
       {"from": "22:00", "until": "22:00"}, {"start": "22:00", "end": "07:00"}, [], "22-7")],
    *[("external_id", bad) for bad in ("", "a b", "a/b", "ä", "x" * 201, 5)],
    ("nickname", "x"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "bad"), BAD)
async def test_what_is_not_valid_is_named(client: httpx.AsyncClient, field: str, bad: Any) -> None:
    body = json.dumps({field: bad})
    headers = {"content-type": "application/json"}
    answer = await client.post("/api/v1/recipients", content=body, headers=headers)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"].startswith(f"body.{field}")


async def test_a_patch_changes_what_it_names_and_null_clears(client: httpx.AsyncClient) -> None:
    found = await made(client, **ANN)
    path = f"/api/v1/recipients/{found['id']}"
    changed = await client.patch(path, json={"name": "Anna", "phone": None})
    assert changed.json() == found | {
        "name": "Anna", "phone": None, "version": 2, "updated_at": changed.json()["updated_at"],
    }  # fmt: skip
    assert (await client.patch(path, json={})).status_code == 422
    stale = await client.patch(path, json={"name": "x"}, headers={"if-match": '"v1"'})
    assert stale.status_code == 412
    fresh = await client.patch(path, json={"name": "x"}, headers={"if-match": '"v2"'})
    assert fresh.status_code == 200


@pytest.mark.parametrize(
    ("change", "is_raised"),
    [
        ({"email": "b@example.com"}, True),
        ({"email": None}, True),
        ({"phone": "+16502530000"}, True),
        ({"timezone": "Asia/Tokyo"}, True),
        ({"quiet_hours": None}, True),
        ({"quiet_hours": {"from": "21:00", "until": "07:00"}}, True),
        ({"name": "x"}, False),
        ({"locale": "fr"}, False),
        ({"attributes": {}}, False),
        ({"email": ANN["email"]}, False),
    ],
)
async def test_consent_grows_when_a_message_may_be_forbidden_or_redirected(
    client: httpx.AsyncClient, runtime: Runtime, change: dict[str, Any], is_raised: bool
) -> None:
    found = await made(client, **ANN)
    before = await consent_of(runtime, found)
    answer = await client.patch(f"/api/v1/recipients/{found['id']}", json=change)
    assert answer.status_code == 200
    assert await consent_of(runtime, found) == before + is_raised


async def test_recipients_are_found_by_address_own_id_and_how_they_begin(
    client: httpx.AsyncClient,
) -> None:
    ann = await made(client, external_id="u-1", **ANN)
    bob = await made(client, external_id="u-2", name="Bob", email="bob@example.com")
    for query, wanted in (
        ({"email": "ANN@example.com"}, [ann]),
        ({"phone": "+4930901820"}, [ann]),
        ({"external_id": "u-2"}, [bob]),
        ({"q": "u-"}, [bob, ann]),
        ({"q": "BO"}, [bob]),
        ({"q": "%"}, []),
        ({"email": "nobody@example.com"}, []),
        ({}, [bob, ann]),
    ):
        answer = await client.get("/api/v1/recipients", params=query)
        assert answer.json()["items"] == wanted, query
    first = (await client.get("/api/v1/recipients", params={"limit": 1})).json()
    more = {"limit": 1, "cursor": first["next_cursor"]}
    assert (await client.get("/api/v1/recipients", params=more)).json()["items"] == [ann]


async def test_a_device_is_added_once_and_moves_to_who_has_it_now(
    client: httpx.AsyncClient, runtime: Runtime
) -> None:
    ann, bob = await made(client), await made(client)
    for device in (
        {"kind": "fcm", "token": "abcdefghij:123456"},
        {"kind": "webpush", "subscription": WEBPUSH},
    ):
        first = await client.post(f"/api/v1/recipients/{ann['id']}/devices", json=device)
        again = await client.post(f"/api/v1/recipients/{ann['id']}/devices", json=device)
        assert (first.status_code, again.json()) == (201, first.json())
        assert "abcdefghij" not in first.text
        before = await consent_of(runtime, ann)
        moved = await client.post(f"/api/v1/recipients/{bob['id']}/devices", json=device)
        assert moved.json()["id"] == first.json()["id"]
        assert await consent_of(runtime, ann) == before + 1
    listed = await client.get(f"/api/v1/recipients/{bob['id']}/devices")
    assert [one["hint"] for one in listed.json()["items"]] == ["push.example.com", "…123456"]
    assert (await client.get(f"/api/v1/recipients/{ann['id']}/devices")).json()["items"] == []


async def test_a_device_can_be_deleted(client: httpx.AsyncClient, runtime: Runtime) -> None:
    ann, bob = await made(client), await made(client)
    device = (await client.post(f"/api/v1/recipients/{ann['id']}/devices",
              json={"kind": "fcm", "token": "abcdefghijk"})).json()  # fmt: skip
    assert (
        await client.delete(f"/api/v1/recipients/{bob['id']}/devices/{device['id']}")
    ).status_code == 404
    before = await consent_of(runtime, ann)
    path = f"/api/v1/recipients/{ann['id']}/devices/{device['id']}"
    assert [(await client.delete(path)).status_code for _ in range(2)] == [204, 404]
    assert await consent_of(runtime, ann) == before + 1


async def test_a_recipient_has_at_most_twenty_devices(client: httpx.AsyncClient) -> None:
    ann = await made(client)
    path = f"/api/v1/recipients/{ann['id']}/devices"
    answers = [
        await client.post(path, json={"kind": "fcm", "token": f"abcdefghij{number}"})
        for number in range(21)
    ]
    assert [one.status_code for one in answers] == [201] * 20 + [409]
    again = await client.post(path, json={"kind": "fcm", "token": "abcdefghij3"})
    assert again.status_code == 201


KEYS: dict[str, str] = WEBPUSH["keys"]


@pytest.mark.parametrize("bad", [
    {}, {"kind": "fcm"}, {"kind": "apns", "token": "abcdefghij"}, {"kind": "fcm", "token": "short"},
    {"kind": "fcm", "token": "abcdefghij", "subscription": WEBPUSH}, {"kind": "webpush", "token": "abcdefghij"},  # noqa: E501
    {"kind": "fcm", "token": "abc defghij"}, {"kind": "fcm", "token": "abcdefghij\n"},
    *[{"kind": "webpush", "subscription": {"endpoint": bad, "keys": KEYS}} for bad in
      ("http://push.example.com/", "https://", "https:///x", "https://a b/", "https://u:p@h.example/", "javascript:1",  # noqa: E501
       "https://h.example:99999/", "https://[::1/", "https://ä.example/")],
    *[{"kind": "webpush", "subscription": {"endpoint": "https://a.example/", "keys": {**KEYS, name: bad}}}  # noqa: E501
      for name in ("p256dh", "auth") for bad in ("", "x", "AAAA", "ä", "!" * 22, "A" * 150)],
])  # fmt: skip
async def test_a_device_that_cannot_be_is_refused(client: httpx.AsyncClient, bad: Any) -> None:
    ann = await made(client)
    answer = await client.post(f"/api/v1/recipients/{ann['id']}/devices", json=bad)
    assert answer.status_code == 422, answer.text


async def delivery(
    runtime: Runtime,
    workspace_id: UUID,
    recipient_id: UUID,
    state: str,
    *,
    with_: UUID | None = None,
) -> tuple[UUID, UUID]:
    """A delivery in some state, as sending would leave it; and its notification."""
    delivery_id, notification_id = ids.fresh(), with_ or ids.fresh()
    async with runtime.parts.db.begin() as tx:
        if with_ is None:
            await tx.execute(
                "INSERT INTO notifications (id, workspace_id, data, category, priority, created_by,"
                " role) VALUES ($1, $2, $3, 'general', 0, 'x', 'owner')",
                notification_id, workspace_id, {"name": "Ann"},
            )  # fmt: skip
        await tx.execute(
            "INSERT INTO deliveries (id, workspace_id, notification_id, recipient_id, channel,"
            " category, address, state, detail, priority, ready_at, locale, timezone) VALUES"
            " ($1, $2, $3, $4, 'email', 'general', 'ann@example.com', $5, 'to ann', 0,"
            " now() + interval '1 day', 'de',"
            " 'Europe/Vienna')",
            delivery_id, workspace_id, notification_id, recipient_id, state,
        )  # fmt: skip
        await tx.execute(
            "INSERT INTO attempts (delivery_id, number, workspace_id, provider_id, detail)"
            " VALUES ($1, 1, $2, $3, 'ann@example.com said no')",
            delivery_id, workspace_id, ids.fresh(),
        )  # fmt: skip
    return delivery_id, notification_id


@asynccontextmanager
async def nothing_claimed(runtime: Runtime) -> AsyncGenerator[None]:
    """Let claims of messages wait while the block runs: by the lock that they take."""
    lock = "hashtextextended('claims of deliveries', 0)"
    async with runtime.parts.db.session() as connection:
        await connection.execute(f"SELECT pg_advisory_lock({lock})")
        try:
            yield
        finally:
            assert await connection.fetchval(f"SELECT pg_advisory_unlock({lock})")


async def test_to_erase_somebody_leaves_nothing_personal(app: App, make: Maker) -> None:
    owner = await make.workspace()
    runtime = make.runtime
    async with client_of(app, await make.key(workspace=owner)) as client:
        ann = await made(client, **ANN)
        ann_id = RECIPIENT.read(ann["id"])
        await client.post(f"/api/v1/recipients/{ann['id']}/devices",
                          json={"kind": "fcm", "token": "abcdefghijk"})  # fmt: skip
        await client.put("/api/v1/topics/news", json={"name": "News"})
        await client.post("/api/v1/topics/news/members", json={"recipients": [ann["id"]]})
        await client.put(f"/api/v1/recipients/{ann['id']}/preferences", json={"stopped": True})
        states = ["held", "queued", "retry_wait", "leased", "in_doubt", "sent", "bounced"]
        async with nothing_claimed(runtime):  # a worker runs, and would fail what waits
            made_of = {state: await delivery(runtime, owner, ann_id, state) for state in states}
            _, shared = made_of["sent"]
            other, _ = await delivery(runtime, owner, ids.fresh(), "sent", with_=shared)
            answer = await client.delete(f"/api/v1/recipients/{ann['id']}")
        assert answer.status_code == 204
        assert (await client.get(f"/api/v1/recipients/{ann['id']}")).status_code == 404
        assert (await client.get("/api/v1/topics/news/members")).json()["items"] == []
    async with runtime.parts.db.read() as tx:
        rows = await tx.fetch("SELECT * FROM deliveries WHERE workspace_id = $1", owner)
        by_id = {row["id"]: row for row in rows}
        assert by_id.pop(other)["address"] == "ann@example.com"
        ended = {state: by_id[delivery_id]["state"] for state, (delivery_id, _) in made_of.items()}
        cancelled = dict.fromkeys(states[:3], "cancelled")
        assert ended == {state: state for state in states} | cancelled
        for row in by_id.values():
            personal = ("recipient_id", "device_id", "address", "locale", "timezone")
            assert [row[name] for name in personal] == [None] * 5
            assert row["detail"] == ""
        said = await tx.fetch(
            "SELECT detail FROM attempts WHERE delivery_id = ANY($1)", list(by_id)
        )
        assert {row["detail"] for row in said} == {""}
        notes = await tx.fetch("SELECT id, data FROM notifications WHERE workspace_id = $1", owner)
        data = {row["id"]: row["data"] for row in notes}
        kept = {state for state, (_, of) in made_of.items() if data[of] != {}}
        assert kept == {"sent", "leased", "in_doubt"}
        left = await tx.fetchval(
            "SELECT (SELECT count(*) FROM devices WHERE recipient_id = $1)"
            " + (SELECT count(*) FROM preferences WHERE recipient_id = $1)"
            " + (SELECT count(*) FROM topic_members WHERE recipient_id = $1)",
            ann_id,
        )
        assert left == 0
        told = await tx.fetch("SELECT * FROM audit_log WHERE workspace_id = $1", owner)
        assert "recipient.erased" in {row["action"] for row in told}
        assert "example.com" not in str([dict(row) for row in told])


CSV = (
    "external_id,name,email,phone,locale,topics\n"
    "u-1,Ann,ann@example.com,+4930901820,de,news|offers\n"
    "u-2,Bob,bob@example.com,,,\n"
)


async def sent(client: httpx.AsyncClient, text: str, **query: Any) -> dict[str, Any]:
    answer = await client.post(
        "/api/v1/recipients/import", content=text, params=query,
        headers={"content-type": "text/csv"},
    )  # fmt: skip
    assert answer.status_code == 202, answer.text
    while True:
        task = (await client.get(answer.headers["location"])).json()
        if task["status"] not in {"pending", "running"}:
            found: dict[str, Any] = task
            return found


async def test_recipients_are_imported_into_their_topics(client: httpx.AsyncClient) -> None:
    for key in ("news", "offers"):
        await client.put(f"/api/v1/topics/{key}", json={"name": key})
    task = await sent(client, CSV)
    assert (task["status"], task["result"]["imported"]) == ("completed", 2), task
    ann = (await client.get("/api/v1/recipients/u-1")).json()
    assert (ann["name"], ann["phone"], ann["locale"]) == ("Ann", "+4930901820", "de")
    members = await client.get("/api/v1/topics/offers/members")
    assert [one["external_id"] for one in members.json()["items"]] == ["u-1"]
    task = await sent(client, "external_id,email\nu-1,new@example.com\n")
    again = (await client.get("/api/v1/recipients/u-1")).json()
    assert (again["email"], again["name"], again["version"]) == ("new@example.com", "Ann", 2)


async def test_rows_that_cannot_be_are_told(client: httpx.AsyncClient) -> None:
    rows = "external_id,email,topics\nu-1,x,\nu-2,,nowhere\nu-3,,\nu-3,,\nrcp_1,,\n"
    task = await sent(client, rows, mode="valid")
    problems = [(one["row"], one["field"], one["code"]) for one in task["result"]["problems"]]
    assert sorted(problems) == [
        (1, "email", "email-invalid"),
        (2, "topics", "topic-not-found"),
        (4, "external_id", "duplicate-row"),
        (5, "external_id", "id-reserved"),
    ]
    assert task["result"]["imported"] == 1


async def test_who_may_only_read_changes_nothing(app: App, make: Maker) -> None:
    async with client_of(app, await make.key(role=Role.VIEWER)) as viewer:
        assert (await viewer.get("/api/v1/recipients")).status_code == 200
        assert (await viewer.put("/api/v1/recipients/u", json={})).status_code == 403
