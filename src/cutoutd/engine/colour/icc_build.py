"""Build ICC profiles for pictures that state their colour space in another way.

Equal arguments give equal bytes. This module must not read pictures.

A PNG or TIFF may name any primaries and any exponent, and code points name many pairs of primaries and curve. Ready
profiles as data would serve the common few of them and leave the others to this module, so it makes all of them.

ICC.1:2022; the matrix is adapted to the profiles' white point (D50) as annex E describes it (Bradford).
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Chromaticities = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]
"""x and y of red, green, blue and white."""

_D65: Final = (0.3127, 0.3290)
SRGB: Final[Chromaticities] = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), _D65)
DISPLAY_P3: Final[Chromaticities] = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65)
DCI_P3: Final[Chromaticities] = ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351))
BT2020: Final[Chromaticities] = ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65)
ADOBE_RGB: Final[Chromaticities] = ((0.640, 0.330), (0.210, 0.710), (0.150, 0.060), _D65)

Curve = tuple[float, ...]
"""From a value to light: ``(g,)`` is a power; ``(g, a, b, c, d)`` is (a x + b)^g from d on, and c x below it."""

_D50: Final = np.array([0.9642, 1.0, 0.8249])
_BRADFORD: Final = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])

SRGB_CURVE: Final[Curve] = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
"""IEC 61966-2-1."""
BT709_CURVE: Final[Curve] = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
"""ITU-R BT.709 and BT.2020."""
ADOBE_RGB_CURVE: Final[Curve] = (563 / 256,)
"""Adobe RGB (1998) Color Image Encoding, 4.3.4.2."""

_KIND_OF_CURVE: Final = {1: 0, 5: 3}  # by how many numbers it has (ICC.1:2022, 10.18)


def to_xyz(space: Chromaticities) -> NDArray[np.float64]:
    """The matrix from linear RGB to XYZ, white as it is: (3, 3)."""
    columns = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in space])
    primaries, white = columns[:3].T, columns[3]
    return np.asarray(primaries * np.linalg.solve(primaries, white))


@lru_cache(maxsize=64)  # a file may give any numbers
def profile(space: Chromaticities, name: str, curve: Curve = SRGB_CURVE) -> bytes:
    """Build a display profile with these primaries and this curve.

    Args:
        space: the primaries and white.
        name: description that programs show, ASCII.
        curve: tone curve of all three channels.
    """
    matrix = to_xyz(space)
    cone = _BRADFORD @ np.stack((matrix.sum(axis=1), _D50), axis=1)
    adaptation = np.linalg.inv(_BRADFORD) @ np.diag(cone[:, 1] / cone[:, 0]) @ _BRADFORD
    adapted = adaptation @ matrix
    trc = b"para" + bytes(4) + struct.pack(">HH", _KIND_OF_CURVE[len(curve)], 0) + _fixed(curve)
    tags = [
        (b"desc", _text(name)),
        (b"cprt", _text("No copyright, use freely")),
        (b"wtpt", _xyz(_D50)),
        (b"chad", b"sf32" + bytes(4) + _fixed(adaptation.ravel())),
        *((kind, _xyz(adapted[:, n])) for n, kind in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))),
        *((kind, trc) for kind in (b"rTRC", b"gTRC", b"bTRC")),
    ]
    return _assemble(tags)


def _assemble(tags: list[tuple[bytes, bytes]]) -> bytes:
    """Return header, tag table and tag data; equal tag data is stored once."""
    at, table, body = 128 + 4 + 12 * len(tags), b"", b""
    places: dict[bytes, int] = {}
    for kind, content in tags:
        if content not in places:
            places[content] = at + len(body)
            body += content + bytes(-len(content) % 4)
        table += kind + struct.pack(">II", places[content], len(content))
    head = struct.pack(">I4xI4s4s4s", at + len(body), 0x04300000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H4s28x", 2024, 1, 1, 0, 0, 0, b"acsp") + _fixed(_D50) + bytes(48)
    return head + struct.pack(">I", len(tags)) + table + body


def _fixed(values: NDArray[np.float64] | tuple[float, ...]) -> bytes:
    """Encode numbers as s15Fixed16."""
    return b"".join(struct.pack(">i", round(float(value) * 65536)) for value in values)


def _xyz(values: NDArray[np.float64]) -> bytes:
    return b"XYZ " + bytes(4) + _fixed(values)


def _text(text: str) -> bytes:
    """One record of the multi-localized type (ICC.1:2022, 10.15)."""
    encoded = text.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(encoded), 28) + encoded
