"""A picture for a person who decides about a doubtful cutout: the source, with what was cut away veiled.

It is small and for looking at only; it must not be taken for a result.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, cast

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_PIXELS: Final = 1_000_000
"""Enough to judge a mask by; a full-size copy of each doubtful picture would fill disks."""

_VEIL: Final = (200, 30, 90)  # R, G, B: of nothing that is commonly photographed
_VEIL_SHARE: Final = 0.65


def overlay(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Veil what a matte cuts away.

    Args:
        rgb: uint8 (H, W, 3), the source.
        alpha: uint8 (H, W), the matte.

    Returns:
        uint8 (h, w, 3), of at most about `MAX_PIXELS`.
    """
    height, width = alpha.shape
    factor = max(1.0, math.sqrt(height * width / MAX_PIXELS))
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    veil = (255 - cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)).astype(np.float32) * (
        _VEIL_SHARE / 255
    )
    mixed = small + (np.array(_VEIL, np.float32) - small) * veil[..., np.newaxis]
    return cast("NDArray[np.uint8]", np.rint(mixed).astype(np.uint8))
