"""Whether the file at a source's path is still that source: it may be missing, have come back, or have other bytes.

A file that comes to the path of a missing source is another picture. Many programs make copies that keep size and modification
time, while a change of permissions or a new link makes a file look replaced. So if a source looks the same but its inode or
change time differs, its bytes are hashed again, at a limited rate, and it is cut only if they differ. The birth time is
compared as well, where the file system has it: overwriting keeps it, and a new file has its own. Owned by the folder's monitor
thread. This module must not decode anything.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Final

from cutoutd.fs.birth_time import born_us
from cutoutd.fs.tree import parent_of
from cutoutd.intake.scan import have_one_inode, seen_as

if TYPE_CHECKING:
    from cutoutd.folder.scope import FolderScope
    from cutoutd.intake.scan import Scan, ScannedFile
    from cutoutd.jobs import Version


BYTES_S: Final = 8 << 20
"""Bytes per second. A backup that links every file changes all change times: 100 GB take four hours, at 3 % of a core."""

BURST_BYTES: Final = 64 << 20
"""The most bytes that may be hashed at once after a pause."""

LEARNED_AT_ONCE: Final = 5000
"""The most stamps that are written in one transaction."""

_BLOCK_BYTES: Final = 1 << 20
_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Rehashing:
    """Hashes the sources of one folder whose stamps have changed.

    Args:
        scope: the folder.
    """

    def __init__(self, scope: FolderScope) -> None:
        self._folder = scope.name
        self._root = scope.root
        self._sources = scope.sources
        self._clock = scope.clock
        self._boundary = scope.boundary
        self._waiting: dict[str, Version] = {}
        self._learned: dict[str, int] = {}
        self._budget = float(BURST_BYTES)
        self._since_s = scope.clock.monotonic_s()

    @property
    def next_due_s(self) -> float | None:
        """When the next source may be hashed, in monotonic seconds; None: there is none."""
        if not self._waiting:
            return None
        return self._since_s + max(0.0, -self._budget) / BYTES_S

    def compare(self, version: Version) -> None:
        """Compare the stamp of a known version with the one it had when it was read; if they differ, it is to be hashed."""
        if version.stamp is None:
            return
        known = self._sources.stamp(self._folder, version.path)
        if known == version.stamp:
            self._waiting.pop(version.path, None)
        elif known is None:
            # The journal has no stamp of it, so the current one counts.
            self._learned[version.path] = version.stamp
        else:
            self._waiting[version.path] = version

    def is_another(self, seen: ScannedFile) -> bool:
        """Whether a file is another one than the source at its path whose result is published.

        While the folder is watched, a new file at a path is a save by an editor that writes under another name first. While it was
        not watched, it cannot be distinguished from another picture, and no picture may be lost.
        """
        known = self._sources.stamp(self._folder, seen.path)
        accepted_us = self._sources.published_us(self._folder, seen.path)
        if known is None or accepted_us is None:
            return False
        born_after = (self._born_us(seen.path) or 0) > accepted_us  # inode numbers are reused
        return born_after or not have_one_inode(known, seen.stamp)

    def _born_us(self, path: str) -> int | None:
        try:
            with parent_of(self._root, path) as (directory, name):
                return born_us(directory, name)
        except OSError:
            return None

    def step(self) -> list[str]:
        """Hash as many sources as the rate allows, and record the results.

        Returns:
            Paths whose bytes have changed, to be looked at again.

        Raises:
            OSError: the folder cannot be read.
            StorageError: the journal cannot be written.
        """
        now_s = self._clock.monotonic_s()
        self._budget = min(float(BURST_BYTES), self._budget + (now_s - self._since_s) * BYTES_S)
        self._since_s = now_s
        altered = []
        while self._waiting and self._budget > 0:
            path, version = next(iter(self._waiting.items()))
            if self._has_other_bytes(version):
                self._sources.doubt_for_good(self._folder, version)
                altered.append(path)
            del self._waiting[path]
        while self._learned:
            some = dict(list(self._learned.items())[:LEARNED_AT_ONCE])
            self._sources.note_stamps(self._folder, some)
            for path in some:
                del self._learned[path]
        return altered

    def _has_other_bytes(self, version: Version) -> bool:
        """Whether a source has other bytes than those that were read; if its job is open, its worker finds that out."""
        read = self._sources.bytes_read(self._folder, version)
        if not read.is_over:
            return False
        if read.sha256 is None:
            # It failed before it was read whole, and may be another file now; a version that was left out stays so.
            if not read.has_failed and version.stamp is not None:
                self._learned[version.path] = version.stamp
            return read.has_failed
        sha256 = self._sha256(version)
        if sha256 == read.sha256 and version.stamp is not None:
            self._learned[version.path] = version.stamp
        return sha256 not in (None, read.sha256)

    def _sha256(self, version: Version) -> str | None:
        """Return the SHA-256 of the file now; None if it cannot be read, or has changed since it was seen.

        Raises:
            OSError: the folder cannot be read.
        """
        digest = hashlib.sha256()
        try:
            with parent_of(self._root, version.path, self._boundary()) as (directory, name):
                descriptor = os.open(name, _FLAGS, dir_fd=directory)
            try:
                seen = _seen(descriptor, version.path)
                while block := os.read(descriptor, _BLOCK_BYTES):
                    digest.update(block)
                    self._budget -= len(block)
                if seen is None or seen != _seen(descriptor, version.path):
                    return None
            finally:
                os.close(descriptor)
        except OSError:
            os.stat(self._root)  # noqa: PTH116 -- raises if the whole folder cannot be read
            return None  # it counts as unchanged; the next scan has it tried again
        return digest.hexdigest() if seen.stamp == version.stamp else None


def _seen(descriptor: int, path: str) -> ScannedFile | None:
    return seen_as(path, os.fstat(descriptor))


SAVE_S: Final = 3.0
"""The longest time that a save by deleting and creating takes; a file that comes to a path later is another picture."""


class MissingSources:
    """The sources of one folder that are missing, or were.

    Args:
        scope: the folder.
        rehashing: recognises files by their inodes.
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
        """Record that there is no file at a path."""
        self._reappeared.discard(path)
        if self._sources.has(self._folder, path):
            self._unwritten[path] = self._clock.now_us()

    def scanned(self, scan: Scan) -> None:
        """Record as missing what a finished scan did not find, except below directories that it could not read or enter."""
        now_us = self._clock.now_us()
        unread = [*(path for path, _ in scan.errors), *scan.apart]
        for path in self._sources.unseen(self._folder):
            if self._scope.rules.takes_file(path) and not any(_is_below(path, one) for one in unread):
                self._unwritten[path] = now_us

    def came_back(self, path: str, *, same: bool) -> None:
        """Record that there is a file at a path.

        Args:
            path: path relative to the input.
            same: whether it is the known version.
        """
        if self.is_missing(path) and (same or not self.is_for_long(path)):
            self._unwritten[path] = None

    def is_missing(self, path: str) -> bool:
        """Whether a source is missing, or was until this file came."""
        return self._since_us(path) is not None

    def is_for_long(self, path: str) -> bool:
        """Whether a source is missing, or was until this file came, for longer than a save takes."""
        since_us = self._since_us(path)
        return since_us is not None and not 0 <= self._clock.now_us() - since_us <= SAVE_S * 1_000_000

    def replaced(self, path: str) -> None:
        """Record that another file came to a source's path while the folder was not watched."""
        self._unwritten[path] = self._clock.now_us()

    def has_reappeared(self, seen: ScannedFile, version: Version, *, is_first_look: bool) -> bool:
        """Whether a file came back to its path, instead of having stayed there.

        Its inode and change time distinguish it from a file on a disk that was away. Where they do not, it counts as the file that was
        there, unless we have removed that.

        Args:
            seen: a file that looks like the known version.
            version: the file as a version.
            is_first_look: whether this is the first scan since the daemon started or the folder was opened.
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
        read = sources.bytes_read(self._folder, version) if is_another else None
        # An original that is still to be moved or deleted is gone in a moment, and its result is there.
        if read is not None and read.is_over and not read.is_cleanup_pending:
            self._reappeared.add(path)
        return path in self._reappeared

    def accepted(self, path: str) -> None:
        """Record that a file was accepted."""
        self._reappeared.discard(path)

    def write(self) -> None:
        """Record in the journal what is missing and what is back; before anything is accepted at those paths.

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
