"""`posthouse prepare`: migrate, and on a first run make a workspace, its owner and a key."""

import asyncio
import json
import sys

from posthouse.accounts.public import WORKSPACE, AccountsDoor, FirstRun
from posthouse.kernel.errors import PosthouseError
from posthouse.operate.migrate import migrate
from posthouse.runtime import open_runtime
from posthouse.settings import Settings


def prepare(settings: Settings) -> int:
    """Do it, print what was done as one JSON object, and give the exit code."""
    try:
        migrated, first = asyncio.run(_prepare(settings))
    except PosthouseError as error:
        sys.stderr.write(f"{error.title}: {error.detail or error.code}\n")
        return error.exit_code
    said = None
    if first is not None:
        said = {
            "workspace": WORKSPACE.show(first.workspace_id),
            "owner": first.owner_email,
            "password": first.password,
            "api_key": first.api_key,
        }
    sys.stdout.write(json.dumps({"migrated": migrated, "first_run": said}) + "\n")
    return 0


async def _prepare(settings: Settings) -> tuple[bool, FirstRun | None]:
    migrated = await migrate(settings.database_url)
    async with open_runtime(settings) as runtime:
        return migrated, await runtime.doors.get(AccountsDoor).first_run()
