"""Removes faint specks from a model's matte: what a network half takes for a subject, away from the subject itself.

Left in, such a speck shows as a grey smear on white, and makes the subject's box larger. Method of our own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SUSPECTED: Final = 0.02
"""What lies above is connected with what; between specks and subject a network leaves less."""

_MEANT: Final = 0.15
"""A part that is nowhere more likely subject than this is a speck. Above, it may be smoke, glass or a thread."""


def without_specks(matte: NDArray[np.float32]) -> NDArray[np.float32]:
    """Set separate parts of a matte to 0 that are faint everywhere.

    Args:
        matte: float32 (h, w) in 0..1.

    Returns:
        The same type; the given one if it has no specks, or no subject.
    """
    meant = matte > _MEANT
    if not meant.any():
        return matte
    count, labels = cv2.connectedComponents((matte > _SUSPECTED).astype(np.uint8), connectivity=8)
    is_kept = np.zeros(count, np.bool_)
    is_kept[0] = True  # what is fainter than all parts
    is_kept[labels[meant]] = True
    return matte if is_kept.all() else np.where(is_kept[labels], matte, np.float32(0))
