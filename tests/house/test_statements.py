"""Every SQL statement is valid on the migrated schema and sees one workspace only."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import Any, cast

import pytest

import posthouse
from posthouse.kernel.tables import metadata
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
            elif constant == "CROSSED":
                yield from (
                    (f"{short}.{n}", sql)
                    for n, sql in enumerate(cast("dict[Any, str]", value).values())
                )


ALL = dict(statements())


def tenant_tables() -> set[str]:
    importlib.import_module("posthouse.accounts.tables")
    importlib.import_module("posthouse.links.tables")
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
