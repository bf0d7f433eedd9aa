"""Which sources of one folder are missing or came to their path again: what comes to the path of one is another picture.

Many programs make copies that keep size and modification time. Whether a file that came again is cut again is not decided
here: its bytes are read first. Owned by the folder's monitor thread. It must not look at files: what a scan or a look
found is told to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cutoutd.folder.rehashing import Rehashing
    from cutoutd.folder.scope import FolderScope
    from cutoutd.intake.scan import Scan, Seen
    from cutoutd.jobs import Version


SAVE_S: Final = 3.0
"""A save by delete-and-create takes less; a file that comes to a path later than this is another picture."""


class MissingSources:
    """The sources of one folder that are missing, or were.

    Args:
        scope: the folder.
        rehashing: knows files by their inodes.
    """

    def __init__(self, scope: FolderScope, rehashing: Rehashing) -> None:
        self._scope = scope
        self._folder = scope.name
        self._sources = scope.sources
        self._clock = scope.clock
        self._rehashing = rehashing
        self._unwritten: dict[str, int | None] = {}  # since when a source is missing; None: it is there again
        self._reappeared: set[str] = set()

    def missed(self, path: str) -> None:
        """A look found nothing at a path."""
        self._reappeared.discard(path)
        if self._sources.has(self._folder, path):
            self._unwritten[path] = self._clock.now_us()

    def scanned(self, scan: Scan) -> None:
        """A scan is over; what it did not come by is missing, but of what it could not read or enter it says nothing."""
        now_us = self._clock.now_us()
        unread = [*(path for path, _ in scan.errors), *scan.apart]
        for path in self._sources.unseen(self._folder):
            if self._scope.rules.takes_file(path) and not any(_is_below(path, one) for one in unread):
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

    def has_reappeared(self, seen: Seen, version: Version, *, is_first_look: bool) -> bool:
        """Whether a file came to its path again, and did not just stay there.

        Inode and time of change tell it from a file on a disk that was away. Where they say nothing, it counts as the
        file that was there, unless we have removed that.

        Args:
            seen: a file that looks like the version that is known.
            version: the same.
            is_first_look: nobody has looked before, since the daemon began or the folder was open again.
        """
        path, sources = seen.path, self._sources
        if path in self._reappeared:
            return True
        has_changed = self._scope.has_stamps and sources.stamp(self._folder, path) not in (None, seen.stamp)
        if not has_changed and not self.is_missing(path):
            return False
        is_another = sources.is_put_away(self._folder, path) or (
            has_changed
            and (
                self.is_for_long(path)
                or (is_first_look and self._scope.is_known_disk and self._rehashing.is_another(seen))
            )
        )
        if is_another and sources.bytes_read(self._folder, version).is_over:
            self._reappeared.add(path)
        return path in self._reappeared

    def accepted(self, path: str) -> None:
        """A file was accepted."""
        self._reappeared.discard(path)

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
