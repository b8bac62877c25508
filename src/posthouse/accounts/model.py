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
SESSION = Prefix("ses")

READ = Scope("accounts:read", Role.VIEWER)
ADMINISTER = Scope("accounts:write", Role.ADMIN)
AUDIT = Scope("audit:read", Role.ADMIN)
# Every principal has it, a key with any scopes too: to ask who one is, and to leave.
SELF = Scope("self", Role.VIEWER)


@dataclass(frozen=True, slots=True)
class User:
    """A person; `version` is for `If-Match`."""

    id: UserId
    email: str
    name: str
    version: int


@dataclass(frozen=True, slots=True)
class Member:
    """A user in one workspace; `version` is that of the membership."""

    user_id: UserId
    email: str
    name: str
    role: Role
    version: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Account:
    """What a login is checked against: the user, and the membership that it would act by."""

    user_id: UserId
    workspace_id: WorkspaceId
    role: Role
    password_hash: str


@dataclass(frozen=True, slots=True)
class Session:
    """A live login: whose it is, and what its member may do now."""

    id: SessionId
    user_id: UserId
    workspace_id: WorkspaceId
    role: Role


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a login or a refresh gives, the only time that they are seen."""

    access_token: str
    refresh_token: str
    expires_in_s: int


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key of a workspace. The key itself is not kept; `hint` is its first characters."""

    id: KeyId
    workspace_id: WorkspaceId
    name: str
    hint: str
    role: Role
    scopes: frozenset[str] | None
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class NewKey:
    """What the maker of a key chooses; `scopes` None means all that the role allows."""

    name: str
    role: Role
    scopes: frozenset[str] | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a principal is, in words: `email` is None for a key."""

    id: str
    name: str
    email: str | None
    workspace_id: WorkspaceId
    workspace_name: str
    version: int
