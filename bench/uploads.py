"""An upload of a GiB against the least that a server can do with it, and the API beside heavy jobs."""

import asyncio
import io
import json
import os
import socket
import time
from pathlib import Path
from statistics import median

from bench.house import House, Served, open_house
from bench.measure import Row, compare, say

SIZE = 1024 * 1024 * 1024
ROUNDS = 5
MEMORY_MIB = 64
CALLS = 400
HEAVY = 4
_PIECE = os.urandom(1024 * 1024)
_PNG = b"\x89PNG\r\n\x1a\n"


async def rows() -> list[Row]:
    """Measure the rows of this bench."""
    async with open_house() as house:
        words = ("RATE_PER_S=1000000", "RATE_BURST=1000000", "FILES_LEAST_FREE=0", "LOG_LEVEL=error",
                 "FILES_QUOTA_BYTES=1000000000000")  # fmt: skip
        ours, limit = await house.serve(*words), await house.limit("receive")
        found = await _uploads(house, ours, limit)
        await house.stop(limit.process)
        worker = await house.work()
        found.append(await _beside(house, ours))
        await house.stop(worker)
        return found


async def _uploads(house: House, ours: Served, limit: Served) -> list[Row]:
    path = "/api/v1/files/upload?name=bench.png"
    mine: list[float] = []
    bare: list[float] = []
    await asyncio.to_thread(_send, ours, path, house.api_key, 8)
    idle = _peak_mib(ours.pid, "VmRSS")
    for number in range(ROUNDS):
        pair = [(ours, path, mine), (limit, "/", bare)]
        for server, where, times in pair if number % 2 else pair[::-1]:
            times.append(await asyncio.to_thread(_send, server, where, house.api_key, SIZE >> 20))
        say(f"upload {number + 1}: ours {mine[-1]:.2f} s, bare {bare[-1]:.2f} s")
    grown = _peak_mib(ours.pid, "VmHWM") - idle
    return [
        compare(
            "upload of 1 GiB, of receive, sha256 and write", mine, bare, unit="s", at_least=0.8
        ),
        Row(
            name="memory above idle while uploading",
            value=grown,
            limit=MEMORY_MIB,
            ratio=grown / MEMORY_MIB,
            unit="MiB",
            runs=ROUNDS,
            at_most=1,
        ),
    ]


def _send(server: Served, path: str, key: str, mebibytes: int) -> float:
    """Send a body of so many MiB, and wait for the 202; the seconds that it took."""
    length = len(_PNG) + mebibytes * len(_PIECE)
    head = (
        f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Length: {length}\r\nContent-Type: application/octet-stream\r\n\r\n"
    )
    # Each upload is another content, so that none is known already.
    own = os.urandom(16) + _PIECE[16:]
    with socket.create_connection(("127.0.0.1", server.port)) as line:
        begun = time.perf_counter()
        line.sendall(head.encode() + _PNG + own)
        for _ in range(mebibytes - 1):
            line.sendall(_PIECE)
        answer = line.recv(65_536)
        took = time.perf_counter() - begun
    if b" 202 " not in answer[:20]:
        raise RuntimeError(answer[:300].decode("latin-1"))
    return took


def _peak_mib(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(name)


async def _beside(house: House, ours: Served) -> Row:
    """The 99th percentile of an API call, idle and while the worker has heavy work."""
    idle = await asyncio.to_thread(_percentile, house, ours)
    from PIL import Image

    held = io.BytesIO()
    Image.effect_noise((3000, 2000), 90).convert("RGB").save(held, "JPEG")
    for number in range(HEAVY * 3):
        step = {"use": "image.convert", "format": "avif", "quality": 80 + number}
        await asyncio.to_thread(_process, house, ours, held.getvalue(), {"steps": {"a": step}})
    await asyncio.sleep(2)  # until the children are at work
    busy = await asyncio.to_thread(_percentile, house, ours)
    running = await asyncio.to_thread(_running, house, ours)
    say(f"p99 idle {idle:.2f} ms, beside {running} jobs that are not done {busy:.2f} ms")
    if not running:
        raise RuntimeError("the heavy jobs were done before the measurement was")
    return Row(
        name="API call beside heavy jobs, p99, of idle",
        value=busy,
        limit=idle,
        ratio=busy / idle,
        unit="ms",
        runs=CALLS,
        at_most=2,
    )


def _percentile(house: House, ours: Served) -> float:
    """Of five rounds of calls the median of their 99th percentiles, in ms."""
    found: list[float] = []
    for _ in range(5):
        times: list[float] = []
        with socket.create_connection(("127.0.0.1", ours.port)) as line:
            for _ in range(CALLS // 5):
                begun = time.perf_counter()
                _ask(line, house, "GET", "/api/v1/links?limit=1")
                times.append((time.perf_counter() - begun) * 1000)
                time.sleep(0.002)
        found.append(sorted(times)[int(len(times) * 0.99) - 1])
    return median(found)


def _process(house: House, ours: Served, content: bytes, recipe: object) -> None:
    boundary = "bench"
    parts = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="recipe"\r\n\r\n'
        f"{json.dumps(recipe)}\r\n--{boundary}\r\nContent-Disposition: form-data; "
        'name="file"; filename="a.jpg"\r\n\r\n'
    ).encode()
    body = parts + content + f"\r\n--{boundary}--\r\n".encode()
    with socket.create_connection(("127.0.0.1", ours.port)) as line:
        kind = f"multipart/form-data; boundary={boundary}"
        _ask(line, house, "POST", "/api/v1/files/upload", body, kind)


def _running(house: House, ours: Served) -> int:
    with socket.create_connection(("127.0.0.1", ours.port)) as line:
        answer = _ask(line, house, "GET", "/api/v1/tasks?limit=100")
    items = json.loads(answer.partition(b"\r\n\r\n")[2])["items"]
    return sum(one["status"] in {"pending", "running"} for one in items)


def _ask(
    line: socket.socket, house: House, method: str, path: str, body: bytes = b"", kind: str = ""
) -> bytes:
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {house.api_key}\r\n"
    )
    if body:
        head += f"Content-Length: {len(body)}\r\nContent-Type: {kind}\r\n"
    line.sendall(head.encode() + b"\r\n" + body)
    answer = b""
    while b"\r\n\r\n" not in answer or len(answer) < _whole(answer):
        piece = line.recv(262_144)
        if not piece:
            break
        answer += piece
    if not answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 202")):
        raise RuntimeError(answer[:300].decode("latin-1"))
    return answer


def _whole(answer: bytes) -> int:
    head, _, _ = answer.partition(b"\r\n\r\n")
    for name in head.lower().split(b"\r\n"):
        if name.startswith(b"content-length:"):
            return len(head) + 4 + int(name.partition(b":")[2])
    return len(head) + 4
