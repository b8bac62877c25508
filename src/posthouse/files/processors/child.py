"""Runs one step in a child of the sandbox: the order comes as JSON, and so does the answer."""

import json
from pathlib import Path
from typing import Any

from posthouse.files.processors import PROCESSORS
from posthouse.files.processors.protocol import BadInputError, Job, Output, UnsafeInputError
from posthouse.kernel.zygote import Channel


def run(channel: Channel) -> dict[str, Any]:
    """Run the step that the first message orders.

    Progress goes out as messages `[done, total, message]`. The answer is
    `{"outputs": […], "engines": {…}}`, or `{"refused": code, "detail": …}` where the file is to
    blame.
    """
    order: dict[str, Any] = json.loads(channel.receive() or b"{}")
    processor = PROCESSORS[order["use"]]
    folder = Path(order["folder"])

    def tell(done: int, total: int | None, message: str) -> None:
        channel.send(json.dumps([done, total, message]).encode())

    job = Job(
        source=Path(order["source"]),
        media_type=order["media_type"],
        filename=order["filename"],
        folder=folder,
        options=processor.options.model_validate(order["options"]),
        memory_bytes=order["memory_bytes"],
        tell=tell,
    )
    try:
        outputs = processor.run(job)
    except BadInputError as error:
        return {"refused": "bad-input", "detail": str(error)}
    except UnsafeInputError as error:
        return {"refused": "unsafe-input", "detail": str(error)}
    return {
        "outputs": [_told(output, folder) for output in outputs],
        "engines": dict(processor.engines()),
    }


def engines(channel: Channel) -> dict[str, dict[str, str]]:
    """The versions of what each processor works with."""
    channel.receive()
    return {name: dict(processor.engines()) for name, processor in PROCESSORS.items()}


def _told(output: Output, folder: Path) -> dict[str, Any]:
    return {
        "key": output.key,
        "file": str(output.path.relative_to(folder)),
        "media_type": output.media_type,
        "extension": output.extension,
        "facts": dict(output.facts),
    }
