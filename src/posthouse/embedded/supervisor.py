"""Keep child processes running: start, wait for an answer, restart what dies, stop in order."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field

from posthouse.embedded import logs
from posthouse.embedded.errors import EmbeddedError
from posthouse.embedded.process import Command, Process, words_for

log = logging.getLogger(__name__)

FIRST_DELAY_S = 0.1
LONGEST_DELAY_S = 5.0
HEALTHY_AFTER_S = 30.0
ANSWER_TIMEOUT_S = 2.0
POLL_S = 0.005
SLOWEST_POLL_S = 0.05
KILLED_TIMEOUT_S = 10.0
LOG_CHECK_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A process to keep running.

    `prepare` runs before every start, `is_ready` is asked again and again after it; an OSError,
    an EOFError or a timeout of it means not yet. `hurry_signal` is for when there is no time left.
    """

    name: str
    command: Command
    is_ready: Callable[[], Awaitable[bool]]
    prepare: Callable[[], Awaitable[None]] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    hurry_signal: signal.Signals = signal.SIGKILL
    stop_timeout_s: float = 25.0
    ready_timeout_s: float = 60.0


@dataclass(slots=True)
class _Kept:
    child: Child
    process: Process | None = None
    started_at_s: float = 0.0
    log_start: int = 0
    keeper: asyncio.Task[None] | None = None
    restarts: int = 0


@dataclass(slots=True)
class Supervisor:
    """The children, in the order in which they were launched."""

    _kept: dict[str, _Kept] = field(default_factory=dict[str, _Kept])
    _housekeeper: asyncio.Task[None] | None = None
    _is_hurried: bool = False

    async def start(self, child: Child) -> None:
        """Launch `child`, wait until it is ready, and keep it running from then on.

        Raises:
            EmbeddedError: it died, or was not ready in its time.
        """
        await self.launch(child)
        await self.keep(child.name)

    async def launch(self, child: Child) -> None:
        """Start the process of `child` without waiting for it; `stop` will stop it.

        Raises:
            EmbeddedError: it could not be started.
        """
        kept = self._kept.setdefault(child.name, _Kept(child))
        await self._spawn(kept)

    async def keep(self, name: str) -> None:
        """Wait until a launched child is ready, and restart it from then on whenever it dies.

        Raises:
            EmbeddedError: it died, or was not ready in its time.
        """
        kept = self._kept[name]
        await self._until_ready(kept)
        kept.keeper = self._task(self._keep(kept))
        self._housekeeper = self._housekeeper or self._task(self._bound_logs())

    def pid(self, name: str) -> int:
        """The process id of a child now; it changes when the child is restarted."""
        process = self._kept[name].process
        return process.pid if process else 0

    def restarts(self, name: str) -> int:
        """How often a child has been started again."""
        return self._kept[name].restarts

    async def stop(self, name: str | None = None) -> None:
        """Stop one child, or all of them, the last launched first."""
        for kept in reversed([*self._kept.values()]):
            if name in {None, kept.child.name}:
                await self._retire(kept)
        if not self._kept and self._housekeeper:
            await _cancelled(self._housekeeper)
            self._housekeeper = None

    def hurry(self) -> None:
        """Give up waiting: end every child now, and let a `stop` that is under way finish."""
        self._is_hurried = True
        for kept in self._kept.values():
            if kept.process:
                kept.process.signal(kept.child.hurry_signal)

    async def _retire(self, kept: _Kept) -> None:
        if kept.keeper:
            await _cancelled(kept.keeper)
        await self._end(kept)
        self._kept.pop(kept.child.name, None)

    async def _spawn(self, kept: _Kept) -> None:
        child = kept.child
        if child.prepare:
            await child.prepare()
        kept.log_start = logs.size(child.command.log_path)
        kept.started_at_s = asyncio.get_running_loop().time()
        try:
            kept.process = Process(child.command)
        except OSError as error:
            raise EmbeddedError(f"{child.name} cannot be started: {error}") from error

    async def _until_ready(self, kept: _Kept) -> None:
        child = kept.child
        wait_s = POLL_S
        try:
            async with asyncio.timeout(child.ready_timeout_s):
                while not await self._answers(kept):
                    await asyncio.sleep(wait_s)
                    wait_s = min(wait_s * 1.5, SLOWEST_POLL_S)
        except TimeoutError as error:
            raise EmbeddedError(
                f"{child.name} was not ready after {child.ready_timeout_s:g} s.{_quote(kept)}"
            ) from error

    async def _answers(self, kept: _Kept) -> bool:
        process = kept.process
        if process is None or process.has_ended:
            code = await process.wait() if process else 0
            raise EmbeddedError(
                f"{kept.child.name} ended ({words_for(code)}) before it was ready.{_quote(kept)}"
            )
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await kept.child.is_ready()
        except (OSError, EOFError, TimeoutError):
            return False

    async def _keep(self, kept: _Kept) -> None:
        """Restart a child whenever it ends, ever more slowly while it does not stay up."""
        clock = asyncio.get_running_loop().time
        delay_s = FIRST_DELAY_S
        reason = ""
        while True:
            if kept.process and not reason:
                reason = f"ended ({words_for(await kept.process.wait())})"
            if clock() - kept.started_at_s > HEALTHY_AFTER_S:
                delay_s = FIRST_DELAY_S
            log.warning("%s %s; starting it again in %g s", kept.child.name, reason, delay_s)
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, LONGEST_DELAY_S)
            reason = await self._again(kept)

    async def _again(self, kept: _Kept) -> str:
        """Start a dead child once more; say why not if it does not come up."""
        kept.restarts += 1
        try:
            await self._spawn(kept)
            await self._until_ready(kept)
        except EmbeddedError as error:
            await self._end(kept)
            return f"did not come up: {error}"
        return ""

    async def _end(self, kept: _Kept) -> None:
        """End the process with its own stop signal; by force after its time."""
        process, child = kept.process, kept.child
        if process is None or process.has_ended:
            return
        process.signal(child.hurry_signal if self._is_hurried else child.stop_signal)
        try:
            async with asyncio.timeout(child.stop_timeout_s):
                await process.wait()
        except TimeoutError:
            log.warning("%s did not stop within %g s; killing it", child.name, child.stop_timeout_s)
            process.kill()
            async with asyncio.timeout(KILLED_TIMEOUT_S):
                await process.wait()

    async def _bound_logs(self) -> None:
        while True:
            await asyncio.sleep(LOG_CHECK_S)
            for kept in self._kept.values():
                if kept.child.command.log_path:
                    logs.bound(kept.child.command.log_path)

    def _task(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run `work` beside us. Not a TaskGroup: fixtures enter and leave in different tasks."""
        return asyncio.get_running_loop().create_task(work)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


def _quote(kept: _Kept) -> str:
    path = kept.child.command.log_path
    words = logs.last_words(path, since=kept.log_start)
    return f" Its last words, from {path}:{words}" if words else ""
