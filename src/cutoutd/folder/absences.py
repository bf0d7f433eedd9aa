"""Which sources of one folder are missing, and since when: what comes to the path of one is another picture.

Owned by the folder's monitor thread. It must not look at files: what a scan or a look found is told to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cutoutd.clock import Clock
    from cutoutd.intake.rules import Rules
    from cutoutd.intake.scan import Scan
    from cutoutd.journal.sources import Sources

SAVE_S: Final = 3.0
"""A save by delete-and-create takes less; a file that comes to a path later than this is another picture."""


class MissingSources:
    """The missing sources of one folder.

    Args:
        folder: its name.
        rules: which names it takes.
        sources: the journal's memory of versions, which keeps what is found here.
        clock: its wall time.
    """

    def __init__(self, folder: str, *, rules: Rules, sources: Sources, clock: Clock) -> None:
        self._folder = folder
        self._rules = rules
        self._sources = sources
        self._clock = clock
        self._unwritten: dict[str, int | None] = {}  # since when a source is missing; None: it is there again

    def missed(self, path: str) -> None:
        """A look found nothing at a path."""
        if self._sources.has(self._folder, path):
            self._unwritten[path] = self._clock.now_us()

    def scanned(self, scan: Scan) -> None:
        """A scan is over; what it did not come by is missing, but of what it could not read or enter it says nothing."""
        now_us = self._clock.now_us()
        unread = [*(path for path, _ in scan.errors), *scan.apart]
        for path in self._sources.unseen(self._folder):
            if self._rules.takes_file(path) and not any(_is_below(path, one) for one in unread):
                self._unwritten[path] = now_us

    def came_back(self, path: str, *, same: bool) -> None:
        """A file lies at a path.

        Args:
            path: relative to the input.
            same: it is the version that is known.
        """
        if self.is_missing(path) and (same or not self.is_for_long(path)):
            self._unwritten[path] = None

    def is_missing(self, path: str) -> bool:
        """Whether a source is missing, or was until now."""
        return self._since_us(path) is not None

    def is_for_long(self, path: str) -> bool:
        """Whether a source is missing, or was until now, for longer than a save takes."""
        since_us = self._since_us(path)
        return since_us is not None and not 0 <= self._clock.now_us() - since_us <= SAVE_S * 1_000_000

    def replaced(self, path: str) -> None:
        """Another file lies at a path than the one that is known, and came there while nobody looked."""
        self._unwritten[path] = self._clock.now_us()

    def write(self) -> None:
        """Write down what is missing and what is back; before anything is accepted in its place.

        Raises:
            StorageError: the journal cannot be written; to be called again.
        """
        self._sources.note_places(self._folder, self._unwritten)
        self._unwritten = {}

    def _since_us(self, path: str) -> int | None:
        if path in self._unwritten:
            return self._unwritten[path]
        return self._sources.missing_us(self._folder, path)


def _is_below(path: str, directory: str) -> bool:
    return path == directory or not directory or path.startswith(f"{directory}/")
