"""The statements about workspaces, users and members."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from posthouse.accounts.model import Account, Identity, Member, User, UserId, WorkspaceId
from posthouse.kernel.auth import Role
from posthouse.kernel.db import Row, Tx, UniqueViolationError
from posthouse.kernel.pagination import Keyset

_ANY_WORKSPACE = "SELECT id FROM workspaces ORDER BY id LIMIT 1"
_INSERT_WORKSPACE = "INSERT INTO workspaces (id, name) VALUES ($1, $2)"
# Members change one at a time, or two owners could each see the other and both leave.
_LOCK_WORKSPACE = "SELECT 1 FROM workspaces WHERE id = $1 FOR NO KEY UPDATE"
_INSERT_USER = "INSERT INTO users (id, email, name, password_hash) VALUES ($1, $2, $3, $4)"
_INSERT_MANY = """
WITH given AS (
  SELECT * FROM jsonb_to_recordset($2)
    AS r (id uuid, email text, name text, role text, password_hash text)
), made AS (
  INSERT INTO users (id, email, name, password_hash)
  SELECT id, email, name, coalesce(password_hash, '') FROM given
  ON CONFLICT ((lower(email))) DO NOTHING
  RETURNING id, email
), joined AS (
  INSERT INTO memberships (workspace_id, user_id, role)
  SELECT $1, made.id, given.role FROM made JOIN given USING (id)
)
SELECT lower(email) AS address FROM made
"""
_INSERT_MEMBERSHIP = """
INSERT INTO memberships (workspace_id, user_id, role) VALUES ($1, $2, $3)
"""
_FIND_ACCOUNT = """
SELECT u.id AS user_id, m.workspace_id, m.role, u.password_hash
FROM users u JOIN memberships m ON m.user_id = u.id
WHERE lower(u.email) = lower($1) AND ($2::uuid IS NULL OR m.workspace_id = $2)
ORDER BY m.created_at, m.workspace_id LIMIT 1
"""
_FIND_USER = """
SELECT u.id, u.email, u.name, u.version
FROM users u JOIN memberships m ON m.user_id = u.id
WHERE m.workspace_id = $1 AND u.id = $2
"""
_IDENTIFY_USER = """
SELECT u.name, u.email, u.version, w.name AS workspace_name
FROM users u JOIN memberships m ON m.user_id = u.id JOIN workspaces w ON w.id = m.workspace_id
WHERE m.workspace_id = $1 AND u.id = $2
"""
_IDENTIFY_KEY = """
SELECT k.name, NULL AS email, 0 AS version, w.name AS workspace_name
FROM api_keys k JOIN workspaces w ON w.id = k.workspace_id
WHERE k.workspace_id = $1 AND k.id = $2
"""
_PASSWORD_HASH = "SELECT password_hash FROM users WHERE id = $1"  # noqa: S105  a statement
_UPDATE_USER = """
UPDATE users SET name = coalesce($3, name), password_hash = coalesce($4, password_hash),
  version = version + 1
WHERE id = $1 AND version = $2
RETURNING id, email, name, version
"""
_MEMBER_COLUMNS = "m.user_id, u.email, u.name, m.role, m.version, m.created_at"
_FIND_MEMBER = f"""
SELECT {_MEMBER_COLUMNS} FROM memberships m JOIN users u ON u.id = m.user_id
WHERE m.workspace_id = $1 AND m.user_id = $2
"""
_PAGE_MEMBERS = f"""
SELECT {_MEMBER_COLUMNS} FROM memberships m JOIN users u ON u.id = m.user_id
WHERE m.workspace_id = $1 AND ($2::uuid IS NULL OR m.user_id < $2)
ORDER BY m.user_id DESC LIMIT $3
"""
_COUNT_OWNERS = "SELECT count(*) FROM memberships WHERE workspace_id = $1 AND role = 'owner'"
_SET_ROLE = """
UPDATE memberships SET role = $3, version = version + 1 WHERE workspace_id = $1 AND user_id = $2
"""
_DELETE_MEMBERSHIP = "DELETE FROM memberships WHERE workspace_id = $1 AND user_id = $2"
_DELETE_HOMELESS = """
DELETE FROM users u
WHERE u.id = $1 AND NOT EXISTS (SELECT FROM memberships m WHERE m.user_id = u.id)
"""


def _member(row: Row) -> Member:
    return Member(
        user_id=row["user_id"],
        email=row["email"],
        name=row["name"],
        role=Role(row["role"]),
        version=row["version"],
        created_at=row["created_at"],
    )


def _user(row: Row) -> User:
    return User(row["id"], row["email"], row["name"], row["version"])


async def any_workspace(tx: Tx) -> WorkspaceId | None:
    """Find the oldest workspace, to see whether there is one."""
    return await tx.fetchval(_ANY_WORKSPACE)


async def insert_workspace(tx: Tx, workspace_id: WorkspaceId, name: str) -> None:
    """Add a workspace."""
    await tx.execute(_INSERT_WORKSPACE, workspace_id, name)


async def lock_workspace(tx: Tx, workspace_id: UUID) -> None:
    """Keep the members as they are until the transaction ends; reading goes on."""
    await tx.execute(_LOCK_WORKSPACE, workspace_id)


async def insert_user(tx: Tx, user_id: UserId, email: str, name: str, password_hash: str) -> bool:
    """Add a user; False if the address is taken, and then the transaction can only end."""
    try:
        await tx.execute(_INSERT_USER, user_id, email, name, password_hash)
    except UniqueViolationError:
        return False
    return True


async def insert_many(tx: Tx, workspace_id: UUID, rows: Sequence[dict[str, Any]]) -> set[str]:
    """Add users and make them members, but for taken addresses; give those made, in lower case.

    One without a hash cannot log in with any password.
    """
    return {row["address"] for row in await tx.fetch(_INSERT_MANY, workspace_id, list(rows))}


async def insert_membership(tx: Tx, workspace_id: UUID, user_id: UserId, role: Role) -> None:
    """Make a user a member."""
    await tx.execute(_INSERT_MEMBERSHIP, workspace_id, user_id, role)


async def find_account(tx: Tx, email: str, workspace_id: UUID | None) -> Account | None:
    """Find whom a login means, in the named workspace or in the one that was joined first."""
    row = await tx.fetchrow(_FIND_ACCOUNT, email, workspace_id)
    if row is None:
        return None
    return Account(row["user_id"], row["workspace_id"], Role(row["role"]), row["password_hash"])


async def find_user(tx: Tx, workspace_id: UUID, user_id: UserId) -> User | None:
    """Find a user who is a member."""
    row = await tx.fetchrow(_FIND_USER, workspace_id, user_id)
    return _user(row) if row else None


async def identify_user(tx: Tx, workspace_id: UUID, user_id: UUID, shown: str) -> Identity | None:
    """Say in words who a user is; `shown` is the id as callers see it."""
    return _identity(await tx.fetchrow(_IDENTIFY_USER, workspace_id, user_id), workspace_id, shown)


async def identify_key(tx: Tx, workspace_id: UUID, key_id: UUID, shown: str) -> Identity | None:
    """Say in words which key a key is."""
    return _identity(await tx.fetchrow(_IDENTIFY_KEY, workspace_id, key_id), workspace_id, shown)


def _identity(row: Row | None, workspace_id: UUID, shown: str) -> Identity | None:
    if row is None:
        return None
    return Identity(
        id=shown,
        name=row["name"],
        email=row["email"],
        workspace_id=WorkspaceId(workspace_id),
        workspace_name=row["workspace_name"],
        version=row["version"],
    )


async def password_hash(tx: Tx, user_id: UUID) -> str | None:
    """Read the hash of a user's password."""
    return await tx.fetchval(_PASSWORD_HASH, user_id)


async def update_user(
    tx: Tx, user_id: UUID, version: int, *, name: str | None, password_hash: str | None
) -> User | None:
    """Change what is not None; give None if the version is another by now."""
    row = await tx.fetchrow(_UPDATE_USER, user_id, version, name, password_hash)
    return _user(row) if row else None


async def find_member(tx: Tx, workspace_id: UUID, user_id: UserId) -> Member | None:
    """Find a member."""
    row = await tx.fetchrow(_FIND_MEMBER, workspace_id, user_id)
    return _member(row) if row else None


async def page_members(tx: Tx, workspace_id: UUID, keyset: Keyset) -> list[Member]:
    """Read members, the newest user first, one more than the page holds."""
    after = UUID(str(keyset.after[0])) if keyset.after else None
    rows = await tx.fetch(_PAGE_MEMBERS, workspace_id, after, keyset.limit + 1)
    return [_member(row) for row in rows]


async def count_owners(tx: Tx, workspace_id: UUID) -> int:
    """Count the owners."""
    count: int = await tx.fetchval(_COUNT_OWNERS, workspace_id)
    return count


async def set_role(tx: Tx, workspace_id: UUID, user_id: UserId, role: Role) -> None:
    """Give a member another role."""
    await tx.execute(_SET_ROLE, workspace_id, user_id, role)


async def delete_member(tx: Tx, workspace_id: UUID, user_id: UserId) -> None:
    """Take a member out; a user without any workspace is deleted, and the address is free."""
    await tx.execute(_DELETE_MEMBERSHIP, workspace_id, user_id)
    await tx.execute(_DELETE_HOMELESS, user_id)
