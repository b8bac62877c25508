"""What tasks plug into the application."""

from posthouse.kernel.jobs import CronKind
from posthouse.kernel.leases import Leases
from posthouse.kernel.manifest import Built, Doors, Parts, Slice
from posthouse.kernel.supervise import Loop
from posthouse.tasks.api import routes
from posthouse.tasks.imports import Imports
from posthouse.tasks.public import TasksDoor
from posthouse.tasks.runner import Runner
from posthouse.tasks.schedules import Schedules
from posthouse.tasks.service import Tasks
from posthouse.tasks.settings import TasksSettings
from posthouse.tasks.watching import Watching


async def build(parts: Parts, doors: Doors) -> Built:
    """Give tasks their collaborators."""
    del doors
    settings: TasksSettings = parts.settings
    leases = Leases("tasks", "kind", lease_s=settings.lease_s)
    tasks = Tasks(parts.db, parts.work_kinds, leases, settings)
    schedules = Schedules(parts.db, tasks)
    imports = Imports(parts.db, tasks, settings.import_bytes)
    runner = Runner(
        parts.db, parts.clock, parts.work_kinds, leases, schedules, parts.sandbox, settings
    )
    parts.metrics.tally("tasks_run", "Attempts at tasks that ended here.", lambda: runner.ended)
    return Built(
        services={
            Tasks: tasks,
            Schedules: schedules,
            Watching: Watching(parts.db),
            Imports: imports,
        },
        door=TasksDoor(tasks, imports),
        crons=[
            CronKind("tasks.purge", "20 * * * *", tasks.purge),
            CronKind("tasks.purge_imports", "40 * * * *", imports.purge),
        ],
        worker_loops=[
            Loop("tasks.run", runner.run),
            Loop("tasks.keep", runner.keep),
            Loop("tasks.tend", runner.tend),
            Loop("tasks.listen", runner.listen),
        ],
        drain=runner.drain,
    )


SLICE = Slice(
    name="tasks",
    build=build,
    routes=(routes,),
    commands="posthouse.tasks.commands",
    sandboxed=("posthouse.kernel.rows",),
)
