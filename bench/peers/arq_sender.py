"""The teaching text's sketch on arq: a job for each message, and a connection for each email.

Run by `bench.notification_peers` in an environment of its own: `arq_sender.py queue|work SOCKET PORT N`.
"""

import asyncio
import json
import sys
import time
from email.message import EmailMessage
from pathlib import Path

import aiosmtplib
from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker
from jinja2 import Environment

MAIL = json.loads(Path(__file__).with_name("mail.json").read_text("utf-8"))


async def send_email(ctx: dict, number: int) -> None:
    """Render one email, write it by the standard library, send it on a connection of its own."""
    parts = {name: one.render(**MAIL["data"]) for name, one in ctx["parts"].items()}
    message = EmailMessage()
    message["From"], message["To"] = "shop@example.com", f"anna.{number}@example.com"
    message["Subject"] = parts["subject"]
    message.set_content(parts["text"])
    message.add_alternative(parts["html"], subtype="html")
    await aiosmtplib.send(message, hostname="127.0.0.1", port=ctx["port"])


async def main(verb: str, socket: str, port: str, count: str) -> None:
    """Queue so many, or work on what is queued until none is left."""
    settings = RedisSettings(unix_socket_path=socket)
    if verb == "queue":
        pool = await create_pool(settings)
        for number in range(int(count)):
            await pool.enqueue_job("send_email", number)
        return
    environment = Environment(autoescape=True)
    parts = {name: environment.from_string(MAIL["content"][name]) for name in MAIL["content"]}
    worker = Worker(
        functions=[send_email],
        redis_settings=settings,
        burst=True,
        max_jobs=10,
        handle_signals=False,
        ctx={"parts": parts, "port": int(port)},
    )
    sys.stdout.write(f"{time.monotonic()}\n")
    sys.stdout.flush()
    await worker.async_run()


asyncio.run(main(*sys.argv[1:]))
