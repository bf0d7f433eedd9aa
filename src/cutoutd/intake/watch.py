"""The system's events of one folder, by watchdog: whether they arrive, why not, and which files to look at.

Events are hints: they may be late, doubled, wrong or lost, so nothing may depend on them but how soon a scan is made. Up to a
limit each file is kept; beyond it, and after a loss, the hint is to scan everything. This module must not open files, and reports
problems but does not repair them: the caller stops an unhealthy watch, and starts it again or polls instead.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver

from cutoutd.errors import FailureCode, TemporaryError
from cutoutd.fs.tree import FileId, file_id
from cutoutd.intake.hints import Inbox
from cutoutd.settings.types import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.intake.filesystems import Mode
    from cutoutd.intake.hints import Hints
    from cutoutd.intake.rules import Rules


if sys.platform == "linux":
    from watchdog.observers.inotify import InotifyEmitter

    from cutoutd.intake.inotify import InotifyReader
else:
    from watchdog.observers import Observer

STOP_TIMEOUT_S: Final = 2.0
"""How long to wait for the threads of a watch; after that they are abandoned, being daemon threads that hold no resources."""

_EVENTS: Final[list[type[FileSystemEvent]]] = [
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
]

_ADVICE: Final = {
    errno.ENOSPC: "It is scanned instead; raise fs.inotify.max_user_watches to be told of changes at once.",
    errno.EMFILE: "It is scanned instead; raise fs.inotify.max_user_instances to be told of changes at once.",
}


class UnwatchableError(TemporaryError):
    """The system gives no events for a folder, or not for all of its directories."""

    code = FailureCode.UNWATCHABLE
    title = "The folder gives no events"
    advice = "It is scanned instead, so that a new file is noticed a little later."
    delay_s = 300.0


class EventWatch(FileSystemEventHandler):
    """The events of one folder; to be started once and stopped once.

    Args:
        root: path of the folder's input.
        rules: rules for what it takes; other files become no hints.
        wake: called from another thread when there are hints to take; must not block or raise. It may be called once more
            during ``stop``.
    """

    def __init__(self, root: str, rules: Rules, wake: Callable[[], None]) -> None:
        self._root = root
        self._rules = rules
        self._inbox = Inbox(wake)
        self._prefixes: tuple[str, ...] = ()
        self._armed: tuple[int, int] | None = None
        self._root_deleted = False
        self._observer: BaseObserver | None = None
        self._reader: InotifyReader | None = None

    def start(self) -> None:
        """Start the watch; a scan must follow, since files that are there already cause no events.

        Raises:
            UnwatchableError: no events arrive, or not from all directories.
        """
        try:
            self._arm()
        except (OSError, RuntimeError) as error:  # RuntimeError: no more threads
            self.stop()
            cause = f"the system refuses its events: {getattr(error, 'strerror', None) or error}"
            raise self._unwatchable(cause, error) from error
        reader = self._reader
        if reader is not None and reader.refusal is not None:
            self.stop()
            total = reader.watched + reader.refused
            cause = f"{reader.refused} of {total} directories cannot be watched: {reader.refusal.strerror}"
            raise self._unwatchable(cause, reader.refusal)

    def take(self) -> Hints:
        """Return all hints since the last call."""
        return self._inbox.take()

    def trouble(self) -> str | None:
        """Return why this watch is no longer reliable; None if it is.

        Costs one stat of the root; to be called before each scan and every few seconds.
        """
        if self._observer is None or self._root_deleted:
            return "the folder was removed" if self._root_deleted else "not watching"
        trouble = self._trouble_of_threads(self._observer)
        if trouble is not None:
            return trouble
        try:
            there = _identity(self._root)
        except OSError as error:
            return f"the folder cannot be reached: {error.strerror}"
        return None if there == self._armed else "another directory has taken the folder's place"

    def stop(self) -> None:
        """Stop the watch; takes at most ``STOP_TIMEOUT_S``."""
        # watchdog joins its threads without a timeout, and one of them may be blocked by a file system.
        stopping = threading.Thread(target=self._dismantle, name="watch-stop", daemon=True)
        stopping.start()
        stopping.join(STOP_TIMEOUT_S)

    def dispatch(self, event: FileSystemEvent) -> None:
        """Turn an event into a hint; called by watchdog."""
        if isinstance(event, DirDeletedEvent) and self._relative(event.src_path) == "":
            self._root_deleted = True
            self._inbox.everything()
            return
        for name in (event.src_path, event.dest_path):
            path = self._relative(name)
            if path is None:
                continue
            if event.is_directory:
                if path == "" or self._rules.enters_directory(path):
                    self._inbox.everything()
            elif self._rules.takes_file(path):
                self._inbox.file(path)

    def _arm(self) -> None:
        real = os.path.realpath(self._root, strict=True)
        if not Path(real).is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), self._root)
        # watchdog would watch a link itself instead of its target.
        self._prefixes = (real.rstrip("/"), self._root.rstrip("/"))
        self._armed = _identity(self._root)
        if sys.platform == "linux":
            self._reader = InotifyReader(self._inbox)
            self._reader.start()
            self._observer = BaseObserver(InotifyEmitter, inotify_fd=self._reader)
        else:
            self._observer = Observer()
        self._observer.schedule(self, real, recursive=self._rules.recursive, event_filter=_EVENTS)
        self._observer.start()

    def _unwatchable(self, cause: str, error: Exception) -> UnwatchableError:
        number = error.errno if isinstance(error, OSError) else None
        return UnwatchableError(cause, path=Path(self._root), advice=_ADVICE.get(number or 0))

    def _trouble_of_threads(self, observer: BaseObserver) -> str | None:
        reader = self._reader
        if reader is not None:
            if reader.trouble is not None:
                return reader.trouble
            if reader.refusal is not None:
                return f"{reader.refused} directories cannot be watched: {reader.refusal.strerror}"
            if (path := reader.opened_up) is not None:
                return f"{path} could not be read, and now can"
        threads = [observer, *observer.emitters, *([reader] if reader is not None else [])]
        if not observer.emitters or not all(thread.is_alive() for thread in threads):
            return "a thread that reads events has ended"
        return None

    def _relative(self, name: bytes | str) -> str | None:
        """Return the path of an event relative to the root; empty for the root, None if it is outside."""
        path = os.fsdecode(name)
        for prefix in self._prefixes:
            if path == prefix:
                return ""
            if path.startswith(f"{prefix}/"):
                return path[len(prefix) + 1 :]
        return None

    def _dismantle(self) -> None:
        observer, reader = self._observer, self._reader
        if observer is not None:
            observer.stop()
            if observer.is_alive():
                observer.join()
        if reader is not None:
            reader.stop()
            if reader.is_alive():
                reader.join()


def _identity(root: str) -> FileId:
    return file_id(Path(root).stat())


def why_no_events(wanted: Watch, mode: Mode | None, *, once: bool) -> str | None:
    """Return why a folder is not to be watched by events; None: it is.

    Args:
        wanted: the setting.
        mode: how its file system can be watched; None: not known.
        once: whether the run ends without waiting for files.
    """
    if once:
        return ""
    if wanted is Watch.POLL:
        return "as configured"
    return mode.reason if wanted is Watch.AUTO and mode is not None and mode.network else None
