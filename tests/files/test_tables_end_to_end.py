"""Tables go through the whole house: upload, confined child, results."""

import io
import json

import httpx
import pytest

from tests.files.sending import content_of, done, send

CSV = b"zip,amount\n01234,10\n00001,20\nx,y,z\n99999,30\n"


async def test_a_table_becomes_parquet_and_its_bad_rows_are_told(
    client: httpx.AsyncClient,
) -> None:
    recipe = {
        "steps": {
            "profile": {"use": "table.profile"},
            "parquet": {"use": "table.convert", "to": "parquet"},
            "back": {"use": "table.convert", "from": "parquet", "to": "csv"},
        }
    }
    shown = await done(client, await send(client, CSV, "zips.csv", recipe))
    assert shown["status"] == "completed", shown["problem"]
    results = {one["name"]: one for one in shown["results"]}
    facts = results["parquet"]["facts"]
    assert (facts["rows_in"], facts["rows_out"], facts["rejects"]) == (4, 3, 1)
    assert facts["columns"] == [
        {"name": "zip", "type": "text"},
        {"name": "amount", "type": "integer"},
    ]
    rejects = (await content_of(client, results["parquet.rejects"]["url"])).decode()
    assert "x,y,z" in rejects
    back = (await content_of(client, results["back"]["url"])).decode().splitlines()
    assert back[:2] == ["zip,amount", "01234,10"]
    profile = json.loads(await content_of(client, results["profile"]["url"]))
    assert profile["rows"] == 3
    assert any(one.startswith("landlock") for one in shown["receipt"]["steps"][0]["isolation"])


@pytest.mark.parametrize("content", [b"\x00\x01\x02" * 50, b"a\x00b,c\n1,2\n"])
async def test_what_is_no_table_is_refused(client: httpx.AsyncClient, content: bytes) -> None:
    answer = await client.post(
        "/api/v1/files/upload",
        files={"file": ("a.csv", io.BytesIO(content))},
        data={"recipe": json.dumps({"steps": {"p": {"use": "table.profile"}}})},
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "type-not-allowed")
