"""`posthouse links …`: the verbs of links on the command line."""

from pathlib import Path
from typing import Annotated, Any

import typer

from posthouse.kernel.client import Table, open_client, show

app = typer.Typer(help="Short links: make, list, show, count.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
LinkId = Annotated[str, typer.Argument(help="The id of a link, such as lnk_01j…")]


@app.command()
def add(
    url: Annotated[str, typer.Argument(help="Where the link leads.")],
    code: Annotated[str | None, typer.Option(help="Your own slug.")] = None,
    title: Annotated[str, typer.Option(help="What the link is called.")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="A tag; may be repeated.")] = None,
    max_clicks: Annotated[int | None, typer.Option(help="The link ends after so many.")] = None,
    valid_until: Annotated[str | None, typer.Option(help="RFC 3339 time of its end.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Make a short link."""
    body = {
        "url": url,
        "code": code,
        "title": title,
        "tags": tag or [],
        "max_clicks": max_clicks,
        "valid_until": valid_until,
    }
    with open_client() as client:
        link = client.call("POST", "/links", body=body)
    if as_json:
        show(link, as_json=True, table=lambda: _one(link))
    else:
        typer.echo(link["short_url"])


@app.command("list")
def list_links(
    query: Annotated[str | None, typer.Argument(help="Part of code, title or URL.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Only with this tag.")] = None,
    state: Annotated[str | None, typer.Option(help="active, disabled or deleted.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 20,
    *,
    as_json: AsJson = False,
) -> None:
    """List links, newest first."""
    with open_client() as client:
        params = {"q": query, "tag": tag, "state": state}
        links = list(client.pages("/links", limit=limit, params=params))
    show(
        links,
        as_json=as_json,
        table=lambda: Table(
            f"{len(links)} links",
            ("id", "short URL", "leads to", "title", "state"),
            [
                (link["id"], link["short_url"], link["url"], link["title"], link["state"])
                for link in links
            ],
        ),
    )


@app.command("show")
def show_link(link_id: LinkId, *, as_json: AsJson = False) -> None:
    """Show all of a link."""
    with open_client() as client:
        link = client.call("GET", f"/links/{link_id}")
    show(link, as_json=as_json, table=lambda: _one(link))


@app.command()
def stats(
    link_id: LinkId,
    by: Annotated[str | None, typer.Option(help="referrer, country, device, …")] = None,
    interval: Annotated[str, typer.Option(help="hour or day.")] = "day",
    tz: Annotated[str, typer.Option(help="An IANA time zone.")] = "UTC",
    *,
    as_json: AsJson = False,
) -> None:
    """Count a link's clicks."""
    with open_client() as client:
        params = {"by": by, "interval": interval, "tz": tz}
        found = client.call("GET", f"/links/{link_id}/stats", params=params)
    if as_json:
        show(found, as_json=True, table=lambda: _one(found))
        return
    typer.echo(f"{found['clicks']} clicks, {found['unique']} unique visitors")
    groups = [(", ".join(one["values"]) or "(none)", one["clicks"]) for one in found["groups"]]
    steps = [(one["at"], one["clicks"]) for one in found["series"] if one["clicks"]]
    rows, name = (groups, by or "") if by else (steps, interval)
    show(found, as_json=False, table=lambda: Table("", (name, "clicks"), rows))


@app.command()
def disable(link_id: LinkId, *, as_json: AsJson = False) -> None:
    """Stop a link at once."""
    _change("POST", f"/links/{link_id}/disable", as_json=as_json)


@app.command()
def restore(link_id: LinkId, *, as_json: AsJson = False) -> None:
    """Bring back a disabled or deleted link."""
    _change("POST", f"/links/{link_id}/restore", as_json=as_json)


@app.command()
def qr(
    link_id: LinkId,
    out: Annotated[Path, typer.Argument(help="The file to write: .svg or .png.")],
    scale: Annotated[int, typer.Option(min=1, max=40, help="Pixels of a module.")] = 8,
) -> None:
    """Draw a link's QR code into a file."""
    kind = "png" if out.suffix.lower() == ".png" else "svg"
    with open_client() as client:
        response = client.send(
            "GET", f"/links/{link_id}/qr", params={"format": kind, "scale": scale}
        )
    out.write_bytes(response.content)
    typer.echo(str(out))


def _change(method: str, path: str, *, as_json: bool) -> None:
    with open_client() as client:
        link = client.call(method, path)
    show(link, as_json=as_json, table=lambda: _one(link))


def _one(thing: dict[str, Any]) -> Table:
    return Table("", ("field", "value"), list(thing.items()))
