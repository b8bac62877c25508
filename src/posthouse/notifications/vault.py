"""Secrets of providers at rest: whoever has the database alone cannot read them.

AES-256-GCM with a key of this purpose alone and the provider's id as associated data, so what was
sealed for one provider opens for no other. Source: NIST SP 800-38D (96 random bits as nonce).
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from posthouse.kernel.signing import derive_key
from posthouse.notifications.errors import SecretsUnreadableError

_FORM = b"\x01"
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class Vault:
    """Seals and opens with one key."""

    key: bytes = field(repr=False)

    @classmethod
    def of(cls, secret: str) -> "Vault":
        """The vault of an installation, from its one secret."""
        return cls(derive_key(secret, "provider secrets"))

    def seal(self, provider_id: UUID, values: Mapping[str, str]) -> bytes:
        """Make of secrets what may lie in the database; never the same twice."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        plain = json.dumps(dict(values)).encode()
        return _FORM + nonce + AESGCM(self.key).encrypt(nonce, plain, provider_id.bytes)

    def open(self, provider_id: UUID, sealed: bytes) -> dict[str, str]:
        """Give the secrets back.

        Raises:
            SecretsUnreadableError: they were sealed with another secret of the installation, for
                another provider, or have been changed.
        """
        nonce, rest = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        if sealed[:1] != _FORM:
            raise SecretsUnreadableError
        try:
            plain = AESGCM(self.key).decrypt(nonce, rest, provider_id.bytes)
        except (InvalidTag, ValueError) as error:
            raise SecretsUnreadableError from error
        return cast("dict[str, str]", json.loads(plain))
