"""How good a cutout probably is, from the model's own matte: before any of it is stretched, enlarged or refined.

It must not change the matte, and must not look at the picture: a score is about what the model said.

The limits come from the int8 U2-Net's mattes of 13 sample photos, 19 more used for calibration, 7 of
scikit-image, 80 small cutouts pasted over calm and busy grounds, and 200 pictures without a subject (grey cards,
colours, noise of every grain, skies, gradients, stripes, textures, pages, empty parts of photos).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from cutoutd.jobs import Quality

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A value above SURE is the model's yes, one above FAINT at least a perhaps.
_SURE: Final = 0.9
_FAINT: Final = 0.1
_INSIDE: Final = 0.5

# No subject: hardly any yes at all, or one that drowns in perhaps. Photos have at least 0.10 of the frame
# sure, and 0.69 of what is faint; a subject on 0.001 of the frame 0.0003 and 0.25. Without a subject there is
# none, with two exceptions of 0.0005 and less, of which 0.003 and less of the faint.
_MIN_SURE: Final = 1e-4
_MIN_DECIDED: Final = 0.12

# From here on a matte counts as decided. Photos of whole subjects have 0.69 to 0.98.
_DECIDED: Final = 0.6

# A blob counts from this share of the largest one on; below, it is a crumb.
_BLOB_SHARE: Final = 0.05

# Share of the frame's four sides that the subject may touch without a word, and at which it surely is cut off.
_FREE_BORDER: Final = 0.02
_FULL_BORDER: Final = 0.30

# Share of the frame below which the model's 320 pixels show the subject's outline only coarsely.
_SMALL: Final = 0.02


class Reason(StrEnum):
    """Why a score is not 1."""

    NO_SUBJECT = "no subject"  # nothing in the picture stands out
    SEVERAL_BLOBS = "several blobs"  # more than one thing stands out; they may not belong together
    TOUCHING_BORDER = "touching the border"  # part of the subject may lie outside the picture
    UNDECIDED = "undecided matte"  # much of it is neither subject nor background
    SMALL = "subject too small"  # the matte is coarser than usual, compared with the subject


@dataclass(frozen=True, kw_only=True, slots=True)
class _Blobs:
    """The separate parts of what is inside the matte."""

    count: int  # crumbs not counted
    largest_share: float  # of all that is inside


def assess(raw: NDArray[np.float32]) -> Quality:
    """Judge a matte.

    Args:
        raw: float32 (h, w) in 0..1, as the model gives it; never a stretched one, in which noise looks sure.

    Returns:
        A score of 0, with one reason, where there is no subject; else above 0 and up to 1.
    """
    sure, faint = float(np.mean(raw > _SURE)), float(np.mean(raw > _FAINT))
    decided = sure / faint if faint > 0 else 0.0
    if sure < _MIN_SURE or decided < _MIN_DECIDED:
        return Quality(score=0.0, reasons=(Reason.NO_SUBJECT.value,))
    inside = (raw > _INSIDE).astype(np.uint8)
    blobs = _blobs(inside)
    factors = {
        Reason.SEVERAL_BLOBS: 1.0 if blobs.count == 1 else 0.4 + 0.6 * blobs.largest_share,
        Reason.TOUCHING_BORDER: 1.0 - 0.4 * _ramp(_border_share(inside), _FREE_BORDER, _FULL_BORDER),
        Reason.UNDECIDED: 0.2 + 0.8 * _ramp(decided, _MIN_DECIDED, _DECIDED),
        Reason.SMALL: 0.3 + 0.7 * _ramp(float(inside.mean()), 0.0, _SMALL),
    }
    reasons = tuple(reason.value for reason, factor in factors.items() if factor < 1.0)
    return Quality(score=round(float(np.prod(list(factors.values()))), 3), reasons=reasons)


def _blobs(inside: NDArray[np.uint8]) -> _Blobs:
    _, _, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]  # the first is the background
    largest = int(areas.max(initial=1))
    count = int(np.count_nonzero(areas >= _BLOB_SHARE * largest))
    return _Blobs(count=max(1, count), largest_share=largest / max(1, int(areas.sum())))


def _border_share(inside: NDArray[np.uint8]) -> float:
    sides = (inside[0], inside[-1], inside[:, 0], inside[:, -1])
    return sum(int(side.sum()) for side in sides) / sum(side.size for side in sides)


def _ramp(value: float, low: float, high: float) -> float:
    """0 up to ``low``, 1 from ``high`` on, straight between."""
    return min(1.0, max(0.0, (value - low) / (high - low)))
