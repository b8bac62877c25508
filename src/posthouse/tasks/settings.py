"""The knobs of tasks: `POSTHOUSE_TASKS_…`."""

from pydantic import BaseModel, Field


class TasksSettings(BaseModel):
    """How tasks are run and kept."""

    at_once: int = Field(default=16, ge=1, le=500, description="Tasks at once in each worker.")
    heavy_at_once: int = Field(
        default=0,
        ge=0,
        le=64,
        description="Sandboxed steps at once in each worker; 0: a core each.",
    )
    lease_s: float = Field(
        default=30,
        ge=1,
        le=600,
        description="A task whose worker is lost for so long is run again.",
    )
    cancel_grace_s: float = Field(
        default=10, gt=0, le=600, description="A cancelled task may tidy up for so long."
    )
    import_bytes: int = Field(
        default=52_428_800, ge=1024, description="The largest file of rows to import."
    )
    keep_days: int = Field(default=30, ge=1, le=3650, description="Days that ended tasks are kept.")
