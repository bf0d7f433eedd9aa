"""The part of watchdog that reads inotify, made to tell what it otherwise keeps to itself.

watchdog 7.1 rebuilds its watches after an overflow but tells no one that files were missed, passes over
sub-directories that could not be watched, and lets an exception end its reading thread unnoticed. It is
told here which events we want: none for reading, or our own looks would be events, and none for each
single write, since the closing of the file is one. Linux only; it must not look at files.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent, InotifyFD, Mask

from cutoutd.errnos import NO_WAY

if TYPE_CHECKING:
    from watchdog.observers.inotify_c import CallbackId, WatchCallback, WatchDescriptor

    from cutoutd.intake.watch import Inbox

# Single writes (IN_MODIFY) are left out: a large file is thousands of them. Moving is asked for because
# watchdog follows moved directories by it.
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
    """One inotify instance and the thread that reads it; for one folder.

    Args:
        inbox: gets "look everywhere" when events were lost.

    Attributes:
        trouble: why events no longer come, or None.
        watched: directories that got a watch so far.
        refused: directories that should have one and got none.
        refusal: why the last of these got none.

    Raises:
        OSError: there is no instance left (EMFILE).
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
        """A directory that could not be read when it was to be watched, and now can; or None."""
        return next((os.fsdecode(path) for path in self._denied if _is_readable(path)), None)

    def run(self) -> None:
        """Read until stopped; what ends it otherwise is kept in ``trouble``."""
        try:
            super().run()
        except Exception as error:  # noqa: BLE001 -- whatever ends the reading must be told
            self.trouble = f"reading events failed ({error!r})"
            self._inbox.everything()

    def add_callback(
        self, path: bytes, mask: Mask, callback: WatchCallback, id_: CallbackId
    ) -> WatchDescriptor:
        """Watch a directory for our events, and take note if it cannot be watched.

        Raises:
            OSError: likewise; watchdog passes over it for all directories but the root.
        """
        del mask  # watchdog's own includes opening and reading
        if self._root is None:
            self._root = path  # watchdog begins with it
        try:
            if not _is_readable(path):
                # Left to itself, watchdog books the failure as a watch numbered -1.
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
        """Pass an event on, unless a scan is due anyway; ask for a scan where events were lost."""
        if event.is_ignored and event.wd == self._root_watch:
            self.trouble = "the folder was removed or unmounted"
        of_a_file = not (event.is_directory or event.is_ignored or event.is_queue_overflow)
        if of_a_file and not self._inbox.admit():
            return
        if of_a_file and event.is_moved_from:
            # As a name that is gone. As half of a renaming it would hold up all later events for half a second,
            # in which watchdog waits for the other half.
            event = InotifyEvent(event.wd, Mask(InotifyConstants.IN_DELETE), 0, event.name)
        try:
            super().handle_event(event)
        finally:
            # Only now: what happened before the watches were set up again is for the scan to find.
            if event.is_queue_overflow or event.is_move_self or self.trouble is not None:
                self._inbox.everything()


def _is_readable(path: bytes) -> bool:
    return os.access(path, os.R_OK, effective_ids=True) or not os.access(path, os.F_OK)
