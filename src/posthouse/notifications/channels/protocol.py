"""What a provider is: it is handed one message at a time and says what became of it."""

import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

from posthouse.kernel.clock import Clock
from posthouse.kernel.outbound import Outbound
from posthouse.notifications.channels.hosts import Hosts
from posthouse.notifications.model import Channel, Outcome, Outgoing, Receipt


class Provider(Protocol):
    """An open connection to a provider, or a pool of them.

    `send` may be called from as many tasks at once as the provider's `at_once`; it has a deadline
    of its own by the wall clock and raises nothing that the other side can cause. An answer that
    did not come after the message may have been taken over is `Unknown`, never a refusal.
    """

    async def send(self, outgoing: Outgoing) -> Outcome:
        """Hand over one message; a retry has the same `key`."""
        ...

    async def close(self) -> None:
        """Let connections go."""
        ...


@dataclass(frozen=True, slots=True)
class Call:
    """A request of a provider to us: `url` is the public one, as the provider signed it."""

    url: str
    headers: Mapping[str, str]
    body: bytes


class Receiver(Protocol):
    """Reads what a provider tells us later."""

    async def read(self, call: Call) -> Sequence[Receipt]:
        """Check the signature and give what it tells; nothing for what we do not need.

        Raises:
            BadSignatureError: it is not from this provider, or too old.
            ReceiptInvalidError: it is, but cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the installation gives to every provider.

    `callback_url` is where this provider's receipts come in; empty if nobody outside reaches us.
    `strangers` calls addresses that a recipient chose. `tls` is for tests; else the system's
    authorities are trusted. `fetch` gets certificates that receipts are signed with.
    """

    clock: Clock
    folder: Path
    hosts: Hosts = field(default_factory=Hosts)
    strangers: Outbound = field(default_factory=Outbound)
    callback_url: str = ""
    connect_s: float = 3.0
    total_s: float = 15.0
    idle_s: float = 30.0
    tls: ssl.SSLContext | None = None
    fetch: Callable[[str], Awaitable[bytes]] | None = None


class OpenReceiver(Protocol):
    """Opens what reads a provider's receipts."""

    def __call__(self, options: Any, secrets: Any, around: Surroundings) -> Receiver:
        """Open."""
        ...


class Open(Protocol):
    """Opens a provider from its options and secrets, which have been checked."""

    def __call__(self, options: Any, secrets: Any, around: Surroundings) -> Provider:
        """Open; connects on the first message.

        Raises:
            ProviderInvalidError: options and secrets do not fit each other.
        """
        ...


@dataclass(frozen=True, slots=True)
class ProviderKind:
    """One kind of provider: what it is configured with and how it is opened.

    `options` can be read by the API, `secrets` only written. `receive` is there if it gives
    receipts; `complete` fills in what follows from the others when it is made or edited.
    """

    name: str
    channel: Channel
    options: type[BaseModel]
    secrets: type[BaseModel]
    open: Open
    receive: OpenReceiver | None = None
    complete: Callable[[Any, Any], tuple[Any, Any]] | None = None
