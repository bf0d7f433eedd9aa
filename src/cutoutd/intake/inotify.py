"""The reader of inotify events, built on watchdog's.

watchdog 7.1 rebuilds its watches after an overflow but does not report that events were lost, skips sub-directories that cannot
be watched, and lets an exception end its reading thread unnoticed; this subclass reports all three. It also restricts the
events: none for reading, or our own reads would cause events, and none for each single write, since closing the file causes
one. Linux only; this module must not look at files.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent, InotifyFD, Mask

from cutoutd.errnos import NO_WAY

if TYPE_CHECKING:
    from watchdog.observers.inotify_c import CallbackId, WatchCallback, WatchDescriptor

    from cutoutd.intake.hints import Inbox

# Single writes (IN_MODIFY) are left out: a large file has thousands of them. Moves are included because watchdog
# follows moved directories by them.
_EVENTS: Final = Mask(
    InotifyConstants.IN_CREATE
    | InotifyConstants.IN_CLOSE_WRITE
    | InotifyConstants.IN_MOVE
    | InotifyConstants.IN_ATTRIB
    | InotifyConstants.IN_DELETE
    | InotifyConstants.IN_DELETE_SELF
    | InotifyConstants.IN_MOVE_SELF
    | InotifyConstants.IN_ONLYDIR
    | InotifyConstants.IN_DONT_FOLLOW
)

_MAX_DENIED: Final = 100


class InotifyReader(InotifyFD):
    """An inotify instance and the thread that reads it, for one folder.

    Args:
        inbox: receives a hint to scan when events were lost.

    Attributes:
        trouble: why events no longer arrive; None if they do.
        watched: number of directories that have a watch.
        refused: number of directories whose watch was refused.
        refusal: the error of the last refused watch.

    Raises:
        OSError: no instance is left (EMFILE).
    """

    def __init__(self, inbox: Inbox) -> None:
        super().__init__()
        self._inbox = inbox
        self._root: bytes | None = None
        self._root_watch: WatchDescriptor | None = None
        self._denied: list[bytes] = []
        self.trouble: str | None = None
        self.watched = 0
        self.refused = 0
        self.refusal: OSError | None = None

    @property
    def opened_up(self) -> str | None:
        """A directory that was unreadable when it was to be watched, and is readable now; None if there is none."""
        return next((os.fsdecode(path) for path in self._denied if _is_readable(path)), None)

    def run(self) -> None:
        """Read events until stopped; an exception that ends it is kept in ``trouble``."""
        try:
            super().run()
        except Exception as error:  # noqa: BLE001 -- whatever ends the reading must be told
            self.trouble = f"reading events failed ({error!r})"
            self._inbox.everything()

    def add_callback(
        self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId
    ) -> WatchDescriptor:
        """Watch a directory for our events, and record it if it cannot be watched.

        Raises:
            OSError: the directory cannot be watched; watchdog ignores this for all directories but the root.
        """
        del mask  # watchdog's own includes opening and reading
        if self._root is None:
            self._root = path  # watchdog begins with it
        try:
            if not _is_readable(path):
                # watchdog would record the failure as a watch with the number -1.
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fsdecode(path))
            descriptor = super().add_callback(path, _EVENTS, callback, id_)
        except OSError as error:
            if error.errno == errno.EACCES:
                self._denied = [*self._denied, path][:_MAX_DENIED]
            elif error.errno not in NO_WAY:
                self.refused += 1
                self.refusal = error
            raise
        self.watched += 1
        if path == self._root:
            self._root_watch = descriptor
        return descriptor

    def handle_event(self, event: InotifyEvent) -> None:
        """Pass an event on, unless a scan is due anyway; request a scan if events were lost."""
        if event.is_ignored and event.wd == self._root_watch:
            self.trouble = "the folder was removed or unmounted"
        of_a_file = not (event.is_directory or event.is_ignored or event.is_queue_overflow)
        if of_a_file and not self._inbox.admit():
            return
        if of_a_file and event.is_moved_from:
            # Passed on as a deletion: as half of a rename it would delay all later events by the half second that watchdog
            # waits for the other half.
            event = InotifyEvent(event.wd, Mask(InotifyConstants.IN_DELETE), 0, event.name)
        try:
            super().handle_event(event)
        finally:
            # Only now: changes from before the watches were set up again are found by the scan.
            if event.is_queue_overflow or event.is_move_self or self.trouble is not None:
                self._inbox.everything()


def _is_readable(path: bytes) -> bool:
    return os.access(path, os.R_OK, effective_ids=True) or not os.access(path, os.F_OK)
