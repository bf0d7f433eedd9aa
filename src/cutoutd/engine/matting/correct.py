"""A coarse matte corrected by a person's strokes: how far each one reaches is found out, all that it does not reach stays as it is.

From the matte, the strokes, what the model sees and the colours a random walker tells subject from background; of what that
changes only the parts that a stroke touches are accepted. It must not refine or enlarge a picture, and takes the same strokes to
the same matte every time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from cutoutd.engine.matting.grab_cut import grab_cut
from cutoutd.engine.matting.random_walker import RandomWalker
from cutoutd.engine.matting.stroke_evidence import Evidence
from cutoutd.engine.matting.stroke_masks import masks, remoteness
from cutoutd.engine.matting.subject_search import Region

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cutoutd.engine.matting.features import Features
    from cutoutd.engine.matting.stroke_masks import StrokeMasks
    from cutoutd.strokes import Stroke

    Mask = NDArray[np.bool_]
    Plane = NDArray[np.float32]

VERSION: Final = 1
"""Of the method: goes up with every change that makes another matte of the same strokes."""

SIDE: Final = 480
"""Longer side, pixels, of the copy on which strokes are followed."""

_FRAME_SIDE: Final = 1024

SUGGESTIONS: Final = 2
"""How many ways there are: the random walker, GrabCut."""

_INSIDE: Final = 0.5
_ROUNDS: Final = 3
_MATTE_TRUST: Final = 0.1  # of its log odds, beside what strokes say
_TRUST_BY_DISTANCE: Final = 0.4  # so much more a longer side away from the nearest stroke
_TRUST_BY_SIZE: Final = (
    0.05  # so much more as many pixels away as a stroke covers, with the square of the distance
)
_MOST_TRUST: Final = 4.0  # more than all that strokes can say
_SHARPNESS: Final = 0.5  # of the sum of all log odds, as the walker's prior
_SURE_MARGIN_PX: Final = 3  # from the matte's edge: nearer pixels teach nothing
_FAR: Final = 1e-3  # of 0 or 1: what the coarse matte can say at most
_BAND_PX: Final = 2  # half of the width up to which a change is the same edge drawn elsewhere
_RIM_PX: Final = 4  # how wide the soft edge of a coarse matte may be, from one half to nearly sure
_SURE_SUBJECT, _SURE_BACKGROUND = 0.95, 0.05
_SOFTNESS_PX: Final = 1.5  # of a new edge: refinement looks for the real one there
_SEEN: Final = 0.05  # change of the matte that a person sees


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CorrectedMatte:
    """A coarse matte after strokes.

    Attributes:
        matte: float32 of the given matte's size, in 0..1; outside the accepted parts bit for bit the given one.
        changed: a person can see a difference; if not, the strokes say what the matte said already.
    """

    matte: NDArray[np.float32]
    changed: bool


def correct(
    rgb: NDArray[np.uint8],
    matte: NDArray[np.float32],
    strokes: Sequence[Stroke],
    features: Features,
    *,
    suggestion: int = 0,
    picture: tuple[int, int] | None = None,
) -> CorrectedMatte:
    """Correct a coarse matte by strokes.

    Args:
        rgb: uint8 (H, W, 3), sRGB: the picture or a smaller copy of it; 480 pixels of its longer side are looked at.
        matte: float32 (h, w) in 0..1, of the whole picture, of any size and by any model.
        strokes: in pixels of the picture. Those that paint are left to `stroke_masks.paint`.
        features: of the picture.
        suggestion: 0 the random walker, 1 GrabCut (Rother and others, 2004), which is slower and follows colours alone.
        picture: height and width that the strokes' pixels are of; None: as ``rgb``.

    Returns:
        The matte with what the strokes reach set to about 1 or 0, and the strokes themselves to exactly 1 or 0.

    Raises:
        ValueError: there is no such suggestion.
    """
    if not 0 <= suggestion < SUGGESTIONS:
        raise ValueError(f"suggestions are numbered from 0 to {SUGGESTIONS - 1}, not {suggestion}")
    height, width = rgb.shape[:2]
    shape = _copy_shape(height, width)
    drawn = masks(strokes, shape, picture or (height, width))
    if not (drawn.keep.any() or drawn.remove.any()):
        return CorrectedMatte(matte=matte, changed=False)
    small = np.asarray(cv2.resize(rgb, shape[::-1], interpolation=cv2.INTER_AREA), np.uint8)
    before = _resized(matte, shape)
    inside = before > _INSIDE
    find = _by_walker if suggestion == 0 else _by_grab_cut
    trust = _trust(drawn, remoteness(strokes, shape, picture or (height, width)))
    found = find(small, before, drawn, features, trust)
    found[drawn.keep], found[drawn.remove] = True, False
    added = _touched(found & ~inside, drawn.keep) | drawn.keep
    taken = _touched(inside & ~found, drawn.remove) | drawn.remove
    added |= _settled(added, found & inside & (before < _SURE_SUBJECT))
    taken |= _settled(taken, ~(found | inside) & (before > _SURE_BACKGROUND))
    return _applied(matte, before, added & ~drawn.remove, taken & ~drawn.keep, drawn)


def framed(coarse: NDArray[np.float32], region: Region, picture: tuple[int, int]) -> NDArray[np.float32]:
    """The matte of a region in the whole picture, so that strokes beside the region find one too.

    Args:
        coarse: float32 (h, w) in 0..1, stretched over the region; outside it there is nothing.
        region: of the picture.
        picture: height and width, pixels.

    Returns:
        float32, with 480 to 1024 pixels of its longer side: as many as keep what the region shows. A matte of the whole picture that
        has as many is given back as it is, also one that has more.
    """
    height, width = picture
    whole = Region(top=0, bottom=height, left=0, right=width)
    if region == whole and max(coarse.shape) >= SIDE:
        return coarse
    rows, columns = region.bottom - region.top, region.right - region.left
    finest = max(coarse.shape[0] / rows, coarse.shape[1] / columns) * max(picture)
    factor = min(1.0, np.clip(finest, SIDE, _FRAME_SIDE) / max(picture))
    shape = (max(1, round(height * factor)), max(1, round(width * factor)))
    top, bottom = (round(row * shape[0] / height) for row in (region.top, region.bottom))
    left, right = (round(column * shape[1] / width) for column in (region.left, region.right))
    frame = np.zeros(shape, np.float32)
    part = frame[top : max(bottom, top + 1), left : max(right, left + 1)]
    part[...] = _resized(coarse, part.shape)
    return frame


def _copy_shape(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the copy that strokes are followed on, at least 2 each."""
    factor = min(1.0, SIDE / max(height, width))
    return max(2, round(height * factor)), max(2, round(width * factor))


def _resized(plane: Plane, shape: tuple[int, int]) -> Plane:
    """A matte of another size, float32 in 0..1."""
    if plane.shape == shape:
        return plane
    is_finer = plane.shape[0] > shape[0] and plane.shape[1] > shape[1]
    method = cv2.INTER_AREA if is_finer else cv2.INTER_CUBIC
    return np.clip(np.asarray(cv2.resize(plane, shape[::-1], interpolation=method), np.float32), 0, 1)


def _by_walker(
    rgb: NDArray[np.uint8], before: Plane, drawn: StrokeMasks, features: Features, trust: Plane
) -> Mask:
    """The subject as the random walker finds it, from the copy's colours, its matte, strokes and features; bool (h, w)."""
    lab = np.asarray(cv2.cvtColor(rgb.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB), np.float32)
    evidence, walker = Evidence(lab, features, drawn), RandomWalker(lab)
    known = drawn.keep | drawn.remove
    clipped = np.clip(before, _FAR, 1 - _FAR)
    said = trust * np.log(clipped / (1 - clipped))
    found = before > _INSIDE
    for _ in range(_ROUNDS):
        odds = said + evidence.probe(_sure(found)) + evidence.colour(found)
        prior = np.asarray(1 / (1 + np.exp(-np.float32(_SHARPNESS) * odds)), np.float32)
        found = walker.solve(prior, known, drawn.keep.astype(np.float32)) > _INSIDE
    return found


def _by_grab_cut(rgb: NDArray[np.uint8], before: Plane, drawn: StrokeMasks, _: Features, __: Plane) -> Mask:
    return grab_cut(rgb, before > _INSIDE, drawn.keep, drawn.remove)


def _trust(drawn: StrokeMasks, remoteness: Plane) -> Plane:
    """What the matte's log odds weigh beside what strokes say, float32 (h, w): the more, the farther away strokes are."""
    known = drawn.keep | drawn.remove
    apart = np.asarray(cv2.distanceTransform((~known).astype(np.uint8), cv2.DIST_L2, 3), np.float32)
    by_distance = apart * np.float32(_TRUST_BY_DISTANCE / max(apart.shape))
    by_size = np.minimum(np.float32(_TRUST_BY_SIZE) * np.square(remoteness), np.float32(_MOST_TRUST))
    return np.asarray(np.float32(_MATTE_TRUST) + by_distance + by_size, np.float32)


def _sure(found: Mask) -> tuple[Mask, Mask]:
    """Pixels away from the edge of what was found: of the subject, of the background."""
    kernel = np.ones((2 * _SURE_MARGIN_PX + 1,) * 2, np.uint8)
    inside, outside = (cv2.erode(part.astype(np.uint8), kernel) > 0 for part in (found, ~found))
    return np.asarray(inside), np.asarray(outside)


def _touched(changed: Mask, strokes: Mask) -> Mask:
    """The connected parts of what changed that a stroke touches.

    Where the matte and what was found draw the same edge a little apart, a thin band changes along all of it. It connects what has
    nothing to do with each other, so parts hold together only by what is wider.
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


def _settled(accepted: Mask, undecided: Mask) -> Mask:
    """What the coarse matte leaves half-transparent beside an accepted part, on the same side of one half.

    Its old soft edge there would show as a seam in the middle, and a veil over what a person keeps as a veil.
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


def _applied(matte: Plane, before: Plane, added: Mask, taken: Mask, drawn: StrokeMasks) -> CorrectedMatte:
    """The matte with parts that became subject and parts that became background, bool (h, w) of the copy each."""
    after = before.copy()
    after[added], after[taken] = 1, 0
    soft = np.asarray(cv2.GaussianBlur(after, (0, 0), _SOFTNESS_PX), np.float32)
    accepted = added | taken
    after = np.where(accepted, soft, before)
    after[drawn.keep], after[drawn.remove] = 1, 0
    if matte.shape != after.shape:
        shape = (matte.shape[0], matte.shape[1])
        enlarged = np.asarray(
            cv2.resize(accepted.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST), np.bool_
        )
        after = np.where(enlarged, _resized(after, shape), matte)
    difference = np.abs(after - matte)
    return CorrectedMatte(matte=after, changed=bool((difference > _SEEN).any()))
