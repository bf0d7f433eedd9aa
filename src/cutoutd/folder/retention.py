"""Retention of one folder's history: old rows are removed a few at a time, and so are sources that are gone.

Absence is no deletion: a share may look empty. So a source is forgotten only if it was missing in a healthy folder, and is
still missing after another retention period. Runs in the folder's own thread, since any access to a share may hang. This module
must not touch files.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from cutoutd.intake.scan import scan_file
from cutoutd.logs import get

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.clock import Clock
    from cutoutd.journal.history import History

STEP_S: Final = 60.0
"""Seconds between two steps."""

STEP: Final = 500
"""Rows per step: some milliseconds of the write lock, and 100,000 sources in three and a half hours."""

_DAY_US: Final = 86_400 * 1_000_000


class Retention:
    """Removes the old history of one folder.

    Args:
        folder: name of the folder.
        root: path of its input.
        history: the history in the journal.
        keep_days: how many days ended versions are kept; at least 1.
        clock: clock for ages and intervals.
    """

    def __init__(self, folder: str, *, root: Path, history: History, keep_days: int, clock: Clock) -> None:
        self._folder = folder
        self._root = os.fspath(root)
        self._history = history
        self._keep_us = keep_days * _DAY_US
        self._clock = clock
        self._log = get(folder=folder)
        self._next_s = clock.monotonic_s() + STEP_S
        self._after = ""

    def step(self) -> None:
        """Remove a few rows, if a step is due; only to be called while the folder is healthy.

        Raises:
            StorageError: the journal cannot be written.
        """
        now_s = self._clock.monotonic_s()
        if now_s < self._next_s:
            return
        self._next_s = now_s + STEP_S
        before_us = self._clock.now_us() - self._keep_us
        trimmed = self._history.trim(self._folder, before_us, STEP)
        forgotten = self._look_for_some(before_us)
        if trimmed or forgotten:
            self._log.info("history.trimmed", versions=trimmed, sources=forgotten)

    def _look_for_some(self, before_us: int) -> int:
        """Look for the next sources that ended long ago; returns how many were forgotten."""
        ended, self._after = self._history.ended(self._folder, before_us, after=self._after, limit=STEP)
        missing, found, forgotten = [], [], []
        for one in ended:
            there = self._is_there(one.path)
            if there is None:
                continue
            if there:
                if one.missing_us is not None:
                    found.append(one.path)
            elif one.missing_us is None:
                missing.append(one.path)
            elif one.missing_us < before_us:
                forgotten.append(one.path)
        # Only changes are written.
        if missing:
            self._history.note_missing(self._folder, missing)
        if found:
            self._history.note_found(self._folder, found)
        if forgotten:
            self._history.forget(self._folder, forgotten)
        return len(forgotten)

    def _is_there(self, path: str) -> bool | None:
        """Whether a source is there; None: that cannot be found out now."""
        try:
            return scan_file(self._root, path) is not None
        except OSError:
            return None
