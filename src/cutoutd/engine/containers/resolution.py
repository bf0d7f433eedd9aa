"""The resolution of a picture in pixels per inch: read from its file, and written to the EXIF of a result.

A resolution is kept, never invented: a picture without one gets none. This module must not scale anything.

Exif and TIFF give it as a fraction with a unit, JFIF as whole numbers with a unit, PNG as pixels to a metre.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cutoutd.engine.containers.exif import EMPTY, ExifBlock, IfdEntry, edited
from cutoutd.engine.containers.tiff_structure import RATIONAL, SHORT, MalformedError

if TYPE_CHECKING:
    from collections.abc import Mapping

CM_PER_INCH: Final = 2.54
_INCHES_PER_METRE: Final = 39.37007874
_BOUNDS: Final = (1.0, 100_000.0)
_USUAL: Final = 72.0
"""What programs write that know nothing; another statement in the same file is believed before it."""

_X, _Y, _UNIT = 0x011A, 0x011B, 0x0128
_NO_UNIT, _INCH, _CM = 1, 2, 3
_JFIF_FACTORS: Final = {1: 1.0, 2: CM_PER_INCH}
_FRACTION: Final = 10_000
_NEAR: Final = 0.05  # what rounding to whole pixels a metre makes of a whole number
_PHOTOSHOP: Final = 0x03ED


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolution:
    """Pixels per inch, across and down."""

    x: float
    y: float

    @property
    def per_metre(self) -> tuple[int, int]:
        """Pixels per metre, rounded to the nearest."""
        return round(self.x * _INCHES_PER_METRE), round(self.y * _INCHES_PER_METRE)

    @property
    def turned(self) -> Resolution:
        """The resolution of the same picture turned by a quarter."""
        return Resolution(x=self.y, y=self.x)

    def fields(self, order: str) -> tuple[IfdEntry, ...]:
        """Return the fields of EXIF and TIFF.

        Args:
            order: of bytes, as `struct` writes it.
        """
        return (
            IfdEntry(tag=_X, kind=RATIONAL, count=1, value=_fraction(order, self.x)),
            IfdEntry(tag=_Y, kind=RATIONAL, count=1, value=_fraction(order, self.y)),
            IfdEntry(tag=_UNIT, kind=SHORT, count=1, value=struct.pack(f"{order}H", _INCH)),
        )


def sound(x: float, y: float) -> Resolution | None:
    """Return a resolution, or None where these numbers are not plausible."""
    if not all(_BOUNDS[0] < side <= _BOUNDS[1] for side in (x, y)):
        return None
    return Resolution(x=_whole(x), y=_whole(y))


def chosen(native: Resolution | None, exif: bytes | None) -> Resolution | None:
    """Choose between the resolution of the format and that of EXIF.

    Args:
        native: resolution as the format itself states it.
        exif: TIFF structure; or None.
    """
    said = of_exif(exif)
    if native is None or (said is not None and native.x == native.y == _USUAL):
        return said or native
    return native


def of_exif(exif: bytes | None) -> Resolution | None:
    """Return the resolution in EXIF; None where there is none, or only a ratio without a unit."""
    if not exif:
        return None
    try:
        block = ExifBlock(exif)
        x, y, unit = block.ratio(_X), block.ratio(_Y), block.short(_UNIT)
    except MalformedError:
        return None
    if x is None or unit == _NO_UNIT:
        return None
    factor = CM_PER_INCH if unit == _CM else 1.0
    return sound(x * factor, (y or x) * factor)


def of_jpeg(info: Mapping[Any, Any]) -> Resolution | None:
    """Return the resolution in the JFIF header or Photoshop's resources, from Pillow's ``info``."""
    factor = _JFIF_FACTORS.get(info.get("jfif_unit", 0))
    if factor is not None:
        x, y = info.get("jfif_density", (0, 0))
        return sound(x * factor, y * factor)
    resources = info.get("photoshop")
    said = resources.get(_PHOTOSHOP) if isinstance(resources, dict) else None
    if isinstance(said, dict):  # in pixels to an inch, whatever it is displayed in
        return sound(float(said.get("XResolution", 0)), float(said.get("YResolution", 0)))
    return None


def of_png(chunk: bytes) -> Resolution | None:
    """Return the resolution in a pHYs chunk; None for a ratio without a unit."""
    if len(chunk) != 9 or chunk[8] != 1:  # noqa: PLR2004 -- two numbers and the unit, of which 1 is the metre
        return None
    x, y = struct.unpack(">II", chunk[:8])
    return sound(x / _INCHES_PER_METRE, y / _INCHES_PER_METRE)


def with_resolution(exif: bytes | None, found: Resolution, *, needed: bool) -> bytes | None:
    """Return EXIF with this resolution.

    Args:
        exif: of a result; None: there is none.
        found: the resolution.
        needed: the format has no other place for it, so that EXIF is made where there is none.
    """
    if not exif and not needed:
        return exif
    return edited(exif or EMPTY, lambda block: block.put(*found.fields(block.order)))


def _whole(value: float) -> float:
    return float(round(value)) if abs(value - round(value)) < _NEAR else value


def _fraction(order: str, value: float) -> bytes:
    if value == int(value):
        return struct.pack(f"{order}II", int(value), 1)
    return struct.pack(f"{order}II", round(value * _FRACTION), _FRACTION)
