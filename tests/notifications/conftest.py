"""A workspace that can send: a client with its key, and providers that lead to a mail server."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from posthouse.kernel import ids
from posthouse.kernel.auth import Principal
from posthouse.kernel.edge import App
from posthouse.runtime import Runtime
from tests.conftest import client_of
from tests.make import Maker
from tests.notifications.mailserver import MailServer, mail_server

HELLO = {"subject": "Hello", "text": "How are you?"}


@pytest.fixture
async def mail() -> AsyncGenerator[MailServer]:
    async with mail_server() as server:
        yield server


@dataclass
class Sending:
    """What a test does to a workspace, through the API."""

    client: httpx.AsyncClient
    principal: Principal
    runtime: Runtime

    async def provider(self, mail: MailServer, name: str = "mail", **chosen: Any) -> str:
        options = {
            "from_address": "shop@example.com", "host": "127.0.0.1", "port": mail.port,
            "tls": "none",
        }  # fmt: skip
        body = {"kind": "smtp", "name": name, "options": options, **chosen}
        answer = await self.client.post("/api/v1/notifications/providers", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def send(self, to: Any, expect: int = 202, **chosen: Any) -> dict[str, Any]:
        if not {"content", "template"} & chosen.keys():
            chosen["content"] = HELLO
        body = {"to": to, **chosen}
        answer = await self.client.post("/api/v1/notifications/send", json=body)
        assert answer.status_code == expect, answer.text
        return answer.json()

    async def show(self, notification: str) -> dict[str, Any]:
        answer = await self.client.get(f"/api/v1/notifications/{notification}?deliveries=100")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def until(
        self,
        notification: str,
        is_so: Callable[[dict[str, Any]], bool] | str = "ended",
        within_s: float = 10,
    ) -> dict[str, Any]:
        """Wait until it is as asked for: `ended`, a status, or a state of its first message."""
        shown: dict[str, Any] = {}

        def fits(shown: dict[str, Any]) -> bool:
            if callable(is_so):
                return is_so(shown)
            states = [one["state"] for one in shown["deliveries"]]
            if is_so == "ended":
                return shown["ended_at"] is not None
            return is_so == shown["status"] or is_so in states

        try:
            async with asyncio.timeout(within_s):
                while not fits(shown := await self.show(notification)):
                    await asyncio.sleep(0.03)
        except TimeoutError:
            raise AssertionError(f"not so: {shown}") from None
        return shown

    async def execute(self, sql: str, *values: Any) -> Any:
        async with self.runtime.parts.db.begin() as tx:
            return await tx.fetch(sql, *values)


@pytest.fixture
async def sending(app: App, make: Maker, runtime: Runtime) -> AsyncGenerator[Sending]:
    workspace = await make.workspace()
    key = await make.key(workspace=workspace)
    async with client_of(app, key) as client:
        yield Sending(client, await make.principal(workspace=workspace), runtime)


def fresh_email() -> str:
    return f"{ids.fresh().hex}@example.com"
