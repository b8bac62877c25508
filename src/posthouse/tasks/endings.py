"""Tells the slice that a task belongs to that it ended without success."""

from posthouse.kernel.db import Tx
from posthouse.kernel.work import Ended, WorkKinds
from posthouse.tasks.model import Task


async def tell_end(tx: Tx, kinds: WorkKinds, task: Task) -> None:
    """Tell of a failed or cancelled task, in the transaction that ends it."""
    kind = kinds.by_name.get(task.kind)
    if kind is not None and kind.mourn is not None:
        await kind.mourn(tx, Ended(task.id, task.workspace_id, task.input, task.status, task.error))
