"""The rules of sessions: how one is opened, goes on, and ends.

A session is a family of refresh tokens of which only the newest may be used. A used one that
comes back means that two parties hold the family, so all of it ends (RFC 9700 section 4.14).
"""

from dataclasses import dataclass
from uuid import UUID

from posthouse.accounts import emails, refreshtokens
from posthouse.accounts.attempts import Attempts
from posthouse.accounts.errors import NotAUserError, RefreshTokenError, WrongCredentialsError
from posthouse.accounts.model import SESSION, USER, Account, Session, SessionId, Tokens
from posthouse.accounts.recent import Recent
from posthouse.accounts.settings import AccountsSettings
from posthouse.accounts.store import sessions as store
from posthouse.accounts.store import users as user_store
from posthouse.accounts.tokens import AccessTokens
from posthouse.kernel import audit, ids
from posthouse.kernel.auth import Principal, Role
from posthouse.kernel.db import Database, Tx
from posthouse.kernel.passwords import Passwords

# Failed logins of unknown users are written down here, in no workspace.
NOWHERE = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Sessions:
    """Log in, stay logged in, log out."""

    db: Database
    passwords: Passwords
    attempts: Attempts
    tokens: AccessTokens
    recent: Recent
    settings: AccountsSettings

    async def log_in(
        self, username: str, password: str, *, network: str, workspace_id: UUID | None = None
    ) -> Tokens:
        """Open a session in the named workspace, or in the one that the user joined first.

        An unknown user takes the same steps as a wrong password: one count, one look-up, one
        hash, one row in the audit log.

        Raises:
            WrongCredentialsError: there is no such user, password or membership.
            RateLimitedError: too many tries at this account or from this address.
        """
        email = emails.as_username(username)
        await self.attempts.take(email, network)
        async with self.db.read() as connection:
            account = await user_store.find_account(connection, email, workspace_id)
        matches = await self.passwords.matches(account and account.password_hash, password)
        if account is None or not matches:
            await self._note_failure(account, network)
            raise WrongCredentialsError
        session = Session(
            SessionId(ids.fresh()), account.user_id, account.workspace_id, account.role
        )
        refresh_token = refreshtokens.fresh()
        async with self.db.begin() as tx:
            is_open = await store.insert(
                tx,
                session,
                password_hash=account.password_hash,
                life_s=self.settings.refresh_token_s,
            )
            if not is_open:
                raise WrongCredentialsError
            await store.insert_refresh_token(tx, refreshtokens.digest(refresh_token), session.id)
            await _record(tx, session, "session.opened", {"address": network})
        return self._tokens(session, refresh_token)

    async def _note_failure(self, account: Account | None, network: str) -> None:
        principal = Principal(
            workspace_id=account.workspace_id if account else NOWHERE,
            actor="anonymous",
            role=Role.VIEWER,
        )
        subject = USER.show(account.user_id) if account else "unknown"
        async with self.db.begin() as tx:
            await audit.record(tx, principal, "login.failed", subject, {"address": network})

    async def refresh(self, refresh_token: str) -> Tokens:
        """Give new tokens for the newest refresh token, and use it up.

        Raises:
            RefreshTokenError: it cannot be used; if it was used before, the session is over.
        """
        digest = refreshtokens.digest(refresh_token)
        following = refreshtokens.fresh()
        # The error is raised after the commit: a session that is over stays over.
        async with self.db.begin() as tx:
            session = await self._continue(tx, digest, refreshtokens.digest(following))
        if session is None:
            raise RefreshTokenError
        return self._tokens(session, following)

    async def _continue(self, tx: Tx, digest: bytes, following: bytes) -> Session | None:
        session_id = await store.spend_refresh_token(tx, digest)
        if session_id is None:
            await self._end_if_reused(tx, digest)
            return None
        session = await store.extend(tx, session_id, self.settings.refresh_token_s)
        if session is not None:
            await store.insert_refresh_token(tx, following, session.id)
        return session

    async def _end_if_reused(self, tx: Tx, digest: bytes) -> None:
        reused = await store.revoke_reused(tx, digest)
        if reused is not None:
            await _record(tx, reused, "session.revoked", {"because": "refresh-reuse"})
            self.db.after_commit(self.recent.forget)

    async def log_out(self, principal: Principal) -> None:
        """End the caller's session; its access tokens end with it. Safe to repeat.

        Raises:
            NotAUserError: the caller is an API key, which has no session.
        """
        if principal.session_id is None:
            raise NotAUserError("An API key has no session; revoke the key instead.")
        async with self.db.begin() as tx:
            is_ended = await store.revoke(
                tx, principal.workspace_id, principal.session_id, "logout"
            )
            if is_ended:
                subject = SESSION.show(principal.session_id)
                await audit.record(tx, principal, "session.closed", subject)
            self.db.after_commit(self.recent.forget)

    async def purge(self) -> None:
        """Delete what has long ended; a worker does it daily."""
        async with self.db.begin() as tx:
            await store.purge(tx)

    def _tokens(self, session: Session, refresh_token: str) -> Tokens:
        return Tokens(self.tokens.issue(session), refresh_token, self.tokens.life_s)


async def _record(tx: Tx, session: Session, action: str, detail: dict[str, str]) -> None:
    principal = Principal(
        workspace_id=session.workspace_id, actor=USER.show(session.user_id), role=session.role
    )
    await audit.record(tx, principal, action, SESSION.show(session.id), detail)
