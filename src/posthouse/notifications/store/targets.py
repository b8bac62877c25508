"""The statements that find out whom something goes to, and whether it may."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from posthouse.kernel.db import Row, Tx
from posthouse.notifications.model import (
    Channel,
    Device,
    DeviceId,
    Person,
    RecipientId,
    TopicId,
)

_PERSON = """
  r.id, r.external_id, r.email, r.phone, r.locale, r.timezone,
  (SELECT jsonb_agg(jsonb_build_array(v.id, v.kind, v.token) ORDER BY v.id)
   FROM devices v WHERE v.recipient_id = r.id) AS devices
"""
_RECIPIENTS = f"""
SELECT {_PERSON} FROM recipients r
WHERE r.workspace_id = $1 AND (r.id = ANY($2::uuid[]) OR r.external_id = ANY($3::text[]))
"""
_MEMBERS = f"""
SELECT {_PERSON} FROM topic_members m JOIN recipients r ON r.id = m.recipient_id
WHERE m.workspace_id = $1 AND m.topic_id = $2 AND ($3::uuid IS NULL OR m.recipient_id > $3)
ORDER BY m.recipient_id LIMIT $4
"""
_COUNT_MEMBERS = """
SELECT count(*) FROM topic_members m WHERE m.workspace_id = $1 AND m.topic_id = $2
"""
_TOPIC = "SELECT t.id FROM topics t WHERE t.workspace_id = $1 AND t.key = $2"
_CATEGORY = "SELECT c.is_critical FROM categories c WHERE c.workspace_id = $1 AND c.key = $2"
_PROVIDERS = """
SELECT p.channel, p.kind, p.options FROM providers p WHERE p.workspace_id = $1 AND p.is_enabled
"""
# A row is counted up only while it stays below the limit, so that what is over is refused.
_RESERVE = """
INSERT INTO sms_usage AS u (workspace_id, day, prefix, messages)
SELECT $1, (now() AT TIME ZONE 'UTC')::date, w.prefix, w.messages
FROM unnest($2::text[], $3::bigint[], $4::bigint[]) AS w (prefix, messages, most)
WHERE w.messages <= w.most
ON CONFLICT (workspace_id, day, prefix) DO UPDATE SET messages = u.messages + EXCLUDED.messages
WHERE u.messages + EXCLUDED.messages <= (
  SELECT w.most FROM unnest($2::text[], $4::bigint[]) AS w (prefix, most)
  WHERE w.prefix = EXCLUDED.prefix)
RETURNING u.prefix
"""
_FORGET_USAGE = "DELETE FROM sms_usage WHERE day < (now() AT TIME ZONE 'UTC')::date - 1"


def _person(row: Row) -> Person:
    devices = [
        Device(DeviceId(UUID(one)), kind, token) for one, kind, token in row["devices"] or ()
    ]
    return Person(
        RecipientId(row["id"]),
        row["email"],
        row["phone"],
        row["locale"],
        row["timezone"],
        tuple(devices),
    )


async def recipients(
    tx: Tx, workspace_id: UUID, ids: Sequence[UUID], external_ids: Sequence[str]
) -> Mapping[UUID | str, Person]:
    """Recipients by their ids, ours and the caller's."""
    found: dict[UUID | str, Person] = {}
    for row in await tx.fetch(_RECIPIENTS, workspace_id, ids, external_ids):
        found[row["id"]] = found[row["external_id"]] = _person(row)
    return found


async def members(
    tx: Tx, workspace_id: UUID, topic_id: UUID, *, after: UUID | None, limit: int
) -> list[Person]:
    """The next of those who follow a topic, in the order of their ids."""
    rows = await tx.fetch(_MEMBERS, workspace_id, topic_id, after, limit)
    return [_person(row) for row in rows]


async def count_members(tx: Tx, workspace_id: UUID, topic_id: UUID) -> int:
    """How many follow a topic."""
    return int(await tx.fetchval(_COUNT_MEMBERS, workspace_id, topic_id))


async def topic(tx: Tx, workspace_id: UUID, key: str) -> TopicId | None:
    """The id of a topic."""
    found = await tx.fetchval(_TOPIC, workspace_id, key)
    return None if found is None else TopicId(found)


async def category(tx: Tx, workspace_id: UUID, key: str) -> bool | None:
    """Whether a category is critical; None if there is none."""
    found = await tx.fetchval(_CATEGORY, workspace_id, key)
    return None if found is None else bool(found)


async def providers(tx: Tx, workspace_id: UUID) -> list[tuple[Channel, str, dict[str, Any]]]:
    """The channel, kind and options of each provider that is switched on."""
    rows = await tx.fetch(_PROVIDERS, workspace_id)
    return [(Channel(row["channel"]), row["kind"], row["options"]) for row in rows]


async def reserve_sms(
    tx: Tx, workspace_id: UUID, wanted: Mapping[str, tuple[int, int]]
) -> set[str]:
    """Count text messages of today, by prefix: {prefix: (messages, limit)}; gives what fits."""
    rows = await tx.fetch(
        _RESERVE,
        workspace_id,
        list(wanted),
        [messages for messages, _ in wanted.values()],
        [most for _, most in wanted.values()],
    )
    return {row["prefix"] for row in rows}


async def forget_usage(tx: Tx) -> None:
    """Delete the counts of days that are over."""
    await tx.execute(_FORGET_USAGE)
