"""Whatever callers say to a resumable upload, in whatever order, its offset stays what they sent.

Beside the HTTP API runs a model that says which bytes are there and what each request is answered.
"""

import asyncio
import base64
import hashlib
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import httpx
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from posthouse.app import create_app
from posthouse.runtime import Runtime, open_runtime
from posthouse.settings import Settings
from tests.conftest import client_of
from tests.files.sending import content_of, look
from tests.files.test_tus import BYTES, V, add, begin, id_of
from tests.make import Maker

T = TypeVar("T")
LONGEST = 60
SIZES = st.integers(1, LONGEST)


@dataclass(slots=True)
class World:
    """What all runs of the machine share: a loop, a runtime."""

    loop: asyncio.AbstractEventLoop
    runtime: Runtime

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)


@dataclass(slots=True)
class Expected:
    """What must be there of an upload."""

    length: int | None
    content: bytes = b""
    is_gone: bool = False

    @property
    def is_file(self) -> bool:
        return self.length is not None and len(self.content) == self.length

    def status_of(self, offset: int, size: int, said: int | None) -> int:
        """What a request is answered that adds `size` bytes at `offset`, and says a length."""
        if self.is_gone:
            return 404
        if self.is_file or offset != len(self.content):
            return 409
        if (
            said is not None
            and said != self.length
            and (self.length is not None or said < len(self.content))
        ):
            return 422
        length = self.length if said is None else said
        return 413 if length is not None and len(self.content) + size > length else 204


class Machine(RuleBasedStateMachine):
    def __init__(self, world: World) -> None:
        super().__init__()
        self.do = world.do
        self.uploads: dict[str, Expected] = {}
        self.letters = 0
        key = self.do(Maker(world.runtime).key())
        self.api: httpx.AsyncClient = client_of(create_app(world.runtime), key)

    def pick(self, data: st.DataObject) -> str | None:
        return data.draw(st.sampled_from(sorted(self.uploads))) if self.uploads else None

    def fresh(self, size: int) -> bytes:
        """Bytes that no other request sends."""
        self.letters += 1
        return (f"{self.letters:x}," * size)[:size].encode()

    def expect(self, url: str, content: bytes, offset: int, said: int | None, answer: int) -> None:
        """Compare an answer with the model, and let the model do the same."""
        one = self.uploads[url]
        assert answer == one.status_of(offset, len(content), said), (one, offset, content, said)
        # A length that is said counts even if the bytes behind it are too many.
        if answer in {204, 413} and said is not None:
            one.length = said
        if answer == 204:
            one.content += content

    @rule(length=st.none() | SIZES)
    def create(self, length: int | None) -> None:
        self.uploads[self.do(begin(self.api, length))] = Expected(length)

    @rule(length=SIZES, size=SIZES)
    def create_with_bytes(self, length: int, size: int) -> None:
        content = self.fresh(size)
        headers = {**BYTES, "Upload-Length": str(length)}
        answer = self.do(self.api.post("/api/v1/files/tus", content=content, headers=headers))
        assert answer.status_code == (201 if size <= length else 413)
        url = answer.headers.get("location")
        if url is not None:
            self.uploads[url] = Expected(length, content)

    @rule(data=st.data(), size=SIZES)
    def append(self, data: st.DataObject, size: int) -> None:
        url = self.pick(data)
        if url is not None:
            offset, content = len(self.uploads[url].content), self.fresh(size)
            answer = self.do(add(self.api, url, offset, content))
            self.expect(url, content, offset, None, answer.status_code)

    @rule(data=st.data(), offset=st.integers(0, LONGEST), size=SIZES)
    def append_anywhere(self, data: st.DataObject, offset: int, size: int) -> None:
        url = self.pick(data)
        if url is not None:
            content = self.fresh(size)
            answer = self.do(add(self.api, url, offset, content))
            self.expect(url, content, offset, None, answer.status_code)

    @rule(data=st.data())
    def append_the_rest(self, data: st.DataObject) -> None:
        url = self.pick(data)
        if url is not None and (length := self.uploads[url].length) is not None:
            offset = len(self.uploads[url].content)
            content = self.fresh(length - offset)
            answer = self.do(add(self.api, url, offset, content))
            self.expect(url, content, offset, None, answer.status_code)

    @rule(data=st.data(), size=st.integers(0, LONGEST), length=SIZES)
    def say_a_length(self, data: st.DataObject, size: int, length: int) -> None:
        url = self.pick(data)
        if url is not None:
            offset, content = len(self.uploads[url].content), self.fresh(size)
            said = {"Upload-Length": str(length)}
            answer = self.do(add(self.api, url, offset, content, **said))
            self.expect(url, content, offset, length, answer.status_code)

    @rule(data=st.data(), size=SIZES, is_right=st.booleans())
    def append_verified(self, data: st.DataObject, size: int, is_right: bool) -> None:
        url = self.pick(data)
        if url is None:
            return
        one, content = self.uploads[url], self.fresh(size)
        offset = len(one.content)
        digest = hashlib.sha256(content if is_right else content + b"!").digest()
        checksum = {"Upload-Checksum": f"sha256 {base64.b64encode(digest).decode()}"}
        answer = self.do(add(self.api, url, offset, content, **checksum))
        if not is_right and one.status_of(offset, size, None) == 204:
            assert answer.status_code == 460
        else:
            self.expect(url, content, offset, None, answer.status_code)

    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        url = self.pick(data)
        if url is None:
            return
        one = self.uploads[url]
        answer = self.do(self.api.delete(url, headers=V))
        assert answer.status_code == (404 if one.is_gone else 204)
        one.is_gone = True  # as an upload; what has become a file stays one

    @invariant()
    def each_upload_has_what_was_sent(self) -> None:
        for url, one in self.uploads.items():
            self.do(self.compare(url, one))

    async def compare(self, url: str, one: Expected) -> None:
        head = await self.api.head(url, headers=V)
        assert head.status_code == (404 if one.is_gone else 200)
        if not one.is_gone:
            assert int(head.headers["upload-offset"]) == len(one.content)
            length = head.headers.get("upload-length")
            assert length == (None if one.length is None else str(one.length))
        file = await self.api.get(f"/api/v1/files/{id_of(url)}")
        assert file.status_code == (200 if one.is_file else 404)

    def teardown(self) -> None:
        self.do(self.check_contents())

    async def check_contents(self) -> None:
        for url, one in self.uploads.items():
            if one.is_file:
                assert await content_of(self.api, (await look(self.api, id_of(url)))["url"]) == (
                    one.content
                )
        await self.api.aclose()


def test_every_story_of_an_upload_is_a_possible_one(settings: Settings) -> None:
    loop = asyncio.new_event_loop()
    stack = AsyncExitStack()
    runtime = loop.run_until_complete(stack.enter_async_context(open_runtime(settings)))
    try:
        run_state_machine_as_test(
            cast("type[Machine]", lambda: Machine(World(loop, runtime))), settings=STORIES
        )
    finally:
        loop.run_until_complete(stack.aclose())
        loop.close()


STORIES = settings(
    max_examples=15,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
