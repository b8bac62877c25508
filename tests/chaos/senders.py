"""Clients that upload files in every way and do not give up, and what they were promised."""

import asyncio
import hashlib
import random  # noqa: TID251  a seeded choice, no secret
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

import httpx

from tests.files.test_tus import BYTES, V

LARGEST = 2_000_000
UPLOAD = "/api/v1/files/upload"
TUS = "/api/v1/files/tus"
_PIECE = 65_536
_PAUSE_S = 0.05
_PATIENCE_S = 60.0
WAYS = ("form", "body", "tus")


@dataclass(slots=True)
class Senders:
    """Uploads files by clients that `connect` makes; `accepted` is [(file, digest), …]."""

    connect: Callable[[], httpx.AsyncClient]
    seed: int
    gives_up_when_full: bool = False
    sent: set[bytes] = field(default_factory=set[bytes])
    accepted: dict[str, bytes] = field(default_factory=dict[str, bytes])
    answers: Counter[str] = field(default_factory=Counter[str])

    async def send(self, number: int) -> None:
        """Upload the file of this number; it is accepted when this returns."""
        dice = random.Random(f"{self.seed} {number}")
        # As many small files as large ones.
        content = _content(dice, int(LARGEST ** dice.random()))
        digest = hashlib.sha256(content).digest()
        self.sent.add(digest)
        way = WAYS[number % len(WAYS)]
        async with asyncio.timeout(_PATIENCE_S):
            if way == "tus":
                file_id = await self._by_tus(content, dice)
            else:
                file_id = await self._at_once(way, content, dice)
        if file_id is not None:
            self.accepted[file_id] = digest

    async def _at_once(self, way: str, content: bytes, dice: random.Random) -> str | None:
        request = httpx.Request("PUT", f"http://house{UPLOAD}", content=content)
        if way == "form":
            files = {"file": ("chaos.png", content)}
            request = httpx.Request("POST", f"http://house{UPLOAD}", files=files)
        told = {"content-type", *dice.choice([["content-length"], []])}  # else it comes in chunks
        headers = {name: request.headers[name] for name in told & set(request.headers)}
        while True:
            key = {"Idempotency-Key": f"{self.seed}-{dice.random()}"}
            for _ in range(2):  # the same key again, as after a cut nobody knows what was done
                answer = await self._ask(
                    request.method, UPLOAD, _trickle(request.read(), dice), {**headers, **key}
                )
                if answer is not None and answer.status_code == 202:
                    return answer.json()["job_id"]
                if self._gives_up(answer):
                    return None
                await asyncio.sleep(_PAUSE_S)

    async def _by_tus(self, content: bytes, dice: random.Random) -> str | None:
        length = {**V, "Upload-Length": str(len(content))}
        while (made := await self._ask("POST", TUS, b"", length)) is None or (
            made.status_code != 201
        ):
            if self._gives_up(made):
                return None
            await asyncio.sleep(_PAUSE_S)
        url, offset = made.headers["location"], 0
        while offset < len(content):
            part = content[offset : offset + dice.randint(1, len(content))]
            headers = {**BYTES, "Upload-Offset": str(offset)}
            answer = await self._ask("PATCH", url, _trickle(part, dice), headers)
            if self._gives_up(answer):
                ended = await self._ask("DELETE", url, b"", V)
                assert ended is not None
                assert ended.status_code in {204, 404}
                return None
            if answer is not None and answer.status_code == 204:
                offset += len(part)
                assert answer.headers["upload-offset"] == str(offset)
                continue
            await asyncio.sleep(_PAUSE_S)
            head = await self._ask("HEAD", url, b"", V)
            if head is not None and head.status_code != 503:
                assert head.status_code == 200, head.status_code
                offset = int(head.headers["upload-offset"])
        return url.rpartition("/")[2]

    def _gives_up(self, answer: httpx.Response | None) -> bool:
        return self.gives_up_when_full and answer is not None and answer.status_code == 507

    async def _ask(
        self,
        method: str,
        path: str,
        content: bytes | AsyncGenerator[bytes],
        headers: dict[str, str],
    ) -> httpx.Response | None:
        """Ask once; None if the connection was cut, or there was none."""
        try:
            async with self.connect() as client:
                answer = await client.request(method, path, content=content, headers=headers)
        except httpx.TransportError:
            self.answers["cut"] += 1
            return None
        self.answers[f"{method} {answer.status_code}"] += 1
        allowed = {200, 201, 202, 204, 409, 423, 503, 507}
        assert answer.status_code in allowed or (method, answer.status_code) == ("DELETE", 404), (
            method, path, answer.status_code, answer.text[:300],
        )  # fmt: skip
        return answer


def _content(dice: random.Random, size: int) -> bytes:
    """Random bytes that pass for an image; a few letters if there are too few of them for that."""
    if size < 8:
        return bytes(dice.choice(b"abcdefgh") for _ in range(max(1, size)))
    return b"\x89PNG\r\n\x1a\n" + dice.randbytes(size - 8)


async def _trickle(content: bytes, dice: random.Random) -> AsyncGenerator[bytes]:
    for start in range(0, len(content), _PIECE):
        yield content[start : start + _PIECE]
        await asyncio.sleep(dice.random() * 0.01)
