"""What files plug into the application."""

from pathlib import Path
from urllib.parse import urlsplit

from posthouse.files import serving, tus
from posthouse.files.api import routes
from posthouse.files.cookbook import Cookbook
from posthouse.files.intake import Intake
from posthouse.files.model import PROCESS, FileFailed, FileProcessed
from posthouse.files.processing import Processing, ProcessInput
from posthouse.files.processors import PRELOAD
from posthouse.files.public import FilesDoor
from posthouse.files.resuming import Resumables
from posthouse.files.service import SWEEP, Files
from posthouse.files.serving import Serving
from posthouse.files.settings import FilesSettings
from posthouse.files.sweeping import Sweeping
from posthouse.files.uploading import Uploads
from posthouse.files.urls import Addresses
from posthouse.kernel.jobs import CronKind, JobKind
from posthouse.kernel.manifest import Built, Doors, Parts, Slice
from posthouse.kernel.ratelimit import Rate
from posthouse.kernel.signing import Signer
from posthouse.kernel.work import WorkKind
from posthouse.tasks.public import TasksDoor

_TIMEOUT_S = 3600.0


async def build(parts: Parts, doors: Doors) -> Built:
    """Give files their collaborators."""
    settings: FilesSettings = parts.settings
    intake = Intake(parts.db, parts.blobs, doors.get(TasksDoor), settings)
    base = (settings.base_url or parts.public_url).rstrip("/")
    addresses = Addresses(Signer.for_purpose(parts.secret, "file address"), base)
    files = Files(intake, parts.jobs, addresses, parts.clock)
    resumables = Resumables(intake)
    folder = Path(parts.data_dir) / "work"
    processing = Processing(parts.db, parts.blobs, folder)
    sweeping = Sweeping(parts.db, parts.blobs, parts.clock, folder, settings.orphan_s)

    async def sweep_orphans() -> None:
        await sweeping.sweep_orphans()

    return Built(
        services={
            Files: files,
            Uploads: Uploads(intake),
            Resumables: resumables,
            Cookbook: Cookbook(parts.db),
            Serving: Serving(parts.db, parts.blobs, addresses, parts.clock),
            Sweeping: sweeping,
            FilesSettings: settings,
        },
        door=FilesDoor(files, intake),
        more_hosts=[host] if (host := urlsplit(settings.base_url).hostname) else [],
        jobs=[JobKind(SWEEP, sweeping.heard, concurrency=1)],
        crons=[
            CronKind("files.sweep", "* * * * *", sweeping.sweep),
            CronKind("files.finish_uploads", "* * * * *", resumables.finish_left),
            CronKind("files.sweep_orphans", "*/10 * * * *", sweep_orphans),
        ],
        work=[
            WorkKind(
                PROCESS,
                ProcessInput,
                processing.run,
                "Work on a file by its recipe.",
                timeout_s=_TIMEOUT_S,
                mourn=processing.mourn,
            )
        ],
    )


def rates(settings: FilesSettings) -> list[Rate]:
    """How often downloads may be asked for from one address."""
    return [Rate("downloads", settings.downloads_per_s, settings.downloads_burst)]


SLICE = Slice(
    name="files",
    build=build,
    routes=(tus.routes, routes),
    bare_routes=(serving.routes,),
    rates=rates,
    events=(FileProcessed, FileFailed),
    commands="posthouse.files.commands",
    sandboxed=("posthouse.files.processors.child", *PRELOAD),
)
