"""Every SQL statement of accounts."""

from datetime import datetime

from posthouse.accounts.model import ApiKey, KeyId, UserId, WorkspaceId
from posthouse.kernel.auth import Role
from posthouse.kernel.db import Row, Tx

_ANY_WORKSPACE = "SELECT id FROM workspaces ORDER BY id LIMIT 1"
_INSERT_WORKSPACE = "INSERT INTO workspaces (id, name) VALUES ($1, $2)"
_INSERT_USER = "INSERT INTO users (id, email, name, password_hash) VALUES ($1, $2, $3, $4)"
_INSERT_MEMBERSHIP = """
INSERT INTO memberships (workspace_id, user_id, role) VALUES ($1, $2, $3)
"""
_INSERT_KEY = """
INSERT INTO api_keys
  (id, workspace_id, name, hint, digest, role, scopes, created_by, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
RETURNING id, workspace_id, name, hint, role, scopes, created_at, expires_at, last_used_at,
  revoked_at
"""
_FIND_KEY = """
SELECT id, workspace_id, name, hint, role, scopes, created_at, expires_at, last_used_at, revoked_at
FROM api_keys
WHERE digest = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
"""
_TOUCH_KEY = """
UPDATE api_keys SET last_used_at = now()
WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
"""


def _key(row: Row) -> ApiKey:
    fields = dict(row)
    scopes = fields.pop("scopes")
    role = Role(fields.pop("role"))
    return ApiKey(**fields, role=role, scopes=None if scopes is None else frozenset(scopes))


async def any_workspace(tx: Tx) -> WorkspaceId | None:
    """Find the oldest workspace, to see whether there is one."""
    return await tx.fetchval(_ANY_WORKSPACE)


async def insert_workspace(tx: Tx, workspace_id: WorkspaceId, name: str) -> None:
    """Add a workspace."""
    await tx.execute(_INSERT_WORKSPACE, workspace_id, name)


async def insert_user(
    tx: Tx, user_id: UserId, email: str, name: str, password_hash: str
) -> None:
    """Add a user.

    Raises:
        UniqueViolationError: the address is taken.
    """
    await tx.execute(_INSERT_USER, user_id, email, name, password_hash)


async def insert_membership(
    tx: Tx, workspace_id: WorkspaceId, user_id: UserId, role: Role
) -> None:
    """Make a user a member."""
    await tx.execute(_INSERT_MEMBERSHIP, workspace_id, user_id, role)


async def insert_key(  # noqa: PLR0913  a row is its columns
    tx: Tx,
    key_id: KeyId,
    workspace_id: WorkspaceId,
    name: str,
    *,
    hint: str,
    digest: bytes,
    role: Role,
    scopes: frozenset[str] | None,
    created_by: str,
    expires_at: datetime | None,
) -> ApiKey:
    """Add a key."""
    row = await tx.fetchrow(
        _INSERT_KEY,
        key_id,
        workspace_id,
        name,
        hint,
        digest,
        role,
        None if scopes is None else sorted(scopes),
        created_by,
        expires_at,
    )
    assert row is not None  # noqa: S101  INSERT … RETURNING gives its row
    return _key(row)


async def find_live_key(tx: Tx, digest: bytes) -> ApiKey | None:
    """Find the key with this digest if it may be used now."""
    row = await tx.fetchrow(_FIND_KEY, digest)
    return _key(row) if row else None


async def touch_key(tx: Tx, key_id: KeyId) -> None:
    """Note that a key is used, at most once a minute."""
    await tx.execute(_TOUCH_KEY, key_id)
