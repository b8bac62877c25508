"""The statements about templates, their versions, and layouts."""

from typing import Any, cast
from uuid import UUID

from posthouse.kernel.db import Row, Tx, changed_rows
from posthouse.kernel.pagination import Keyset
from posthouse.notifications.drawers import Layout, Template, Version
from posthouse.notifications.model import Json, TemplateId

_COLUMNS = "id, key, name, draft, published, version, created_at, updated_at"
_PUT = f"""
INSERT INTO templates AS t (id, workspace_id, key, name, draft) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (workspace_id, key) DO UPDATE SET name = EXCLUDED.name, draft = EXCLUDED.draft,
  version = t.version + 1, updated_at = now()
WHERE $6::int IS NULL OR t.version = $6
RETURNING {_COLUMNS}, t.version = 1 AND t.id = $1 AS is_new
"""
_FIND = f"SELECT {_COLUMNS} FROM templates WHERE workspace_id = $1 AND key = $2"
_LOCK = f"{_FIND} FOR UPDATE"
_PAGE = f"""
SELECT {_COLUMNS} FROM templates WHERE workspace_id = $1 AND ($2::text IS NULL OR key > $2)
ORDER BY key LIMIT $3
"""
_IS_NEEDED = """
SELECT EXISTS (
  SELECT 1 FROM notifications WHERE workspace_id = $1 AND template_id = $2 AND ended_at IS NULL
)
"""
_DELETE = "DELETE FROM templates WHERE workspace_id = $1 AND id = $2"
_VERSION_COLUMNS = "number, content, created_by, created_at"
_NEWEST = f"""
SELECT {_VERSION_COLUMNS} FROM template_versions
WHERE workspace_id = $1 AND template_id = $2 ORDER BY number DESC LIMIT 1
"""
_VERSION = f"""
SELECT {_VERSION_COLUMNS} FROM template_versions
WHERE workspace_id = $1 AND template_id = $2 AND number = $3
"""
_VERSIONS = f"""
SELECT {_VERSION_COLUMNS} FROM template_versions
WHERE workspace_id = $1 AND template_id = $2 AND ($3::int IS NULL OR number < $3)
ORDER BY number DESC LIMIT $4
"""
_PUBLISH = f"""
WITH published AS (
  UPDATE templates SET published = $3, updated_at = now() WHERE workspace_id = $1 AND id = $2
)
INSERT INTO template_versions (workspace_id, template_id, number, content, compiled, created_by)
VALUES ($1, $2, $3, $4, $5, $6)
RETURNING {_VERSION_COLUMNS}
"""
_PUBLISH_AGAIN = """
UPDATE templates SET published = $3, updated_at = now() WHERE workspace_id = $1 AND id = $2
"""
_PINNED = "SELECT id, published FROM templates WHERE workspace_id = $1 AND key = $2"
# Versions never change, and whoever asks has one from a row of its workspace.
_COMPILED = "SELECT compiled FROM template_versions WHERE template_id = $1 AND number = $2"
_LAYOUT_COLUMNS = "key, source, version, created_at, updated_at"
_PUT_LAYOUT = f"""
INSERT INTO layouts AS l (workspace_id, key, source) VALUES ($1, $2, $3)
ON CONFLICT (workspace_id, key) DO UPDATE SET source = EXCLUDED.source, version = l.version + 1,
  updated_at = now()
WHERE $4::int IS NULL OR l.version = $4
RETURNING {_LAYOUT_COLUMNS}
"""
_FIND_LAYOUT = f"SELECT {_LAYOUT_COLUMNS} FROM layouts WHERE workspace_id = $1 AND key = $2"
_LAYOUTS = f"""
SELECT {_LAYOUT_COLUMNS} FROM layouts WHERE workspace_id = $1 AND ($2::text IS NULL OR key > $2)
ORDER BY key LIMIT $3
"""
_DELETE_LAYOUT = """
DELETE FROM layouts WHERE workspace_id = $1 AND key = $2 AND ($3::int IS NULL OR version = $3)
"""


def _template(row: Row) -> Template:
    return Template(
        TemplateId(row["id"]), row["key"], row["name"], row["draft"], row["published"],
        row["version"], row["created_at"], row["updated_at"],
    )  # fmt: skip


def _version(row: Row) -> Version:
    return Version(row["number"], row["content"], row["created_by"], row["created_at"])


def _layout(row: Row) -> Layout:
    return Layout(row["key"], row["source"], row["version"], row["created_at"], row["updated_at"])


async def put(
    tx: Tx,
    template_id: TemplateId,
    workspace_id: UUID,
    key: str,
    name: str,
    draft: Json,
    version: int | None,
) -> tuple[Template, bool] | None:
    """Make a template, or write its draft: it, and whether it is new; None for a stale version."""
    row = await tx.fetchrow(_PUT, template_id, workspace_id, key, name, draft, version)
    return (_template(row), row["is_new"]) if row else None


async def find(tx: Tx, workspace_id: UUID, key: str, *, lock: bool = False) -> Template | None:
    """Find a template by its key; with `lock` nobody changes it until the transaction ends."""
    row = await tx.fetchrow(_LOCK if lock else _FIND, workspace_id, key)
    return _template(row) if row else None


async def page(tx: Tx, workspace_id: UUID, keyset: Keyset) -> list[Template]:
    """Read templates by key, one more than the page holds."""
    after = str(keyset.after[0]) if keyset.after else None
    rows = await tx.fetch(_PAGE, workspace_id, after, keyset.limit + 1)
    return [_template(row) for row in rows]


async def is_needed(tx: Tx, workspace_id: UUID, template_id: TemplateId) -> bool:
    """Whether a notification that has not ended is made with it."""
    found: bool = await tx.fetchval(_IS_NEEDED, workspace_id, template_id)
    return found


async def delete(tx: Tx, workspace_id: UUID, template_id: TemplateId) -> None:
    """Delete a template and its versions."""
    await tx.execute(_DELETE, workspace_id, template_id)


async def version(
    tx: Tx, workspace_id: UUID, template_id: TemplateId, number: int | None
) -> Version | None:
    """Find a version by its number, or the newest."""
    if number is None:
        row = await tx.fetchrow(_NEWEST, workspace_id, template_id)
    else:
        row = await tx.fetchrow(_VERSION, workspace_id, template_id, number)
    return _version(row) if row else None


async def versions(
    tx: Tx, workspace_id: UUID, template_id: TemplateId, keyset: Keyset
) -> list[Version]:
    """Read versions, newest first, one more than the page holds."""
    after = int(str(keyset.after[0])) if keyset.after else None
    rows = await tx.fetch(_VERSIONS, workspace_id, template_id, after, keyset.limit + 1)
    return [_version(row) for row in rows]


async def publish(
    tx: Tx,
    workspace_id: UUID,
    template_id: TemplateId,
    number: int,
    content: Json,
    compiled: Json,
    created_by: str,
) -> Version:
    """Add a version, and let it be the published one."""
    row = await tx.fetchrow(
        _PUBLISH, workspace_id, template_id, number, content, compiled, created_by
    )
    return _version(cast("Row", row))


async def publish_again(tx: Tx, workspace_id: UUID, template_id: TemplateId, number: int) -> None:
    """Let a version that is there be the published one."""
    await tx.execute(_PUBLISH_AGAIN, workspace_id, template_id, number)


async def pinned(tx: Tx, workspace_id: UUID, key: str) -> tuple[TemplateId, int | None] | None:
    """The id of a template and its published version; None if there is no such template."""
    row = await tx.fetchrow(_PINNED, workspace_id, key)
    return (TemplateId(row["id"]), row["published"]) if row else None


async def compiled(tx: Tx, template_id: TemplateId, number: int) -> Json | None:
    """What a version was compiled to."""
    found: Any = await tx.fetchval(_COMPILED, template_id, number)
    return cast("Json | None", found)


async def put_layout(
    tx: Tx, workspace_id: UUID, key: str, source: Json, version: int | None
) -> Layout | None:
    """Make or change a layout; None if it has another version than `version`."""
    row = await tx.fetchrow(_PUT_LAYOUT, workspace_id, key, source, version)
    return _layout(row) if row else None


async def find_layout(tx: Tx, workspace_id: UUID, key: str) -> Layout | None:
    """Find a layout by its key."""
    row = await tx.fetchrow(_FIND_LAYOUT, workspace_id, key)
    return _layout(row) if row else None


async def layouts(tx: Tx, workspace_id: UUID, keyset: Keyset) -> list[Layout]:
    """Read layouts by key, one more than the page holds."""
    after = str(keyset.after[0]) if keyset.after else None
    rows = await tx.fetch(_LAYOUTS, workspace_id, after, keyset.limit + 1)
    return [_layout(row) for row in rows]


async def delete_layout(tx: Tx, workspace_id: UUID, key: str, version: int | None) -> bool:
    """Delete a layout; False if there is none of this version."""
    return changed_rows(await tx.execute(_DELETE_LAYOUT, workspace_id, key, version)) > 0
