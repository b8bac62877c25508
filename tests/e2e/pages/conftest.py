"""Chromium before the real server; `make e2e` runs these, and needs a `chromium` on the PATH."""

import shutil
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright

from posthouse.runtime import Runtime
from posthouse.settings import Settings
from tests.e2e.pages.visiting import Visit, visit
from tests.live import live_server

_NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def base(settings: Settings, runtime: Runtime) -> Generator[str]:
    with live_server(settings) as base:
        yield base


@pytest.fixture(scope="session")
async def browser() -> AsyncGenerator[Browser]:
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.fail("These tests need Chromium: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found)
        yield browser
        await browser.close()


@pytest.fixture
async def at(browser: Browser, base: str, tmp_path: Path) -> AsyncGenerator[Visit]:
    """A window on a desk, in daylight."""
    async with visit(browser, base, tmp_path) as window:
        yield window


@pytest.fixture
async def at_night(browser: Browser, base: str, tmp_path: Path) -> AsyncGenerator[Visit]:
    """A narrow telephone in dark mode."""
    async with visit(browser, base, tmp_path, width=320, scheme="dark") as window:
        yield window
