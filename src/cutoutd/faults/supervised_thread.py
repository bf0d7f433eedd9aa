"""Threads of one folder that may die by a fault of ours, and are started again after pauses that double.

The folder stands by meanwhile; whoever owns it (`cutoutd.folder.hot_folder`) asks for that. It must not know what a thread
does.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, Protocol

from cutoutd.errors import CutoutdError
from cutoutd.faults.backoff import LONGEST_PAUSE_S, Backoff
from cutoutd.faults.isolation import report, told
from cutoutd.logs import get

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_DEATHS: Final = 3
"""So many in a row end what a run with ``--once`` waits for; the daemon goes on trying."""


class SupervisedThread:
    """Runs a body in a thread of its own, again after it has died.

    Args:
        name: of the thread.
        body: returns when it was told to end; what it raises is its death. It begins anew when it is called again.
        died: called from the dying thread, to wake whoever looks after it.

    Attributes:
        failure: why it died; None while it lives, and after an orderly end.
    """

    def __init__(self, name: str, body: Callable[[], None], died: Callable[[], object]) -> None:
        self._name = name
        self._body = body
        self._died = died
        self._over: threading.Event | None = None
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Begin, also after a death.

        Raises:
            RuntimeError: the system has no more threads; why it died before still stands.
        """
        over = threading.Event()
        thread = threading.Thread(target=self._run, args=(over,), name=self._name, daemon=True)
        before, self.failure = self.failure, None
        try:
            thread.start()
        except BaseException:
            self.failure = before
            raise
        self._over = over

    def join(self, timeout_s: float) -> None:
        """Wait for the thread's end, but not for long; from any thread. One that was never started has ended."""
        # By an event: before Python 3.13 a thread that two others join can raise an AssertionError in one of them.
        if self._over is not None:
            self._over.wait(timeout_s)

    @property
    def has_ended(self) -> bool:
        """There is no thread."""
        return self._over is None or self._over.is_set()

    def _run(self, over: threading.Event) -> None:
        try:
            self._body()
        except BaseException as error:  # noqa: BLE001 -- a side thread's death must be heard: its owner sees to it
            self.failure = error
            self._died()
        finally:
            over.set()


class Restartable(Protocol):
    """A `SupervisedThread`, or what starts one of its own."""

    @property
    def failure(self) -> BaseException | None:
        """Why its thread died, if it did."""

    def start(self) -> None:
        """Begin, also after a death."""


class _Watched:
    """How one thread fares."""

    def __init__(self, thread: Restartable) -> None:
        self.thread = thread
        self.backoff = Backoff()
        self.why = ""


class ThreadSupervisor:
    """Starts the threads of one folder again after they have died; main thread alone.

    Args:
        folder: its name.
        threads: by what people call them.
    """

    def __init__(self, folder: str, threads: Mapping[str, Restartable]) -> None:
        self._watched = {name: _Watched(thread) for name, thread in threads.items()}
        self._log = get(folder=folder)

    @property
    def why(self) -> str:
        """What has failed and is not started again yet; empty while all live."""
        return next((one.why for one in self._watched.values() if one.why), "")

    @property
    def has_given_up(self) -> bool:
        """Whether a thread has died so often in a row that no run with an end waits for it."""
        return any(one.why and one.backoff.failures >= MAX_DEATHS for one in self._watched.values())

    def look(self, now_s: float) -> bool:
        """See which have died, and start those again whose pause is over.

        Args:
            now_s: monotonic seconds.

        Returns:
            Whether any was started again.

        Raises:
            CutoutdError: a thread met what concerns the whole run.
        """
        started = False
        for name, one in self._watched.items():
            failure = one.thread.failure
            if failure is None:
                if one.backoff.failures and now_s >= one.backoff.until_s + LONGEST_PAUSE_S:
                    one.backoff.worked()
            elif isinstance(failure, CutoutdError) and failure.ends_daemon:
                raise failure
            elif not one.why:
                report(self._log, failure, over=f"the thread of the {name}")
                one.backoff.failed(now_s)
                one.why = f"its {name} failed by a fault of ours, please report it ({told(failure)}); it is started again"
            elif now_s >= one.backoff.until_s:
                started = self._start(name, one, now_s) or started
        return started

    def _start(self, name: str, one: _Watched, now_s: float) -> bool:
        try:
            one.thread.start()
        except Exception as error:  # noqa: BLE001 -- no more threads, most probably: tried again later
            report(self._log, error, over=f"the start of the {name}")
            one.backoff.failed(now_s)
            return False
        one.why = ""
        self._log.info("thread.started-again", thread=name, deaths=one.backoff.failures)
        return True
