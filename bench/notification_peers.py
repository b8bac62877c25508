"""The same emails by arq as the teaching text sketches it, and by BullMQ with nodemailer.

It installs both into a folder of its own first, so it needs a package index, Node and npm. Each
queues its jobs before it starts to work; ours starts when the API has committed. All three work on
the core that is measured.
"""

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.house import House, open_house
from bench.measure import Row, compare, say
from bench.notifications import (
    CONTENT,
    DATA,
    RunningSink,
    calling,
    measure_ours,
    running_sink,
    set_up,
    start_api,
)

PEERS = Path(__file__).parent / "peers"
ROUNDS = 2
ARQ, BULLMQ = 1000, 5000
_LOOP = "{{#each items}}"


async def rows() -> list[Row]:
    """Measure the rows of this bench."""
    found: dict[str, list[float]] = {"ours": [], "arq": [], "bullmq": []}
    with tempfile.TemporaryDirectory(prefix="ph-peers-", dir="/tmp") as folder:
        python, node = await _install(Path(folder))
        async with open_house() as house, running_sink() as sink:
            api = await start_api(house)
            async with calling(house, api.port) as client:
                await set_up(client, sink.port)
                worker = await house.work(is_measured=True)
                for number in range(ROUNDS):
                    found["ours"].append(await measure_ours(client, sink))
                    found["arq"].append(await _measure(house, python, sink, ARQ))
                    found["bullmq"].append(await _measure(house, node, sink, BULLMQ))
                    said = ", ".join(f"{name} {one[-1]:,.0f}/s" for name, one in found.items())
                    say(f"peers {number + 1} of {ROUNDS}: {said}")
                await house.stop(worker)
    return [
        compare(
            f"emails, times {name}",
            found["ours"],
            found[key],
            unit="emails/s",
            at_least=least,
            is_cost=False,
        )
        for name, key, least in (("arq as sketched", "arq", 15), ("BullMQ", "bullmq", 3))
    ]


async def _install(folder: Path) -> tuple[Sequence[str], Sequence[str]]:
    """Put both peers into a folder; gives the commands that run them."""
    for path in PEERS.iterdir():
        shutil.copy(path, folder / path.name)
    node_parts = {name: _as_handlebars(source) for name, source in CONTENT.items()}
    mail = {"content": CONTENT, "node": node_parts, "data": DATA}
    (folder / "mail.json").write_text(json.dumps(mail), "utf-8")
    await _run(sys.executable, "-m", "venv", str(folder / "venv"))
    python = str(folder / "venv" / "bin" / "python")
    await _run(python, "-m", "pip", "install", "-q", "arq==0.28.0", "aiosmtplib==5.1.3", "jinja2")
    await _run("npm", "--prefix", str(folder), "install", "--silent")
    return (python, str(folder / "arq_sender.py")), ("node", str(folder / "bullmq_sender.mjs"))


def _as_handlebars(source: str) -> str:
    """The same template in the language of the other: a loop, and names without `item.`."""
    source = source.replace("{% for item in items %}", _LOOP).replace("{% endfor %}", "{{/each}}")
    return source.replace("item.", "")


async def _run(*argv: str, core: Iterable[int] = ()) -> str:
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    if core:
        os.sched_setaffinity(process.pid, core)
    said, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{argv[0]} failed; its own words are above")
    return said.decode()


async def _measure(house: House, command: Sequence[str], sink: RunningSink, count: int) -> float:
    """Emails a second of a peer, from the start of its work to what the sink took last."""
    socket = house.valkey_url.removeprefix("unix://").partition("?")[0]
    before = sink.taken
    words = (socket, str(sink.port), str(count))
    await _run(*command, "queue", *words)
    begun = float((await _run(*command, "work", *words, core=house.core)).split()[0])
    ended = await sink.until(before + count)
    return count / (ended - begun)
