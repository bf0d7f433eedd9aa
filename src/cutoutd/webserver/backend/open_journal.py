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
    """The journal, opened once it exists, and reopened after the daemon has made a new one."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / FILE_NAME
        self._lock = threading.Lock()
        self._store: Store | None = None
        self._identity: tuple[int, int] | None = None

    def open(self) -> Store | None:
        """Return the open journal; None as long as there is none.

        Raises:
            JournalDamagedError: the journal was removed.
            CutoutdError: the journal cannot be opened.
        """
        with self._lock:
            try:
                status = self._path.lstat()
            except OSError as error:
                if self._store is not None and isinstance(error, FileNotFoundError):
                    raise JournalDamagedError("it was removed", path=self._path) from error
                return None
            identity = (status.st_dev, status.st_ino)
            if self._store is None or identity != self._identity:
                # Whoever still works with the former one keeps it: it is closed when nobody has it any more.
                self._store, self._identity = Store(self._path), identity
            return self._store
