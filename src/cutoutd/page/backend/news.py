"""Sends changes to browsers: of the journal, and of the daemon's status.

Only while a browser listens: else its thread sleeps. It waits for changes of the files in the state directory, and looks at them
four times a second where the system cannot tell of them. What costs more is told at longer intervals, so that a page that is
open does not slow cutting down.
"""

from __future__ import annotations

import math
import threading
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from cutoutd import logs
from cutoutd.errors import CutoutdError
from cutoutd.faults.isolation import Guard
from cutoutd.fs.directory_events import DirectoryEvents
from cutoutd.journal.listing import Listing
from cutoutd.page.backend.ended_jobs import RecentlyEnded
from cutoutd.page.backend.job_view import described
from cutoutd.page.backend.overview import daemon_status, overview_data
from cutoutd.webserver.backend.journal import journal
from cutoutd.webserver.backend.method import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cutoutd.journal.store import Store
    from cutoutd.page.backend.method import Backend

LOOK_S: Final = 0.25
"""Between two looks at least; where the system does not tell of changes, no longer either."""

OVERVIEW_S: Final = 1.0
QUIET_S: Final = 10.0
"""It looks so often without being told of a change, as on a file system that does not tell of them all."""

SHARE: Final = 0.02
"""Of a core at most goes into overviews: one that takes long comes less often."""

SHOWN: Final = 50
"""So many pictures that ended are told of at once."""


class News:
    """The last state that was sent, and the changes since."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._store: Store | None = None
        self._version = -1
        self._status: tuple[bool, Mapping[str, Any]] | None = None
        self._status_due_s = 0.0
        self._ended: dict[str, RecentlyEnded] = {}
        self._overview_due_s = 0.0
        self._is_overview_old = True

    def begin(self) -> None:
        """Start with the current state, which the first listener gets by its own requests."""
        self._store = None
        self._is_overview_old = True

    def poll(self) -> None:
        """Send the changes.

        Raises:
            CutoutdError: the journal cannot be read.
            RefusedError: likewise.
        """
        if self._has_journal_changed():
            self._send_ended()
            self._is_overview_old = True
        now_s = time.monotonic()
        if now_s >= self._status_due_s:
            self._status_due_s = now_s + OVERVIEW_S
            status = daemon_status(self._backend)
            self._is_overview_old = self._is_overview_old or status != self._status
            self._status = status
        if self._is_overview_old and now_s >= self._overview_due_s:
            self._is_overview_old = False
            started_s = time.thread_time()  # a machine that is busy with other things makes it no dearer
            self._status = status = daemon_status(
                self._backend
            )  # what is told is what later ones are compared with
            self._backend.tell("overview", overview_data(self._backend, status))
            self._overview_due_s = time.monotonic() + max(
                OVERVIEW_S, (time.thread_time() - started_s) / SHARE
            )

    def put_off_s(self) -> float:
        """Return the seconds until something is due that was put off; infinity: nothing was."""
        return max(0.0, self._overview_due_s - time.monotonic()) if self._is_overview_old else math.inf

    def _has_journal_changed(self) -> bool:
        with journal(self._backend) as store:
            if store is None:
                self._store = None
                return False
            version = store.data_version()
            if store is not self._store:  # the first one, or one that was made anew
                self._store, self._version = store, version
                listing, now_us = Listing(store), self._backend.clock.now_us()
                self._ended = {name: RecentlyEnded(listing, name, now_us) for name in self._folders}
                return True
            changed, self._version = version != self._version, version
            return changed

    @property
    def _folders(self) -> list[str]:
        settings = self._backend.settings
        return [] if settings is None else [one.name for one in settings.folder]

    def _send_ended(self) -> None:
        news: list[tuple[int, int]] = []
        folders: list[str] = []
        with journal(self._backend) as store:
            if store is None:
                return
            listing, now_us = Listing(store), self._backend.clock.now_us()
            for name in self._folders:
                if name not in self._ended:
                    self._ended[name] = RecentlyEnded(listing, name, now_us)
                found = self._ended[name].since(listing, now_us, limit=SHOWN + 1)
                if found:
                    folders.append(name)
                    news += [(at_us, number) for number, at_us in found]
            last = [number for _, number in sorted(news)[-SHOWN:]]
            shown = described(store, listing.jobs(last))
        data: dict[str, Any] = {"folders": folders, "ended": shown, "more": len(news) > SHOWN}
        self._backend.tell("jobs", data)


def start(backend: Backend) -> None:
    """Start the thread that polls for changes."""
    threading.Thread(target=_run, args=(backend,), name="page-news", daemon=True).start()


class NewsWatch:
    """Polls for changes, and reports a journal that cannot be read: once, and again when it can."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._news = News(backend)
        self._trouble = ""

    def begin(self) -> None:
        """Start with the current state, which includes any trouble that the listener's own requests report."""
        self._news.begin()

    def put_off_s(self) -> float:
        """Return the seconds until something is due that was put off; infinity: nothing was."""
        return self._news.put_off_s()

    def poll(self) -> None:
        """Poll once."""
        try:
            self._news.poll()
        except RefusedError as refused:
            self._report_trouble(refused.code, refused.text, refused.named)
        except CutoutdError as error:
            self._report_trouble("unavailable", f"{error.title}: {error}", {"why": str(error)})
        except OSError as error:  # such as: too many files are open
            why = error.strerror or str(error)
            self._report_trouble("unavailable", f"The page cannot look for changes: {why}", {"why": why})
        else:
            if self._trouble:
                self._trouble = ""
                self._backend.tell("trouble", None)

    def _report_trouble(self, code: str, text: str, named: Mapping[str, object]) -> None:
        if text != self._trouble:
            self._trouble = text
            logs.get().warning("page.no_news", why=text)
            self._backend.tell("trouble", {"code": code, "text": text, "named": dict(named)})


class StateChanges:
    """Waits for changes of the files in the state directory."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._path: Path | None = None
        self._events: DirectoryEvents | None = None

    def wait(self, timeout_s: float) -> bool:
        """Wait for a change. Returns whether there was one, or may have been: where the system cannot tell, at once.

        Args:
            timeout_s: longest wait, seconds.
        """
        settings = self._backend.settings
        path = None if settings is None else settings.service.state_dir
        if self._events is None or self._events.is_over or path != self._path:
            self._open(path)  # what has changed before is not told of
            return True
        return self._events.wait(timeout_s)

    def _open(self, path: Path | None) -> None:
        if self._events is not None:
            self._events.close()
        self._path, self._events = path, None
        if path is not None:
            with suppress(OSError):
                self._events = DirectoryEvents(path)


def _run(backend: Backend) -> None:
    watch, changes, has_changed = NewsWatch(backend), StateChanges(backend), True
    guard = Guard(logs.get(), backend.clock)
    while True:
        if not backend.watched.is_set():
            backend.watched.wait()
            watch.begin()
        guard.run("news of the page", watch.poll, None)
        time.sleep(LOOK_S)
        # After a change it looks once more: what is looked at less often has its turn, and the kernel tells of a daemon's end
        # an instant before it releases the daemon's lock.
        longest_s = min(watch.put_off_s(), OVERVIEW_S if has_changed else QUIET_S)
        has_changed = guard.run(
            "changes of the state directory", partial(changes.wait, longest_s), default=True
        )
