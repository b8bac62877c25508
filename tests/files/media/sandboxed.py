"""What tests let run in children of the sandbox."""

import importlib
import os
from pathlib import Path
from typing import Any

from posthouse.files.processors import PRELOAD
from posthouse.kernel.zygote import Channel


def threads(channel: Channel) -> dict[str, Any]:
    """Which process the zygote is, and how many threads this child has."""
    channel.receive()
    for name in PRELOAD:
        importlib.import_module(name)
    return {"zygote": os.getppid(), "child": len(list(Path("/proc/self/task").iterdir()))}
