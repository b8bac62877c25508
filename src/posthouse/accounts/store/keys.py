"""The statements about API keys."""

from collections.abc import Iterable
from uuid import UUID

from posthouse.accounts.model import ApiKey, KeyId, NewKey
from posthouse.kernel.auth import Role
from posthouse.kernel.db import Row, Tx
from posthouse.kernel.pagination import Keyset

_COLUMNS = """
  id, workspace_id, name, hint, role, scopes, created_by, created_at, expires_at, last_used_at,
  revoked_at
"""
_INSERT = f"""
INSERT INTO api_keys
  (id, workspace_id, name, hint, digest, role, scopes, created_by, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
RETURNING {_COLUMNS}
"""
_FIND_LIVE = f"""
SELECT {_COLUMNS} FROM api_keys
WHERE digest = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
"""
# A row that somebody holds is skipped: noting the use must never make a request wait.
_TOUCH = """
UPDATE api_keys SET last_used_at = now() WHERE id = (
  SELECT id FROM api_keys
  WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
  FOR UPDATE SKIP LOCKED
)
"""
_FIND = f"SELECT {_COLUMNS} FROM api_keys WHERE workspace_id = $1 AND id = $2"
_PAGE = f"""
SELECT {_COLUMNS} FROM api_keys
WHERE workspace_id = $1 AND ($2::uuid IS NULL OR id < $2)
ORDER BY id DESC LIMIT $3
"""
_REVOKE = """
UPDATE api_keys SET revoked_at = now() WHERE workspace_id = $1 AND id = $2 AND revoked_at IS NULL
"""
_REVOKE_MADE_BY = """
UPDATE api_keys SET revoked_at = now()
WHERE workspace_id = $1 AND created_by = $2 AND role = ANY($3::text[]) AND revoked_at IS NULL
RETURNING id
"""


def _key(row: Row) -> ApiKey:
    scopes: list[str] | None = row["scopes"]
    return ApiKey(
        id=row["id"],
        workspace_id=row["workspace_id"],
        name=row["name"],
        hint=row["hint"],
        role=Role(row["role"]),
        scopes=None if scopes is None else frozenset(scopes),
        created_by=row["created_by"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
        revoked_at=row["revoked_at"],
    )


async def insert(
    tx: Tx,
    key_id: KeyId,
    workspace_id: UUID,
    new: NewKey,
    *,
    hint: str,
    digest: bytes,
    created_by: str,
) -> ApiKey:
    """Add a key."""
    row = await tx.fetchrow(
        _INSERT,
        key_id,
        workspace_id,
        new.name,
        hint,
        digest,
        new.role,
        None if new.scopes is None else sorted(new.scopes),
        created_by,
        new.expires_at,
    )
    assert row is not None  # noqa: S101  INSERT … RETURNING gives its row
    return _key(row)


async def find_live(tx: Tx, digest: bytes) -> ApiKey | None:
    """Find the key with this digest if it may be used now, in any workspace."""
    row = await tx.fetchrow(_FIND_LIVE, digest)
    return _key(row) if row else None


async def touch(tx: Tx, key_id: KeyId) -> None:
    """Note that a key is used, at most once a minute."""
    await tx.execute(_TOUCH, key_id)


async def find(tx: Tx, workspace_id: UUID, key_id: KeyId) -> ApiKey | None:
    """Find a key, a revoked one too."""
    row = await tx.fetchrow(_FIND, workspace_id, key_id)
    return _key(row) if row else None


async def page(tx: Tx, workspace_id: UUID, keyset: Keyset) -> list[ApiKey]:
    """Read keys, newest first, one more than the page holds."""
    after = UUID(str(keyset.after[0])) if keyset.after else None
    return [_key(row) for row in await tx.fetch(_PAGE, workspace_id, after, keyset.limit + 1)]


async def revoke(tx: Tx, workspace_id: UUID, key_id: KeyId) -> bool:
    """End a key; False if there is none or it has ended already."""
    return await tx.execute(_REVOKE, workspace_id, key_id) == "UPDATE 1"


async def revoke_made_by(
    tx: Tx, workspace_id: UUID, maker: str, roles: Iterable[Role]
) -> list[KeyId]:
    """End the keys of these roles that `maker` made; give their ids."""
    rows = await tx.fetch(_REVOKE_MADE_BY, workspace_id, maker, list(roles))
    return [row["id"] for row in rows]
