"""The rules of accounts: who may come in, and who is there."""

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field

from posthouse.accounts import apikeys, store
from posthouse.accounts.model import KEY, USER, KeyId, UserId, WorkspaceId
from posthouse.kernel.passwords import Passwords
from posthouse.kernel import ids
from posthouse.kernel.auth import Principal, Role, UnauthenticatedError
from posthouse.kernel.clock import Clock
from posthouse.kernel.db import Database

# How long a revoked key can still be used in another process.
_REMEMBERED_S = 1.0
_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class FirstRun:
    """What the first run made; the only time that the key and the password are seen."""

    workspace_id: WorkspaceId
    owner_email: str
    password: str
    api_key: str


@dataclass(slots=True)
class Accounts:
    """Users, workspaces, keys and sessions."""

    db: Database
    clock: Clock
    passwords: Passwords
    _known: OrderedDict[bytes, tuple[float, Principal]] = field(
        default_factory=OrderedDict[bytes, tuple[float, Principal]], init=False
    )

    async def authenticate(self, bearer: str) -> Principal:
        """Find whose token it is. A found key is remembered for one second.

        Raises:
            UnauthenticatedError: it is no token of ours, or has expired or been revoked.
        """
        digest = apikeys.digest(bearer)
        if digest is None:
            raise UnauthenticatedError
        known = self._known.get(digest)
        if known is not None and known[0] > self.clock.monotonic():
            return known[1]
        async with self.db.read() as connection:
            key = await store.find_live_key(connection, digest)
            if key is None:
                self._known.pop(digest, None)
                raise UnauthenticatedError
            await store.touch_key(connection, key.id)
        principal = Principal(
            workspace_id=key.workspace_id,
            actor=KEY.show(key.id),
            role=key.role,
            key_id=key.id,
            scopes=key.scopes,
        )
        self._known[digest] = (self.clock.monotonic() + _REMEMBERED_S, principal)
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return principal

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
        workspace_id = WorkspaceId(ids.fresh())
        user_id = UserId(ids.fresh())
        password = secrets.token_urlsafe(18)
        email = "owner@posthouse.invalid"
        key = apikeys.fresh()
        digest = apikeys.digest(key)
        assert digest is not None  # noqa: S101  we made it
        password_hash = await self.passwords.hash(password)
        async with self.db.begin() as tx:
            if await store.any_workspace(tx):
                return None
            await store.insert_workspace(tx, workspace_id, "First workspace")
            await store.insert_user(tx, user_id, email, "Owner", password_hash)
            await store.insert_membership(tx, workspace_id, user_id, Role.OWNER)
            await store.insert_key(
                tx,
                KeyId(ids.fresh()),
                workspace_id,
                "First key",
                hint=apikeys.hint(key),
                digest=digest,
                role=Role.OWNER,
                scopes=None,
                created_by=USER.show(user_id),
                expires_at=None,
            )
        return FirstRun(workspace_id, email, password, key)
