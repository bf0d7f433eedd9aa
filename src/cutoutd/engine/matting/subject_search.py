"""Finding the subject: a pass over the whole picture, a second one at another scale, a closer one where it is small, and a check.

A salient object network sees a picture as a whole at one scale and in parts at another: what it takes for the subject
depends on the size of its input. Where the first pass leaves doubt, the second often does not. And of a subject on a
twentieth of the frame, a pass over its surroundings alone sees four times as many pixels. A small pass, which takes a fifth of
the time, often sees what a confident one left out, or doubts what it added: its matte is used for the score alone. This module
says where and how often the model runs and which matte is used; it must not refine a matte.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from cutoutd.engine.matting import quality

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from cutoutd.engine.matting.quality import Signs
    from cutoutd.jobs import Quality

    Predict = Callable[[NDArray[np.uint8], int], NDArray[np.float32]]

_INSIDE: Final = 0.5

_SURE_ENOUGH: Final = 0.85
"""Decided share of a matte from which on no other scale is asked; `docs/quality.md` has what others cost and bring."""

_WORTH_SHARE: Final = 0.15
"""Share of the frame up to which a subject's box is worth a second inference; above it, little is gained."""

_PADDING: Final = 0.35
"""Of the box's side, on either side: U2-Net was trained on subjects with some background around them."""

_CRUMB_SHARE: Final = 1e-4
"""Of the frame: what is inside on less may be left out of the box; a lost earring may not."""

_MIN_SIDE_PX: Final = 96
"""Of the picture: on less there is no more to be seen than the first time."""

_AGREEMENT: Final = 0.5
"""Intersection over union of what both passes call the subject; below it, the second one saw something else."""

_CUT_OFF: Final = 0.2
"""A matte above this at an edge that is not the picture's own would end there in a straight line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Region:
    """A part of a picture, in its pixels: from ``top`` to before ``bottom``, from ``left`` to before ``right``."""

    top: int
    bottom: int
    left: int
    right: int

    @classmethod
    def whole(cls, height: int, width: int) -> Region:
        """All of a picture."""
        return cls(top=0, bottom=height, left=0, right=width)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Return rows and columns of this part as slices."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Detection:
    """The result of the search: a matte, and the part of the picture that it covers.

    Attributes:
        region: part of the picture; everything outside is background.
        raw: float32 (h, w) in 0..1, the model's raw matte of that part.
        signs: signs of the matte from all passes together.
    """

    region: Region
    raw: NDArray[np.float32]
    signs: Signs

    @property
    def quality(self) -> Quality:
        """The score of the matte, and what to look for."""
        return quality.judge(self.signs)


def find_subject(
    rgb: NDArray[np.uint8], predict: Predict, sides: Sequence[int] = (0,), check_side: int = 0
) -> Detection:
    """Find the subject, by one inference if that leaves no doubt, and by five at most, the closer ones and the check included.

    Args:
        rgb: uint8 (H, W, 3).
        predict: the model: uint8 (h, w, 3) of any size, and one of `sides`, to a matte, float32 in 0..1, of the same frame.
        sides: at which the model can see a picture; the first one always, the others where that leaves doubt.
        check_side: side of the pass that checks a matte with a subject; 0: none.

    Returns:
        The closer pass where it shows the same subject and all of it, else the more decided of those at the whole picture.
    """
    height, width = rgb.shape[:2]
    whole = Region.whole(height, width)
    raw, other = _whole(rgb, predict, sides)
    if quality.decided(raw) == 0:
        return Detection(region=whole, raw=raw, signs=quality.signs(raw, other))
    check = predict(rgb, check_side) if check_side else None
    where = _surroundings(raw, height, width)
    if where is None:
        return Detection(region=whole, raw=raw, signs=quality.signs(raw, other, None, check))
    closer, before = predict(rgb[where.slices], sides[0]), _part(raw, where, height, width)
    held = quality.overlap(before, closer)
    # A closer pass that shows something else makes the result doubtful, whichever of the two is right.
    signs = quality.signs(raw, other, held, check)
    if quality.decided(closer) > 0 and _is_whole(closer, where, height, width) and held >= _AGREEMENT:
        return Detection(region=where, raw=closer, signs=signs)
    return Detection(region=whole, raw=raw, signs=signs)


def _whole(
    rgb: NDArray[np.uint8], predict: Predict, sides: Sequence[int]
) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
    """Run the model on the whole picture; return the most decided matte, and the next, if more than one pass ran."""
    seen: list[NDArray[np.float32]] = []
    for side in sides:
        seen.append(predict(rgb, side))
        if quality.decided(seen[-1]) >= _SURE_ENOUGH:
            break
    raw, *others = sorted(seen, key=quality.decided, reverse=True)
    return raw, others[0] if others else None


def _surroundings(raw: NDArray[np.float32], height: int, width: int) -> Region | None:
    """Return the box around all parts of the subject and some background; None where it is not small, or too small."""
    inside = (raw > _INSIDE).astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(inside, connectivity=8)
    parts = stats[1:][stats[1:, cv2.CC_STAT_AREA] >= _CRUMB_SHARE * raw.size]
    if count == 1 or len(parts) == 0:
        return None
    left, top = (int(parts[:, column].min()) for column in (cv2.CC_STAT_LEFT, cv2.CC_STAT_TOP))
    right = int((parts[:, cv2.CC_STAT_LEFT] + parts[:, cv2.CC_STAT_WIDTH]).max())
    bottom = int((parts[:, cv2.CC_STAT_TOP] + parts[:, cv2.CC_STAT_HEIGHT]).max())
    across, down = right - left, bottom - top
    if across * down > _WORTH_SHARE * raw.size:
        return None
    rows, columns = height / raw.shape[0], width / raw.shape[1]
    found = Region(
        top=max(0, int((top - _PADDING * down) * rows)),
        bottom=min(height, int((bottom + _PADDING * down) * rows) + 1),
        left=max(0, int((left - _PADDING * across) * columns)),
        right=min(width, int((right + _PADDING * across) * columns) + 1),
    )
    is_tiny = min(found.bottom - found.top, found.right - found.left) < _MIN_SIDE_PX
    return None if is_tiny else found


def _is_whole(closer: NDArray[np.float32], where: Region, height: int, width: int) -> bool:
    """Whether the matte of a region ends before the region does, but where that is the picture's own edge."""
    edges = (
        (where.top > 0, closer[0]),
        (where.bottom < height, closer[-1]),
        (where.left > 0, closer[:, 0]),
        (where.right < width, closer[:, -1]),
    )
    return not any(is_inner and float(edge.max()) > _CUT_OFF for is_inner, edge in edges)


def _part(raw: NDArray[np.float32], where: Region, height: int, width: int) -> NDArray[np.float32]:
    """Crop the matte of the whole picture to a region."""
    rows, columns = raw.shape[0] / height, raw.shape[1] / width
    top, left = int(where.top * rows), int(where.left * columns)
    return raw[top : max(top + 1, int(where.bottom * rows)), left : max(left + 1, int(where.right * columns))]
