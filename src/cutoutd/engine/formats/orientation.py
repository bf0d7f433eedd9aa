"""Turning pixels the way EXIF says they are to be seen (CIPA DC-008, tag 0x0112).

It must not read metadata: the caller knows the value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import cv2

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from cutoutd.engine.picture import Sample

_ANTI_DIAGONAL: Final = -1  # cv2.flip's code for both axes

_TURNS: Final[dict[int, Callable[[Any], Any]]] = {
    2: lambda pixels: cv2.flip(pixels, 1),
    3: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_180),
    4: lambda pixels: cv2.flip(pixels, 0),
    5: cv2.transpose,
    6: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE),
    7: lambda pixels: cv2.flip(cv2.transpose(pixels), _ANTI_DIAGONAL),
    8: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE),
}


def upright(pixels: NDArray[Sample], orientation: int) -> NDArray[Sample]:
    """The pixels as they are to be seen.

    Args:
        pixels: uint8 or uint16 (H, W) or (H, W, C).
        orientation: 1 to 8; anything else counts as 1.

    Returns:
        The same type with H and W swapped for 5 to 8, C-contiguous; the same array where nothing is to be done.
    """
    turn = _TURNS.get(orientation)
    return pixels if turn is None else cast("NDArray[Sample]", turn(pixels))
