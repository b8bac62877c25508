"""A window of a browser that notes what a page must not do."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from playwright.async_api import Browser, Page, Response

# The contrast of each text with what is behind it (WCAG 2.2, 1.4.3), the faintest first.
_CONTRASTS = """
() => {
  const parts = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const found = parts(getComputedStyle(one).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll("h1, p, legend, label, button, input[type=time]")]
    .map((one) => {
      const [a, b] = [light(parts(getComputedStyle(one).color)), light(behind(one))];
      return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), one.textContent.trim()];
    }).sort((a, b) => a[0] - b[0]);
}
"""


@dataclass
class Visit:
    """One window; `said` are errors that the browser told, `hosts` are those it asked."""

    page: Page
    base: str
    folder: Path
    said: list[str] = field(default_factory=list[str])
    hosts: set[str] = field(default_factory=set[str])

    async def open(self, path: str) -> Response:
        answer = await self.page.goto(self.base + path)
        assert answer is not None
        return answer

    async def picture(self, name: str) -> None:
        await self.page.screenshot(path=self.folder / f"{name}.png", full_page=True)

    async def is_wide(self) -> bool:
        """Whether it has to be scrolled sideways."""
        return await self.page.evaluate("document.documentElement.scrollWidth > innerWidth")

    async def faintest(self) -> tuple[float, str]:
        """The text with the least contrast."""
        contrast, text = (await self.page.evaluate(_CONTRASTS))[0]
        return contrast, text

    async def focused(self) -> str:
        """The name of what the keyboard acts on."""
        return await self.page.evaluate(
            "document.activeElement.name || document.activeElement.tagName"
        )

    async def tab_to(self, name: str) -> None:
        """Press Tab until `name` has the focus."""
        for _ in range(50):
            await self.page.keyboard.press("Tab")
            if await self.focused() == name:
                return
        raise AssertionError(f"the keyboard does not reach {name}")


@asynccontextmanager
async def visit(
    browser: Browser,
    base: str,
    folder: Path,
    *,
    width: int = 1000,
    scheme: Literal["light", "dark"] = "light",
) -> AsyncGenerator[Visit]:
    """Open a window; at the end nothing was wrong on its pages, and no other host was asked."""
    context = await browser.new_context(
        viewport={"width": width, "height": 700}, color_scheme=scheme
    )
    window = Visit(await context.new_page(), base, folder)
    page = window.page
    page.on("console", lambda line: window.said.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: window.said.append(str(error)))
    page.on("request", lambda asked: window.hosts.add(urlsplit(asked.url).netloc))
    yield window
    await context.close()
    assert window.said == []
    assert window.hosts == {urlsplit(base).netloc}
