"""How many pixels a picture has, by what the head of its file says: JPEG, PNG and WebP.

A worker says it as well, and is not to be believed. Nothing is decoded, and no other format is looked into: their heads are
as hard to read as the picture. JPEG: ITU-T T.81, B.1; PNG: W3C, 11.2.1; WebP: RFC 9649.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import BinaryIO

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_MAX_SEGMENTS: Final = 4096
_MAX_JUNK: Final = 1 << 16
"""Bytes between two segments of a JPEG, which its readers pass over."""

_NO_LENGTH: Final = frozenset({0x01, *range(0xD0, 0xD9)})
_FRAMES: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_SCAN, _END = 0xDA, 0xD9


def size_of(file: BinaryIO) -> tuple[int, int] | None:
    """Width and height, as they are stored, before any orientation; None where the head does not say them.

    Args:
        file: at its beginning.

    Raises:
        OSError: it cannot be read.
    """
    head = file.read(30)
    if head.startswith(_PNG) and head[12:16] == b"IHDR":
        return _big(head[16:20]), _big(head[20:24])
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP" and len(head) == 30:  # noqa: PLR2004 -- all that was asked for
        return _webp(head)
    if head.startswith(b"\xff\xd8"):
        file.seek(2)
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
