"""The documents say what the code does, and their commands run."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager, suppress
from email import message_from_bytes
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from tools.reference import stale

from posthouse.runtime import Runtime
from posthouse.settings import Settings
from tests.documents import missing, snippets
from tests.live import free_port, live_server
from tests.make import Maker
from tests.notifications.channels.rigs import ACCOUNT, TOKEN, service_account
from tests.notifications.channels.servers import Said, StubHttp, serving

ROOT = Path(__file__).parent.parent.parent
GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def test_the_reference_is_what_the_code_says() -> None:
    assert stale() == [], "run python -m tools.reference"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", GUIDES, ids=lambda path: path.stem)
def test_what_a_guide_names_exists(page: Path) -> None:
    # The slice that its reader makes is not there yet.
    assert [name for name in missing(page) if "parcels" not in name] == []


@pytest.mark.parametrize("page", GUIDES, ids=lambda path: path.stem)
def test_a_guide_quotes_the_code_as_it_is(page: Path) -> None:
    """A snippet that begins with the path of a file is a part of it, but for the indent."""
    for snippet in snippets(page):
        if quoted := re.match(r"# (src/\S+)\n", snippet):
            source = dedented((ROOT / quoted[1]).read_text("utf-8"))
            assert dedented(snippet[quoted.end() :]) in source, snippet


def dedented(text: str) -> str:
    return "\n".join(line.strip() for line in text.splitlines())


async def test_the_commands_of_the_links_guide_run(
    settings: Settings, runtime: Runtime, make: Maker
) -> None:
    shown = run_guide("links", settings, await make.key())
    answers = [json.loads(one) for one in re.findall(r"\{.*?\}(?=\{|\[|$)", shown, re.DOTALL)[:1]]
    assert answers[0]["url"] == "https://example.com/"
    assert '"code":"spring-offer"' in shown


async def test_the_commands_of_the_catalog_guide_run(
    settings: Settings, runtime: Runtime, make: Maker
) -> None:
    shown = run_guide("catalog", settings, await make.key())
    assert '"price":"29.99"' in shown
    assert '"total":1' in shown
    assert shown.count('"type":"product"') == 2
    assert "1 found" in shown


async def test_the_commands_of_the_tasks_guide_run(
    settings: Settings, runtime: Runtime, make: Maker, tmp_path: Path
) -> None:
    # In a thread: the worker of this test is on this loop.
    shown = await asyncio.to_thread(run_guide, "tasks", settings, await make.key(), tmp_path)
    assert "completed" in shown
    assert "2,price,amount-invalid," in shown
    assert "catalog.reprice" in shown
    assert '"cron":"30 2 1 3 *"' in shown


async def test_the_commands_of_the_files_guide_run(
    settings: Settings, runtime: Runtime, make: Maker, tmp_path: Path
) -> None:
    corpus = ROOT / "tests" / "corpora" / "exif-orientation" / "Landscape_6.jpg"
    (tmp_path / "photo.jpg").write_bytes(corpus.read_bytes())
    shown = await asyncio.to_thread(
        run_guide, "files", settings, await make.key(), tmp_path, refuses=True
    )
    assert shown.count("completed") >= 5
    assert "too-many-cells" in (tmp_path / "errors.csv").read_text("utf-8")
    assert (tmp_path / "invoice.pdf").read_bytes().startswith(b"%PDF-")
    assert '"code":"type-not-allowed"' in shown
    assert "unsafe-input" in shown
    assert shown.rstrip().endswith("refused")


async def test_the_commands_of_the_templates_guide_run(
    settings: Settings, runtime: Runtime, make: Maker, tmp_path: Path
) -> None:
    shown = await asyncio.to_thread(run_guide, "templates", settings, await make.key(), tmp_path)
    assert "29.99" in shown
    assert "Hallo Ann" in (tmp_path / "page.html").read_text("utf-8")
    assert '"external_id":"user-17"' in shown
    assert '"changed":1' in shown
    assert "same" in shown


async def test_the_commands_of_the_notifications_guide_run(
    settings: Settings, runtime: Runtime, make: Maker, tmp_path: Path
) -> None:
    twin = settings.data / "messages" / "console"
    others = set(twin.glob("*.eml"))
    sms, push = StubHttp(), StubHttp()
    sms.answering = lambda _: Said(201, b'{"sid": "SM1", "status": "queued"}')
    push.answering = lambda asked: TOKEN if asked.path == "/token" else Said(body=b'{"name": "m"}')
    async with serving(sms), serving(push):
        (tmp_path / "service-account.json").write_text(service_account(f"{push.url}/token")[0])
        with mailbox(tmp_path) as (port, process):
            shown = await asyncio.to_thread(
                run_guide, "notifications", settings, await make.key(), tmp_path,
                MAIL_PORT=str(port), MAIL_PID=str(process.pid), MAILBOX=str(tmp_path / "mailbox"),
                SMS_URL=sms.url, TWILIO_ACCOUNT=ACCOUNT, TWILIO_TOKEN="secret", PUSH_URL=push.url,
            )  # fmt: skip
    mails = [message_from_bytes(one.read_bytes()) for one in (tmp_path / "mailbox/new").iterdir()]
    subjects = Counter((mail["To"], mail["Subject"]) for mail in mails)
    ann, bob, max_ = "Ann <ann@example.com>", "bob@example.com", "Max <max@example.com>"
    assert subjects == {
        ("me@example.com", "A test of mail server"): 1,
        (ann, "Your order A-1 is on its way"): 1,
        (max_, "Ihre Bestellung A-2 kommt"): 1,
        (ann, "Your order A-3 is on its way"): 1,
        (bob, "Your order A-3 is on its way"): 1,
        (ann, "Soon"): 1,
    }
    texts = [parse_qs(asked.body.decode())["Body"][0] for asked in sms.asked]
    assert texts[:2] == ["Order A-1 comes tomorrow.", "Order A-5 comes tomorrow."]
    assert "/-/preferences/" in texts[2]
    pushed = [json.loads(asked.body)["message"] for asked in push.asked if asked.path != "/token"]
    assert [one["notification"]["body"] for one in pushed] == ["Order A-1", "Order A-5"]
    # After the mail server was stopped the twin took over.
    written = set(twin.glob("*.eml")) - others
    kept = [message_from_bytes(one.read_bytes()) for one in written]
    by_twin = Counter((mail["To"], mail["Subject"]) for mail in kept)
    assert by_twin == {
        (bob, "Still here"): 1, (bob, "Your plan"): 1, (ann, "News"): 1, (bob, "News"): 1,
        (bob, "Your order"): 1,
    }  # fmt: skip
    (last,) = [mail for mail in kept if mail["Subject"] == "Your order"]
    assert [part.get_filename() for part in last.walk() if part.get_filename()] == ["order.csv"]
    assert '"outcome":"transient"' in shown
    assert '{"count":1,"is_replayed":true}' in shown
    for rule in ("scheduled", "quiet-hours", "preference"):
        assert f" {rule} " in shown


@contextmanager
def mailbox(folder: Path) -> Generator[tuple[int, subprocess.Popen[bytes]]]:
    """The mail server that the guide names: it keeps what it gets in `folder`/mailbox."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "aiosmtpd", "-n", "-l", f"127.0.0.1:{port}",
         "-c", "aiosmtpd.handlers.Mailbox", str(folder / "mailbox")],
    )  # fmt: skip
    try:
        for _ in range(200):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield port, process
    finally:
        process.terminate()
        process.wait()


def run_guide(
    name: str,
    settings: Settings,
    key: str,
    folder: Path = ROOT,
    *,
    refuses: bool = False,
    **environ: str,
) -> str:
    """Run all commands of a guide, and give what they print."""
    text = (ROOT / "docs" / "guides" / f"{name}.md").read_text("utf-8")
    script = "set -e\n" + "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    with live_server(settings, POSTHOUSE_NOTIFICATIONS_PRIVATE_PROVIDERS="true") as url:
        done = subprocess.run(
            ["bash", "-c", script],
            env={
                **os.environ,
                "POSTHOUSE_URL": url,
                "POSTHOUSE_API_KEY": key,
                "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}",
                **environ,
            },
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert refuses or "posthouse.dev/problems" not in done.stdout
    return done.stdout
