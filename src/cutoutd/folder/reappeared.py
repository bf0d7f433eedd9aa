"""Which files look like the known source at their path, and came there again all the same: they are accepted once more.

Many programs make copies that keep size and modification time. Whether such a file is cut again is not decided here: its
bytes are read first. Owned by the folder's monitor thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cutoutd.folder.absences import MissingSources
    from cutoutd.folder.rehashing import Rehashing
    from cutoutd.intake.scan import Seen
    from cutoutd.jobs import Version
    from cutoutd.journal.sources import Sources


class Reappearances:
    """The files of one folder that came again.

    Args:
        folder: its name.
        sources: the journal's memory of versions.
        missing: knows which sources are missing.
        rehashing: knows files by their inodes.
        has_stamps: inodes and times of change stay as they are as long as a file does.
        is_known_disk: the folder lies on the device on which its files were seen before; what was brought to another
            one, such as by a restored backup, has other inodes and is what it was.
    """

    def __init__(
        self,
        folder: str,
        *,
        sources: Sources,
        missing: MissingSources,
        rehashing: Rehashing,
        has_stamps: bool,
        is_known_disk: bool,
    ) -> None:
        self._folder = folder
        self._sources = sources
        self._missing = missing
        self._rehashing = rehashing
        self._has_stamps = has_stamps
        self._is_known_disk = is_known_disk
        self._found: set[str] = set()

    def has(self, seen: Seen, version: Version, *, is_first_look: bool) -> bool:
        """Whether a file came to its path again, and did not just stay there.

        Inode and time of change tell it from a file on a disk that was away. Where they say nothing, it counts as the
        file that was there, unless we have removed that.

        Args:
            seen: a file that looks like the version that is known.
            version: the same.
            is_first_look: nobody has looked before, since the daemon began or the folder was open again.
        """
        path, sources = seen.path, self._sources
        if path in self._found:
            return True
        has_changed = self._has_stamps and sources.stamp(self._folder, path) not in (None, seen.stamp)
        if not has_changed and not self._missing.is_missing(path):
            return False
        is_another = sources.is_put_away(self._folder, path) or (
            has_changed
            and (
                self._missing.is_for_long(path)
                or (is_first_look and self._is_known_disk and self._rehashing.is_another(seen))
            )
        )
        if is_another and sources.bytes_read(self._folder, version).is_over:
            self._found.add(path)
        return path in self._found

    def forget(self, path: str) -> None:
        """A file was accepted, or is not there any more."""
        self._found.discard(path)
