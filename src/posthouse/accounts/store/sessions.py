"""The statements about sessions and their refresh tokens."""

from uuid import UUID

from posthouse.accounts.model import Session, SessionId
from posthouse.kernel.auth import Role
from posthouse.kernel.db import Row, Tx

# FOR SHARE: a change of the password waits for this login or is seen by it, so that none that
# was checked against the old password outlives the change.
_OPEN = """
WITH u AS (SELECT id FROM users WHERE id = $3 AND password_hash = $4 FOR SHARE)
INSERT INTO sessions (id, workspace_id, user_id, expires_at)
SELECT $1, $2, u.id, now() + make_interval(secs => $5) FROM u
"""
_FIND_LIVE = """
SELECT s.id, s.user_id, s.workspace_id, m.role
FROM sessions s JOIN memberships m ON m.workspace_id = s.workspace_id AND m.user_id = s.user_id
WHERE s.id = $1 AND s.revoked_at IS NULL AND s.expires_at > now()
"""
_ADD_REFRESH = "INSERT INTO refresh_tokens (digest, session_id) VALUES ($1, $2)"
_SPEND_REFRESH = """
UPDATE refresh_tokens SET used_at = now() WHERE digest = $1 AND used_at IS NULL
RETURNING session_id
"""
_EXTEND = """
UPDATE sessions s SET expires_at = now() + make_interval(secs => $2)
FROM memberships m
WHERE s.id = $1 AND s.revoked_at IS NULL AND s.expires_at > now()
  AND m.workspace_id = s.workspace_id AND m.user_id = s.user_id
RETURNING s.id, s.user_id, s.workspace_id, m.role
"""
_REVOKE_REUSED = """
UPDATE sessions s SET revoked_at = now(), revoked_because = 'refresh-reuse'
FROM refresh_tokens t
WHERE t.digest = $1 AND t.used_at IS NOT NULL AND s.id = t.session_id AND s.revoked_at IS NULL
RETURNING s.id, s.user_id, s.workspace_id, 'viewer' AS role
"""
_REVOKE = """
UPDATE sessions SET revoked_at = now(), revoked_because = $3
WHERE workspace_id = $1 AND id = $2 AND revoked_at IS NULL
"""
_REVOKE_OTHERS = """
UPDATE sessions SET revoked_at = now(), revoked_because = $3
WHERE user_id = $1 AND id <> $2 AND revoked_at IS NULL
"""
_REVOKE_OF_MEMBER = """
UPDATE sessions SET revoked_at = now(), revoked_because = $3
WHERE workspace_id = $1 AND user_id = $2 AND revoked_at IS NULL
"""
# A week for those who ask why they were logged out.
_PURGE_SESSIONS = "DELETE FROM sessions WHERE expires_at < now() - interval '7 days'"
_PURGE_REFRESH = "DELETE FROM refresh_tokens WHERE used_at < now() - interval '30 days'"


def _session(row: Row) -> Session:
    return Session(row["id"], row["user_id"], row["workspace_id"], Role(row["role"]))


async def insert(tx: Tx, session: Session, *, password_hash: str, life_s: float) -> bool:
    """Add a session; False if the password has changed since it was checked."""
    status = await tx.execute(
        _OPEN, session.id, session.workspace_id, session.user_id, password_hash, life_s
    )
    return status == "INSERT 0 1"


async def find_live(tx: Tx, session_id: SessionId) -> Session | None:
    """Find a session that may be used now, with the present role of its member."""
    row = await tx.fetchrow(_FIND_LIVE, session_id)
    return _session(row) if row else None


async def insert_refresh_token(tx: Tx, digest: bytes, session_id: SessionId) -> None:
    """Add a refresh token."""
    await tx.execute(_ADD_REFRESH, digest, session_id)


async def spend_refresh_token(tx: Tx, digest: bytes) -> SessionId | None:
    """Use a refresh token up and give its session; None if it is unknown or used."""
    return await tx.fetchval(_SPEND_REFRESH, digest)


async def extend(tx: Tx, session_id: SessionId, life_s: float) -> Session | None:
    """Let a live session go on; None if it has ended or its member has left."""
    row = await tx.fetchrow(_EXTEND, session_id, life_s)
    return _session(row) if row else None


async def revoke_reused(tx: Tx, digest: bytes) -> Session | None:
    """End the session of a used refresh token; None if there is none or it has ended already."""
    row = await tx.fetchrow(_REVOKE_REUSED, digest)
    return _session(row) if row else None


async def revoke(tx: Tx, workspace_id: UUID, session_id: UUID, because: str) -> bool:
    """End a session; False if it has ended already."""
    return await tx.execute(_REVOKE, workspace_id, session_id, because) == "UPDATE 1"


async def revoke_others(tx: Tx, user_id: UUID, kept: UUID | None, because: str) -> None:
    """End all sessions of a user in all workspaces, but for the one that is kept."""
    await tx.execute(_REVOKE_OTHERS, user_id, kept or UUID(int=0), because)


async def revoke_of_member(tx: Tx, workspace_id: UUID, user_id: UUID, because: str) -> None:
    """End the sessions of a member in this workspace."""
    await tx.execute(_REVOKE_OF_MEMBER, workspace_id, user_id, because)


async def purge(tx: Tx) -> None:
    """Delete sessions and refresh tokens that nobody can use any more."""
    await tx.execute(_PURGE_SESSIONS)
    await tx.execute(_PURGE_REFRESH)
