"""What tests let run in children."""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from posthouse.kernel.zygote import Channel


def argument_of(channel: Channel) -> Any:
    return json.loads(channel.receive() or b"null")


def double(channel: Channel) -> int:
    return 2 * argument_of(channel)


def echo(channel: Channel) -> int:
    argument_of(channel)
    count = 0
    while message := channel.receive():
        if message == b"end":
            break
        channel.send(message.upper())
        count += 1
    return count


def eat_memory(channel: Channel) -> None:
    eaten = []
    while True:
        eaten.append(bytearray(16 * 1024 * 1024))


def spin(channel: Channel) -> None:
    while True:
        pass


def sleep(channel: Channel) -> None:
    threading.Event().wait(600)


def crash(channel: Channel) -> None:
    ctypes.string_at(0)


def fail(channel: Channel) -> None:
    raise ValueError("a secret of the input")


def environment(channel: Channel) -> dict[str, Any]:
    names = sorted(os.environ)  # noqa: TID251  what this test is about
    return {"names": names, "pid": os.getpid(), "parent": os.getppid()}


# What an attacker would try: each gives the name of what stopped it, or "done".
def attempt(channel: Channel) -> str:
    what, *rest = argument_of(channel)
    try:
        ATTEMPTS[what](*rest)
    except (OSError, ValueError) as error:
        return type(error).__name__
    return "done"


def tgkill(pid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(234 if os.uname().machine == "x86_64" else 131, pid, pid, signal.SIGKILL):
        raise OSError(ctypes.get_errno(), "tgkill")


def start_thread() -> None:
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()


def raise_limits() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CPU, (3600, 3600))


ATTEMPTS = {
    "read": lambda path: Path(path).read_bytes(),
    "list": lambda path: list(Path(path).iterdir()),
    "write": lambda path: Path(path).write_bytes(b"x"),
    "link": lambda path, target: Path(path).symlink_to(target),
    "chmod": lambda path: Path(path).chmod(0o777),
    "tcp": socket.socket,
    "unix": socket.socketpair,
    "run": lambda: subprocess.run([sys.executable, "--version"]),
    "fork": os.fork,
    "kill": lambda: os.kill(os.getppid(), signal.SIGKILL),
    "tgkill": lambda: tgkill(os.getppid()),
    "ptrace": lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes(),
    "limits": raise_limits,
    "thread": start_thread,
}


def folder_for_libraries(channel: Channel) -> str:
    import tempfile

    with tempfile.NamedTemporaryFile() as made:
        return made.name
