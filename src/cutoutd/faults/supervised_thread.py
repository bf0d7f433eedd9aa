"""Threads of a folder that are restarted, with a back-off, when they die because of an internal error.

The folder stands by meanwhile; its owner (`cutoutd.folder.hot_folder`) checks for that. It must not know what a thread does.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, Protocol

from cutoutd.errors import CutoutdError
from cutoutd.faults.backoff import LONGEST_PAUSE_S, Backoff
from cutoutd.faults.isolation import describe, report
from cutoutd.logs import get

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_DEATHS: Final = 3
"""Deaths in a row after which a run with ``--once`` no longer waits; the daemon goes on trying."""


class SupervisedThread:
    """Runs a function in its own thread, and can be started again after it has died.

    Args:
        name: name of the thread.
        body: function of the thread; returns when it was told to end, and begins anew when it is called again. An exception
            is its death.
        died: called from the dying thread, to wake its supervisor.

    Attributes:
        failure: why the thread died; None while it runs, and after an orderly end.
    """

    def __init__(self, name: str, body: Callable[[], None], died: Callable[[], object]) -> None:
        self._name = name
        self._body = body
        self._died = died
        self._over: threading.Event | None = None
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Start the thread, also after a death.

        Raises:
            RuntimeError: the system has no more threads; ``failure`` is unchanged.
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
        """Wait for the end of the thread, up to a timeout. Callable from any thread; returns at once if never started."""
        # By an event: before Python 3.13 a thread that two others join can raise an AssertionError in one of them.
        if self._over is not None:
            self._over.wait(timeout_s)

    @property
    def has_ended(self) -> bool:
        """Whether there is no thread."""
        return self._over is None or self._over.is_set()

    def _run(self, over: threading.Event) -> None:
        try:
            self._body()
        except BaseException as error:  # noqa: BLE001 -- the supervisor must learn of any death
            self.failure = error
            self._died()
        finally:
            over.set()


class Restartable(Protocol):
    """A `SupervisedThread`, or an object that starts one."""

    @property
    def failure(self) -> BaseException | None:
        """Why the thread died, if it did."""

    def start(self) -> None:
        """Start the thread, also after a death."""


class _Watched:
    """State of one thread."""

    def __init__(self, thread: Restartable) -> None:
        self.thread = thread
        self.backoff = Backoff()
        self.why = ""


class ThreadSupervisor:
    """Restarts the threads of one folder after they have died; main thread only.

    Args:
        folder: name of the folder.
        threads: threads by their names for people.
    """

    def __init__(self, folder: str, threads: Mapping[str, Restartable]) -> None:
        self._watched = {name: _Watched(thread) for name, thread in threads.items()}
        self._log = get(folder=folder)

    @property
    def why(self) -> str:
        """What has failed and is not restarted yet; empty while all run."""
        return next((one.why for one in self._watched.values() if one.why), "")

    @property
    def has_given_up(self) -> bool:
        """Whether a thread has died so often in a row that a run with an end does not wait for it."""
        return any(one.why and one.backoff.failures >= MAX_DEATHS for one in self._watched.values())

    def check(self, now_s: float) -> bool:
        """Check which threads have died, and restart those whose pause is over.

        Args:
            now_s: monotonic seconds.

        Returns:
            Whether any was restarted.

        Raises:
            CutoutdError: a thread met an error that concerns the whole run.
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
                one.why = f"its {name} failed with an internal error, please report it ({describe(failure)}); it is started again"
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
