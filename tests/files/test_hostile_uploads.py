"""What hostile senders try with uploads: names, sizes, forms, types and keys that lie."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import suppress
from typing import cast
from urllib.parse import quote

import httpx
import pytest

from posthouse.files.model import FILE
from posthouse.files.sweeping import Sweeping
from posthouse.runtime import Runtime
from posthouse.settings import Settings
from tests.files.sending import CSV, UPLOAD, content_of, left_of, local, look, objects, send
from tests.files.test_tus import V
from tests.live import Live, live_process

MOST = 200_000
BOUNDARY = "cut-here"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


@pytest.fixture(scope="module")
def live(settings: Settings, runtime: Runtime) -> Generator[Live]:
    """A server that takes small files only."""
    with live_process(
        settings, POSTHOUSE_FILES_MAX_BYTES=str(MOST), POSTHOUSE_FILES_QUOTA_BYTES=str(3 * MOST)
    ) as live:
        yield live


def part(name: str, content: bytes, filename: str | None = None, *more: str) -> bytes:
    said = f'Content-Disposition: form-data; name="{name}"'
    if filename is not None:
        said += f'; filename="{filename}"'
    head = "\r\n".join([f"--{BOUNDARY}", said, *more, "", ""])
    return head.encode() + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()
FILE_PART = part("file", CSV, "a.csv")


NOTHING = {"files": 0, "uploads": 0, "used": 0, "reserved": 0}


@pytest.fixture(autouse=True)
async def _no_uploads_of_others(runtime: Runtime) -> None:
    async with runtime.parts.db.begin() as tx:
        await tx.execute("DELETE FROM uploads WHERE kind = 'single'")


# --- names


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("/etc/passwd", "passwd"),
        ("C:\\x", "x"),
        ("..\\..\\boot.ini", "boot.ini"),
        (".", "file"),
        ("..", "file"),
        ("", "file"),
        ("a/", "file"),
        ("é" * 150 + ".csv", "é" * 125 + ".csv"),
        ("gpj\u202egnp.csv", "gpjgnp.csv"),
        ("tab\tnew\nline.csv", "tabnewline.csv"),
        ("'; DROP TABLE files; --.csv", "'; DROP TABLE files; --.csv"),
        ('a"b.csv', 'a"b.csv'),
        ("<script>.csv", "<script>.csv"),
        ("~/.ssh/id", "id"),
        ("%2e%2e%2fx", "%2e%2e%2fx"),
    ],
)
async def test_a_name_is_only_ever_said(
    client: httpx.AsyncClient, runtime: Runtime, sent: str, kept: str
) -> None:
    answer = await client.put(f"{UPLOAD}?name={quote(sent, safe='')}", content=CSV)
    assert answer.status_code == 202, answer.text
    shown = await look(client, answer.json()["job_id"])
    assert shown["name"] == kept
    assert len(shown["name"].encode()) <= 255
    got = await client.get(local(shown["url"]))
    assert got.content == CSV
    told = got.headers["content-disposition"]
    plain, _, exact = told.partition("; filename*=UTF-8''")
    assert plain.startswith('attachment; filename="')
    assert not set(plain[len('attachment; filename="') : -1]) & set('"\\/\r\n;')
    assert exact == quote(kept, safe="")
    async with runtime.parts.db.read() as connection:
        key = await connection.fetchval(
            "SELECT b.key FROM files f JOIN blobs b ON b.id = f.blob_id WHERE f.id = $1",
            FILE.read(shown["id"]),
        )
    assert set(key.removeprefix("blobs/")) <= set("0123456789abcdef/")


@pytest.mark.parametrize("name", ["a\x00b.csv", "a.csv\x00.png"])
async def test_a_name_with_a_nul_is_refused(
    client: httpx.AsyncClient, runtime: Runtime, name: str
) -> None:
    answer = await client.put(f"{UPLOAD}?name={quote(name)}", content=CSV)
    assert answer.status_code == 400
    answer = await client.post(UPLOAD, content=part("file", CSV, name) + END, headers=FORM)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["code"] == "invalid-character"
    assert await left_of(client, runtime) == NOTHING


async def test_a_name_of_a_form_is_tidied_too(client: httpx.AsyncClient) -> None:
    body = part("file", CSV, "../../../räte\u202e.csv") + END
    answer = await client.post(UPLOAD, content=body, headers=FORM)
    assert (await look(client, answer.json()["job_id"]))["name"] == "räte.csv"


# --- sizes


async def exchange(live: Live, head: list[str], *pieces: bytes, hang_up: bool = False) -> bytes:
    """Send raw bytes and read what comes back until the server closes, or has answered."""
    reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
    try:
        writer.write("\r\n".join([*head, "", ""]).encode())
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if hang_up:
            return b""
        async with asyncio.timeout(10):
            return await reader.readuntil(b"\r\n\r\n")
    except ConnectionError:
        return b""
    finally:
        writer.close()


def shout(port: int, pieces: list[bytes]) -> bytes:
    """Send all of it, whether it is listened to or not; give what was answered."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        with suppress(ConnectionError):
            for piece in pieces:
                line.sendall(piece)
        answer = b""
        with suppress(ConnectionError):
            while piece := line.recv(65_536):
                answer += piece
        return answer


def put(client: httpx.AsyncClient, *more: str) -> list[str]:
    key = client.headers["authorization"]
    return [f"PUT {UPLOAD} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: {key}", *more]


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ")[1]) if answer else 0


async def until_nothing_is_left(client: httpx.AsyncClient, runtime: Runtime) -> None:
    async with asyncio.timeout(10):
        while await left_of(client, runtime) != NOTHING:
            await asyncio.sleep(0.02)


def chunk(content: bytes) -> bytes:
    return f"{len(content):x}\r\n".encode() + content + b"\r\n"


async def test_ten_times_the_limit_in_chunks_is_refused_and_leaves_nothing(
    client: httpx.AsyncClient, runtime: Runtime, live: Live
) -> None:
    before = await objects(runtime)
    head = "\r\n".join([*put(client, "Transfer-Encoding: chunked"), "", ""]).encode()
    chunks = [chunk(CSV * 1000) for _ in range(10 * MOST // (len(CSV) * 1000) + 1)]
    answer = await asyncio.to_thread(shout, live.port, [head, *chunks])
    assert status_of(answer) == 413
    assert b"file-too-large" in answer
    await until_nothing_is_left(client, runtime)
    assert await objects(runtime) == before


async def test_a_length_over_the_limit_is_refused_before_the_body(
    client: httpx.AsyncClient, runtime: Runtime, live: Live
) -> None:
    answer = await exchange(live, put(client, f"Content-Length: {MOST + 1}"))
    assert status_of(answer) == 413
    assert await left_of(client, runtime) == NOTHING


async def test_a_body_that_ends_before_its_length_is_not_kept(
    client: httpx.AsyncClient, runtime: Runtime, live: Live
) -> None:
    before = await objects(runtime)
    await exchange(live, put(client, "Content-Length: 1000"), CSV, hang_up=True)
    await until_nothing_is_left(client, runtime)
    assert await objects(runtime) == before


async def test_bytes_behind_the_length_are_no_part_of_the_file(
    client: httpx.AsyncClient, live: Live
) -> None:
    head = put(client, f"Content-Length: {len(CSV)}")
    # They are no request either, and that may be said first.
    assert status_of(await exchange(live, head, CSV + b"smuggled")) in {202, 400}
    assert status_of(await exchange(live, head, CSV)) == 202
    shown = (await client.get("/api/v1/files")).json()["items"]
    assert {one["size_bytes"] for one in shown} == {len(CSV)}


async def test_a_broken_chunk_ends_the_upload(
    client: httpx.AsyncClient, runtime: Runtime, live: Live
) -> None:
    head = put(client, "Transfer-Encoding: chunked")
    assert status_of(await exchange(live, head, chunk(CSV), b"zz\r\n")) in {0, 400}
    await until_nothing_is_left(client, runtime)


async def test_a_sender_that_goes_away_midway_leaves_no_reservation(
    client: httpx.AsyncClient, runtime: Runtime, live: Live
) -> None:
    head = put(client, f"Content-Length: {MOST}", "Idempotency-Key: gone-away")
    reader, writer = await asyncio.open_connection("127.0.0.1", live.port)
    writer.write("\r\n".join([*head, "", ""]).encode() + CSV)
    async with asyncio.timeout(10):
        while (await left_of(client, runtime))["reserved"] != MOST:
            await asyncio.sleep(0.02)
    writer.close()
    await until_nothing_is_left(client, runtime)
    del reader
    again = put(client, f"Content-Length: {len(CSV)}", "Idempotency-Key: gone-away")
    assert status_of(await exchange(live, again, CSV)) == 202


async def lease_is_over(runtime: Runtime, *, by_s: int) -> None:
    async with runtime.parts.db.begin() as tx:
        await tx.execute(
            "UPDATE uploads SET lease_until = now() - make_interval(secs => $1::int) "
            "WHERE kind = 'single'",
            by_s,
        )


async def is_held(runtime: Runtime) -> bool:
    async with runtime.parts.db.read() as connection:
        return bool(await connection.fetchval("SELECT bool_and(lease_until > now()) FROM uploads"))


async def test_a_slow_sender_is_not_given_up(client: httpx.AsyncClient, runtime: Runtime) -> None:
    held: list[bool] = []

    async def slow() -> AsyncGenerator[bytes]:
        await lease_is_over(runtime, by_s=1)
        yield CSV
        async with asyncio.timeout(10):
            while not await is_held(runtime):
                await asyncio.sleep(0.01)
        held.append(True)
        yield CSV

    answer = await client.put(UPLOAD, content=slow())
    assert (answer.status_code, held) == (202, [True])


@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "given-up"}])
@pytest.mark.parametrize("size", [len(CSV), 3_000_000])
async def test_a_sender_that_was_given_up_stores_nothing_when_it_comes_back(
    client: httpx.AsyncClient, runtime: Runtime, key: dict[str, str], size: int
) -> None:
    content = (CSV * (size // len(CSV) + 1))[:size]

    async def silent() -> AsyncGenerator[bytes]:
        yield content
        await lease_is_over(runtime, by_s=1)
        await cast("Sweeping", runtime.services[Sweeping]).sweep()
        second = await client.put(UPLOAD, content=content, headers=key)
        assert second.status_code == 202
        yield content

    answer = await client.put(UPLOAD, content=silent(), headers=key)
    assert (answer.status_code, answer.json()["code"]) == (400, "upload-cut")
    left = await left_of(client, runtime)
    assert (left["files"], left["used"], left["reserved"]) == (1, size, 0)
    again = await client.put(UPLOAD, content=content, headers=key)
    assert again.status_code == 202


async def test_a_quota_is_enforced_before_the_body(
    client: httpx.AsyncClient, runtime: Runtime, live: Live
) -> None:
    async with over(live, client) as through:
        for number in range(2):
            content = f"{number}\n".encode() * (MOST // 2)
            assert (await through.put(UPLOAD, content=content)).status_code == 202
    used = (await client.get("/api/v1/files/usage")).json()["used_bytes"]
    head = put(client, f"Content-Length: {MOST}")
    async with over(live, client) as through:
        held = await through.post(
            "/api/v1/files/tus", headers={**V, "Upload-Length": str(MOST // 2)}
        )
        assert held.status_code == 201
        answer = await exchange(live, head)  # no body is sent: it is answered without one
        assert status_of(answer) == 507
        refused = await through.put(UPLOAD, content=b"x,y\n" * (MOST // 4))
        assert refused.json()["code"] == "quota-exceeded"
        refused = await through.post("/api/v1/files/tus", headers={**V, "Upload-Length": str(MOST)})
        assert (refused.status_code, refused.json()["code"]) == (507, "quota-exceeded")
        assert (await through.delete(held.headers["location"], headers=V)).status_code == 204
        assert (await through.put(UPLOAD, content=b"x,y\n" * (MOST // 4))).status_code == 202
    usage = (await client.get("/api/v1/files/usage")).json()
    assert (usage["used_bytes"], usage["reserved_bytes"]) == (used + MOST, 0)


def over(live: Live, client: httpx.AsyncClient) -> httpx.AsyncClient:
    headers = {"Authorization": client.headers["authorization"]}
    return httpx.AsyncClient(base_url=live.url, headers=headers, timeout=30)


# --- forms


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", FILE_PART + END),
        ("multipart/form-data; boundary=", FILE_PART + END),
        ("multipart/form-data; boundary=other", FILE_PART + END),
        ("multipart/form-data; boundary=" + "x" * 5000, FILE_PART + END),
        (FORM["Content-Type"], FILE_PART),
        (FORM["Content-Type"], FILE_PART[:-20]),
        (FORM["Content-Type"], b""),
        (FORM["Content-Type"], END),
        (FORM["Content-Type"], CSV),
        (FORM["Content-Type"], part("file", CSV, "a.csv", "X-Huge: " + "x" * 70_000) + END),
        (FORM["Content-Type"], part("file", CSV, "a" * 5000) + END),
        (
            FORM["Content-Type"],
            part("file", CSV, "a.csv", *[f"X-{number}: 1" for number in range(9)]) + END,
        ),
        (FORM["Content-Type"], FILE_PART * 2 + END),
        (FORM["Content-Type"], part("expires_in", b"60") + END),
        (FORM["Content-Type"], part("file", CSV) + END),
        (FORM["Content-Type"], part("other", CSV, "a.csv") + END),
        (FORM["Content-Type"], part("size", b"5") + FILE_PART + END),
        (FORM["Content-Type"], FILE_PART + part("size", b"5") + END),
        (FORM["Content-Type"], part("expires_in", b"60") * 2 + FILE_PART + END),
        (FORM["Content-Type"], part("recipe", b"\xff\xfe\xfa") + FILE_PART + END),
        (FORM["Content-Type"], part("recipe", b"x" * 300_000) + FILE_PART + END),
        (FORM["Content-Type"], FILE_PART + part("recipe", b"x") * 20 + END),
        (FORM["Content-Type"], f"--{BOUNDARY}\r\n\r\n".encode() + CSV + b"\r\n" + END),
    ],
)
async def test_a_broken_form_is_refused_and_leaves_nothing(
    client: httpx.AsyncClient, runtime: Runtime, content_type: str, body: bytes
) -> None:
    before = await objects(runtime)
    answer = await client.post(UPLOAD, content=body, headers={"Content-Type": content_type})
    assert (answer.status_code, answer.json()["code"]) == (400, "multipart-invalid"), answer.text
    assert await left_of(client, runtime) == NOTHING
    assert await objects(runtime) == before


async def test_a_form_may_have_20_parts_and_no_more(client: httpx.AsyncClient) -> None:
    body = FILE_PART * 21 + END
    answer = await client.post(UPLOAD, content=body, headers=FORM)
    assert (answer.status_code, answer.json()["code"]) == (400, "multipart-invalid")
    assert "20 parts" in answer.json()["detail"]


async def test_a_field_behind_the_file_counts(client: httpx.AsyncClient) -> None:
    body = FILE_PART + part("expires_in", b"60") + END
    answer = await client.post(UPLOAD, content=body, headers=FORM)
    assert answer.status_code == 202, answer.text
    assert (await look(client, answer.json()["job_id"]))["expires_at"] is not None


async def test_a_recipe_behind_the_file_that_is_none_leaves_nothing(
    client: httpx.AsyncClient, runtime: Runtime
) -> None:
    before = await objects(runtime)
    body = FILE_PART + part("recipe", b"{") + END
    answer = await client.post(UPLOAD, content=body, headers=FORM)
    assert answer.status_code == 422, answer.text
    assert await left_of(client, runtime) == NOTHING
    assert await objects(runtime) == before


@pytest.mark.parametrize("expires_in", ["0", "-1", "1e3", "x", "999999999999999", "1" * 30, "٣"])
async def test_a_life_that_is_no_number_of_seconds_is_refused(
    client: httpx.AsyncClient, runtime: Runtime, expires_in: str
) -> None:
    body = part("expires_in", expires_in.encode()) + FILE_PART + END
    answer = await client.post(UPLOAD, content=body, headers=FORM)
    assert answer.status_code == 422, answer.text
    assert await left_of(client, runtime) == NOTHING


async def test_a_form_in_single_bytes_is_read_as_one(client: httpx.AsyncClient) -> None:
    body = part("expires_in", b"60") + FILE_PART + END

    async def bytewise() -> AsyncGenerator[bytes]:
        for at in range(len(body)):
            yield body[at : at + 1]

    answer = await client.post(UPLOAD, content=bytewise(), headers=FORM)
    shown = await look(client, answer.json()["job_id"])
    assert await content_of(client, shown["url"]) == CSV


async def test_a_file_that_holds_its_own_boundary_almost_is_kept(client: httpx.AsyncClient) -> None:
    content = f"a,b\r\n--{BOUNDARY[:-1]}\r\n--{BOUNDARY.upper()}\r\n".encode()
    answer = await client.post(UPLOAD, content=part("file", content, "a.csv") + END, headers=FORM)
    shown = await look(client, answer.json()["job_id"])
    assert await content_of(client, shown["url"]) == content


# --- types


async def test_an_empty_file_is_refused(client: httpx.AsyncClient, runtime: Runtime) -> None:
    for answer in (
        await client.put(UPLOAD, content=b""),
        await client.post(UPLOAD, content=part("file", b"", "a.csv") + END, headers=FORM),
    ):
        assert (answer.status_code, answer.json()["code"]) == (422, "file-empty")
    assert await left_of(client, runtime) == NOTHING


@pytest.mark.parametrize(
    ("content", "name", "media_type"),
    [
        (b"MZ\x90\x00\x03" + bytes(60), "photo.jpg", "application/x-msdownload"),
        (b"\x7fELF\x02\x01" + bytes(60), "a.csv", "application/x-elf"),
        (b"<!DOCTYPE html><script>alert(1)</script>", "a.png", "text/html"),
        (b"\xef\xbb\xbf  <html><body>", "a.txt", "text/html"),
        (b"<!-- GIF89a --><script>", "a.gif", "text/html"),
        (b"PK\x03\x04" + bytes(60), "a.pdf", "application/zip"),
        (bytes(range(256)), "a.csv", "application/octet-stream"),
    ],
)
async def test_a_file_is_what_its_bytes_are(
    client: httpx.AsyncClient, runtime: Runtime, content: bytes, name: str, media_type: str
) -> None:
    before = await objects(runtime)
    answer = await client.post(UPLOAD, files={"file": (name, content, "image/jpeg")})
    assert (answer.status_code, answer.json()["code"]) == (422, "type-not-allowed")
    assert media_type in answer.json()["detail"]
    assert await left_of(client, runtime) == NOTHING
    assert await objects(runtime) == before


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', "a.svg"),
        (b'<?xml version="1.0"?>\n<!-- x --><svg onload="alert(1)"/>', "a.png"),
        (b"GIF89a=1;/*<html><script>*/alert(1)", "a.html"),
        (b"%PDF-1.7 <script>alert(1)</script>", "a.html"),
        (b"plain <script>alert(1)</script>", "a.html"),
    ],
)
@pytest.mark.parametrize("disposition", ["attachment", "inline"])
async def test_a_browser_runs_nothing_of_what_is_stored(
    client: httpx.AsyncClient, content: bytes, name: str, disposition: str
) -> None:
    file_id = await send(client, content, name)
    shown = await look(client, file_id)
    link = await client.post(f"/api/v1/files/{file_id}/link", json={"disposition": disposition})
    got = await client.get(local(link.json()["url"]))
    assert got.content == content
    policy = {one.strip() for one in got.headers["content-security-policy"].split(";")}
    assert {"sandbox", "default-src 'none'"} <= policy
    assert got.headers["x-content-type-options"] == "nosniff"
    assert got.headers["content-type"].partition(";")[0] == shown["media_type"] != "text/html"
    if shown["media_type"] == "image/svg+xml":
        assert got.headers["content-disposition"].startswith("attachment;")
