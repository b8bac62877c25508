"""`posthouse accounts …`: the verbs of accounts on the command line."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from posthouse.kernel.client import Table, open_client, show

app = typer.Typer(help="Users, members, API keys, and who did what.", no_args_is_help=True)
users = typer.Typer(help="Users: add, show.", no_args_is_help=True)
members = typer.Typer(help="Members of the workspace: list.", no_args_is_help=True)
keys = typer.Typer(help="API keys: add, list, revoke.", no_args_is_help=True)
app.add_typer(users, name="users")
app.add_typer(members, name="members")
app.add_typer(keys, name="keys")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Limit = Annotated[int, typer.Option(min=1, help="How many at most.")]
RoleName = Annotated[str, typer.Option(help="owner, admin, member or viewer.")]


@users.command("add")
def add_user(
    email: Annotated[str, typer.Argument(help="The address to log in with.")],
    name: Annotated[str, typer.Option(help="What the user is called.")],
    # Prompted for: an argument would stay in the shell's history and in the process list.
    password: Annotated[str, typer.Option(prompt=True, hide_input=True, confirmation_prompt=True)],
    role: RoleName = "member",
    *,
    as_json: AsJson = False,
) -> None:
    """Add a user to the workspace."""
    body = {"email": email, "name": name, "password": password, "role": role}
    with open_client() as client:
        user = client.call("POST", "/users", body=body)
    show(user, as_json=as_json, table=lambda: _one(user))


@users.command("show")
def show_user(
    user_id: Annotated[str, typer.Argument(help="The id of a user, such as usr_01j…")],
    *,
    as_json: AsJson = False,
) -> None:
    """Show a user."""
    with open_client() as client:
        user = client.call("GET", f"/users/{user_id}")
    show(user, as_json=as_json, table=lambda: _one(user))


@members.command("list")
def list_members(limit: Limit = 20, *, as_json: AsJson = False) -> None:
    """List who belongs to the workspace."""
    _list("/members", ("id", "email", "name", "role"), limit, {}, as_json=as_json)


@keys.command("add")
def add_key(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    role: RoleName = "member",
    scope: Annotated[list[str] | None, typer.Option(help="A scope; may be repeated.")] = None,
    expires_at: Annotated[str | None, typer.Option(help="RFC 3339 time of its end.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Make an API key and print it, this once."""
    body = {"name": name, "role": role, "scopes": scope or None, "expires_at": expires_at}
    with open_client() as client:
        key = client.call("POST", "/keys", body=body)
    if as_json:
        show(key, as_json=True, table=lambda: _one(key))
    else:
        typer.echo(key["key"])


@keys.command("list")
def list_keys(limit: Limit = 20, *, as_json: AsJson = False) -> None:
    """List API keys, newest first, revoked ones too."""
    columns = ("id", "name", "hint", "role", "last_used_at", "revoked_at")
    _list("/keys", columns, limit, {}, as_json=as_json)


@keys.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(help="The id of a key, such as key_01j…")],
) -> None:
    """End an API key."""
    with open_client() as client:
        client.call("DELETE", f"/keys/{key_id}")
    typer.echo(f"{key_id} is revoked.")


@app.command("audit")
def list_audit(
    action: Annotated[str | None, typer.Option(help="Only this, such as key.made.")] = None,
    limit: Limit = 20,
    *,
    as_json: AsJson = False,
) -> None:
    """List who did what, newest first."""
    columns = ("at", "actor", "action", "subject", "detail")
    _list("/audit", columns, limit, {"action": action}, as_json=as_json)


def _list(
    path: str, columns: Sequence[str], limit: int, params: dict[str, str | None], *, as_json: bool
) -> None:
    with open_client() as client:
        items = list(client.pages(path, limit=limit, params=params))
    rows = [[item[column] for column in columns] for item in items]
    show(items, as_json=as_json, table=lambda: Table(f"{len(items)} shown", columns, rows))


def _one(thing: dict[str, Any]) -> Table:
    return Table("", ("field", "value"), list(thing.items()))
