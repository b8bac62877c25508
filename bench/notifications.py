"""10,000 rendered emails from the API's commit to a fast local sink, and a fan-out of 100,000.

The limit is a sender without a queue: it renders the same template, writes the same MIME and
pipelines it over ten connections, in a process of its own. The emails are the same, with their
headers for unsubscribing. Both send to the same sink, each from
the core that is measured; Postgres and the sink are on the others.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import httpx
import uvloop

from bench.house import House, Served, free_port, open_house
from bench.measure import Row, compare, say
from posthouse.kernel.signing import Signer
from posthouse.notifications.consentlinks import ConsentLinks, unsubscribe_headers
from posthouse.notifications.mime import Mailbox, Skeleton
from posthouse.notifications.model import Channel, Outgoing
from posthouse.notifications.rendering import Renderer
from posthouse.notifications.templating import compile_inline

EMAILS = 10_000
PEOPLE = 100_000
ROUNDS = 3
SLOTS = 100
CONNECTIONS = 10
_DEADLINE_S = 120
_ITEM = 1000
BASE = "http://127.0.0.1"
_NOBODY = UUID(int=0)

_LINE = "<tr><td>{{ item.name }}</td><td>{{ item.count }}</td><td>{{ item.price }}</td></tr>"
_WORDS = "We have packed it today and handed it to the carrier, who will be with you soon. "
CONTENT = {
    "subject": "Your order {{ number }} is on its way",
    "text": "Hello {{ name }},\n\nyour order {{ number }} is on its way.\n\n"
    + f"{_WORDS}\n" * 12
    + "{% for item in items %}{{ item.count }} x {{ item.name }}: {{ item.price }}\n{% endfor %}"
    "\nTrack it: {{ track }}\n",
    "html": "<!doctype html><html><body><h1>Hello {{ name }}</h1><p>Your order "
    "<b>{{ number }}</b> is on its way.</p>"
    + f'<p style="margin:0 0 12px;font:14px/1.5 sans-serif">{_WORDS}</p>' * 16
    + "<table>{% for item in items %}"
    + _LINE
    + '{% endfor %}</table><p><a href="{{ track }}">Track it</a></p></body></html>',
}
DATA = {
    "name": "Anna Müller",
    "number": "2026-11-0815",
    "track": "https://shop.example.com/orders/2026-11-0815/track?from=mail",
    "items": [
        {"name": "Kettle", "count": 1, "price": "29.99 EUR"},
        {"name": "Lamp & shade", "count": 2, "price": "49.50 EUR"},
        {"name": "Blue mug", "count": 6, "price": "7.20 EUR"},
    ],
}


async def rows() -> list[Row]:
    """Measure the rows of this bench."""
    ours: list[float] = []
    bare: list[float] = []
    async with open_house() as house, running_sink() as sink:
        api = await start_api(house)
        async with calling(house, api.port) as client:
            await set_up(client, sink.port)
            worker = await house.work(is_measured=True)
            for number in range(ROUNDS + 1):
                found = await measure_bare(house, sink), await measure_ours(client, sink)
                if number:  # the first round warms up
                    bare.append(found[0])
                    ours.append(found[1])
                    said = f"bare {found[0]:,.0f}/s, ours {found[1]:,.0f}/s"
                    say(f"emails {number} of {ROUNDS}: {said}")
            await house.stop(worker)
            fanned = await _fan_out(house, client)
    return [
        compare(
            "emails, of a bare pipelined sender",
            ours,
            bare,
            unit="emails/s",
            at_least=0.5,
            is_cost=False,
        ),
        *fanned,
    ]


async def start_api(house: House) -> Served:
    """The API of a house whose providers may be on this machine."""
    house.environ = {
        **house.environ,
        "POSTHOUSE_NOTIFICATIONS_PRIVATE_PROVIDERS": "true",
        "POSTHOUSE_LOG_LEVEL": "error",
    }
    return await house.serve("RATE_PER_S=10000", "RATE_BURST=10000")


@dataclass(slots=True)
class RunningSink:
    """The sink's process, and when its counts changed."""

    port: int
    process: asyncio.subprocess.Process
    taken: int = 0
    at_s: float = 0.0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> None:
        """Follow what it tells."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            count, at_s = line.split()
            self.taken, self.at_s = int(count), float(at_s)
            self._changed.set()

    async def until(self, count: int) -> float:
        """Wait until it has taken so many; the monotonic time at which it had."""
        async with asyncio.timeout(_DEADLINE_S):
            while self.taken < count:
                self._changed.clear()
                await self._changed.wait()
        return self.at_s


@asynccontextmanager
async def running_sink() -> AsyncGenerator[RunningSink]:
    """A sink in a process of its own."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.sink", str(port), stdout=asyncio.subprocess.PIPE
    )
    sink = RunningSink(port, process)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(sink.read())
        await asyncio.sleep(0.5)
        try:
            yield sink
        finally:
            process.kill()
            await process.wait()
            reading.cancel()


@asynccontextmanager
async def calling(house: House, port: int) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of the API with the house's key."""
    headers = {"Authorization": f"Bearer {house.api_key}"}
    base = f"http://127.0.0.1:{port}/api/v1"
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=60) as client:
        yield client


async def set_up(client: httpx.AsyncClient, port: int) -> None:
    """A provider that leads to the sink, and a template."""
    options = {"from_address": "shop@example.com", "host": "127.0.0.1", "port": port, "tls": "none"}
    answer = await client.post(
        "/notifications/providers",
        json={"kind": "smtp", "name": "sink", "options": options, "at_once": SLOTS},
    )
    answer.raise_for_status()
    email = {name: CONTENT[name] for name in ("subject", "text", "html")}
    answer = await client.put(
        "/templates/order",
        json={"name": "Order", "locales": {"en": {"email": email}}},
    )
    answer.raise_for_status()
    (await client.post("/templates/order/publish")).raise_for_status()


async def measure_ours(client: httpx.AsyncClient, sink: RunningSink) -> float:
    """Emails a second from the answer of the API, which is behind its commit."""
    before = sink.taken
    items = [
        {
            "to": [{"email": f"anna.{part}.{number}@example.com"} for number in range(_ITEM)],
            "template": "order",
            "data": DATA,
        }
        for part in range(EMAILS // _ITEM)
    ]
    answer = await client.post("/notifications/batch", json={"items": items})
    answer.raise_for_status()
    begun = time.monotonic()
    ended = await sink.until(before + EMAILS)
    return EMAILS / (ended - begun)


async def measure_bare(house: House, sink: RunningSink) -> float:
    """Emails a second of a process that only renders, writes and sends."""
    before = sink.taken
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.notifications", str(sink.port), stdout=asyncio.subprocess.PIPE
    )
    os.sched_setaffinity(process.pid, house.core)
    said, _ = await process.communicate()
    ended = await sink.until(before + EMAILS)
    return EMAILS / (ended - float(said))


async def _fan_out(house: House, client: httpx.AsyncClient) -> list[Row]:
    """Deal a message out to 100,000 who follow a topic; nobody sends them meanwhile."""
    connection = await house.connect()
    await client.put("/topics/everybody", json={"name": "Everybody"})
    await connection.execute(_PEOPLE, house.workspace_id, PEOPLE)
    await connection.execute("ANALYZE recipients, topic_members")
    worker = await house.work(is_measured=True)
    later = {"to": {"topic": "everybody"}, "template": "order", "data": DATA}
    later["send_at"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86_400))
    begun = time.monotonic()
    answer = await client.post("/notifications/send", json=later)
    answer.raise_for_status()
    place = answer.json()["job_id"]
    async with asyncio.timeout(_DEADLINE_S):
        while True:
            shown = (await client.get(f"/notifications/{place}?deliveries=0")).json()
            if shown["counts"].get("held", 0) >= PEOPLE:
                break
            await asyncio.sleep(0.1)
    took_s = time.monotonic() - begun
    peak_mb = _peak_mb(worker.pid)
    await connection.close()
    say(f"fan-out: {PEOPLE / took_s:,.0f} rows/s, the worker's peak {peak_mb:.0f} MB")
    rate = PEOPLE / took_s
    return [
        Row(name="fan-out to 100,000", value=rate, limit=rate, ratio=1, unit="rows/s", runs=1),
        Row(
            name="fan-out, peak memory of the worker",
            value=peak_mb,
            limit=peak_mb,
            ratio=1,
            unit="MB",
            runs=1,
        ),
    ]


_PEOPLE = """
WITH made AS (
  INSERT INTO recipients (id, workspace_id, external_id, email)
  SELECT uuidv7(), $1, 'user-' || n, 'user' || n || '@example.com'
  FROM generate_series(1, $2::int) n RETURNING id
)
INSERT INTO topic_members (topic_id, recipient_id, workspace_id)
SELECT t.id, made.id, $1 FROM made, topics t WHERE t.workspace_id = $1 AND t.key = 'everybody'
"""


def _peak_mb(pid: int) -> float:
    with open(f"/proc/{pid}/status", encoding="ascii") as status:  # noqa: PTH123
        (peak,) = [line.split()[1] for line in status if line.startswith("VmHWM")]
    return int(peak) / 1024


async def _send_bare(port: int) -> None:
    """What the process without a queue does: ten connections, each with its share."""
    compiled, renderer = compile_inline(CONTENT), Renderer()
    links = ConsentLinks(Signer.for_purpose("a secret of the bench alone", "consent"), BASE)
    skeleton = Skeleton(Mailbox.of("shop@example.com"), "=_bench0123456789")
    sys.stdout.write(f"{time.monotonic()}\n")
    sys.stdout.flush()
    async with asyncio.TaskGroup() as group:
        for place in range(CONNECTIONS):
            share = range(place, EMAILS, CONNECTIONS)
            group.create_task(_connection(port, share, renderer, compiled, skeleton, links))


async def _connection(port, share, renderer, compiled, skeleton, links) -> None:  # noqa: ANN001
    from datetime import UTC, datetime  # noqa: PLC0415

    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=65_536)
    await reader.readline()
    writer.write(b"EHLO bench\r\n")
    while (await reader.readline())[3:4] == b"-":
        pass
    for number in share:
        address = f"anna.{number}@example.com"
        out = links.unsubscribe_url(_NOBODY, Channel.EMAIL, "general", address=address)
        variables = {**DATA, "recipient": {}, "links": {}, "unsubscribe_url": out}
        content = renderer.render(compiled, Channel.EMAIL, None, variables)
        headers = unsubscribe_headers(out)
        outgoing = Outgoing(f"dlv_{number:026d}", address, content, headers=headers)
        letter = skeleton.fill(outgoing, at=datetime.now(UTC))
        envelope = f"MAIL FROM:<shop@example.com>\r\nRCPT TO:<{address}>\r\nDATA\r\n".encode()
        writer.write(envelope)
        for _ in range(3):
            await reader.readline()
        writer.write(letter.replace(b"\r\n.", b"\r\n..") + b"\r\n.\r\n")
        await reader.readline()
    writer.close()


if __name__ == "__main__":
    uvloop.run(_send_bare(int(sys.argv[1])))
