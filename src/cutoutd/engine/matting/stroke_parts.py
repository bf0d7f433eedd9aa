"""Select the accepted parts of a change: the connected parts that a stroke touches.

This module works on masks alone, and must not know how they were made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]

_BAND_PX: Final = 2  # half of the width up to which a change is the same edge drawn elsewhere
_RIM_PX: Final = 4  # how wide the soft edge of a coarse matte may be, from one half to nearly sure


def touched(changed: Mask, strokes: Mask) -> Mask:
    """Return the connected parts of a change that a stroke touches.

    Where the old and the new mask draw the same edge slightly apart, a thin band changes along all of it and joins unrelated
    parts. So only connections wider than the band count.
    """
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _BAND_PX + 1,) * 2)
    whole = changed.astype(np.uint8)
    wide = cv2.morphologyEx(whole, cv2.MORPH_OPEN, kernel)
    wide[strokes & changed] = 1
    count, labels = cv2.connectedComponents(wide, connectivity=4)
    accepted = np.zeros(count, np.bool_)
    accepted[labels[strokes & changed]] = True
    accepted[0] = False
    near = cv2.dilate(accepted[labels].astype(np.uint8), kernel)
    return np.asarray(cv2.min(near, whole) > 0)


def settled(accepted: Mask, undecided: Mask) -> Mask:
    """Return the half-transparent pixels of the coarse matte beside an accepted part, on the same side of one half.

    Otherwise the old soft edge would show as a seam, and a veil over a kept area would stay.
    """
    grown = accepted.astype(np.uint8)
    kernel = np.ones((3, 3), np.uint8)
    allowed = (accepted | undecided).astype(np.uint8)
    for _ in range(_RIM_PX):
        grown = np.asarray(cv2.min(cv2.dilate(grown, kernel), allowed), np.uint8)
    wide_kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * _RIM_PX + 1,) * 2)
    wide = cv2.morphologyEx(undecided.astype(np.uint8), cv2.MORPH_OPEN, wide_kernel)
    _, labels = cv2.connectedComponents(wide, connectivity=4)
    touched = np.unique(labels[(cv2.dilate(grown, kernel) > 0) & (wide > 0)])
    veil = cv2.dilate(np.isin(labels, touched[touched > 0]).astype(np.uint8), wide_kernel)
    grown = np.asarray(cv2.max(grown, cv2.min(veil, allowed)), np.uint8)
    return np.asarray((grown > 0) & ~accepted)


def beside(area: Mask, stroke: Mask) -> Mask:
    """Return the connected parts of an area on which the stroke is not drawn."""
    count, labels = cv2.connectedComponents(area.astype(np.uint8), connectivity=4)
    is_held = np.ones(count, np.bool_)
    is_held[labels[stroke]] = False
    is_held[0] = False
    return np.asarray(is_held[labels])
