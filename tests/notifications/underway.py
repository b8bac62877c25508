"""Messages that are under way, as sending would leave them."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import httpx

from posthouse.kernel import ids
from posthouse.runtime import Runtime

_ADD = """
INSERT INTO deliveries (id, workspace_id, notification_id, recipient_id, channel, category, address,
  state, priority, ready_at)
VALUES ($1, $2, $3, $4, $5, 'general', $6, 'sending', 0, now())
"""


async def sending(
    runtime: Runtime,
    workspace_id: UUID,
    *,
    recipient_id: UUID | None = None,
    channel: str = "email",
    address: str = "ann@example.com",
) -> UUID:
    """A message that a worker has just decided to send."""
    delivery_id, notification_id = ids.fresh(), ids.fresh()
    async with runtime.parts.db.begin() as tx:
        await tx.execute(
            "INSERT INTO notifications (id, workspace_id, category, priority, created_by, role)"
            " VALUES ($1, $2, 'general', 0, 'x', 'owner')",
            notification_id,
            workspace_id,
        )
        await tx.execute(
            _ADD, delivery_id, workspace_id, notification_id, recipient_id, channel, address
        )
    return delivery_id


async def ended(runtime: Runtime, delivery_id: UUID) -> None:
    """The provider took it."""
    async with runtime.parts.db.begin() as tx:
        await tx.execute("UPDATE deliveries SET state = 'sent' WHERE id = $1", delivery_id)


async def answered_only_after(
    runtime: Runtime,
    delivery_id: UUID,
    call: Callable[[], Awaitable[httpx.Response]],
    is_written: Callable[[], Awaitable[bool]],
) -> httpx.Response:
    """Make a call, see that what it changes is there, and that its answer waits for a delivery."""
    async with asyncio.TaskGroup() as group:

        async def called() -> httpx.Response:
            return await call()

        calling = group.create_task(called())
        while not await is_written():
            await asyncio.sleep(0.005)
        for _ in range(5):
            await asyncio.sleep(0.02)
            assert not calling.done()
        await ended(runtime, delivery_id)
    return calling.result()
