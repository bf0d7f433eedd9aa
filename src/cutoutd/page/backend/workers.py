"""The processes that make pictures to look at: started when one is needed, ended when nobody has asked for a while.

Each is asked one thing at a time. One that crashes, hangs or lies is ended, and costs what it was asked for. This module must
not know what they are asked.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from cutoutd.page.backend.method import RefusedError
from cutoutd.pool.request_worker import RequestWorker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from concurrent.futures import Executor

IDLE_S: Final = 60.0


class WorkerFailedError(Exception):
    """It said nothing that could be understood, or not in time, and was ended."""


class Worker:
    """A place for one process; shared by threads.

    Args:
        command: what to start.
        setup: what it is told first, asked for at each start.
        starter: starts it in a thread that stays: the kernel takes that thread for its parent, and ends the one with the other.
        idle_s: it is ended after so long without a question.
    """

    def __init__(
        self,
        command: Sequence[str],
        setup: Callable[[], Mapping[str, object]],
        starter: Executor,
        *,
        idle_s: float = IDLE_S,
    ) -> None:
        self._starter = starter
        self._command = command
        self._setup = setup
        self._idle_s = idle_s
        self._turn = threading.Lock()
        self._worker: RequestWorker | None = None
        self._timer: threading.Timer | None = None

    @property
    def pid(self) -> int | None:
        """Of its process; None if there is none."""
        worker = self._worker
        return None if worker is None else worker.pid

    @property
    def is_busy(self) -> bool:
        """Whether somebody asks it something."""
        return self._turn.locked()

    @contextmanager
    def turn(self, wait_s: float) -> Iterator[None]:
        """Have it for oneself; `ask` is for whoever does.

        Raises:
            RefusedError: others have had it for too long.
        """
        if not self._turn.acquire(timeout=wait_s):
            raise RefusedError(
                503, "busy", "Too many pictures are being looked at just now. Try again in a moment."
            )
        try:
            if self._timer is not None:
                self._timer.cancel()
            yield
        finally:
            if self._worker is not None:
                self._timer = threading.Timer(self._idle_s, self._end_if_idle)
                self._timer.daemon = True
                self._timer.start()
            self._turn.release()

    def ask(
        self, document: Mapping[str, object], timeout_s: float, files: Sequence[int] = ()
    ) -> tuple[dict[str, Any], bytes]:
        """Ask it, started if need be.

        Raises:
            WorkerFailedError: it failed.
            RefusedError: it cannot be started.
        """
        if self._worker is None:
            self._worker = self._starter.submit(self._started).result()
        answer = self._worker.ask(document, timeout_s, files)
        if answer is None:
            self.end()
            raise WorkerFailedError
        return answer

    def end(self) -> None:
        """End its process; for whoever has the turn."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.end()

    def _started(self) -> RequestWorker:
        worker = None
        try:
            worker = RequestWorker(self._command, self._setup())
            if worker.start():
                return worker
        except OSError:
            pass
        if worker is not None:
            worker.end()
        raise RefusedError(
            503,
            "no_worker",
            "The process that prepares pictures does not start. `cutoutd doctor` says what is wrong.",
        )

    def _end_if_idle(self) -> None:
        if self._turn.acquire(blocking=False):  # else somebody asks again
            try:
                self.end()
            finally:
                self._turn.release()
