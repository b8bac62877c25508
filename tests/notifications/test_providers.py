"""Providers: set up, shown without their secrets, changed, tried, paused and deleted."""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import httpx
import pytest

from posthouse.kernel import ids
from posthouse.kernel.auth import Role
from posthouse.notifications.channels.hosts import Hosts
from posthouse.notifications.channels.kinds import KINDS
from posthouse.notifications.errors import ProviderNotFoundError, SecretsUnreadableError
from posthouse.notifications.model import (
    PROVIDER,
    Accepted,
    EmailContent,
    Failure,
    Outgoing,
    ProviderId,
    Refused,
)
from posthouse.notifications.providing import Providers
from posthouse.notifications.schemas.providers import KindName
from posthouse.notifications.store import outgoing as outgoing_store
from posthouse.notifications.vault import Vault
from posthouse.runtime import Runtime
from tests.conftest import client_of
from tests.make import Maker
from tests.notifications.channels.rigs import EMAIL, around, http_options
from tests.notifications.channels.servers import Said, ScriptedSmtp, StubHttp, serving

BASE = "/api/v1/notifications/providers"
SMTP = {
    "kind": "smtp",
    "name": "Relay",
    "options": {
        "from_address": "shop@shop.example",
        "host": "mail.example",
        "username": "shop",
    },
    "secrets": {"password": "hunter2-not-shown"},
}
CONSOLE = {"kind": "console-email", "name": "C", "options": {"from_address": "a@shop.example"}}


async def made(client: httpx.AsyncClient, **chosen: Any) -> httpx.Response:
    answer = await client.post(BASE, json={**SMTP, **chosen})
    assert answer.status_code == 201, answer.text
    return answer


def test_the_kinds_of_the_api_are_those_there_are() -> None:
    assert {str(kind) for kind in KindName} == set(KINDS)


async def test_a_provider_is_set_up_and_its_secrets_are_not_shown(
    client: httpx.AsyncClient, runtime: Runtime
) -> None:
    answer = await made(client)
    shown = answer.json()
    assert answer.headers["location"] == f"{BASE}/{shown['id']}"
    assert answer.headers["etag"] == '"v1"'
    assert (shown["channel"], shown["kind"], shown["secrets"]) == ("email", "smtp", ["password"])
    assert shown["options"]["tls"] == "starttls"
    found = await client.get(f"{BASE}/{shown['id']}")
    assert found.json() == shown
    listed = await client.get(BASE)
    assert listed.json()["items"] == [shown]
    for text in (answer.text, found.text, listed.text):
        assert "hunter2" not in text
    async with runtime.parts.db.read() as connection:
        row = await connection.fetchrow(
            "SELECT * FROM providers WHERE id = $1", PROVIDER.read(shown["id"])
        )
    assert row is not None
    assert b"hunter2" not in row["secrets"]
    assert "hunter2" not in str({key: value for key, value in row.items() if key != "secrets"})


async def test_the_list_is_paged_and_filtered(client: httpx.AsyncClient) -> None:
    for n in range(3):
        await made(client, name=f"P{n}")
    await made(client, kind="console-sms", name="S", options={}, secrets={})
    first = (await client.get(BASE, params={"limit": 2})).json()
    assert [one["name"] for one in first["items"]] == ["S", "P2"]
    rest = await client.get(BASE, params={"limit": 2, "cursor": first["next_cursor"]})
    assert [one["name"] for one in rest.json()["items"]] == ["P1", "P0"]
    texts = (await client.get(BASE, params={"channel": "sms"})).json()["items"]
    assert [one["name"] for one in texts] == ["S"]


async def test_a_name_is_taken_once(client: httpx.AsyncClient) -> None:
    await made(client)
    again = await client.post(BASE, json=SMTP)
    assert (again.status_code, again.json()["code"]) == (409, "name-taken")
    other = (await made(client, name="Other")).json()
    renamed = await client.patch(f"{BASE}/{other['id']}", json={"name": "Relay"})
    assert renamed.status_code == 409


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"kind": "carrier-pigeon"}, "body.kind"),
        ({"name": ""}, "body.name"),
        ({"name": "x" * 101}, "body.name"),
        ({"options": {}}, "body.options.from_address"),
        ({"options": {**SMTP["options"], "host": "a b"}}, "body.options.host"),  # type: ignore[dict-item]
        ({"options": {**SMTP["options"], "port": 0}}, "body.options.port"),  # type: ignore[dict-item]
        ({"options": {**SMTP["options"], "more": 1}}, "body.options.more"),  # type: ignore[dict-item]
        ({"options": {**SMTP["options"], "from_name": "\u0000"}}, "body.options.from_name"),  # type: ignore[dict-item]
        ({"options": {**SMTP["options"], "from_address": "x"}}, "body.options.from_address"),  # type: ignore[dict-item]
        ({"options": {**SMTP["options"], "authority": "x"}}, "body.options.authority"),  # type: ignore[dict-item]
        (
            {"options": {**SMTP["options"], "dkim": {"selector": "a", "domain": "b.example"}}},  # type: ignore[dict-item]
            "body.secrets.dkim_key",
        ),
        ({"secrets": {"passwort": "x"}}, "body.secrets.passwort"),
        ({"secrets": {"password": 7}}, "body.secrets.password"),
        ({"priority": 1.5}, "body.priority"),
        ({"at_once": 0}, "body.at_once"),
        ({"rate_per_s": 0}, "body.rate_per_s"),
        ({"kind": "fcm", "options": {}, "secrets": {"service_account": "{}"}},
         "body.secrets.service_account"),
        ({"kind": "webpush", "options": {"subject": "x"}, "secrets": {}}, "body.options.subject"),
        ({"kind": "console-sms", "options": {"folder": "../x"}, "secrets": {}},
         "body.options.folder"),
        ({"more": 1}, "body.more"),
    ],
)  # fmt: skip
async def test_what_does_not_fit_is_refused_by_field(
    client: httpx.AsyncClient, changes: dict[str, Any], field: str
) -> None:
    answer = await client.post(BASE, json={**SMTP, **changes})
    assert answer.status_code == 422, answer.text
    assert field in [one["field"] for one in answer.json()["errors"]], answer.text


async def test_a_patch_changes_what_it_names(client: httpx.AsyncClient, runtime: Runtime) -> None:
    shown = (await made(client)).json()
    url = f"{BASE}/{shown['id']}"
    answer = await client.patch(
        url,
        json={"options": {"host": "new.example", "username": None}, "priority": 5},
        headers={"If-Match": '"v1"'},
    )
    assert answer.status_code == 200, answer.text
    changed = answer.json()
    assert changed["version"] == 2
    assert changed["options"]["host"] == "new.example"
    assert changed["options"]["from_address"] == "shop@shop.example"
    assert "username" not in changed["options"]
    assert (changed["secrets"], changed["priority"]) == (["password"], 5)
    stale = await client.patch(url, json={"priority": 6}, headers={"If-Match": '"v1"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition-failed")
    without = await client.patch(url, json={"secrets": {"password": None}})
    assert without.json()["secrets"] == []
    assert (await client.patch(url, json={})).status_code == 422
    assert (await client.patch(url, json={"options": {"host": None}})).status_code == 422


async def test_secrets_that_nobody_can_read_are_replaced(
    client: httpx.AsyncClient, runtime: Runtime
) -> None:
    shown = (await made(client)).json()
    provider_id = PROVIDER.read(shown["id"])
    async with runtime.parts.db.begin() as tx:
        await tx.execute(
            "UPDATE providers SET secrets = $2 WHERE id = $1",
            provider_id,
            Vault.of("another secret").seal(provider_id, {"password": "x"}),
        )
    url = f"{BASE}/{shown['id']}"
    tried = await client.post(f"{url}/test", json={"to": "a@b.example"})
    assert (tried.status_code, tried.json()["code"]) == (409, "secrets-unreadable")
    kept = await client.patch(url, json={"options": {"host": "x.example"}})
    assert kept.status_code == 409
    assert (await client.patch(url, json={"secrets": {"password": "new"}})).status_code == 200
    assert (await client.patch(url, json={"options": {"host": "x.example"}})).status_code == 200


async def test_it_is_deleted(client: httpx.AsyncClient) -> None:
    url = f"{BASE}/{(await made(client)).json()['id']}"
    assert (await client.delete(url, headers={"If-Match": '"v9"'})).status_code == 412
    assert (await client.delete(url)).status_code == 204
    assert (await client.delete(url)).status_code == 404
    assert (await client.get(url)).json()["code"] == "provider-not-found"


async def test_a_paused_one_is_resumed(client: httpx.AsyncClient, runtime: Runtime) -> None:
    shown = (await made(client)).json()
    async with runtime.parts.db.begin() as tx:
        await outgoing_store.pause(tx, PROVIDER.read(shown["id"]), "535 5.7.8")
    url = f"{BASE}/{shown['id']}"
    paused = (await client.get(url)).json()
    assert paused["paused_at"]
    assert paused["paused_reason"] == "535 5.7.8"
    for _ in range(2):
        resumed = (await client.post(f"{url}/resume")).json()
        assert (resumed["paused_at"], resumed["version"]) == (None, 2)


async def test_members_read_and_admins_change(runtime: Runtime, app: Any, make: Maker) -> None:
    owner = await make.principal()
    admin = await make.key(workspace=owner.workspace_id, role=Role.ADMIN)
    member = await make.key(workspace=owner.workspace_id, role=Role.MEMBER)
    async with client_of(app, admin) as one, client_of(app, member) as other:
        shown = (await made(one)).json()
        url = f"{BASE}/{shown['id']}"
        assert (await other.get(url)).status_code == 200
        answers = [
            await other.post(BASE, json=SMTP),
            await other.patch(url, json={"name": "x"}),
            await other.delete(url),
            await other.post(f"{url}/test", json={"to": "x"}),
            await other.post(f"{url}/resume"),
        ]
    assert {answer.status_code for answer in answers} == {403}


async def test_each_change_is_in_the_audit_log(client: httpx.AsyncClient, runtime: Runtime) -> None:
    shown = (await made(client, **CONSOLE, secrets={})).json()
    url = f"{BASE}/{shown['id']}"
    await client.patch(url, json={"name": "new"})
    await client.post(f"{url}/test", json={"to": "ann@example.com"})
    await client.delete(url)
    async with runtime.parts.db.read() as connection:
        rows = await connection.fetch(
            "SELECT action, detail FROM audit_log WHERE subject = $1 ORDER BY id", shown["id"]
        )
    assert [row["action"] for row in rows] == [
        "provider.made", "provider.edited", "provider.tested", "provider.deleted",
    ]  # fmt: skip
    assert "hunter2" not in str(rows)


async def test_a_test_message_is_sent_and_its_outcome_told(client: httpx.AsyncClient) -> None:
    shown = (await made(client, **CONSOLE, secrets={})).json()
    url = f"{BASE}/{shown['id']}/test"
    told = (await client.post(url, json={"to": "ann@example.com"})).json()
    assert told["outcome"] == "accepted"
    assert told["reference"].startswith("dlv_")
    refused = (await client.post(url, json={"to": "nobody"})).json()
    assert (refused["outcome"], refused["code"]) == ("permanent", "email-invalid")
    assert (await client.post(url, json={"to": ""})).status_code == 422


async def test_a_provider_on_a_private_network_is_not_connected_to(
    client: httpx.AsyncClient, runtime: Runtime
) -> None:
    options = {"from_address": "shop@shop.example", "host": "127.0.0.1", "port": 25, "tls": "none"}
    shown = (await made(client, options=options)).json()
    # The tests' own installation allows it; this is what another does.
    usual = cast("Providers", runtime.services[Providers])
    strict = replace(usual, around=replace(usual.around, hosts=Hosts()))
    found = PROVIDER.read(shown["id"])
    async with runtime.parts.db.read() as connection:
        owner = await connection.fetchval("SELECT workspace_id FROM providers WHERE id = $1", found)
    provider = await strict.opened(owner, found)
    told = await provider.send(Outgoing("dlv_test", "a@b.example", EmailContent("Hi", "Hi")))
    await provider.close()
    assert isinstance(told, Refused)
    assert (told.failure, told.code) == (Failure.CONFIG, "private-address")


async def test_a_key_for_browsers_is_made_and_its_public_half_shown(
    client: httpx.AsyncClient,
) -> None:
    options = {"subject": "mailto:it@shop.example"}
    shown = (await made(client, kind="webpush", options=options, secrets={})).json()
    assert len(shown["options"]["public_key"]) == 87
    assert shown["secrets"] == ["vapid_key"]
    url = f"{BASE}/{shown['id']}"
    renamed = (
        await client.patch(url, json={"options": {"subject": "https://shop.example"}})
    ).json()
    assert renamed["options"]["public_key"] == shown["options"]["public_key"]


@pytest.fixture
def providers(runtime: Runtime, tmp_path: Path) -> Providers:
    """Those of another process, which may be on this machine."""
    own = cast("Providers", runtime.services[Providers])
    return replace(own, around=around(tmp_path))


@pytest.fixture
async def relay() -> AsyncGenerator[ScriptedSmtp]:
    side = ScriptedSmtp()
    async with serving(side):
        yield side


async def test_it_is_opened_for_those_who_send(
    make: Maker, providers: Providers, relay: ScriptedSmtp
) -> None:
    owner = await make.principal()
    options = {"from_address": "s@shop.example", "host": "127.0.0.1", "port": relay.port}
    found = await providers.make(owner, "smtp", {**options, "tls": "none"}, {}, name="R")
    provider = await providers.opened(owner.workspace_id, found.id)
    assert isinstance(await provider.send(Outgoing("dlv_1", "a@b.example", EMAIL)), Accepted)
    await provider.close()
    with pytest.raises(ProviderNotFoundError):
        await providers.opened(ids.fresh(), found.id)
    with pytest.raises(ProviderNotFoundError):
        await providers.opened(owner.workspace_id, ids.fresh())


async def test_its_secrets_reach_the_provider(make: Maker, providers: Providers) -> None:
    side = StubHttp(answering=lambda _: Said(201, b'{"sid": "SM1"}'))
    async with serving(side):
        options, secrets, address, _ = http_options("twilio", side.url)
        owner = await make.principal()
        found = await providers.make(owner, "twilio", options, secrets, name="T")
        outcome = await replace(providers, public_url="https://shop.example").test(
            owner, found.id, address
        )
    assert outcome == Accepted("SM1")
    (asked,) = side.asked
    assert asked.headers["authorization"].startswith("Basic ")
    assert f"callbacks%2F{PROVIDER.show(found.id)}" in asked.body.decode()


@pytest.mark.parametrize(
    ("url", "is_outside"),
    [
        ("https://shop.example", True),
        ("http://93.184.216.34:8000/", True),
        ("http://127.0.0.1:8000", False),
        ("http://localhost:8000", False),
        ("http://10.0.0.1", False),
    ],
)
def test_a_callback_is_asked_for_only_where_it_arrives(
    providers: Providers, url: str, is_outside: bool
) -> None:
    assert bool(replace(providers, public_url=url).callback_url(ids.fresh())) is is_outside


def test_the_vault_opens_only_what_it_sealed_for_the_same_provider() -> None:
    vault, one = Vault.of("a" * 40), ids.fresh()
    sealed = vault.seal(one, {"password": "pässword"})
    assert vault.open(one, sealed) == {"password": "pässword"}
    assert sealed != vault.seal(one, {"password": "pässword"})
    tampered = [
        sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :] for at in range(len(sealed))
    ]
    for other, bad in (
        *((one, each) for each in tampered),
        (UUID(int=1), sealed),
        (one, b""),
        (one, sealed[:20]),
    ):
        with pytest.raises(SecretsUnreadableError):
            vault.open(other, bad)
    with pytest.raises(SecretsUnreadableError):
        Vault.of("b" * 40).open(one, sealed)
    assert "key" not in repr(vault)


async def test_two_who_edit_at_once_do_not_undo_each_other(client: httpx.AsyncClient) -> None:
    shown = (await made(client)).json()
    url = f"{BASE}/{shown['id']}"
    changes: list[dict[str, Any]] = [
        {"options": {"host": "a.example"}}, {"options": {"from_name": "B"}}, {"priority": 3},
    ]  # fmt: skip
    async with asyncio.TaskGroup() as group:
        for change in changes:
            group.create_task(client.patch(url, json=change))
    found = (await client.get(url)).json()
    assert found["options"]["host"] == "a.example"
    assert found["options"]["from_name"] == "B"
    assert (found["priority"], found["version"]) == (3, 4)
    assert json.dumps(found)
    assert ProviderId(PROVIDER.read(found["id"]))
