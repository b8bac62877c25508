"""The statements of the worker that sends: what it looks at, and how it notes what it does."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from posthouse.kernel.db import Row, Tx

# What the worker reads of a claimed message; to read all of it costs a fifth of a claim.
CLAIMED = """t.id, t.workspace_id, t.token, t.attempts, t.notification_id, t.recipient_id,
  t.device_id, t.channel, t.category, t.address, t.priority, t.expires_at, t.provider_id"""
_BRIEF = """
SELECT d.id, clock_timestamp() AS now, r.id IS NOT NULL AS is_known, r.consent, r.is_stopped,
  r.quiet_from, r.quiet_until,
  coalesce(r.timezone, d.timezone) AS timezone, coalesce(r.locale, d.locale) AS locale,
  r.external_id, r.name, r.attributes, r.email, r.phone,
  coalesce(c.is_critical, false) AS is_critical,
  coalesce(own.is_on, every.is_on) AS choice,
  (SELECT s.reason FROM suppressions s
   WHERE s.workspace_id = d.workspace_id AND s.channel = d.channel
     AND s.address = CASE d.channel WHEN 'email' THEN lower(coalesce(r.email, d.address))
       WHEN 'sms' THEN coalesce(r.phone, d.address) ELSE d.address END
     AND s.category IN ('', d.category) LIMIT 1) AS suppressed_for
FROM deliveries d
LEFT JOIN recipients r ON r.id = d.recipient_id AND r.workspace_id = d.workspace_id
LEFT JOIN categories c ON c.workspace_id = d.workspace_id AND c.key = d.category
LEFT JOIN preferences own ON own.recipient_id = d.recipient_id
  AND own.category = d.category AND own.channel = d.channel
LEFT JOIN preferences every ON every.recipient_id = d.recipient_id
  AND every.category = d.category AND every.channel = ''
WHERE d.id = ANY($1)
"""
# A function of the schema (migration 0006): it takes its lock before it looks, in one statement.
_TURN = "SELECT marked_id, ended_id FROM turn_deliveries($1, $2, $3, $4, $5, $6, $7, $8, $9)"
_FINISH = """
WITH told AS (
  SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::text[], $6::float8[],
    $7::boolean[], $8::text[], $9::text[])
    AS t (id, token, state, reason, detail, delay_s, is_free, outcome, code)
), noted AS (
  UPDATE attempts a SET ended_at = clock_timestamp(), outcome = told.outcome, code = told.code,
    detail = told.detail
  FROM told
  WHERE a.delivery_id = told.id AND a.number = told.token
    AND (a.ended_at IS NULL OR a.code = 'worker-lost')
)
UPDATE deliveries d
SET state = CASE
      WHEN told.state = 'retry_wait' AND NOT told.is_free AND d.attempts >= $10 THEN 'dead'
      ELSE told.state END,
    reason = told.reason, detail = told.detail,
    attempts = d.attempts - CASE WHEN told.is_free THEN 1 ELSE 0 END,
    ready_at = CASE WHEN told.delay_s IS NULL THEN d.ready_at
      ELSE clock_timestamp() + make_interval(secs => told.delay_s) END,
    lease_until = CASE told.state WHEN 'sending' THEN clock_timestamp() END,
    version = d.version + 1, updated_at = clock_timestamp()
FROM told
WHERE d.id = told.id AND d.token = told.token AND d.state = 'sending'
RETURNING d.id, d.notification_id, d.state
"""
# What was claimed and does not go out now: it is held, skipped, or another's turn comes first.
_SETTLE = """
WITH told AS (
  SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::text[],
    $6::timestamptz[], $7::float8[]) AS t (id, token, state, reason, detail, ready_at, delay_s)
)
UPDATE deliveries d
SET state = told.state, reason = told.reason, detail = told.detail, attempts = d.attempts - 1,
    ready_at = coalesce(clock_timestamp() + make_interval(secs => told.delay_s), told.ready_at,
      d.ready_at), lease_until = NULL,
    version = d.version + 1, updated_at = clock_timestamp()
FROM told WHERE d.id = told.id AND d.token = told.token AND d.state = 'leased'
RETURNING d.notification_id
"""
_DOUBT = """
WITH lost AS (
  SELECT id FROM deliveries WHERE state = 'sending' AND lease_until < now()
  LIMIT 1000 FOR UPDATE SKIP LOCKED
), noted AS (
  UPDATE attempts a SET ended_at = clock_timestamp(), outcome = 'unknown', code = 'worker-lost'
  FROM lost JOIN deliveries d USING (id)
  WHERE a.delivery_id = d.id AND a.number = d.token AND a.ended_at IS NULL
)
UPDATE deliveries d SET state = 'in_doubt', doubts = doubts + 1, lease_until = NULL,
  reason = 'in-doubt', ready_at = now() + make_interval(secs => $1),
  version = version + 1, updated_at = now()
FROM lost WHERE d.id = lost.id
RETURNING d.id
"""
# A worker that lost its lease may still have heard the answer; it stands in its attempt.
_RESOLVE = """
WITH due AS (
  SELECT d.id, a.outcome, coalesce(c.doubts ->> d.channel, $1::jsonb ->> d.channel) AS policy
  FROM deliveries d
  LEFT JOIN categories c ON c.workspace_id = d.workspace_id AND c.key = d.category
  LEFT JOIN attempts a ON a.delivery_id = d.id AND a.number = d.token
  WHERE d.state = 'in_doubt' AND d.ready_at <= now()
  LIMIT 1000 FOR UPDATE OF d SKIP LOCKED
)
UPDATE deliveries d
SET state = CASE
      WHEN due.outcome = 'accepted' OR due.policy = 'assume-sent' THEN 'sent'
      WHEN due.policy = 'hold' THEN 'in_doubt'
      WHEN d.attempts >= $2 THEN 'dead'
      ELSE 'queued' END,
    reason = CASE
      WHEN due.outcome = 'accepted' THEN ''
      WHEN due.policy = 'assume-sent' THEN 'assumed-sent'
      WHEN due.policy = 'hold' THEN 'in-doubt-held'
      ELSE 'in-doubt-resent' END,
    ready_at = CASE WHEN due.policy = 'hold' THEN 'infinity' ELSE now() END,
    version = version + 1, updated_at = now()
FROM due WHERE d.id = due.id
RETURNING d.notification_id, d.state
"""
_EXPIRE = """
UPDATE deliveries SET state = 'expired', reason = 'expired', version = version + 1,
  updated_at = now()
WHERE id IN (
  SELECT id FROM deliveries
  WHERE expires_at < now() AND state IN ('held', 'queued', 'retry_wait')
  LIMIT 1000 FOR UPDATE SKIP LOCKED
)
RETURNING notification_id
"""
_OF_DEAD = """
UPDATE deliveries SET reason = 'worker-lost', updated_at = now() WHERE id = ANY($1)
RETURNING notification_id
"""
_DROP_DEVICES = "DELETE FROM devices WHERE id = ANY($1)"
_SUPPRESS = """
INSERT INTO suppressions (workspace_id, channel, address, category, reason, detail)
SELECT s.workspace_id, s.channel,
  CASE s.channel WHEN 'email' THEN lower(s.address) ELSE s.address END, '', s.reason, s.detail
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[])
  AS s (workspace_id, channel, address, reason, detail)
ON CONFLICT DO NOTHING
"""
_PAUSE = """
UPDATE providers SET paused_at = now(), paused_reason = $2, updated_at = now()
WHERE id = $1 AND paused_at IS NULL
"""


@dataclass(slots=True)
class Start:
    """A message that is about to go out, and what the decision to send it was made on."""

    id: UUID
    token: int
    consent: int | None
    address: str
    provider_id: UUID


@dataclass(slots=True)
class Finish:
    """How a call of a provider ended. With `is_free` it counts as no attempt.

    `state` is `sending` for one whose answer is not known: its lease ends at once.
    """

    id: UUID
    token: int
    state: str
    outcome: str
    reason: str = ""
    code: str = ""
    detail: str = ""
    delay_s: float | None = None
    is_free: bool = False
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Settled:
    """What becomes of a claimed message that does not go out now.

    It is ready again at `ready_at`, or after `delay_s` by the database's clock.
    """

    id: UUID
    token: int
    state: str
    reason: str = ""
    detail: str = ""
    ready_at: datetime | None = None
    delay_s: float | None = None


async def brief(tx: Tx, ids: Sequence[UUID]) -> dict[UUID, Row]:
    """All that the rules ask about these messages, as it is now."""
    return {row["id"]: row for row in await tx.fetch(_BRIEF, ids)}


async def turn(
    tx: Tx, sent: Sequence[Finish], going: Sequence[Start], lease_s: float
) -> tuple[set[UUID], list[UUID]]:
    """Note what providers took, and mark what goes out next.

    Gives the ids of those that may go out, by all that is true now, and the notifications of those
    that were taken and were ours.
    """
    rows = await tx.fetch(
        _TURN,
        [one.id for one in sent],
        [one.token for one in sent],
        [one.reference for one in sent],
        [one.id for one in going],
        [one.token for one in going],
        [one.consent for one in going],
        [one.address for one in going],
        [one.provider_id for one in going],
        lease_s,
    )
    marked = {row["marked_id"] for row in rows if row["marked_id"] is not None}
    return marked, [row["ended_id"] for row in rows if row["ended_id"] is not None]


async def finish(tx: Tx, told: Sequence[Finish], max_attempts: int) -> list[Row]:
    """Note how other calls ended: rows of id, notification_id and state of those that were ours."""
    return await tx.fetch(
        _FINISH,
        [one.id for one in told],
        [one.token for one in told],
        [one.state for one in told],
        [one.reason for one in told],
        [one.detail for one in told],
        [one.delay_s for one in told],
        [one.is_free for one in told],
        [one.outcome for one in told],
        [one.code for one in told],
        max_attempts,
    )


async def settle(tx: Tx, told: Sequence[Settled]) -> list[UUID]:
    """Note what becomes of claimed messages that do not go out; gives their notifications."""
    rows = await tx.fetch(
        _SETTLE,
        [one.id for one in told],
        [one.token for one in told],
        [one.state for one in told],
        [one.reason for one in told],
        [one.detail for one in told],
        [one.ready_at for one in told],
        [one.delay_s for one in told],
    )
    return [row["notification_id"] for row in rows]


async def doubt(tx: Tx, wait_s: float) -> int:
    """Put in doubt what has been going out for too long; gives how many."""
    return len(await tx.fetch(_DOUBT, wait_s))


async def resolve(tx: Tx, policies: dict[str, str], max_attempts: int) -> list[Row]:
    """Do what the categories say about doubts: rows of notification_id and state."""
    return await tx.fetch(_RESOLVE, policies, max_attempts)


async def expire(tx: Tx) -> list[UUID]:
    """End what is too late; gives the notifications."""
    return [row["notification_id"] for row in await tx.fetch(_EXPIRE)]


async def of_dead(tx: Tx, ids: Sequence[UUID]) -> list[UUID]:
    """Say of messages why they were given up; gives their notifications."""
    return [row["notification_id"] for row in await tx.fetch(_OF_DEAD, ids)]


async def drop_devices(tx: Tx, ids: Sequence[UUID]) -> None:
    """Forget devices that are gone."""
    await tx.execute(_DROP_DEVICES, ids)


async def suppress(tx: Tx, told: Sequence[tuple[UUID, str, str, str, str]]) -> None:
    """Put addresses on the list: [(workspace, channel, address, reason, detail)]."""
    await tx.execute(_SUPPRESS, *(list(column) for column in zip(*told, strict=True)))


async def pause(tx: Tx, provider_id: UUID, reason: str) -> None:
    """Let a provider rest until somebody has looked at it."""
    await tx.execute(_PAUSE, provider_id, reason)
