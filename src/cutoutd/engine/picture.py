"""A decoded picture, upright and in 8-bit RGB: what every later step works on.

A value only: this module must not decode, convert or look into metadata.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)  # arrays have no single truth value to compare by
class Picture:
    """A picture as it is meant to be seen.

    Attributes:
        rgb: uint8 (H, W, 3), C-contiguous, with the EXIF orientation applied.
        alpha: uint8 (H, W), straight, where the source had transparency of its own; else None.
        icc: ICC profile that ``rgb`` is in; None where the source had none (then sRGB is meant).
        exif: TIFF structure without the six-byte ``Exif`` prefix, its orientation still as in the file; or None.
        xmp: UTF-8 packet, or None.
        format: of the source, such as ``JPEG``.
        orientation: EXIF orientation of the source, 1 to 8; already applied.
        warnings: what was changed or lost on the way here, in words for the user.
    """

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None
    icc: bytes | None
    exif: bytes | None
    xmp: bytes | None
    format: str
    orientation: int
    warnings: tuple[str, ...]
