"""Every SQL statement is valid on the migrated schema and sees one workspace only."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import Any, cast

import pytest

import posthouse
from posthouse.kernel.tables import metadata
from posthouse.migrations import table_modules
from posthouse.operate.migrate import difference
from posthouse.runtime import Runtime
from posthouse.settings import Settings

_SQL = re.compile(r"\s*(?:SELECT|INSERT|UPDATE|DELETE|WITH)\b")

# Statements that rightly look over all workspaces: they know no caller (redirect, login, claims,
# ingest) or keep house. Each is named, so that a new one is a decision.
SYSTEM = {
    "accounts.store.keys._FIND_LIVE": "finds whose key it is",
    "accounts.store.keys._TOUCH": "notes the use of a key that was just found",
    "accounts.store.sessions._PURGE_SESSIONS": "housekeeping",
    "accounts.store.sessions._REVOKE_OTHERS": "a new password ends all of a user's sessions",
    "accounts.store.users._DELETE_HOMELESS": "a user whom no workspace has",
    "accounts.store.users._ANY_WORKSPACE": "is there a workspace at all",
    "accounts.store.users._FIND_ACCOUNT": "finds whom a login means",
    "files.store.blobs._FORGET_MADE": "housekeeping",
    "files.store.blobs._KNOWN": "housekeeping",
    "files.store.blobs._SWEEP": "housekeeping",
    "files.store.files._EXPIRE": "housekeeping",
    "files.store.uploads._LEFT": "housekeeping",
    **{
        f"files.store.uploads.{name}": "an upload that this process has just found or holds"
        for name in (
            "_ADD_PARTS",
            "_DECLARE",
            "_END_SINGLE",
            "_FILL",
            "_FINISH",
            "_FORGET_SINGLE",
            "_GROW",
            "_HOLD",
            "_LET_GO",
            "_NOTE_KEY",
        )
    },
    "kernel.events._TAKE": "the relay",
    "kernel.idempotency._PURGE": "housekeeping",
    "links.store.clicks._OWN": "a lock, not a table",
    "links.store.clicks._STILL_OWN": "a lock, not a table",
    "links.store.clicks._SKETCHES": "ingest",
    "links.store.links._ADD_DOMAIN": "hosts of the installation",
    "links.store.links._ROUTES": "codes are public",
    "links.store.links._ROUTE_BY_ID": "tells a change to all processes",
    "links.store.links._SPEND": "a follower has no workspace",
    "links.store.links._PASSWORD_HASH": "a follower has no workspace",
    "links.store.links._DOMAINS": "all hosts that we serve",
    "notifications.store.providers._FIND_ANY": "a provider that calls us knows no workspace",
    "notifications.store.receipts._APPLY": "a message that a receipt was just found to belong to",
    "notifications.store.receipts._FORGET": "housekeeping",
    "notifications.store.consents._TURN": "a lock, not a table",
    "notifications.store.templates._COMPILED": "a version that a row of its workspace names",
    **{
        f"notifications.store.outgoing.{name}": "messages that this worker holds, or the clock"
        for name in (
            "_BRIEF",
            "_DOUBT",
            "_DROP_DEVICES",
            "_EXPIRE",
            "_FINISH",
            "_OF_DEAD",
            "_PAUSE",
            "_RESOLVE",
            "_SETTLE",
            "_SUPPRESS",
            "_TURN",
        )
    },
    "notifications.store.lines._LINES": "the providers of workspaces whose messages it holds",
    "notifications.store.notifications._END": "whose last message this worker has ended",
    "notifications.store.notifications._FORGET": "housekeeping",
    "notifications.store.notifications._LEFT_OPEN": "housekeeping",
    "notifications.store.notifications._LOAD": "whose messages this worker holds",
    "notifications.store.targets._FORGET_USAGE": "housekeeping",
    "tasks.store.schedules._DUE": "the clock",
    **{
        f"tasks.store.imports.{name}": "an import that this process takes in or runs"
        for name in (
            "_ADD_PIECE",
            "_CLEAR_PROBLEMS",
            "_DROP",
            "_DROP_PIECES",
            "_FINISH",
            "_PURGE",
            "_SIZE",
        )
    },
    "tasks.store.tasks._CANCELLED": "tasks that this worker holds",
    "tasks.store.tasks._NOTE_END": "a task that this worker holds",
    "tasks.store.tasks._NOTE_ERROR": "a task that this worker holds",
    "tasks.store.tasks._NOTE_LOST": "given up by the leases",
    "tasks.store.tasks._PROGRESS": "fenced by the lease",
    "tasks.store.tasks._PURGE": "housekeeping",
    "tasks.store.tasks._WATCHED": "tasks whose watchers were checked",
}


def statements() -> Iterator[tuple[str, str]]:
    for module_info in pkgutil.walk_packages(posthouse.__path__, "posthouse."):
        name = module_info.name
        if ".migrations" in name or name.endswith("__main__") or ".operate" in name:
            continue
        module = importlib.import_module(name)
        constants: dict[str, Any] = vars(module)
        for constant, value in constants.items():
            short = f"{name.removeprefix('posthouse.')}.{constant}"
            if isinstance(value, str) and constant.isupper() and _SQL.match(value):
                if "{" not in value:
                    yield short, value
            elif constant in {"CROSSED", "PAGES"}:
                yield from (
                    (f"{short}.{n}", sql)
                    for n, sql in enumerate(cast("dict[Any, str]", value).values())
                )


ALL = dict(statements())


def tenant_tables() -> set[str]:
    table_modules()
    return {table.name for table in metadata.tables.values() if "workspace_id" in table.columns}


def test_there_are_statements_and_the_list_names_only_some_of_them() -> None:
    assert len(ALL) > 50
    assert set(SYSTEM) <= set(ALL), sorted(set(SYSTEM) - set(ALL))


@pytest.mark.parametrize("name", sorted(ALL))
async def test_a_statement_can_be_prepared(runtime: Runtime, name: str) -> None:
    async with runtime.parts.db.begin() as tx:
        await tx.execute("CREATE TEMP TABLE IF NOT EXISTS nothing ()")
        await tx.prepare(ALL[name])


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_statement_on_a_tenants_table_names_the_workspace(name: str) -> None:
    touched = {
        table for table in tenant_tables() if re.search(rf"\b{table}\b", ALL[name], re.IGNORECASE)
    }
    if touched and name not in SYSTEM:
        assert "workspace_id" in ALL[name], touched


@pytest.mark.filterwarnings("ignore:Did not recognize type 'xid8'")
async def test_the_schema_is_what_the_tables_say(settings: Settings) -> None:
    assert await difference(settings.database_url) == []
