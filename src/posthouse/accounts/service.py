"""The rules of accounts: which users a workspace has, and what each of them may do."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from posthouse.accounts import apikeys
from posthouse.accounts.errors import (
    EmailTakenError,
    LastOwnerError,
    RoleTooHighError,
    UserNotFoundError,
)
from posthouse.accounts.model import (
    KEY,
    USER,
    WORKSPACE,
    KeyId,
    Member,
    NewKey,
    User,
    UserId,
    WorkspaceId,
)
from posthouse.accounts.passwordrules import check_password
from posthouse.accounts.recent import Recent
from posthouse.accounts.settings import AccountsSettings
from posthouse.accounts.store import keys as key_store
from posthouse.accounts.store import sessions as session_store
from posthouse.accounts.store import users as store
from posthouse.kernel import audit, ids
from posthouse.kernel.audit import AuditEntry
from posthouse.kernel.auth import Principal, Role, UnauthenticatedError
from posthouse.kernel.db import Database, Tx
from posthouse.kernel.errors import StaleError
from posthouse.kernel.pagination import Keyset
from posthouse.kernel.passwords import Passwords


@dataclass(frozen=True, slots=True)
class FirstRun:
    """What the first run made; the only time that the key and the password are seen."""

    workspace_id: WorkspaceId
    owner_email: str
    password: str
    api_key: str


@dataclass(frozen=True, slots=True)
class NewUser:
    """A user to be: `email` is normalised, `password` is as it was typed."""

    email: str
    name: str
    password: str
    role: Role = Role.MEMBER


@dataclass(frozen=True, slots=True)
class Accounts:
    """Workspaces, their users and members, and the log of who did what."""

    db: Database
    passwords: Passwords
    recent: Recent
    settings: AccountsSettings

    async def anonymous(self) -> Principal:
        """The caller without a name, who acts in the first workspace.

        Raises:
            UnauthenticatedError: there is no workspace yet.
        """
        async with self.db.read() as connection:
            workspace_id = await store.any_workspace(connection)
        if workspace_id is None:
            raise UnauthenticatedError
        return Principal(workspace_id=workspace_id, actor="anonymous", role=Role.MEMBER)

    async def first_run(self) -> FirstRun | None:
        """Make a workspace, its owner and a key, unless there is a workspace already."""
        workspace_id, user_id = WorkspaceId(ids.fresh()), UserId(ids.fresh())
        email, password = "owner@posthouse.invalid", secrets.token_urlsafe(18)
        key, digest = apikeys.fresh_pair()
        password_hash = await self.passwords.hash(password)
        owner = Principal(workspace_id=workspace_id, actor="first-run", role=Role.OWNER)
        async with self.db.begin() as tx:
            if await store.any_workspace(tx):
                return None
            await store.insert_workspace(tx, workspace_id, "First workspace")
            await store.insert_user(tx, user_id, email, "Owner", password_hash)
            await store.insert_membership(tx, workspace_id, user_id, Role.OWNER)
            made = await key_store.insert(
                tx,
                KeyId(ids.fresh()),
                workspace_id,
                NewKey("First key", Role.OWNER),
                hint=apikeys.hint(key),
                digest=digest,
                created_by=USER.show(user_id),
            )
            detail = {"owner": USER.show(user_id), "key": KEY.show(made.id)}
            await audit.record(tx, owner, "workspace.made", WORKSPACE.show(workspace_id), detail)
        return FirstRun(workspace_id, email, password, key)

    async def add_user(self, principal: Principal, new: NewUser) -> User:
        """Make a user who is a member of the caller's workspace.

        Raises:
            RoleTooHighError: the role is higher than the caller's own.
            PasswordRefusedError: the password can be guessed.
            EmailTakenError: another user has the address, in whatever case.
        """
        _require_covered(principal, new.role)
        check_password(new.password, email=new.email, min_length=self.settings.password_min_length)
        password_hash = await self.passwords.hash(new.password)
        user = User(UserId(ids.fresh()), new.email, new.name, version=1)
        async with self.db.begin() as tx:
            if not await store.insert_user(tx, user.id, user.email, user.name, password_hash):
                raise EmailTakenError
            await store.insert_membership(tx, principal.workspace_id, user.id, new.role)
            detail = {"email": user.email, "role": new.role}
            await audit.record(tx, principal, "user.made", USER.show(user.id), detail)
        return user

    async def find_user(self, principal: Principal, user_id: UserId) -> User:
        """Find a user of the caller's workspace.

        Raises:
            UserNotFoundError: there is none.
        """
        async with self.db.read() as connection:
            user = await store.find_user(connection, principal.workspace_id, user_id)
        if user is None:
            raise UserNotFoundError
        return user

    async def find_member(self, principal: Principal, user_id: UserId) -> Member:
        """Find a member of the caller's workspace.

        Raises:
            UserNotFoundError: there is none.
        """
        async with self.db.read() as connection:
            return await _expect(connection, principal.workspace_id, user_id)

    async def page_members(self, principal: Principal, keyset: Keyset) -> list[Member]:
        """Read one page and one member more, the newest user first."""
        async with self.db.read() as connection:
            return await store.page_members(connection, principal.workspace_id, keyset)

    async def set_role(
        self, principal: Principal, user_id: UserId, role: Role, *, version: int | None = None
    ) -> Member:
        """Give a member another role, and end the keys it made that are above that role.

        Raises:
            UserNotFoundError: there is no such member.
            StaleError: the membership has another version than `version`.
            RoleTooHighError: its present or its new role is higher than the caller's own.
            LastOwnerError: it is the last owner, and would be none.
        """
        async with self.db.begin() as tx:
            member = await self._may_change(tx, principal, user_id, version)
            _require_covered(principal, role)
            if member.role is role:
                return member
            await self._require_other_owner(tx, principal.workspace_id, member)
            await store.set_role(tx, principal.workspace_id, user_id, role)
            above = [other for other in Role if not role.covers(other)]
            ended = await self._end_keys(tx, principal, user_id, above)
            detail = {"from": member.role, "to": role, "keys_revoked": ended}
            await self._changed(tx, principal, "member.edited", user_id, detail)
            return await _expect(tx, principal.workspace_id, user_id)

    async def remove_member(
        self, principal: Principal, user_id: UserId, *, version: int | None = None
    ) -> None:
        """Take a member out, and end its sessions here and the keys it made.

        Raises:
            UserNotFoundError: there is no such member.
            StaleError: the membership has another version than `version`.
            RoleTooHighError: its role is higher than the caller's own.
            LastOwnerError: it is the last owner.
        """
        async with self.db.begin() as tx:
            member = await self._may_change(tx, principal, user_id, version)
            await self._require_other_owner(tx, principal.workspace_id, member)
            workspace_id = principal.workspace_id
            await session_store.revoke_of_member(tx, workspace_id, user_id, "member-removed")
            ended = await self._end_keys(tx, principal, user_id, list(Role))
            await store.delete_member(tx, workspace_id, user_id)
            detail = {"role": member.role, "keys_revoked": ended}
            await self._changed(tx, principal, "member.removed", user_id, detail)

    async def page_audit(
        self, principal: Principal, keyset: Keyset, *, action: str | None = None
    ) -> list[AuditEntry]:
        """Read who did what in the caller's workspace, newest first, one entry more."""
        async with self.db.read() as connection:
            return await audit.page(connection, principal.workspace_id, keyset, action=action)

    async def _may_change(
        self, tx: Tx, principal: Principal, user_id: UserId, version: int | None
    ) -> Member:
        await store.lock_workspace(tx, principal.workspace_id)
        member = await _expect(tx, principal.workspace_id, user_id)
        if version is not None and version != member.version:
            raise StaleError(f"It has version {member.version} now.")
        _require_covered(principal, member.role)
        return member

    async def _require_other_owner(self, tx: Tx, workspace_id: UUID, member: Member) -> None:
        if member.role is Role.OWNER and await store.count_owners(tx, workspace_id) == 1:
            raise LastOwnerError("Make somebody else an owner first.")

    async def _end_keys(
        self, tx: Tx, principal: Principal, user_id: UserId, roles: list[Role]
    ) -> list[str]:
        maker = USER.show(user_id)
        ended = await key_store.revoke_made_by(tx, principal.workspace_id, maker, roles)
        return [KEY.show(key_id) for key_id in ended]

    async def _changed(
        self,
        tx: Tx,
        principal: Principal,
        action: str,
        user_id: UserId,
        detail: Mapping[str, Any],
    ) -> None:
        await audit.record(tx, principal, action, USER.show(user_id), detail)
        self.db.after_commit(self.recent.forget)


async def _expect(tx: Tx, workspace_id: UUID, user_id: UserId) -> Member:
    member = await store.find_member(tx, workspace_id, user_id)
    if member is None:
        raise UserNotFoundError
    return member


def _require_covered(principal: Principal, role: Role) -> None:
    if not principal.role.covers(role):
        raise RoleTooHighError(f"You are {principal.role}, and {role} is higher.")
