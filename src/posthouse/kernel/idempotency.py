"""`Idempotency-Key`: a POST that can be repeated and still happens once.

The first request's answer is stored in the very transaction that made it true; a repetition
gets the same bytes. Another body under the same key is an error, and so is the key of a request
that is still running. Answers that changed nothing (errors) are not stored.
Source: IETF draft-ietf-httpapi-idempotency-key-header; Stripe's API.
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from posthouse.kernel.db import Database
from posthouse.kernel.errors import FieldProblem, InvalidInputError, Kind, PosthouseError
from posthouse.kernel.signing import Signer

MAX_KEY_LENGTH = 255
KEY_PATTERN = f"^[ -~]{{1,{MAX_KEY_LENGTH}}}$"
KEPT = "24 hours"

_LOCK = "SELECT pg_try_advisory_xact_lock($1)"
_FIND = """
SELECT fingerprint, status, headers, body FROM idempotency_keys
WHERE workspace_id = $1 AND owner = $2 AND key = $3 AND created_at > now() - interval '24 hours'
"""
_STORE = """
INSERT INTO idempotency_keys (workspace_id, owner, key, fingerprint, status, headers, body)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (workspace_id, owner, key) DO UPDATE
SET fingerprint = EXCLUDED.fingerprint, status = EXCLUDED.status, headers = EXCLUDED.headers,
    body = EXCLUDED.body, created_at = now()
"""
_PURGE = "DELETE FROM idempotency_keys WHERE created_at < now() - interval '24 hours'"


class IdempotencyKeyError(InvalidInputError):
    """The key itself is not usable."""

    code: ClassVar[str] = "idempotency-key-invalid"
    title: ClassVar[str] = "The Idempotency-Key is not valid"


class IdempotencyMismatchError(InvalidInputError):
    """The key was used for another request."""

    code: ClassVar[str] = "idempotency-key-reused"
    title: ClassVar[str] = "This Idempotency-Key was used for another request"


class IdempotencyInFlightError(PosthouseError):
    """The first request with this key still runs."""

    kind: ClassVar[Kind] = Kind.CONFLICT
    code: ClassVar[str] = "idempotency-key-in-flight"
    title: ClassVar[str] = "A request with this Idempotency-Key still runs"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose key it is: two callers may use the same text."""

    workspace_id: UUID
    name: str


def require_key(key: str) -> None:
    """Refuse a key that is not usable.

    Raises:
        IdempotencyKeyError: it is empty, longer than 255 characters or not printable ASCII.
    """
    if not 0 < len(key) <= MAX_KEY_LENGTH or not key.isascii() or not key.isprintable():
        raise IdempotencyKeyError(
            f"Send 1 to {MAX_KEY_LENGTH} printable ASCII characters.",
            fields=[FieldProblem("header.idempotency-key", "invalid", "not a usable key")],
        )


async def once(
    db: Database,
    request: Request,
    owner: Owner,
    key: str,
    respond: Callable[[], Awaitable[Response]],
) -> Response:
    """Answer `request` by `respond`, or with the stored answer to the same request.

    Raises:
        IdempotencyKeyError: the key is empty, longer than 255 characters or not printable ASCII.
        IdempotencyMismatchError: the key belongs to another method, path, query or body.
        IdempotencyInFlightError: the first request has not ended yet.
    """
    require_key(key)
    fingerprint = _fingerprint(request, await request.body())
    async with db.begin() as tx:
        if not await tx.fetchval(_LOCK, _lock_number(owner, key)):
            raise IdempotencyInFlightError(retry_after_s=1)
        found = await tx.fetchrow(_FIND, owner.workspace_id, owner.name, key)
        if found is not None:
            if found["fingerprint"] != fingerprint:
                raise IdempotencyMismatchError
            replayed = Response(found["body"], found["status"], headers=found["headers"])
            replayed.headers["Idempotency-Replayed"] = "true"
            return replayed
        response = await respond()
        headers = {
            name: value for name, value in response.headers.items() if name != "content-length"
        }
        await tx.execute(
            _STORE,
            owner.workspace_id,
            owner.name,
            key,
            fingerprint,
            response.status_code,
            headers,
            bytes(response.body),
        )
    return response


async def purge(db: Database) -> None:
    """Forget answers that are older than a day."""
    async with db.begin() as tx:
        await tx.execute(_PURGE)


def _fingerprint(request: Request, body: bytes) -> bytes:
    # Under a key: a body may hold a password, and a bare digest of it could be guessed from a dump.
    signer: Signer = request.app.state.cursor_signer
    digest = hmac.new(signer.key, b"idempotency\0", hashlib.sha256)
    for part in (request.method, request.url.path, request.url.query):
        digest.update(part.encode() + b"\0")
    digest.update(body)
    return digest.digest()


def _lock_number(owner: Owner, key: str) -> int:
    digest = hashlib.sha256(f"idempotency:{owner.workspace_id}:{owner.name}:{key}".encode())
    return int.from_bytes(digest.digest()[:8], signed=True)
