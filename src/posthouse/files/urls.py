"""Addresses of downloads: signed, for one thing, one way and one time.

The signature covers the method, the workspace, the file, the name, the disposition and the expiry;
whoever has the address may read until then, and changing any of it makes it worthless.
Source: RFC 2104 (HMAC).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode
from uuid import UUID

from posthouse.files.errors import LinkExpiredError, SignatureInvalidError
from posthouse.files.model import FILE, WORKSPACE, Disposition, FileId
from posthouse.kernel.errors import NotFoundError
from posthouse.kernel.signing import Signer

PREFIX = "/-/files"
LONGEST_S = 604_800
_PARAMETERS = ("as", "exp", "sig")


@dataclass(frozen=True, slots=True)
class Address:
    """What an address leads to. `name` is a result's, or `source`; `expires_at` seconds of Unix."""

    workspace_id: UUID
    file_id: FileId
    name: str
    disposition: Disposition
    expires_at: int


@dataclass(frozen=True, slots=True)
class Addresses:
    """Makes and reads addresses below `base`."""

    signer: Signer
    base: str

    def make(self, address: Address) -> str:
        """Write an address."""
        path = "/".join((WORKSPACE.show(address.workspace_id), FILE.show(address.file_id)))
        query = urlencode(
            {
                "as": address.disposition,
                "exp": address.expires_at,
                "sig": self.signer.sign(_covered(address)),
            }
        )
        return f"{self.base}{PREFIX}/{path}/{quote(address.name, safe='')}?{query}"

    def read(
        self,
        path: tuple[str, str, str],
        query: Sequence[tuple[str, str]],
        *,
        now: float,
    ) -> Address:
        """Read the parts of an address that somebody calls.

        Raises:
            SignatureInvalidError: it was not made here, or was changed.
            LinkExpiredError: its time is over.
        """
        given = dict(query)
        if len(given) < len(query) or sorted(given) != sorted(_PARAMETERS):
            raise SignatureInvalidError
        workspace, file, name = path
        try:
            address = Address(
                WORKSPACE.read(workspace),
                FileId(FILE.read(file)),
                name,
                Disposition(given["as"]),
                _seconds(given["exp"]),
            )
        except (NotFoundError, ValueError) as error:
            raise SignatureInvalidError from error
        if not self.signer.fits(_covered(address), given["sig"]):
            raise SignatureInvalidError
        if address.expires_at <= now:
            raise LinkExpiredError
        return address


def _seconds(text: str) -> int:
    """Read a number that has one spelling.

    Raises:
        ValueError: it is not written as we write it.
    """
    number = int(text)
    if str(number) != text:
        raise ValueError(text)
    return number


def _covered(address: Address) -> bytes:
    parts = (
        "GET", WORKSPACE.show(address.workspace_id), FILE.show(address.file_id), address.name,
        address.disposition, str(address.expires_at),
    )  # fmt: skip
    return "\n".join(parts).encode()
