"""Templates over the API: drafts, versions, previews and layouts."""

import asyncio
from typing import Any, cast

import httpx
import pytest

from posthouse.kernel.edge import App
from posthouse.notifications.composing import Templates
from posthouse.notifications.errors import (
    TemplateNotFoundError,
    TemplateUnpublishedError,
    VersionNotFoundError,
)
from posthouse.notifications.model import Channel, SmsContent
from posthouse.notifications.rendering import Renderer
from posthouse.runtime import Runtime
from tests.conftest import client_of
from tests.make import Maker
from tests.notifications.making import template

URL = "/api/v1/templates/welcome"
HELLO: dict[str, Any] = {
    "name": "Welcome",
    "locales": {
        "en": {
            "email": {"subject": "Hello {{ name }}", "mjml": "<mj-section><mj-column><mj-text>"
                      "Hello {{ name }}</mj-text></mj-column></mj-section>"},
            "sms": {"text": "Hello {{ name }}"},
            "push": {"title": "Hello", "body": "{{ name }}", "url": "https://example.com/"},
        },
        "de": {"sms": {"text": "Hallo {{ name }}"}},
    },
}  # fmt: skip


def saying(text: str, **more: Any) -> dict[str, Any]:
    return {"name": "Welcome", "locales": {"en": {"sms": {"text": text}}}, **more}


async def test_a_draft_is_kept_as_it_was_sent(client: httpx.AsyncClient) -> None:
    made = await client.put(URL, json={**HELLO, "schema": {"type": "object"}})
    assert made.status_code == 201, made.text
    found = made.json()
    assert found["locales"] == HELLO["locales"]
    assert (found["schema"], found["default_locale"], found["layout"]) == (
        {"type": "object"}, "en", None,
    )  # fmt: skip
    assert (found["published"], found["version"]) == (None, 1)
    again = await client.put(URL, json=HELLO, headers={"if-match": made.headers["etag"]})
    assert (again.status_code, again.json()["version"]) == (200, 2)
    stale = await client.put(URL, json=HELLO, headers={"if-match": made.headers["etag"]})
    assert stale.status_code == 412
    shown = await client.get(URL)
    assert (shown.json(), shown.headers["etag"]) == (again.json(), '"v2"')
    unmade = await client.put(URL + "-2", json=HELLO, headers={"if-match": '"v1"'})
    assert unmade.status_code == 412


async def test_templates_are_listed_with_what_they_are_for(client: httpx.AsyncClient) -> None:
    await client.put("/api/v1/templates/a", json=saying("x"))
    await client.put(URL, json=HELLO)
    first = (await client.get("/api/v1/templates", params={"limit": 1})).json()
    assert [one["key"] for one in first["items"]] == ["a"]
    more = {"limit": 1, "cursor": first["next_cursor"]}
    (found,) = (await client.get("/api/v1/templates", params=more)).json()["items"]
    assert found["channels"] == ["email", "sms", "push"]
    assert found["locales"] == ["de", "en"]


BAD: list[Any] = [
    {}, {"name": "x"}, {"name": "x", "locales": {}}, {"name": "", "locales": HELLO["locales"]},
    {**HELLO, "default_locale": "english"}, {**HELLO, "locales": {"english": {}}}, {**HELLO, "layout": "A b"},  # noqa: E501
    {**HELLO, "locales": {"en": {"fax": {}}}}, {**HELLO, "locales": {"en": {"sms": {"text": 5}}}},
    {**HELLO, "locales": {"en": {"sms": {"text": "a\x00"}}}}, {**HELLO, "locales": {"en": {"email": {"x": "y"}}}},  # noqa: E501
    {**HELLO, "schema": []}, {**HELLO, "schema": {"a": "\x00"}}, {**HELLO, "x": 1}, {**HELLO, "data_schema": {}},  # noqa: E501
    {**HELLO, "locales": {"en": {"sms": {"text": "x" * 10_001}}}},
]  # fmt: skip


@pytest.mark.parametrize("bad", BAD)
async def test_what_is_no_template_is_refused(client: httpx.AsyncClient, bad: Any) -> None:
    answer = await client.put(URL, json=bad)
    assert answer.status_code == 422, answer.text


async def test_a_published_draft_is_a_version_that_stays(client: httpx.AsyncClient) -> None:
    await client.put(URL, json=HELLO)
    first = await client.post(f"{URL}/publish")
    assert (first.status_code, first.json()["number"]) == (201, 1), first.text
    assert first.headers["location"] == f"{URL}/versions/1"
    same = await client.post(f"{URL}/publish")
    assert (same.status_code, same.json()) == (200, first.json())
    changed = await client.put(URL, json=saying("Bye {{ name }}"))
    assert changed.json()["published"] == 1
    second = await client.post(f"{URL}/publish", headers={"if-match": changed.headers["etag"]})
    assert second.json()["number"] == 2
    assert (await client.get(f"{URL}/versions/1")).json() == first.json()
    listed = (await client.get(f"{URL}/versions", params={"limit": 1})).json()
    assert [one["number"] for one in listed["items"]] == [2]
    assert (await client.get(URL)).json()["published"] == 2
    for number, status in ((3, 404), (0, 422), ("x", 422), (2**31, 422)):
        assert (await client.get(f"{URL}/versions/{number}")).status_code == status
    stale = await client.post(f"{URL}/publish", headers={"if-match": '"v1"'})
    assert stale.status_code == 412


async def test_a_draft_that_does_not_compile_is_not_published(client: httpx.AsyncClient) -> None:
    await client.put(URL, json=saying("a\n{{ x.__class__ }}"))
    answer = await client.post(f"{URL}/publish")
    assert (answer.status_code, answer.json()["code"]) == (422, "template-invalid")
    (problem,) = answer.json()["errors"]
    assert problem["field"] == "locales.en.sms.text"
    assert problem["message"].startswith("line 2: ")
    assert (await client.get(URL)).json()["published"] is None


async def test_two_who_publish_at_once_make_one_version(client: httpx.AsyncClient) -> None:
    await client.put(URL, json=HELLO)
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(client.post(f"{URL}/publish")) for _ in range(4)]
    assert {call.result().json()["number"] for call in calls} == {1}


async def test_a_preview_shows_the_draft_or_a_version(client: httpx.AsyncClient) -> None:
    await client.put(URL, json=HELLO)
    await client.post(f"{URL}/publish")
    await client.put(URL, json=saying("Bye {{ name }}, {{ recipient.name }}"))
    data = {"name": "<Bob>"}
    for asked, wanted in (
        ({"channel": "sms"}, {"text": "Bye <Bob>, Ann Example"}),
        ({"channel": "sms", "locale": "de-AT", "template_version": 1}, {"text": "Hallo <Bob>"}),
        ({"channel": "push", "template_version": 1}, {"title": "Hello", "body": "<Bob>"}),
        (
            {"channel": "email", "template_version": 1},
            {"subject": "Hello <Bob>", "text": "Hello <Bob>"},
        ),
    ):
        answer = await client.post(f"{URL}/preview", json={**asked, "data": data})
        assert answer.status_code == 200, answer.text
        assert answer.json() | wanted == answer.json()
        if asked["channel"] == "email":
            assert "Hello &lt;Bob&gt;" in answer.json()["html"]
    nothing = await client.post(f"{URL}/preview", json={"channel": "email", "data": data})
    assert nothing.json()["code"] == "template-invalid"
    unknown = await client.post(f"{URL}/preview", json={"channel": "sms", "template_version": 9})
    assert unknown.status_code == 404


async def test_a_preview_names_what_the_data_lacks(client: httpx.AsyncClient) -> None:
    await client.put(URL, json=HELLO)
    answer = await client.post(f"{URL}/preview", json={"channel": "sms"})
    assert (answer.status_code, answer.json()["code"]) == (422, "template-variable-missing")
    assert answer.json()["errors"][0]["field"] == "body.data.name"


@pytest.mark.parametrize("source", [
    "{% for a in range(1000) %}{% for b in range(1000) %}x{% endfor %}{% endfor %}",
    "{{ x | replace('a', x) }}", "{% for a in x %}{{ x }}{% endfor %}", "{{ 9 ** 9 ** 9 }}",
])  # fmt: skip
async def test_a_preview_that_does_too_much_is_stopped(
    client: httpx.AsyncClient, source: str
) -> None:
    await client.put(URL, json=saying(source))
    data = {"x": "a" * 100_000}
    answer = await client.post(f"{URL}/preview", json={"channel": "sms", "data": data})
    assert (answer.status_code, answer.json()["code"]) == (422, "render-budget"), answer.text


async def test_mjml_that_is_nested_without_end_costs_its_child_alone(
    client: httpx.AsyncClient,
) -> None:
    deep = "<mj-wrapper>" * 3_000 + "</mj-wrapper>" * 3_000
    email = {"subject": "x", "mjml": deep}
    await client.put(URL, json={"name": "x", "locales": {"en": {"email": email}}})
    answer = await client.post(f"{URL}/publish")
    assert answer.status_code == 422
    assert (await client.get(URL)).status_code == 200


FRAME = {"mjml": "<mjml><mj-body><mj-raw><p>Shop</p></mj-raw>{{ content }}</mj-body></mjml>",
         "text": "Shop\n{{ content }}"}  # fmt: skip


async def test_a_layout_is_in_the_versions_that_were_published_with_it(
    client: httpx.AsyncClient,
) -> None:
    put = await client.put("/api/v1/layouts/frame", json=FRAME)
    assert (put.status_code, put.json()["mjml"]) == (200, FRAME["mjml"]), put.text
    await client.put(URL, json={**HELLO, "layout": "frame"})
    first = (await client.post(f"{URL}/publish")).json()
    assert first["layout_source"] == FRAME
    newer = {**FRAME, "mjml": FRAME["mjml"].replace("Shop", "Store")}
    changed = await client.put(
        "/api/v1/layouts/frame", json=newer, headers={"if-match": put.headers["etag"]}
    )
    assert changed.json()["version"] == 2
    stale = await client.put(
        "/api/v1/layouts/frame", json=newer, headers={"if-match": put.headers["etag"]}
    )
    assert stale.status_code == 412
    second = (await client.post(f"{URL}/publish")).json()
    assert second["number"] == 2
    seen: list[str] = []
    for number in (1, 2):
        asked = {"channel": "email", "template_version": number, "data": {"name": "Ann"}}
        seen.append((await client.post(f"{URL}/preview", json=asked)).json()["html"])
    assert ["Shop" in seen[0], "Store" in seen[0], "Store" in seen[1]] == [True, False, True]
    assert [(await client.delete("/api/v1/layouts/frame")).status_code for _ in range(2)] == [
        204,
        404,
    ]
    gone = await client.post(f"{URL}/publish")
    assert (gone.status_code, gone.json()["errors"][0]["field"]) == (422, "layout")


async def test_layouts_are_listed_and_one_without_room_is_refused(
    client: httpx.AsyncClient,
) -> None:
    await client.put("/api/v1/layouts/a", json={"html": "<main>{{ content }}</main>"})
    await client.put("/api/v1/layouts/b", json=FRAME)
    listed = (await client.get("/api/v1/layouts", params={"limit": 1})).json()
    assert [one["key"] for one in listed["items"]] == ["a"]
    assert (await client.get("/api/v1/layouts/b")).json()["text"] == FRAME["text"]
    for bad in ({}, {"html": "x"}, {"html": "{{ content }}", "mjml": "{{ content }}"}, {"text": "x"},  # noqa: E501
                {"mjml": "{{ content }}</mjml>"}, {"html": "{{ content }}{{ x() }}"}):  # fmt: skip
        answer = await client.put("/api/v1/layouts/c", json=bad)
        assert answer.status_code == 422, (bad, answer.text)


async def test_what_is_sent_with_stays_what_it_was(make: Maker, runtime: Runtime) -> None:
    owner = await make.principal()
    templates = cast("Templates", make.service(Templates))

    async def pinned(key: str) -> Any:
        async with runtime.parts.db.begin() as tx:
            return await templates.pinned(tx, owner.workspace_id, key)

    with pytest.raises(TemplateNotFoundError):
        await pinned("welcome")
    made = await template(make, owner)
    with pytest.raises(TemplateUnpublishedError) as refused:
        await pinned("welcome")
    assert refused.value.fields[0].field == "body.template"
    await templates.publish(owner, "welcome")
    first = await pinned("welcome")
    assert (first.id, first.number) == (made.id, 1)
    await template(make, owner, is_published=True, en={"sms": {"text": "Bye"}})
    second = await pinned("welcome")
    assert second.number == 2
    compiled = await templates.version(made.id, 1)
    assert compiled == first.compiled
    said = Renderer().render(compiled, Channel.SMS, None, {"name": "Ann"})
    assert said == SmsContent("Hello Ann")
    with pytest.raises(VersionNotFoundError):
        await templates.version(made.id, 9)


async def test_a_template_is_deleted_once_nothing_waits_for_it(app: App, make: Maker) -> None:
    owner = await make.principal()
    made = await template(make, owner, is_published=True)
    from posthouse.kernel import ids

    async with make.runtime.parts.db.begin() as tx:
        await tx.execute(
            "INSERT INTO notifications (id, workspace_id, template_id, category, priority,"
            " created_by, role) VALUES ($1, $2, $3, 'general', 0, 'x', 'owner')",
            ids.fresh(),
            owner.workspace_id,
            made.id,
        )
    async with client_of(app, await make.key(workspace=owner.workspace_id)) as client:
        refused = await client.delete(URL)
        assert (refused.status_code, refused.json()["code"]) == (409, "in-use")
        async with make.runtime.parts.db.begin() as tx:
            await tx.execute(
                "UPDATE notifications SET ended_at = now(), status = 'sent' WHERE template_id = $1",
                made.id,
            )
        assert (await client.delete(URL, headers={"if-match": '"v7"'})).status_code == 412
        assert [(await client.delete(URL)).status_code for _ in range(2)] == [204, 404]
