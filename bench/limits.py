"""The limits that Posthouse is held against, each as small as it can be, on the same server.

`python -m bench.limits NAME` serves one of them on POSTHOUSE_PORT.
"""

import asyncio
import hashlib
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel
from redis.asyncio import BlockingConnectionPool, Redis

from posthouse.kernel import ids
from posthouse.kernel.edge import App, Receive, Scope, Send
from posthouse.kernel.server import make_server, run_loop, watch
from posthouse.kernel.supervise import Loop, supervise
from posthouse.links.codes import fresh
from posthouse.links.recorder import Follow
from posthouse.links.redirect import Redirector
from posthouse.runtime import open_runtime
from posthouse.settings import Settings, read_settings

_BODY = {"type": "http.response.body", "body": b""}
Answer = Callable[[Scope, Receive, Send], Awaitable[None]]


def _start(location: bytes) -> dict[str, Any]:
    return {
        "type": "http.response.start",
        "status": 302,
        "headers": [
            (b"location", location),
            (b"cache-control", b"private, max-age=0"),
            (b"content-length", b"0"),
        ],
    }


def _with_life(answer: Answer) -> App:
    """An ASGI application that answers requests and lives and dies quietly."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await answer(scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    return app


@asynccontextmanager
async def redirect(settings: Settings) -> AsyncGenerator[App]:
    """Answer every request with one prebuilt 302."""
    del settings
    start = _start(b"https://shop.example.com/products/1234?source=newsletter")

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await send(start)
        await send(_BODY)

    yield _with_life(answer)


@asynccontextmanager
async def valkey_get(settings: Settings) -> AsyncGenerator[App]:
    """Answer each request after one GET from Valkey, of a code's target."""
    pool = BlockingConnectionPool.from_url(settings.valkey_url, max_connections=16, timeout=5)
    client = Redis(connection_pool=pool)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        location: bytes | None = await client.get("bench:" + scope["path"][1:])
        await send(_start(location or b"https://missing.example/"))
        await send(_BODY)

    yield _with_life(answer)
    await client.aclose()


@asynccontextmanager
async def postgres_read(settings: Settings) -> AsyncGenerator[App]:
    """Answer each request after one read of a target by its unique key."""
    statement = "SELECT url FROM links WHERE domain_id = $1 AND code = $2"
    async with asyncpg.create_pool(settings.database_url, min_size=16, max_size=16) as pool:
        domain: UUID = await pool.fetchval("SELECT id FROM domains WHERE host = '127.0.0.1'")

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            del receive
            async with pool.acquire() as connection:
                url: str = await connection.fetchval(statement, domain, scope["path"][1:])
            await send(_start(url.encode()))
            await send(_BODY)

        yield _with_life(answer)


@asynccontextmanager
async def route(settings: Settings) -> AsyncGenerator[App]:
    """Follow links as Posthouse does, memory and recorder included, in a FastAPI route."""
    async with open_runtime(settings) as runtime, supervise(runtime.loops):
        front = runtime.front
        assert isinstance(front, Redirector)
        domain = str(front.hosts.by_host["127.0.0.1"].id)
        app = FastAPI(openapi_url=None, lifespan=None)

        @app.get("/{code}")
        async def follow(code: str, request: Request) -> Response:
            entry = await front.resolver.resolve(domain, code)
            found = entry.route
            if found is None:
                return Response(status_code=404)
            headers = request.headers
            front.recorder.record(
                Follow(
                    found.link_id,
                    found.workspace_id,
                    front.clock.epoch_s(),
                    request.method,
                    front.trust.client_of(request.scope),
                    headers.get("user-agent", "").encode(),
                    headers.get("referer", "").encode(),
                    headers.get("purpose", "").encode(),
                    found.campaign,
                )
            )
            return RedirectResponse(
                found.location, 302, headers={"Cache-Control": "private, max-age=0"}
            )

        yield app


class LinkIn(BaseModel):
    """What `create` takes."""

    url: str


class LinkOut(BaseModel):
    """What `create` gives."""

    id: str
    code: str
    short_url: str
    url: str


@asynccontextmanager
async def create(settings: Settings) -> AsyncGenerator[App]:
    """Insert a link and its outbox row in one transaction, in a bare FastAPI route."""
    insert = """
    INSERT INTO links (id, workspace_id, domain_id, code, url, created_by)
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (domain_id, code) DO NOTHING RETURNING *
    """
    announce = """
    INSERT INTO outbox (workspace_id, name, version, payload)
    VALUES ($1, 'bench.made', 1, jsonb_build_object('link_id', $2::uuid))
    """
    async with asyncpg.create_pool(
        settings.database_url, min_size=settings.connections, max_size=settings.connections
    ) as pool:
        domain: UUID = await pool.fetchval("SELECT id FROM domains WHERE host = '127.0.0.1'")
        workspace: UUID = await pool.fetchval("SELECT id FROM workspaces LIMIT 1")
        app = FastAPI(openapi_url=None)

        @app.post("/api/v1/shorten", status_code=201, response_model=LinkOut)
        async def shorten(body: LinkIn) -> LinkOut:
            link_id, code = ids.fresh(), fresh()
            async with pool.acquire() as connection, connection.transaction():
                row = await connection.fetchrow(
                    insert, link_id, workspace, domain, code, body.url, "bench"
                )
                await connection.execute(announce, workspace, link_id)
            assert row is not None
            return LinkOut(
                id=str(row["id"]), code=code, short_url=f"http://127.0.0.1/{code}", url=row["url"]
            )

        yield app


@asynccontextmanager
async def receive(settings: Settings) -> AsyncGenerator[App]:
    """Receive a body, digest it and write it to the disk, and nothing else."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        digest = hashlib.sha256()
        path = settings.data / "received"
        with path.open("wb", 0) as kept:
            more = True
            while more:
                message = await receive()
                body = message.get("body", b"")
                digest.update(body)
                kept.write(body)
                more = message.get("more_body", False)
            os.fsync(kept.fileno())
        path.unlink()
        start = {
            "type": "http.response.start",
            "status": 202,
            "headers": [(b"content-length", b"0")],
        }
        await send(start)
        await send(_BODY)

    yield _with_life(answer)


LIMITS = {
    "receive": receive,
    "redirect": redirect,
    "valkey-get": valkey_get,
    "postgres-read": postgres_read,
    "route": route,
    "create": create,
}


async def _serve(name: str) -> None:
    settings = read_settings()
    async with LIMITS[name](settings) as app:
        drain = asyncio.Event()
        server = make_server(app, host="127.0.0.1", port=settings.port, drain=drain, grace_s=0)
        async with supervise([Loop("server.watch", watch)]):
            await server.serve()


if __name__ == "__main__":
    os.environ.setdefault("POSTHOUSE_PORT", "8000")
    run_loop(_serve(sys.argv[1]))
