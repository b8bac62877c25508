"""The rules of API keys: who may make one, how much it may do, how it ends."""

from dataclasses import dataclass, replace

from posthouse.accounts import apikeys
from posthouse.accounts.errors import (
    ExpiryPassedError,
    KeyNotFoundError,
    RoleTooHighError,
    ScopeTooWideError,
    UnknownScopeError,
)
from posthouse.accounts.model import KEY, SELF, ApiKey, KeyId, NewKey
from posthouse.accounts.recent import Recent
from posthouse.accounts.store import keys as store
from posthouse.kernel import audit, ids
from posthouse.kernel.auth import Principal
from posthouse.kernel.clock import Clock
from posthouse.kernel.db import Database
from posthouse.kernel.errors import FieldProblem
from posthouse.kernel.pagination import Keyset


@dataclass(frozen=True, slots=True)
class Keyring:
    """The API keys of a workspace."""

    db: Database
    clock: Clock
    recent: Recent

    async def make(
        self, principal: Principal, new: NewKey, known_scopes: frozenset[str]
    ) -> tuple[ApiKey, str]:
        """Make a key and give it with its text, which is not kept and cannot be shown again.

        Raises:
            RoleTooHighError: it would have a higher role than its maker.
            ScopeTooWideError: it would have a scope that its maker lacks.
            UnknownScopeError: a scope is not in `known_scopes`.
            ExpiryPassedError: it would have expired already.
        """
        new = replace(new, scopes=_granted(principal, new, known_scopes))
        if new.expires_at is not None and new.expires_at <= self.clock.now():
            problem = FieldProblem("body.expires_at", ExpiryPassedError.code, "lies in the past")
            raise ExpiryPassedError("Choose a time that is to come.", fields=[problem])
        text, digest = apikeys.fresh_pair()
        async with self.db.begin() as tx:
            key = await store.insert(
                tx,
                KeyId(ids.fresh()),
                principal.workspace_id,
                new,
                hint=apikeys.hint(text),
                digest=digest,
                created_by=principal.actor,
            )
            detail = {"role": key.role, "scopes": sorted(key.scopes) if key.scopes else None}
            await audit.record(tx, principal, "key.made", KEY.show(key.id), detail)
        return key, text

    async def find(self, principal: Principal, key_id: KeyId) -> ApiKey:
        """Find a key of the caller's workspace, a revoked one too.

        Raises:
            KeyNotFoundError: there is none.
        """
        async with self.db.read() as connection:
            key = await store.find(connection, principal.workspace_id, key_id)
        if key is None:
            raise KeyNotFoundError
        return key

    async def page(self, principal: Principal, keyset: Keyset) -> list[ApiKey]:
        """Read one page and one key more, newest first."""
        async with self.db.read() as connection:
            return await store.page(connection, principal.workspace_id, keyset)

    async def revoke(self, principal: Principal, key_id: KeyId) -> None:
        """End a key, here at once and elsewhere within a second; safe to repeat.

        Whoever administers may end any key, an owner's too: a leak cannot wait for an owner.

        Raises:
            KeyNotFoundError: there is no such key.
        """
        async with self.db.begin() as tx:
            if await store.revoke(tx, principal.workspace_id, key_id):
                await audit.record(tx, principal, "key.revoked", KEY.show(key_id))
                self.db.after_commit(self.recent.forget)
            elif await store.find(tx, principal.workspace_id, key_id) is None:
                raise KeyNotFoundError


def _granted(
    principal: Principal, new: NewKey, known_scopes: frozenset[str]
) -> frozenset[str] | None:
    """The scopes of a new key: those asked for, else all that its maker has.

    Raises:
        RoleTooHighError: the role is higher than the maker's.
        UnknownScopeError: a scope is not in `known_scopes`.
        ScopeTooWideError: the maker lacks a scope.
    """
    if not principal.role.covers(new.role):
        raise RoleTooHighError(f"You are {principal.role}; choose that role or a lower one.")
    if new.scopes is None:
        return None if principal.scopes is None else principal.scopes - {SELF.name}
    unknown = sorted(new.scopes - known_scopes)
    if unknown:
        words = f"Known are: {', '.join(sorted(known_scopes))}."
        problem = FieldProblem("body.scopes", UnknownScopeError.code, words)
        raise UnknownScopeError(words, fields=[problem])
    if principal.scopes is not None and not new.scopes <= principal.scopes:
        raise ScopeTooWideError
    return new.scopes
