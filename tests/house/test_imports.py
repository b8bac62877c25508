"""Importing changes nothing: no socket, no thread, no task."""

import subprocess
import sys

SCRIPT = """
import importlib, pkgutil, socket, sys, threading

opened = []
class Watched(socket.socket):
    def __init__(self, *args, **kwargs):
        opened.append(args)
        super().__init__(*args, **kwargs)
socket.socket = Watched

import posthouse
for found in pkgutil.walk_packages(posthouse.__path__, "posthouse."):
    if "migrations.env" in found.name or found.name.endswith("__main__"):
        continue
    importlib.import_module(found.name)
assert not opened, opened
assert threading.active_count() == 1, threading.enumerate()
print("clean")
"""


def test_importing_every_module_opens_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "clean", done.stderr
