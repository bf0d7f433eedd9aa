"""A picture of doctor's own, drawn without any library that reads pictures: a dark disc on light ground, as PNG."""

from __future__ import annotations

import struct
import zlib

SIDE = 96


def png() -> bytes:
    """The picture (Portable Network Graphics, third edition: 8 bits, grey, no filter)."""
    rows = b"".join(b"\0" + bytes(_grey(x, y) for x in range(SIDE)) for y in range(SIDE))
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _grey(x: int, y: int) -> int:
    inside = (x - SIDE / 2) ** 2 + (y - SIDE / 2) ** 2 < (SIDE / 3) ** 2
    return 60 if inside else 220


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
