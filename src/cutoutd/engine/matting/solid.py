"""A matte without veils: what lies inside the subject is opaque, and only its edge stays soft.

A car's window or a glass is soft far from any background; an edge, or a hair, is soft beside it. So the distance to the next
pixel that is background tells them apart. Method of our own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BACKGROUND: Final = 25
"""Alpha up to which a pixel is background: a tenth."""

EDGE_SHARE: Final = 1 / 100
"""Of the longer side: an edge is soft over less."""

_LEAST_PX: Final = 2.0
_OPAQUE: Final = 255


def without_veils(alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Make opaque what is soft, and farther from all background than an edge is wide.

    Args:
        alpha: uint8 (H, W).

    Returns:
        The same type; no value is smaller than before. From one edge's width to two, it rises.
    """
    reach = max(_LEAST_PX, max(alpha.shape) * EDGE_SHARE)
    inside = (alpha > BACKGROUND).astype(np.uint8)
    if inside.all():
        return np.full_like(alpha, _OPAQUE)
    remote = cv2.distanceTransform(inside, cv2.DIST_L2, cv2.DIST_MASK_5)
    risen = np.clip((remote / reach - 1) * _OPAQUE, 0, _OPAQUE).astype(np.uint8)
    return cast("NDArray[np.uint8]", cv2.max(alpha, risen))
