"""Clients that follow, edit, disable and make links while the house falls down around them."""

import asyncio
import random  # noqa: TID251  a seeded choice, no secret
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from tests.chaos.house import HTTP, House
from tests.chaos.ledger import Edited, Ledger, Link, Off, target
from tests.chaos.wire import Answer, CutError, Line, RefusedError

PAUSE_S = 0.05
RETRY_S = 20.0


@dataclass(slots=True)
class Load:
    """Runs clients until it is told to stop."""

    house: House
    ledger: Ledger
    seed: int
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    made: dict[str, list[Answer]] = field(default_factory=dict[str, list[Answer]])

    def dice(self, name: str) -> random.Random:
        return random.Random(f"{self.seed} {name}")

    async def make_link(self, code: str) -> Link:
        """Make a link at version 1 that everybody may then follow."""
        asked_at = monotonic()
        line = self.house.line()
        answer = await line.ask("POST", "/api/v1/links", {"url": target(code, 1), "code": code})
        line.close()
        assert answer.status == 201, answer.body
        link = Link(answer.json["id"], code, answer.headers["etag"])
        link.edits.append(Edited(1, asked_at, answer.had_at))
        self.ledger.links[code] = link
        return link

    async def follow(self, part: str, codes: list[str], name: str, pause_s: float) -> None:
        """Follow links of one process, one after the other."""
        dice, line = self.dice(name), Line(self.house.ports[part])
        try:
            while not self.stop.is_set():
                await self._follow_once(part, line, dice.choice(codes))
                await asyncio.sleep(dice.random() * 2 * pause_s)
        finally:
            line.close()

    async def _follow_once(self, part: str, line: Line, code: str) -> None:
        try:
            await line.connect()
            life = (part, self.house.lives[part])
            self.ledger.note_follow(code, life, await line.ask("GET", f"/{code}"))
        except RefusedError:
            await asyncio.sleep(PAUSE_S)
        except CutError:
            self.ledger.cut[code] += 1

    async def edit(
        self, parts: Sequence[str], links: list[Link], name: str, pause_s: float
    ) -> None:
        """Give links new targets, each with its next version."""
        dice = self.dice(name)
        while not self.stop.is_set():
            await self._edit_once(dice.choice(parts), dice.choice(links))
            await asyncio.sleep(dice.random() * 2 * pause_s)

    async def _edit_once(self, part: str, link: Link) -> None:
        version = link.edits[-1].version + 1
        asked_at = monotonic()
        link.edits.append(Edited(version, asked_at, float("inf")))
        answer = await self._ask_any(
            part,
            "PATCH",
            f"/api/v1/links/{link.id}",
            {"url": target(link.code, version)},
            If_Match=link.etag,
        )
        if answer is not None and answer.status == 200:
            link.etag = answer.headers["etag"]
            link.edits[-1] = Edited(version, asked_at, answer.had_at)
        elif answer is None or answer.status in {412, 503}:
            await self._learn(link)
        else:
            self.ledger.odd.append(f"PATCH answered {answer.status}: {answer.body!r}")

    async def _learn(self, link: Link) -> None:
        """After an edit with no answer: ask what the link is now."""
        answer = await self.insist("GET", f"/api/v1/links/{link.id}")
        assert answer.status == 200, answer.body
        link.etag = answer.headers["etag"]

    async def disable(self, parts: Sequence[str], links: list[Link], name: str) -> None:
        """Disable links and bring them back."""
        dice = self.dice(name)
        while not self.stop.is_set():
            link = dice.choice(links)
            link.offs.append(Off(float("inf")))
            answer = await self.insist("POST", f"/api/v1/links/{link.id}/disable", parts=parts)
            assert answer.status == 200, answer.body
            link.offs[-1] = Off(answer.had_at)
            await asyncio.sleep(1 + 2 * dice.random())
            link.offs[-1] = Off(answer.had_at, monotonic())
            answer = await self.insist("POST", f"/api/v1/links/{link.id}/restore", parts=parts)
            assert answer.status == 200, answer.body
            await asyncio.sleep(dice.random())

    async def make(self, parts: Sequence[str], name: str, pause_s: float) -> None:
        """Make links under keys, and ask again under the same key until there is an answer."""
        dice, number = self.dice(name), 0
        while not self.stop.is_set():
            number += 1
            key = f"{self.seed}-{name}-{number}"
            body = {"url": f"https://example.com/made/{key}"}
            first = await self.insist("POST", "/api/v1/shorten", body, parts, Idempotency_Key=key)
            again = await self.insist("POST", "/api/v1/shorten", body, parts, Idempotency_Key=key)
            self.made[key] = [first, again]
            await asyncio.sleep(dice.random() * 2 * pause_s)

    async def insist(
        self,
        method: str,
        path: str,
        body: object = None,
        parts: Sequence[str] | None = None,
        **headers: str,
    ) -> Answer:
        """Ask one process after the other until one answers something final."""
        parts = parts or list(HTTP)
        until, turn = monotonic() + RETRY_S, 0
        while True:
            part = parts[turn % len(parts)]
            turn += 1
            answer = await self._ask_any(part, method, path, body, **headers)
            if answer is not None and answer.status not in {409, 429, 503}:
                return answer
            if monotonic() > until:
                said = answer and (answer.status, answer.body)
                raise AssertionError(f"{method} {path}: no answer in {RETRY_S:g} s, last: {said}")
            await asyncio.sleep(PAUSE_S)

    async def _ask_any(
        self, part: str, method: str, path: str, body: object = None, **headers: str
    ) -> Answer | None:
        line = self.house.line(part)
        try:
            return await line.ask(method, path, body, **headers)
        except (RefusedError, CutError):
            return None
        finally:
            line.close()

    async def counts(self) -> dict[str, int]:
        """How many clicks each link has by its statistics."""
        found: dict[str, int] = {}
        for code, link in self.ledger.links.items():
            answer = await self.insist("GET", f"/api/v1/links/{link.id}/stats")
            assert answer.status == 200, answer.body
            found[code] = answer.json["clicks"]
        return found

    async def drained_counts(self, is_right: Callable[[dict[str, int]], Any]) -> dict[str, int]:
        """The counts once they are right, or what they still are after half a minute."""
        until = monotonic() + 30
        while not is_right(await self.counts()) and monotonic() < until:
            await asyncio.sleep(0.2)
        await asyncio.sleep(0.5)  # what is counted twice comes late too
        return await self.counts()
