"""A coarse matte at the picture's size, without regard to the picture: for folders that switch refinement off.

`cutoutd.engine.matting.refine` is the better step; this one must stay as simple as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def enlarge(matte: NDArray[np.float32], height: int, width: int) -> NDArray[np.uint8]:
    """Enlarge a matte by cubic interpolation.

    Args:
        matte: float32 (h, w) in 0..1.
        height: of the picture, pixels.
        width: of the picture, pixels.

    Returns:
        uint8 (height, width).
    """
    small = np.rint(matte * 255).astype(
        np.uint8
    )  # before enlarging: a frame of floats would be four times as large
    return cast("NDArray[np.uint8]", cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))
