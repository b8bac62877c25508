"""Start a command in two steps, so that its imports overlap with the start of the servers.

`python -m posthouse.operate.warm FD MODULES WORDS...` imports MODULES (a,b,c), waits until the pipe
FD is closed at its other end, then runs `posthouse WORDS...`. Once the gate is open it stays open:
a restarted process does not wait.
"""

import contextlib
import importlib
import os
import sys
from dataclasses import dataclass


@dataclass(slots=True)
class Gate:
    """The parent's side of the pipe."""

    fd: int
    _closing_fd: int

    def argv(self, modules: str, *words: str) -> tuple[str, ...]:
        """The command that waits for this gate."""
        return (sys.executable, "-m", __name__, str(self.fd), modules, *words)

    def open(self) -> None:
        """Let everybody through, now and later."""
        if self._closing_fd >= 0:
            os.close(self._closing_fd)
            self._closing_fd = -1

    def close(self) -> None:
        """Give both ends back."""
        self.open()
        os.close(self.fd)


def make_gate() -> Gate:
    """Make a gate that is shut."""
    fd, closing_fd = os.pipe()
    return Gate(fd, closing_fd)


def main(argv: list[str]) -> None:
    """Import, wait, run."""
    fd, modules, *words = argv
    with contextlib.suppress(ImportError):  # the command itself says what is missing
        for module in modules.split(","):
            importlib.import_module(module)
    os.read(int(fd), 1)
    sys.argv = ["posthouse", *words]
    importlib.import_module("posthouse.__main__").main()


if __name__ == "__main__":
    main(sys.argv[1:])
