"""Providers of a workspace: set them up, try them, open them for those who send."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import BaseModel, SecretStr, ValidationError

from posthouse.kernel import audit, ids
from posthouse.kernel.auth import Principal
from posthouse.kernel.db import Database, Tx
from posthouse.kernel.errors import FieldProblem, StaleError
from posthouse.kernel.pagination import Keyset
from posthouse.notifications.channels.kinds import KINDS
from posthouse.notifications.channels.protocol import Provider, ProviderKind, Surroundings
from posthouse.notifications.errors import (
    NameTakenError,
    ProviderInvalidError,
    ProviderNotFoundError,
)
from posthouse.notifications.model import (
    DELIVERY,
    PROVIDER,
    Channel,
    Content,
    EmailContent,
    Json,
    NewProvider,
    Outcome,
    Outgoing,
    ProviderId,
    ProviderSetup,
    PushContent,
    SmsContent,
)
from posthouse.notifications.store import providers as store
from posthouse.notifications.vault import Vault

CALLBACKS = "/-/callbacks"
_LOCAL = frozenset({"localhost", "testserver"})


@dataclass(frozen=True, slots=True)
class Providers:
    """Providers: make them, find them, change them, try them.

    `around` is what all of them are given; each is told its own callback address below
    `public_url`, if that can be reached from outside.
    """

    db: Database
    vault: Vault
    around: Surroundings
    public_url: str

    async def make(
        self, principal: Principal, kind: str, options: Json, secrets: Json, **chosen: Any
    ) -> ProviderSetup:
        """Set a provider up; `chosen` are further fields of `NewProvider`.

        Raises:
            ProviderInvalidError: the options or secrets do not fit its kind; `fields` says why.
            NameTakenError: another provider has its name.
        """
        known = KINDS[kind]
        provider_id = ProviderId(ids.fresh())
        checked = self._check(known, options, secrets, provider_id)
        new = NewProvider(
            id=provider_id,
            workspace_id=principal.workspace_id,
            channel=known.channel,
            kind=kind,
            **checked,
            **chosen,
        )
        async with self.db.begin() as tx:
            made = await store.insert(tx, new)
            if made is None:
                raise NameTakenError
            await audit.record(
                tx, principal, "provider.made", PROVIDER.show(made.id), {"kind": kind}
            )
        return made

    async def find(self, principal: Principal, provider_id: ProviderId) -> ProviderSetup:
        """Find a provider of the caller's workspace.

        Raises:
            ProviderNotFoundError: there is none.
        """
        return await self._find(principal.workspace_id, provider_id)

    async def page(
        self, principal: Principal, keyset: Keyset, channel: Channel | None
    ) -> list[ProviderSetup]:
        """Read one page, newest first, and one more."""
        async with self.db.read() as connection:
            return await store.page(connection, principal.workspace_id, keyset, channel)

    async def edit(
        self,
        principal: Principal,
        provider_id: ProviderId,
        changes: Json,
        *,
        version: int | None = None,
    ) -> ProviderSetup:
        """Change what `changes` names: fields of `NewProvider`.

        Options and secrets are changed one by one: what is absent stays, and null takes away.

        Raises:
            ProviderNotFoundError: there is no such provider.
            StaleError: it has another version than `version`.
            ProviderInvalidError: options and secrets do not fit any more.
            NameTakenError: another provider has its new name.
            SecretsUnreadableError: the present secrets cannot be read, and not all are given.
        """
        async with self.db.begin() as tx:
            found = await self._expect(tx, principal, provider_id, version)
            wanted = replace(found, **self._merged(found, dict(changes)))
            changed = await store.update(tx, wanted)
            if changed is None:
                raise NameTakenError
            detail = {"fields": sorted(changes)}
            await audit.record(tx, principal, "provider.edited", PROVIDER.show(found.id), detail)
        return changed

    async def delete(
        self, principal: Principal, provider_id: ProviderId, *, version: int | None = None
    ) -> None:
        """Delete a provider; what it sent stays sent, but its receipts are not taken any more.

        Raises:
            ProviderNotFoundError: there is no such provider.
            StaleError: it has another version than `version`.
        """
        async with self.db.begin() as tx:
            found = await self._expect(tx, principal, provider_id, version)
            await store.delete(tx, principal.workspace_id, found.id)
            await audit.record(tx, principal, "provider.deleted", PROVIDER.show(found.id))

    async def resume(self, principal: Principal, provider_id: ProviderId) -> ProviderSetup:
        """Let a provider that refused us be tried again; safe to repeat.

        Raises:
            ProviderNotFoundError: there is no such provider.
        """
        async with self.db.begin() as tx:
            found = await self._expect(tx, principal, provider_id, None)
            if found.paused_at is None:
                return found
            resumed = await store.resume(tx, principal.workspace_id, found.id)
            detail = {"reason": found.paused_reason}
            await audit.record(tx, principal, "provider.resumed", PROVIDER.show(found.id), detail)
        return resumed or found

    async def test(self, principal: Principal, provider_id: ProviderId, address: str) -> Outcome:
        """Send a message that says what it is to an address, now, and give what became of it.

        Raises:
            ProviderNotFoundError: there is no such provider.
            ProviderInvalidError: it is set up in a way that does not fit any more.
            SecretsUnreadableError: its secrets cannot be read.
        """
        found = await self.find(principal, provider_id)
        async with self.db.begin() as tx:
            await audit.record(tx, principal, "provider.tested", PROVIDER.show(found.id))
        provider = self._open(found)
        key = DELIVERY.show(ids.fresh())
        try:
            return await provider.send(Outgoing(key, address, _greeting(found)))
        finally:
            await provider.close()

    async def opened(self, workspace_id: UUID, provider_id: UUID) -> Provider:
        """Open a provider as it is set up now; who asks for it closes it.

        Raises:
            ProviderNotFoundError: there is no such provider.
            ProviderInvalidError: it is set up in a way that does not fit any more.
            SecretsUnreadableError: its secrets cannot be read.
        """
        return self._open(await self._find(workspace_id, provider_id))

    async def callers(self, provider_id: UUID) -> tuple[ProviderSetup, ProviderKind] | None:
        """The provider that a call from outside is meant for, and its kind."""
        async with self.db.read() as connection:
            found = await store.find_any(connection, provider_id)
        return None if found is None else (found, KINDS[found.kind])

    def read(self, found: ProviderSetup) -> tuple[BaseModel, BaseModel]:
        """The options and secrets of a provider.

        Raises:
            ProviderInvalidError: they do not fit its kind any more.
            SecretsUnreadableError: its secrets cannot be read.
        """
        kind, secrets = KINDS[found.kind], self.vault.open(found.id, found.secrets)
        return (
            _validated(kind.options, found.options, "body.options"),
            _validated(kind.secrets, secrets, "body.secrets"),
        )

    def surroundings(self, provider_id: UUID) -> Surroundings:
        """What one provider is given."""
        return replace(self.around, callback_url=self.callback_url(provider_id))

    def callback_url(self, provider_id: UUID) -> str:
        """Where a provider tells us what became of messages; empty if nobody outside reaches it."""
        base = self.public_url.rstrip("/")
        if not _is_outside(urlsplit(base).hostname or ""):
            return ""
        return f"{base}{CALLBACKS}/{PROVIDER.show(provider_id)}"

    def _open(self, found: ProviderSetup) -> Provider:
        options, secrets = self.read(found)
        return KINDS[found.kind].open(options, secrets, self.surroundings(found.id))

    def _check(
        self, kind: ProviderKind, options: Json, secrets: Json, provider_id: ProviderId
    ) -> dict[str, Any]:
        """Check options and secrets with each other, and give both as they are stored."""
        checked: tuple[Any, Any] = (
            _validated(kind.options, options, "body.options"),
            _validated(kind.secrets, secrets, "body.secrets"),
        )
        if kind.complete is not None:
            checked = kind.complete(*checked)
        kind.open(*checked, self.surroundings(provider_id))
        known = _revealed(checked[1])
        return {
            "options": checked[0].model_dump(mode="json", exclude_none=True),
            "secrets": self.vault.seal(provider_id, known),
            "secret_names": tuple(sorted(known)),
        }

    def _merged(self, found: ProviderSetup, changes: Json) -> Json:
        if not changes.keys() & {"options", "secrets"}:
            return changes
        options: Json = changes.pop("options", {})
        secrets: Json = changes.pop("secrets", {})
        # Secrets that nobody can read any more are replaced when all of them are given.
        is_whole = set(found.secret_names) <= secrets.keys()
        known: Json = {} if is_whole else {**self.vault.open(found.id, found.secrets)}
        checked = self._check(
            KINDS[found.kind],
            _without_null({**found.options, **options}),
            _without_null({**known, **secrets}),
            found.id,
        )
        return {**changes, **checked}

    async def _find(self, workspace_id: UUID, provider_id: UUID) -> ProviderSetup:
        async with self.db.read() as connection:
            found = await store.find(connection, workspace_id, provider_id)
        if found is None:
            raise ProviderNotFoundError
        return found

    async def _expect(
        self, tx: Tx, principal: Principal, provider_id: ProviderId, version: int | None
    ) -> ProviderSetup:
        found = await store.lock(tx, principal.workspace_id, provider_id)
        if found is None:
            raise ProviderNotFoundError
        if version is not None and version != found.version:
            raise StaleError(f"It has version {found.version} now.")
        return found


def _is_outside(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return host not in _LOCAL and "." in host


def _greeting(found: ProviderSetup) -> Content:
    text = f"This is a test of the provider {found.name}. Nothing is to be done."
    if found.channel is Channel.EMAIL:
        return EmailContent(f"A test of {found.name}", text)
    if found.channel is Channel.SMS:
        return SmsContent(text)
    return PushContent(f"A test of {found.name}", text)


def _validated(model: type[BaseModel], values: Mapping[str, Any], where: str) -> BaseModel:
    """Read options or secrets.

    Raises:
        ProviderInvalidError: they do not fit; `fields` says why, without what was given.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        problems = [
            FieldProblem(
                ".".join((where, *map(str, one["loc"]))), one["type"].replace("_", "-"), one["msg"]
            )
            for one in error.errors(include_input=False, include_url=False, include_context=False)
        ]
        raise ProviderInvalidError(problems=problems[:20]) from error


def _without_null(values: Json) -> Json:
    return {name: value for name, value in values.items() if value is not None}


def _revealed(secrets: BaseModel) -> dict[str, str]:
    values = {name: getattr(secrets, name) for name in type(secrets).model_fields}
    return {
        name: cast("SecretStr", value).get_secret_value()
        for name, value in values.items()
        if value is not None
    }
