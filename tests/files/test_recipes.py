"""Recipes are checked when they are saved, kept by version, and can be tried without running."""

import json
from typing import Any

import httpx
import pytest

from posthouse.files.errors import RecipeInvalidError, UnknownProcessorError
from posthouse.files.processors import PROCESSORS
from posthouse.files.recipes import plan, read_steps, read_text, shown
from tests.files.sending import look, send

THUMB: dict[str, Any] = {"use": "image.resize", "width": 32}

# The least that each processor has to be told.
LEAST: dict[str, dict[str, Any]] = {
    "image.resize": {"width": 10},
    "image.convert": {"format": "webp"},
    "image.placeholder": {},
    "document.render": {"template": "invoice"},
    "document.table": {},
    "document.thumbnail": {},
    "document.text": {},
    "table.convert": {"to": "parquet"},
    "table.profile": {},
    "table.validate": {"columns": [{"name": "a", "type": "integer"}]},
}


def test_all_processors_are_known_here() -> None:
    assert set(LEAST) == set(PROCESSORS)


@pytest.mark.parametrize("use", sorted(LEAST))
def test_a_step_that_was_kept_is_read_as_it_was(use: str) -> None:
    steps = read_steps({"steps": {"one": {"use": use, **LEAST[use]}}})
    assert read_steps(json.loads(json.dumps(shown(steps)))) == steps
    processor = PROCESSORS[use]
    assert processor.version >= 1
    for media_type in processor.takes:
        (planned,) = plan(steps, media_type)
        assert planned.gives[0].key == ""
        assert planned.gives[0].extension


@pytest.mark.parametrize(
    ("recipe", "field"),
    [
        (5, "recipe"), ([], "recipe"), ({}, "recipe"), ({"steps": {}, "more": 1}, "recipe"),
        ({"steps": {}}, "recipe.steps"), ({"steps": []}, "recipe.steps"),
        ({"steps": {f"s{n}": THUMB for n in range(21)}}, "recipe.steps"),
        ({"steps": {"Big": THUMB}}, "recipe.steps.Big"),
        ({"steps": {"source": THUMB}}, "recipe.steps.source"),
        ({"steps": {"a": 5}}, "recipe.steps.a"),
        ({"steps": {"a": {**THUMB, "from": "b"}, "b": THUMB}}, "recipe.steps.a.from"),
        ({"steps": {"a": {**THUMB, "from": "a"}}}, "recipe.steps.a.from"),
        ({"steps": {"a": {**THUMB, "from": ["x"]}}}, "recipe.steps.a.from"),
        ({"steps": {"a": {**THUMB, "colour": 1}}}, "recipe.steps.a.colour"),
        ({"steps": {"a": {"use": "image.resize", "width": "32"}}}, "recipe.steps.a.width"),
        ({"steps": {"a": {"use": "image.resize", "width": -1}}}, "recipe.steps.a.width"),
    ],
)  # fmt: skip
def test_a_recipe_that_breaks_a_rule_is_refused_by_its_place(recipe: Any, field: str) -> None:
    with pytest.raises(RecipeInvalidError) as refused:
        read_steps(recipe)
    assert refused.value.fields[0].field == field


@pytest.mark.parametrize("use", ["media.transcode", "image.", None, 5, ["image.resize"]])
def test_an_unknown_processor_is_named(use: Any) -> None:
    with pytest.raises(UnknownProcessorError) as refused:
        read_steps({"steps": {"a": {"use": use}}})
    assert refused.value.fields[0].field == "recipe.steps.a.use"


@pytest.mark.parametrize("text", ["", "Thumb!", "{", "{]", "[]", '{"steps": ' + "[" * 100_000,
                                  '{"steps": {"a\\u0000": {}}}'])  # fmt: skip
def test_a_text_that_is_no_recipe_is_refused(text: str) -> None:
    with pytest.raises(RecipeInvalidError):
        read_text(text)


async def test_a_saved_recipe_has_versions_and_files_keep_theirs(
    client: httpx.AsyncClient,
) -> None:
    path = "/api/v1/files/recipes/profile"
    first = await client.put(path, json={"steps": {"p": {"use": "table.profile"}}})
    assert (first.status_code, first.json()["version"]) == (200, 1)
    again = await client.put(path, json={"steps": {"p": {"use": "table.profile"}}})
    assert again.json()["version"] == 1
    file_id = await send(client, recipe="profile")
    second = await client.put(path, json={"steps": {"q": {"use": "table.profile"}}})
    assert second.json()["version"] == 2
    shown_file = await look(client, file_id)
    assert (shown_file["recipe_name"], shown_file["recipe_version"]) == ("profile", 1)
    assert list(shown_file["recipe"]["steps"]) == ["p"]
    old = await client.get(f"{path}?version=1")
    assert list(old.json()["steps"]) == ["p"]
    (listed,) = (await client.get("/api/v1/files/recipes")).json()["items"]
    assert listed["version"] == 2
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).status_code == 404
    assert list((await look(client, file_id))["recipe"]["steps"]) == ["p"]


async def test_a_recipe_of_others_is_not_found(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/api/v1/files/upload", files={"file": ("a.csv", b"a\n1\n")}, data={"recipe": "theirs"}
    )
    assert (answer.status_code, answer.json()["code"]) == (404, "recipe-not-found")


async def test_a_check_tells_outputs_and_limits_and_keeps_nothing(
    client: httpx.AsyncClient,
) -> None:
    recipe = {"steps": {"thumb": THUMB, "hash": {"use": "image.placeholder", "from": "thumb"}}}
    answer = await client.post(
        "/api/v1/files/recipes/check", json={"recipe": recipe, "media_type": "image/png"}
    )
    assert answer.status_code == 200, answer.text
    thumb, hashed = answer.json()["steps"]
    assert thumb["outputs"][0]["media_type"] == "image/png"
    assert (hashed["takes"], hashed["outputs"][0]["media_type"]) == (
        "image/png",
        "application/json",
    )
    assert thumb["memory_bytes"] > 0
    assert answer.json()["recipe"]["steps"]["thumb"]["fit"]
    refused = await client.post(
        "/api/v1/files/recipes/check", json={"recipe": recipe, "media_type": "text/csv"}
    )
    assert (refused.status_code, refused.json()["code"]) == (422, "type-not-allowed")
    file_id = await send(client)
    of_file = {"recipe": {"steps": {"p": {"use": "table.profile"}}}, "file": file_id}
    answer = await client.post("/api/v1/files/recipes/check", json=of_file)
    assert answer.json()["steps"][0]["takes"] == "text/csv"


async def test_processors_tell_their_options(client: httpx.AsyncClient) -> None:
    found = (await client.get("/api/v1/files/processors")).json()["processors"]
    resize = next(one for one in found if one["name"] == "image.resize")
    assert "width" in resize["options"]["properties"]
    assert "image/jpeg" in resize["takes"]
