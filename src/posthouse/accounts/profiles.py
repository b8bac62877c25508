"""The rules of one's own account: who am I, what am I called, how do I get in."""

from dataclasses import dataclass
from uuid import UUID

from posthouse.accounts.attempts import Attempts
from posthouse.accounts.errors import CurrentPasswordError, NotAUserError
from posthouse.accounts.model import KEY, USER, Identity
from posthouse.accounts.passwordrules import check_password
from posthouse.accounts.recent import Recent
from posthouse.accounts.settings import AccountsSettings
from posthouse.accounts.store import sessions as session_store
from posthouse.accounts.store import users as store
from posthouse.kernel import audit
from posthouse.kernel.auth import Principal, UnauthenticatedError
from posthouse.kernel.db import Database, Tx
from posthouse.kernel.errors import StaleError
from posthouse.kernel.passwords import Passwords


@dataclass(frozen=True, slots=True)
class Profile:
    """What a user may change of itself; None stays as it is."""

    name: str | None = None
    password: str | None = None
    current_password: str = ""


@dataclass(frozen=True, slots=True)
class Profiles:
    """The caller's own account."""

    db: Database
    passwords: Passwords
    attempts: Attempts
    recent: Recent
    settings: AccountsSettings

    async def me(self, principal: Principal) -> Identity:
        """Say in words who the caller is.

        Raises:
            UnauthenticatedError: it has left meanwhile.
        """
        async with self.db.read() as connection:
            return await _identify(connection, principal)

    async def edit(
        self, principal: Principal, wanted: Profile, *, network: str, version: int | None = None
    ) -> Identity:
        """Change name or password; a new password ends all other sessions of the user.

        Raises:
            NotAUserError: the caller is an API key.
            CurrentPasswordError: the current password is missing or wrong.
            PasswordRefusedError: the new one can be guessed.
            RateLimitedError: the current password was tried too often.
            StaleError: the user has another version than `version`.
        """
        if principal.user_id is None:
            raise NotAUserError("An API key has no name or password of its own to change.")
        async with self.db.read() as connection:
            known = await _identify(connection, principal)
        if version is not None and version != known.version:
            raise StaleError(f"It has version {known.version} now.")
        password_hash = None
        if wanted.password is not None:
            password_hash = await self._new_hash(principal.user_id, known, wanted, network)
        async with self.db.begin() as tx:
            user = await store.update_user(
                tx,
                principal.user_id,
                known.version,
                name=wanted.name,
                password_hash=password_hash,
            )
            if user is None:
                raise StaleError("Somebody else changed it at the same time.")
            if password_hash is not None:
                kept = principal.session_id
                await session_store.revoke_others(tx, principal.user_id, kept, "password-changed")
                self.db.after_commit(self.recent.forget)
            named = {"name": wanted.name, "password": password_hash}
            fields = [field for field, value in named.items() if value is not None]
            await audit.record(tx, principal, "user.edited", known.id, {"fields": fields})
            return await _identify(tx, principal)

    async def _new_hash(self, user_id: UUID, known: Identity, wanted: Profile, network: str) -> str:
        new, email = wanted.password or "", known.email or ""
        check_password(new, email=email, min_length=self.settings.password_min_length)
        if not wanted.current_password:
            raise CurrentPasswordError("Send current_password with a new password.")
        await self.attempts.take(email, network)
        async with self.db.read() as connection:
            present = await store.password_hash(connection, user_id)
        if not await self.passwords.matches(present, wanted.current_password):
            raise CurrentPasswordError
        return await self.passwords.hash(new)


async def _identify(tx: Tx, principal: Principal) -> Identity:
    workspace_id = principal.workspace_id
    found: Identity | None = None
    if principal.user_id is not None:
        shown = USER.show(principal.user_id)
        found = await store.identify_user(tx, workspace_id, principal.user_id, shown)
    elif principal.key_id is not None:
        shown = KEY.show(principal.key_id)
        found = await store.identify_key(tx, workspace_id, principal.key_id, shown)
    if found is None:
        raise UnauthenticatedError
    return found
