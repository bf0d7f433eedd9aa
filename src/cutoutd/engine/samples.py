"""A picture's samples as its decoder gives them, to be read in strips of 8 bits, or of 16 where the file has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image


def rounded(bits: int) -> str:
    """Return the message that samples of so many bits were rounded to 8."""
    return f"its {bits}-bit samples were rounded to 8 bits"


ROUNDED: Final = rounded(16)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Samples:
    """A loaded picture, to be read in strips.

    Attributes:
        mode: Pillow's name of what a strip's samples mean, always 8 bits each (or ``1``, or a palette's).
        width, height: pixels.
        transparent: a strip converted to RGBA has an alpha that means something.
        strip: image of ``mode`` with the rows from the first argument (inclusive) to the second (exclusive).
        warnings: messages about other losses.
        rounded: message about precision lost in the reduction to 8 bits; empty: none was lost.
        wide: rows from the first to before the second in 16 bits, uint16 (rows, width) grey or (rows, width, channels)
            of the mode; None where the file has no more than 8, or they cannot be had.
        rgb: the whole picture, uint8 (height, width, 3), where the mode is RGB and the decoder gives an array; else None.
    """

    mode: str
    width: int
    height: int
    transparent: bool
    strip: Callable[[int, int], Image.Image]
    warnings: tuple[str, ...] = ()
    rounded: str = ""
    wide: Callable[[int, int], NDArray[np.uint16]] | None = None
    rgb: NDArray[np.uint8] | None = None
