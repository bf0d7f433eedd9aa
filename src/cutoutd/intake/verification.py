"""Verification of what an untrusted worker reports of a source file: its bytes and its size in pixels.

Nothing is decoded. The size is read from the header of JPEG, PNG and WebP files only: other formats are as hard to read as the
picture. JPEG: ITU-T T.81, B.1; PNG: W3C, 11.2.1; WebP: RFC 9649.
"""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from cutoutd.errnos import DENIED, NO_WAY
from cutoutd.file_signatures import picture_format
from cutoutd.fs.tree import parent_of
from cutoutd.intake.scan import scan_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader
    from typing import BinaryIO

    from cutoutd.jobs import Version

_HEAD_BYTES: Final = 30  # of a WebP file, up to the size of its canvas
_START_OF_JPEG: Final = b"\xff\xd8"
_MAX_SEGMENTS: Final = 4096
_MAX_JUNK: Final = 1 << 16
"""The most bytes between two segments of a JPEG, which decoders skip."""

_NO_LENGTH: Final = frozenset({0x01, *range(0xD0, 0xD9)})
_FRAMES: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_SCAN, _END = 0xDA, 0xD9


def sha256_of(root: str, path: str) -> str | None:
    """Return the SHA-256 of a file, hex; None if there is no regular file that is really inside the root.

    Args:
        root: path of the folder's input.
        path: path of the file, relative to the root.

    Raises:
        OSError: it cannot be read.
    """
    with _opened(root, path) as file:
        return None if file is None else hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _opened(root: str, path: str) -> Iterator[BufferedReader | None]:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with parent_of(root, path) as (directory, name):
            descriptor = os.open(name, flags, dir_fd=directory)
    except OSError as error:
        if error.errno not in NO_WAY:
            raise
        yield None
        return
    with os.fdopen(descriptor, "rb") as file:
        yield file if stat.S_ISREG(os.fstat(descriptor).st_mode) else None


def has_bytes(root: str, version: Version, sha256: str) -> bool | None:
    """Whether a version of a file has the reported SHA-256.

    Args:
        root: path of the folder's input.
        version: version of the file.
        sha256: the reported SHA-256, hex.

    Returns:
        None if that version is not there any more, or not readable.

    Raises:
        OSError: the disk or share fails.
    """
    try:
        if not _is_there(root, version):
            return None
        found = sha256_of(root, version.path)
        return found == sha256 if found is not None and _is_there(root, version) else None
    except OSError as error:
        if error.errno in DENIED:
            return None
        raise


def has_pixels(root: str, version: Version, pixels: int) -> bool | None:
    """Whether a version of a picture has at least the reported number of pixels.

    Args:
        root: path of the folder's input.
        version: version of the file.
        pixels: the reported number of pixels.

    Returns:
        None if that version is not there any more, or not readable, or its header does not give its size.

    Raises:
        OSError: the disk or share fails.
    """
    try:
        with _opened(root, version.path) as file:
            found = size_in_head(file) if file is not None else None
        if found is None or not _is_there(root, version):
            return None
    except OSError as error:
        if error.errno in DENIED:
            return None
        raise
    return found[0] * found[1] >= pixels


def _is_there(root: str, version: Version) -> bool:
    seen = scan_file(root, version.path)
    return seen is not None and (seen.size, seen.mtime_ns) == (version.size, version.mtime_ns)


def size_in_head(file: BinaryIO) -> tuple[int, int] | None:
    """Return the stored width and height in pixels, before any orientation; None where the header does not give them.

    Args:
        file: the file, at its beginning.

    Raises:
        OSError: it cannot be read.
    """
    head = file.read(_HEAD_BYTES)
    match picture_format(head):
        case "PNG" if head[12:16] == b"IHDR":
            return _big(head[16:20]), _big(head[20:24])
        case "WebP" if len(head) == _HEAD_BYTES:
            return _webp(head)
    if head.startswith(_START_OF_JPEG):
        file.seek(len(_START_OF_JPEG))
        return _jpeg(file)
    return None


def _webp(head: bytes) -> tuple[int, int] | None:
    match head[12:16]:
        case b"VP8X":
            return 1 + _little(head[24:27]), 1 + _little(head[27:30])
        case b"VP8L":
            bits = _little(head[21:25])
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 ":
            return _little(head[26:28]) & 0x3FFF, _little(head[28:30]) & 0x3FFF
    return None


def _jpeg(file: BinaryIO) -> tuple[int, int] | None:
    for _ in range(_MAX_SEGMENTS):
        marker = _next_marker(file)
        if marker is None or marker in (_SCAN, _END):
            return None
        if marker in _NO_LENGTH:
            continue
        length = _big(file.read(2))
        if marker in _FRAMES:
            frame = file.read(5)
            return (_big(frame[3:5]), _big(frame[1:3])) if len(frame) == 5 else None  # noqa: PLR2004 -- likewise
        if length < 2:  # noqa: PLR2004 -- its own two bytes
            return None
        file.seek(length - 2, 1)
    return None


def _next_marker(file: BinaryIO) -> int | None:
    for _ in range(_MAX_JUNK):
        byte = file.read(1)
        if not byte:
            return None
        if byte != b"\xff":
            continue
        while byte == b"\xff":
            byte = file.read(1)
        if byte not in (b"", b"\0"):
            return byte[0]
    return None


def _big(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")
