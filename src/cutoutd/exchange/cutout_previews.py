"""Cutouts in small: a worker writes one while it has the pixels, the supervisor keeps it, and the page's backend finds it.

It is kept by the SHA-256 of the first rendition, once the supervisor has seen that this is the file's. A worker gets a draft that
was opened for it, and what it leaves there is believed in nothing but what `unpacked` checks. All of it can be made again, so
whatever the disk refuses is not kept. It must not decode anything.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from cutoutd.fs.disk_cache import DiskCache, peek
from cutoutd.fs.private_directory import read_small
from cutoutd.fs.writers import is_open_for_writing

if TYPE_CHECKING:
    from pathlib import Path

DIRECTORY: Final = "page-previews"
"""In the state directory: for a cutout each some 100 KB."""

_DRAFTS: Final = "page-previews.new"

MAX_BYTES: Final = 512 << 20
SPARE_MB: Final = 256
"""Nothing is kept where it would bring the disk within so much of what the daemon leaves free."""

MAX_FILE_BYTES: Final = 3 << 20
"""An honest one has a tenth of it."""

MAX_DRAFTS: Final = 256
"""At a time; older ones are those of jobs that came to another end."""

_MAX_HEADER: Final = 100
_MAX_SIDE: Final = 1 << 20
_MAX_LEVEL: Final = 20
_JPEG: Final = b"\xff\xd8\xff"
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_WEBP: Final = re.compile(rb"RIFF....WEBP", re.DOTALL)
_MAKE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, kw_only=True, slots=True)
class CutoutPreview:
    """A rendition in small.

    Attributes:
        width, height: of the rendition, pixels.
        level: of it that `colours` and `alpha` show whole, as in `cutoutd.tiling`.
        small: a WebP for lists.
        colours: a JPEG.
        alpha: a PNG, grey; empty where all is opaque.
    """

    width: int
    height: int
    level: int
    small: bytes
    colours: bytes
    alpha: bytes

    def packed(self) -> bytes:
        """As a file."""
        sizes = [len(self.small), len(self.colours), len(self.alpha)]
        header = json.dumps([self.width, self.height, self.level, *sizes]).encode("ascii")
        return b"".join((header, b"\n", self.small, self.colours, self.alpha))

    @classmethod
    def unpacked(cls, content: bytes) -> Self | None:
        """Of a file; None if it is none of ours."""
        header, _, body = content.partition(b"\n")
        try:
            width, height, level, *sizes = map(_whole, json.loads(header[:_MAX_HEADER]))
            first, second, third = sizes
        except (TypeError, ValueError, RecursionError):
            return None
        if not (0 < width < _MAX_SIDE and 0 < height < _MAX_SIDE and 0 <= level < _MAX_LEVEL):
            return None
        if min(sizes) < 0 or sum(sizes) != len(body):
            return None
        small, colours, alpha = body[:first], body[first : first + second], body[first + second :]
        is_opaque = third == 0
        if not (_WEBP.match(small) and colours.startswith(_JPEG) and (is_opaque or alpha.startswith(_PNG))):
            return None
        return cls(width=width, height=height, level=level, small=small, colours=colours, alpha=alpha)


class PreviewStore:
    """Keeps previews; the supervisor's side, shared by threads.

    Args:
        state_dir: held by this process.
        min_free_mb: that the daemon leaves free on the disk.
    """

    def __init__(self, state_dir: Path, *, min_free_mb: int) -> None:
        self._drafts = state_dir / _DRAFTS
        self._cache = DiskCache(state_dir / DIRECTORY, MAX_BYTES, free_bytes=(min_free_mb + SPARE_MB) << 20)
        self._lock = threading.Lock()
        self._names: list[str] = []
        shutil.rmtree(self._drafts, ignore_errors=True)  # those of a run that died

    def open_draft(self, name: str) -> int | None:
        """Open an empty file for a worker.

        Args:
            name: of `cutoutd.publish.staging.job_directory`.

        Returns:
            A descriptor, which the caller closes; None where the disk refuses.
        """
        with self._lock:
            self._names.append(name)
            stale = self._names.pop(0) if len(self._names) > MAX_DRAFTS else None
        if stale is not None:
            self.drop(stale)
        try:
            self._drafts.mkdir(mode=0o700, exist_ok=True)
            return os.open(self._drafts / name, _MAKE, 0o600)
        except OSError:
            return None

    def keep(self, name: str, sha256: str) -> bool:
        """Keep what a worker has written, if it can be a preview.

        Args:
            name: of the draft.
            sha256: of the first rendition, which was seen to be the file's.

        Returns:
            Whether somebody has the draft open for writing still, which no honest worker has.
        """
        path, is_held = self._drafts / name, False
        content = b""
        with suppress(OSError):
            content = read_small(path, MAX_FILE_BYTES + 1)
            is_held = _is_held(path)
        self.drop(name)
        if len(content) <= MAX_FILE_BYTES and CutoutPreview.unpacked(content) is not None:
            self._cache.put(sha256, content)
        return is_held

    def drop(self, name: str) -> None:
        """Remove a draft, if it is there."""
        with self._lock, suppress(ValueError):
            self._names.remove(name)
        with suppress(OSError):
            (self._drafts / name).unlink()


def find(state_dir: Path, sha256: str) -> CutoutPreview | None:
    """The preview of a cutout; None if there is none.

    Args:
        state_dir: the daemon's.
        sha256: of the cutout.
    """
    content = peek(state_dir / DIRECTORY, sha256)
    return None if content is None else CutoutPreview.unpacked(content)


def clear(state_dir: Path) -> None:
    """Remove all: the page is switched off."""
    for name in (DIRECTORY, _DRAFTS):
        shutil.rmtree(state_dir / name, ignore_errors=True)


def _is_held(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return is_open_for_writing(descriptor)
    finally:
        os.close(descriptor)


def _whole(value: object) -> int:
    """A number that JSON has as one.

    Raises:
        TypeError: it is something else.
    """
    if type(value) is not int:  # True is an int, and no number
        raise TypeError
    return value
