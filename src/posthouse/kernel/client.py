"""The HTTP client behind the slices' verbs on the command line."""

import json
import os
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

import httpx

from posthouse.kernel.errors import EXIT_CODES, STATUS, Kind

if TYPE_CHECKING:
    from rich.table import Table as RichTable

_TIMEOUT_S = 30.0
_NO_ADDRESS = (
    "Where is Posthouse? Run `posthouse up` in this folder, or set POSTHOUSE_URL and "
    "POSTHOUSE_API_KEY."
)
_USAGE = 64


@dataclass(frozen=True, slots=True)
class Access:
    """Where to call and with what key."""

    url: str
    api_key: str


def find_access() -> Access:
    """Read POSTHOUSE_URL and POSTHOUSE_API_KEY, else what `up` left in the data folder.

    Raises:
        SystemExit: neither says where to call.
    """
    environ = os.environ  # noqa: TID251  the command line's own two variables, not settings
    kept: dict[str, str] = {}
    path = Path(environ.get("POSTHOUSE_DATA", "posthouse-data")) / "cli.json"
    with suppress(OSError, ValueError):
        kept = json.loads(path.read_text("utf-8"))
    url = environ.get("POSTHOUSE_URL") or kept.get("url")
    key = environ.get("POSTHOUSE_API_KEY") or kept.get("api_key")
    if not url or not key:
        fail(_NO_ADDRESS, _USAGE)
    return Access(url.rstrip("/"), key)


@dataclass(frozen=True, slots=True)
class Client:
    """Calls the API; every failure ends the program with words and an exit code."""

    http: httpx.Client

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> Any:
        """Send one request to `/api/v1` + `path` and give what the answer holds.

        Raises:
            SystemExit: there was no answer, or it was an error.
        """
        response = self.send(method, path, body=body, params=params)
        return response.json() if response.content else None

    def send(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> httpx.Response:
        """The same, and give the whole answer.

        Raises:
            SystemExit: there was no answer, or it was an error.
        """
        return self._ask(method, path, params, json=body)

    def send_form(
        self, path: str, fields: Mapping[str, str], filename: str, opened: IO[bytes]
    ) -> Any:
        """Send a form with fields and one file, and give what the answer holds.

        Raises:
            SystemExit: there was no answer, or it was an error.
        """
        files = {"file": (filename, opened)}
        return self._ask("POST", path, None, data=dict(fields), files=files).json()

    @contextmanager
    def stream(self, url: str) -> Generator[httpx.Response]:
        """Read a signed address piece by piece; no key goes along.

        Raises:
            SystemExit: there was no answer, or it was an error.
        """
        with httpx.Client(timeout=_TIMEOUT_S) as plain, plain.stream("GET", url) as response:
            if response.is_error:
                response.read()
                fail(_words(response), _exit_code(response.status_code))
            yield response

    def _ask(
        self, method: str, path: str, params: Mapping[str, Any] | None, **sent: Any
    ) -> httpx.Response:
        wanted = {name: value for name, value in (params or {}).items() if value is not None}
        try:
            response = self.http.request(method, f"/api/v1{path}", params=wanted, **sent)
        except httpx.HTTPError as error:
            fail(
                f"{self.http.base_url} does not answer ({type(error).__name__}). Is it running?", 69
            )
        if response.is_error:
            fail(_words(response), _exit_code(response.status_code))
        return response

    def pages(self, path: str, *, limit: int, params: Mapping[str, Any]) -> Iterator[Any]:
        """Give up to `limit` items of a list, page by page."""
        cursor: str | None = None
        while limit > 0:
            page = self.call(
                "GET", path, params={**params, "limit": min(limit, 100), "cursor": cursor}
            )
            yield from page["items"]
            limit -= len(page["items"])
            cursor = page["next_cursor"]
            if cursor is None:
                return


@contextmanager
def open_client() -> Generator[Client]:
    """Open a client for the address and key that `find_access` finds."""
    access = find_access()
    headers = {"Authorization": f"Bearer {access.api_key}"}
    with httpx.Client(base_url=access.url, headers=headers, timeout=_TIMEOUT_S) as http:
        yield Client(http)


def fail(words: str, exit_code: int) -> NoReturn:
    """End the program: words to standard error, and an exit code.

    Raises:
        SystemExit: always.
    """
    sys.stderr.write(words + "\n")
    raise SystemExit(exit_code)


def show(data: Any, *, as_json: bool, table: Callable[[], "Table"]) -> None:
    """Print data as JSON for programs or as a table for people."""
    if as_json:
        sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
        return
    from rich.console import Console  # noqa: PLC0415  slow to import

    Console().print(table().drawn())


@dataclass(frozen=True, slots=True)
class Table:
    """What to print: a title, columns, and rows of as many values."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]

    def drawn(self) -> "RichTable":
        """Draw it for a terminal; nothing of it is read as markup."""
        from rich.table import Table as RichTable  # noqa: PLC0415  slow to import

        drawn = RichTable(title=self.title, title_justify="left")
        for place, column in enumerate(self.columns):
            # What a row is known by stays in one piece, to be copied.
            drawn.add_column(column, overflow="fold", no_wrap=place == 0)
        for row in self.rows:
            drawn.add_row(*(_cell(value) for value in row))
        return drawn


def _cell(value: object) -> str:
    from rich.markup import escape  # noqa: PLC0415

    text = "" if value is None else str(value)
    return escape("".join(c if c.isprintable() or c == "\n" else "�" for c in text))


def _words(response: httpx.Response) -> str:
    try:
        problem = response.json()
        title, detail = problem["title"], problem["detail"]
        said = title if detail == f"{title}." else f"{title}: {detail}"
        lines = [f"{said} ({problem['code']})"]
        lines += [f"  {one['field']}: {one['message']}" for one in problem.get("errors", ())]
    except (ValueError, KeyError, TypeError):
        return f"The answer was {response.status_code} {response.reason_phrase}."
    return "\n".join(lines)


def _exit_code(status: int) -> int:
    by_status = {STATUS[kind]: EXIT_CODES[kind] for kind in Kind if kind in EXIT_CODES}
    return by_status.get(status, 1)
