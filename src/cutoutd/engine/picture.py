"""A decoded picture, upright and in RGB: what every later step works on.

This module must not decode, convert or parse metadata.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cutoutd.engine.containers.resolution import Resolution

Sample = TypeVar("Sample", np.uint8, np.uint16)
"""One value of a pixel: most steps do not care which of the two it is."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)  # arrays have no single truth value to compare by
class Picture:
    """A decoded picture, as a viewer shows it.

    Attributes:
        rgb: uint8 (H, W, 3), C-contiguous, with the EXIF orientation applied.
        alpha: uint8 (H, W), straight, where the source had transparency of its own; else None.
        deep: uint16 (H, W, 3), the same colours in 16 bits, where requested and the source has more than 8; else None.
        rounded: message for the user about precision lost in the reduction to 8 bits; empty: none was lost.
        icc: ICC profile of ``rgb``; None where the source had none (the colours are then sRGB).
        exif: TIFF structure without the six-byte ``Exif`` prefix, its orientation still as in the file; or None.
        xmp: UTF-8 packet, or None.
        iptc: IPTC-IIM block, or None.
        resolution: pixels per inch; None where the source does not state a resolution.
        format: format of the source, such as ``JPEG``.
        orientation: EXIF orientation of the source, 1 to 8; already applied.
        warnings: messages for the user about what decoding changed or lost.
    """

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    icc: bytes | None
    exif: bytes | None
    xmp: bytes | None
    format: str
    orientation: int
    warnings: tuple[str, ...]
    deep: NDArray[np.uint16] | None = None
    rounded: str = ""
    iptc: bytes | None = None
    resolution: Resolution | None = None
