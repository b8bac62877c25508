"""What the API of accounts takes and gives."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from argon2 import Type, extract_parameters
from argon2.exceptions import InvalidHashError
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from posthouse.accounts import emails, passwordrules
from posthouse.accounts.model import (
    KEY,
    SELF,
    USER,
    WORKSPACE,
    ApiKey,
    Identity,
    Member,
    Tokens,
    User,
)
from posthouse.kernel.audit import AuditEntry
from posthouse.kernel.auth import Principal, Role
from posthouse.kernel.moments import Moment
from posthouse.kernel.text import Name, Str

_HASH_COST = {"memory_cost": 65_536, "time_cost": 10, "parallelism": 4}


def _affordable(password_hash: str) -> str:
    """Give the hash back if checking a password against it costs no more than we can afford.

    Raises:
        PydanticCustomError: `hash-invalid`, for another kind of hash or a dearer one.
    """
    try:
        found = extract_parameters(password_hash)
    except InvalidHashError:
        found = None
    if (
        found is None
        or found.type is not Type.ID
        or any(getattr(found, name) > most for name, most in _HASH_COST.items())
    ):
        raise PydanticCustomError(
            "hash-invalid", "Give an argon2id hash of at most 64 MiB, ten passes and four lanes"
        )
    return password_hash


Email = Annotated[
    Str,
    Field(max_length=emails.MAX_LENGTH, examples=["ann@example.com"]),
    AfterValidator(emails.normalise),
]
Password = Annotated[Str, Field(min_length=1, max_length=passwordrules.MAX_LENGTH, repr=False)]
ScopeName = Annotated[str, Field(min_length=1, max_length=64)]


class LoginIn(BaseModel):
    """Who wants to come in."""

    model_config = ConfigDict(extra="forbid")

    username: Annotated[Str, Field(min_length=1, max_length=emails.MAX_LENGTH)] = Field(
        description="The email address."
    )
    password: Password
    workspace: Annotated[str, Field(pattern=WORKSPACE.pattern)] | None = Field(
        default=None, description="For users of several; without it the one that was joined first."
    )


class RefreshTokenIn(BaseModel):
    """The newest refresh token of a session."""

    model_config = ConfigDict(extra="forbid")

    refresh_token: Annotated[Str, Field(min_length=1, max_length=200, repr=False)]


class TokensOut(BaseModel):
    """The tokens of a session (RFC 6749 section 5.1). A refresh token can be used once."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105  a name, not a secret
    expires_in: int = Field(description="Seconds that the access token lives.")
    refresh_token: str


class UserIn(BaseModel):
    """A new user of this workspace."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    name: Name
    password: Password = Field(description="At least 15 characters, of any kind.")
    role: Role = Role.MEMBER


class UserRow(BaseModel):
    """A user in a file to import."""

    model_config = ConfigDict(extra="forbid")

    email: Email
    name: Name
    role: Role = Role.MEMBER
    password_hash: Annotated[Str, Field(max_length=300), AfterValidator(_affordable)] | None = None


class UserOut(BaseModel):
    """A user, and nothing more."""

    id: str = Field(pattern=USER.pattern)
    name: str
    email: str


class MemberOut(UserOut):
    """A user and what it may do in this workspace."""

    role: Role
    version: int
    created_at: datetime = Field(description="When it became a member.")


class MemberPatch(BaseModel):
    """A change of a member."""

    model_config = ConfigDict(extra="forbid")

    role: Role


class WorkspaceOut(BaseModel):
    """A workspace."""

    id: str = Field(pattern=WORKSPACE.pattern)
    name: str


class MeOut(BaseModel):
    """Who the caller is."""

    kind: Literal["user", "key"]
    id: str = Field(description="`usr_…` or `key_…`.")
    name: str
    email: str | None = Field(description="Null for a key.")
    workspace: WorkspaceOut
    role: Role
    scopes: list[str] | None = Field(description="Null means all that the role allows.")


class MePatch(BaseModel):
    """Changes to one's own account: what is absent stays."""

    model_config = ConfigDict(extra="forbid")

    name: Name = ""
    password: Password = Field(default="", description="The new password; ends all other sessions.")
    current_password: Password = Field(default="", description="Needed with a new password.")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set & {"name", "password"}:
            raise PydanticCustomError("empty-patch", "Name at least one field to change")
        return self


class KeyIn(BaseModel):
    """A new API key."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    role: Role = Role.MEMBER
    scopes: Annotated[list[ScopeName], Field(min_length=1, max_length=50)] | None = Field(
        default=None, description="Narrows the role; without it all that the role allows."
    )
    expires_at: Moment | None = None


class KeyOut(BaseModel):
    """An API key without its text."""

    id: str = Field(pattern=KEY.pattern)
    name: str
    hint: str = Field(description="How the key begins.")
    role: Role
    scopes: list[str] | None
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")
    revoked_at: datetime | None


class KeyMade(KeyOut):
    """An API key with its text, which is shown this once."""

    key: str


class AuditOut(BaseModel):
    """One thing that somebody did."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    detail: dict[str, Any]


def show_tokens(tokens: Tokens) -> TokensOut:
    """Say tokens as the API does."""
    return TokensOut(
        access_token=tokens.access_token,
        expires_in=tokens.expires_in_s,
        refresh_token=tokens.refresh_token,
    )


def show_user(user: User) -> UserOut:
    """Say a user as the API does."""
    return UserOut(id=USER.show(user.id), name=user.name, email=user.email)


def show_member(member: Member) -> MemberOut:
    """Say a member as the API does."""
    return MemberOut(
        id=USER.show(member.user_id),
        name=member.name,
        email=member.email,
        role=member.role,
        version=member.version,
        created_at=member.created_at,
    )


def show_me(principal: Principal, identity: Identity) -> MeOut:
    """Say who the caller is."""
    scopes = principal.scopes
    return MeOut(
        kind="key" if principal.user_id is None else "user",
        id=identity.id,
        name=identity.name,
        email=identity.email,
        workspace=WorkspaceOut(
            id=WORKSPACE.show(identity.workspace_id), name=identity.workspace_name
        ),
        role=principal.role,
        scopes=None if scopes is None else sorted(scopes - {SELF.name}),
    )


def show_key(key: ApiKey) -> KeyOut:
    """Say a key as the API does."""
    return KeyOut(
        id=KEY.show(key.id),
        name=key.name,
        hint=key.hint,
        role=key.role,
        scopes=None if key.scopes is None else sorted(key.scopes),
        created_by=key.created_by,
        created_at=key.created_at,
        expires_at=key.expires_at,
        last_used_at=key.last_used_at,
        revoked_at=key.revoked_at,
    )


def show_new_key(key: ApiKey, text: str) -> KeyMade:
    """Say a key with its text."""
    return KeyMade(**show_key(key).model_dump(), key=text)


def show_entry(entry: AuditEntry) -> AuditOut:
    """Say an entry of the audit log as the API does."""
    return AuditOut(
        id=entry.id,
        at=entry.at,
        actor=entry.actor,
        action=entry.action,
        subject=entry.subject,
        detail=dict(entry.detail),
    )
