"""The statements about topics."""

from collections.abc import Sequence
from typing import cast
from uuid import UUID

from posthouse.kernel.db import Row, Tx, changed_rows
from posthouse.kernel.pagination import Keyset
from posthouse.notifications.contacts import Topic
from posthouse.notifications.model import RecipientId, TopicId

_PUT = """
INSERT INTO topics AS t (id, workspace_id, key, name) VALUES ($1, $2, $3, $4)
ON CONFLICT (workspace_id, key) DO UPDATE SET name = EXCLUDED.name
RETURNING t.id, t.key, t.name, t.created_at
"""
_FIND = "SELECT id, key, name, created_at FROM topics WHERE workspace_id = $1 AND key = $2"
_FIND_MANY = """
SELECT id, key, name, created_at FROM topics WHERE workspace_id = $1 AND key = ANY($2)
"""
_PAGE = """
SELECT id, key, name, created_at FROM topics
WHERE workspace_id = $1 AND ($2::text IS NULL OR key > $2)
ORDER BY key LIMIT $3
"""
_DELETE = "DELETE FROM topics WHERE workspace_id = $1 AND key = $2"
_ADD = """
INSERT INTO topic_members (topic_id, recipient_id, workspace_id)
SELECT $2, id, $1 FROM recipients WHERE workspace_id = $1 AND id = ANY($3)
ON CONFLICT DO NOTHING
"""
_ADD_PAIRS = """
INSERT INTO topic_members (topic_id, recipient_id, workspace_id)
SELECT topic, recipient, $1 FROM unnest($2::uuid[], $3::uuid[]) AS pair (topic, recipient)
ON CONFLICT DO NOTHING
"""
_REMOVE = """
DELETE FROM topic_members WHERE workspace_id = $1 AND topic_id = $2 AND recipient_id = ANY($3)
"""
_MEMBERS = """
SELECT r.id, r.external_id, r.name FROM topic_members m JOIN recipients r ON r.id = m.recipient_id
WHERE m.workspace_id = $1 AND m.topic_id = $2 AND ($3::uuid IS NULL OR m.recipient_id > $3)
ORDER BY m.recipient_id LIMIT $4
"""


def _topic(row: Row) -> Topic:
    return Topic(TopicId(row["id"]), row["key"], row["name"], row["created_at"])


async def put(tx: Tx, workspace_id: UUID, topic_id: TopicId, key: str, name: str) -> Topic:
    """Make a topic, or name the one that has this key."""
    row = await tx.fetchrow(_PUT, topic_id, workspace_id, key, name)
    return _topic(cast("Row", row))  # an upsert always gives it


async def find(tx: Tx, workspace_id: UUID, key: str) -> Topic | None:
    """Find a topic by its key."""
    row = await tx.fetchrow(_FIND, workspace_id, key)
    return _topic(row) if row else None


async def find_many(tx: Tx, workspace_id: UUID, keys: Sequence[str]) -> dict[str, TopicId]:
    """The ids of those of these topics that are there."""
    rows = await tx.fetch(_FIND_MANY, workspace_id, list(keys))
    return {row["key"]: TopicId(row["id"]) for row in rows}


async def page(tx: Tx, workspace_id: UUID, keyset: Keyset) -> list[Topic]:
    """Read topics by key, one more than the page holds."""
    after = str(keyset.after[0]) if keyset.after else None
    rows = await tx.fetch(_PAGE, workspace_id, after, keyset.limit + 1)
    return [_topic(row) for row in rows]


async def delete(tx: Tx, workspace_id: UUID, key: str) -> bool:
    """Delete a topic and its memberships; False if there is none."""
    return changed_rows(await tx.execute(_DELETE, workspace_id, key)) > 0


async def add(tx: Tx, workspace_id: UUID, topic_id: TopicId, members: Sequence[RecipientId]) -> int:
    """Put recipients into a topic; give how many were not in it."""
    return changed_rows(await tx.execute(_ADD, workspace_id, topic_id, list(members)))


async def add_pairs(
    tx: Tx, workspace_id: UUID, pairs: Sequence[tuple[TopicId, RecipientId]]
) -> None:
    """Put recipients into topics, each into its own."""
    topics, recipients = [topic for topic, _ in pairs], [recipient for _, recipient in pairs]
    await tx.execute(_ADD_PAIRS, workspace_id, topics, recipients)


async def remove(
    tx: Tx, workspace_id: UUID, topic_id: TopicId, members: Sequence[RecipientId]
) -> int:
    """Take recipients out of a topic; give how many were in it."""
    return changed_rows(await tx.execute(_REMOVE, workspace_id, topic_id, list(members)))


async def members(
    tx: Tx, workspace_id: UUID, topic_id: TopicId, keyset: Keyset
) -> list[tuple[RecipientId, str, str | None]]:
    """Read who is in a topic: `[(id, external_id, name)]`, one more than the page holds."""
    after = UUID(str(keyset.after[0])) if keyset.after else None
    rows = await tx.fetch(_MEMBERS, workspace_id, topic_id, after, keyset.limit + 1)
    return [(RecipientId(row["id"]), row["external_id"], row["name"]) for row in rows]
