"""The journal as methods see it.

This module must not change the journal.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from cutoutd.journal.store import FILE_NAME, JournalDamagedError, Store

if TYPE_CHECKING:
    from pathlib import Path


class OpenJournal:
    """The journal, opened once it exists, and reopened after the daemon has made a new one.

    Each thread has a connection of its own: a connection is used by one thread at a time, and a picture would wait until a long
    list was read.
    """

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / FILE_NAME
        self._own = threading.local()
        self._was_there = False

    def open(self) -> Store | None:
        """Return the open journal, for the calling thread; None as long as there is none.

        Raises:
            JournalDamagedError: the journal was removed.
            CutoutdError: the journal cannot be opened.
        """
        try:
            status = self._path.lstat()
        except OSError as error:
            if self._was_there and isinstance(error, FileNotFoundError):
                raise JournalDamagedError("it was removed", path=self._path) from error
            return None
        identity = (status.st_dev, status.st_ino)
        if getattr(self._own, "identity", None) != identity:
            # Whoever still works with the former one keeps it: it is closed when nobody has it any more.
            self._own.store, self._own.identity = Store(self._path), identity
            self._was_there = True
        store: Store = self._own.store
        return store
