"""Probes. `/livez` asks only whether the loop turns; `/readyz` whether work can be done.

A process is never restarted because something it depends on is down.
"""

import asyncio
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic_core import to_json
from starlette.responses import Response

from posthouse.kernel.cache import Cache, CacheDownError
from posthouse.kernel.db import Database
from posthouse.kernel.edge import Receive, Scope, Send
from posthouse.kernel.errors import PosthouseError

_SCHEMA_VERSION = "SELECT version_num FROM alembic_version"
_LEAST_FREE_SHARE = 0.05


@dataclass(slots=True)
class Health:
    """Answers the probes of one process; `drain` is set when it is told to stop."""

    db: Database
    cache: Cache
    data_dir: str
    schema_version: str
    drain: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer `/livez` or `/readyz`."""
        if scope["path"].rstrip("/") == "/livez":
            checks = {"loop": "ok"}
        else:
            checks = await self.ready()
        is_well = all(state in {"ok", "down, not needed"} for state in checks.values())
        response = Response(
            to_json({"status": "ok" if is_well else "unavailable", "checks": checks}),
            status_code=200 if is_well else 503,
            media_type="application/json",
            headers={"Cache-Control": "no-store"},
        )
        await response(scope, receive, send)

    async def ready(self) -> Mapping[str, str]:
        """The state of each thing that requests need: `ok` or what is wrong."""
        checks = {"stopping": "yes"} if self.drain.is_set() else {}
        checks["database"] = await self._database()
        try:
            await self.cache.get("readyz")
            checks["valkey"] = "ok"
        except CacheDownError:
            checks["valkey"] = "down, not needed"
        usage = await asyncio.to_thread(shutil.disk_usage, self.data_dir)
        is_full = usage.free < usage.total * _LEAST_FREE_SHARE
        checks["disk"] = "almost full" if is_full else "ok"
        return checks

    async def _database(self) -> str:
        try:
            async with asyncio.timeout(1), self.db.read() as connection:
                version = await connection.fetchval(_SCHEMA_VERSION)
        except (PosthouseError, TimeoutError):
            return "does not answer"
        return "ok" if version == self.schema_version else f"schema {version} is not ours"
