"""The values of accounts: ids, scopes, frozen records."""

from dataclasses import dataclass
from datetime import datetime
from typing import NewType
from uuid import UUID

from posthouse.kernel.auth import Role, Scope
from posthouse.kernel.ids import Prefix

WorkspaceId = NewType("WorkspaceId", UUID)
UserId = NewType("UserId", UUID)
KeyId = NewType("KeyId", UUID)
SessionId = NewType("SessionId", UUID)

WORKSPACE = Prefix("wsp")
USER = Prefix("usr")
KEY = Prefix("key")

READ = Scope("accounts:read", Role.VIEWER)
ADMINISTER = Scope("accounts:write", Role.ADMIN)


@dataclass(frozen=True, slots=True)
class User:
    """A person; `version` is for `If-Match`."""

    id: UserId
    email: str
    name: str
    version: int


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key of a workspace. The key itself is not kept; `hint` is its first characters."""

    id: KeyId
    workspace_id: WorkspaceId
    name: str
    hint: str
    role: Role
    scopes: frozenset[str] | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
