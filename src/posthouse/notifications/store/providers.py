"""The statements about providers."""

from typing import Any
from uuid import UUID

from posthouse.kernel.db import Row, Tx, UniqueViolationError
from posthouse.kernel.pagination import Keyset
from posthouse.notifications.model import Channel, NewProvider, ProviderSetup

_COLUMNS = """
  id, workspace_id, channel, kind, name, options, secrets, secret_names, priority, at_once,
  rate_per_s, is_enabled, paused_at, paused_reason, version, created_at, updated_at
"""
_INSERT = f"""
INSERT INTO providers (id, workspace_id, channel, kind, name, options, secrets, secret_names,
  priority, at_once, rate_per_s, is_enabled)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
RETURNING {_COLUMNS}
"""
_FIND = f"SELECT {_COLUMNS} FROM providers WHERE workspace_id = $1 AND id = $2"
_LOCK = f"{_FIND} FOR UPDATE"
_FIND_ANY = f"SELECT {_COLUMNS} FROM providers WHERE id = $1"
_PAGE = f"""
SELECT {_COLUMNS} FROM providers
WHERE workspace_id = $1 AND ($2::uuid IS NULL OR id < $2)
  AND ($3::text IS NULL OR channel = $3)
ORDER BY id DESC LIMIT $4
"""
_UPDATE = f"""
UPDATE providers SET name = $4, options = $5, secrets = $6, secret_names = $7, priority = $8,
  at_once = $9, rate_per_s = $10, is_enabled = $11, version = version + 1, updated_at = now()
WHERE workspace_id = $1 AND id = $2 AND version = $3
RETURNING {_COLUMNS}
"""
_RESUME = f"""
UPDATE providers SET paused_at = NULL, paused_reason = NULL, version = version + 1,
  updated_at = now()
WHERE workspace_id = $1 AND id = $2
RETURNING {_COLUMNS}
"""
_DELETE = "DELETE FROM providers WHERE workspace_id = $1 AND id = $2"


def _provider(row: Row) -> ProviderSetup:
    fields: dict[str, Any] = dict(row)
    channel, names = Channel(fields.pop("channel")), tuple(fields.pop("secret_names"))
    return ProviderSetup(**fields, channel=channel, secret_names=names)


def _changeable(wanted: NewProvider) -> tuple[object, ...]:
    return (
        wanted.name,
        wanted.options,
        wanted.secrets,
        list(wanted.secret_names),
        wanted.priority,
        wanted.at_once,
        wanted.rate_per_s,
        wanted.is_enabled,
    )


async def insert(tx: Tx, new: NewProvider) -> ProviderSetup | None:
    """Add a provider; None if its name is taken, and then the transaction can only end."""
    key = (new.id, new.workspace_id, new.channel, new.kind)
    return await _write(tx, _INSERT, *key, *_changeable(new))


async def find(tx: Tx, workspace_id: UUID, provider_id: UUID) -> ProviderSetup | None:
    """Find a provider."""
    row = await tx.fetchrow(_FIND, workspace_id, provider_id)
    return _provider(row) if row else None


async def find_any(tx: Tx, provider_id: UUID) -> ProviderSetup | None:
    """Find a provider that calls us: it knows no workspace."""
    row = await tx.fetchrow(_FIND_ANY, provider_id)
    return _provider(row) if row else None


async def lock(tx: Tx, workspace_id: UUID, provider_id: UUID) -> ProviderSetup | None:
    """Find a provider and let nobody else change it until the transaction ends."""
    row = await tx.fetchrow(_LOCK, workspace_id, provider_id)
    return _provider(row) if row else None


async def page(
    tx: Tx, workspace_id: UUID, keyset: Keyset, channel: Channel | None
) -> list[ProviderSetup]:
    """Read one page, newest first, and one more."""
    after = UUID(str(keyset.after[0])) if keyset.after else None
    rows = await tx.fetch(_PAGE, workspace_id, after, channel, keyset.limit + 1)
    return [_provider(row) for row in rows]


async def update(tx: Tx, wanted: ProviderSetup) -> ProviderSetup | None:
    """Write a provider that is locked; None if its name is taken, as in `insert`."""
    key = (wanted.workspace_id, wanted.id, wanted.version)
    return await _write(tx, _UPDATE, *key, *_changeable(wanted))


async def resume(tx: Tx, workspace_id: UUID, provider_id: UUID) -> ProviderSetup | None:
    """Let a provider send again."""
    row = await tx.fetchrow(_RESUME, workspace_id, provider_id)
    return _provider(row) if row else None


async def delete(tx: Tx, workspace_id: UUID, provider_id: UUID) -> None:
    """Forget a provider and what it told."""
    await tx.execute(_DELETE, workspace_id, provider_id)


async def _write(tx: Tx, statement: str, *arguments: object) -> ProviderSetup | None:
    try:
        row = await tx.fetchrow(statement, *arguments)
    except UniqueViolationError:
        return None
    return _provider(row) if row else None
