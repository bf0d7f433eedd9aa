"""A colour profile wider than sRGB, computed here so that no file has to be shipped."""

from __future__ import annotations

import struct
from typing import Final

# Adobe RGB (1998), adapted to D50, as its specification gives them.
_RED: Final = (0.60974, 0.31111, 0.01947)
_GREEN: Final = (0.20528, 0.62567, 0.06087)
_BLUE: Final = (0.14919, 0.06322, 0.74457)
_WHITE: Final = (0.9642, 1.0, 0.8249)
_GAMMA: Final = 2.19921875


def wide_profile() -> bytes:
    """Return a matrix profile of Adobe RGB's primaries with a gamma of 2.2 (ICC.1:2022, 7.2, 8.3)."""
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", 5) + b"wide\x00" + bytes(78),
        b"wtpt": _xyz(_WHITE),
        b"rXYZ": _xyz(_RED),
        b"gXYZ": _xyz(_GREEN),
        b"bXYZ": _xyz(_BLUE),
        b"rTRC": _curve(),
        b"gTRC": _curve(),
        b"bTRC": _curve(),
        b"cprt": b"text" + bytes(4) + b"none\x00",
    }
    at = 128 + 4 + 12 * len(tags)
    table, data = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        padded = content + bytes(-len(content) % 4)
        table += name + struct.pack(">II", at + len(data), len(content))
        data += padded
    header = struct.pack(">I4sI4s4s4s", at + len(data), b"none", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    header += (
        struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
        + b"acsp"
        + bytes(28)
        + struct.pack(">3i", 0xF6D6, 0x10000, 0xD32D)
    )
    return header.ljust(128, b"\x00") + table + data


def _xyz(values: tuple[float, float, float]) -> bytes:
    """Return an XYZ tag of three values."""
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in values))


def _curve() -> bytes:
    """Return a curve tag of the gamma."""
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(_GAMMA * 256))
