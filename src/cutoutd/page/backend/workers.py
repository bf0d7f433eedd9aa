"""The processes that render previews: started on demand, ended when idle.

Each handles one request at a time. If one crashes, hangs or sends an invalid response, it is ended, and only its request fails.
This module must not know the requests.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from cutoutd.pool.request_worker import RequestWorker
from cutoutd.webserver.backend.method import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from concurrent.futures import Executor

IDLE_S: Final = 60.0

_CLOSE_S: Final = 40.0
"""Longest wait for a process that is starting, whose start has its own time-out."""


def busy() -> RefusedError:
    """Return the refusal for a request while too many others wait."""
    return RefusedError(503, "busy", "Too many previews are being made just now. Try again in a moment.")


class WorkerFailedError(Exception):
    """The process sent an invalid response, or none in time, and was ended."""


class Worker:
    """One process, which is started when it is needed; shared by threads.

    Args:
        command: command line of the process.
        setup: returns the first message to it; called at each start.
        starter: executor whose thread starts it and stays alive, since the kernel ends the process together with that thread.
        idle_s: time without a request after which it is ended, seconds.
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
        self._turns = threading.Condition()
        self._is_taken = False
        self._is_over = False
        self._urgent = 0
        self._worker: RequestWorker | None = None
        self._timer: threading.Timer | None = None

    @property
    def pid(self) -> int | None:
        """Return the id of the process; None if there is none."""
        worker = self._worker
        return None if worker is None else worker.pid

    @property
    def is_busy(self) -> bool:
        """Whether the worker is in use."""
        return self._is_taken

    @contextmanager
    def turn(self, wait_s: float, *, is_urgent: bool = True) -> Iterator[None]:
        """Hold the worker exclusively, for calls of `ask`.

        Args:
            wait_s: longest wait for others, seconds.
            is_urgent: goes before callers that are not urgent.

        Raises:
            RefusedError: the wait timed out.
        """
        if not self._take(wait_s, is_urgent=is_urgent):
            raise busy()
        try:
            if self._timer is not None:
                self._timer.cancel()
            yield
        finally:
            if self._worker is not None:
                self._timer = threading.Timer(self._idle_s, self._end_if_idle)
                self._timer.daemon = True
                with suppress(RuntimeError):  # no more threads: the next turn starts one
                    self._timer.start()
            self._give_back()

    def _take(self, wait_s: float, *, is_urgent: bool) -> bool:
        with self._turns:
            self._urgent += is_urgent
            try:
                is_ours = self._turns.wait_for(
                    lambda: not self._is_taken and (is_urgent or not self._urgent), wait_s
                )
            finally:
                self._urgent -= is_urgent
                self._turns.notify_all()
            self._is_taken = self._is_taken or is_ours
            return is_ours

    def _give_back(self) -> None:
        with self._turns:
            self._is_taken = False
            self._turns.notify_all()

    def ask(
        self, document: Mapping[str, object], timeout_s: float, files: Sequence[int] = ()
    ) -> tuple[dict[str, Any], bytes]:
        """Send a request to the process, started if needed.

        Raises:
            WorkerFailedError: the process failed.
            RefusedError: the process cannot be started.
        """
        if self._worker is None and not self._is_over:
            self._worker = self._starter.submit(self._started).result()
        if self._worker is None or self._is_over:
            self.end()  # it was started while `close` gave up waiting for it
            raise busy()
        answer = self._worker.ask(document, timeout_s, files)
        if answer is None:
            self.end()
            raise WorkerFailedError
        return answer

    def close(self) -> None:
        """End the process for good, also during a request."""
        self._is_over = True
        if (worker := self._worker) is not None:
            worker.kill()
        with (
            suppress(RefusedError),
            self.turn(_CLOSE_S),
        ):  # whoever has it ends it, and others are to be closed as well
            self.end()

    def end(self) -> None:
        """End the process; the caller holds the turn."""
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
            "The preview process does not start. `cutoutd doctor` says what is wrong.",
        )

    def _end_if_idle(self) -> None:
        if self._take(0, is_urgent=False):  # otherwise another request has come
            try:
                self.end()
            finally:
                self._give_back()
