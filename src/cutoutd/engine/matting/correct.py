"""Correct a coarse matte by a person's strokes; what a stroke does not reach stays unchanged.

From the matte, the strokes, what the model sees and the colours a random walker tells subject from background; of what that
changes only the parts that a stroke touches are accepted. It must not refine or enlarge a picture, and takes the same strokes to
the same matte every time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from cutoutd.engine.matting.grab_cut import GrabCut
from cutoutd.engine.matting.stroke_masks import KEPT, REMOVED, mask, remoteness
from cutoutd.engine.matting.stroke_parts import beside, settled, touched
from cutoutd.engine.matting.stroke_walker import StrokeWalker
from cutoutd.engine.matting.subject_search import Region
from cutoutd.strokes import StrokeKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cutoutd.engine.matting.features import Features
    from cutoutd.strokes import Stroke

    Mask = NDArray[np.bool_]
    Plane = NDArray[np.float32]

VERSION: Final = 8
"""Of the method: goes up with every change that makes another matte of the same strokes."""

SIDE: Final = 480
"""Longer side, pixels, of the copy on which strokes are followed."""

_FRAME_SIDE: Final = 1024

SUGGESTIONS: Final = 2
"""How many ways there are: the random walker, GrabCut."""

_REMEMBERED: Final = 64
"""States of one picture, .3 MB each: so many strokes are taken back without following the others anew."""

_INSIDE: Final = 0.5
_MATTE_TRUST: Final = 0.1  # weight of the matte's log odds, relative to the strokes'
_TRUST_BY_DISTANCE: Final = 0.4  # added at a distance of one longer side from the stroke
_TRUST_BY_BRUSH: Final = (
    0.02  # so much more one radius away from a stroke of a very fine brush, with the square of the distance
)
_TRUST_IF_UNSURE: Final = (
    1.0  # so much more where the matte is unsure under the stroke: such a mistake is small
)
_MOST_TRUST: Final = 4.0  # outweighs any evidence of strokes
_DECIDED_TRUST: Final = 1.0  # added where earlier strokes decided
_PASS_TRUST: Final = (
    2.0  # weight of the log odds of a pass that shows the same subject, and is right under the stroke
)
_PASS_FAR: Final = 0.02  # of 0 or 1: what another pass can say at most
_FAR: Final = 1e-3  # likewise of the matte itself
_TINY: Final = 1e-6
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


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _State:
    """The result of a list of strokes.

    Attributes:
        strokes: the strokes applied so far.
        said: uint8 (h, w), label of the pixels under a stroke: `KEPT`, `REMOVED` or 0.
        decided: uint8 (h, w), label of all pixels that strokes reach, likewise.
    """

    strokes: tuple[Stroke, ...]
    said: NDArray[np.uint8]
    decided: NDArray[np.uint8]


def correct(
    rgb: NDArray[np.uint8],
    matte: NDArray[np.float32],
    strokes: Sequence[Stroke],
    features: Features,
    *,
    suggestion: int = 0,
    picture: tuple[int, int] | None = None,
) -> CorrectedMatte:
    """Correct a coarse matte by strokes, one after the other; for the arguments see `StrokeFollower`."""
    return StrokeFollower(rgb, matte, features, suggestion=suggestion, picture=picture).follow(strokes)


class StrokeFollower:
    """One picture whose coarse matte is corrected by strokes.

    Each stroke begins from what those before it have made, and changes only what its own accepted part holds: what an earlier
    one removed does not come back, and what it kept does not go, unless a later one is drawn on it. So the first strokes of a
    list give what they give alone, and taking the last one back gives the former matte to the bit.

    Args:
        rgb: uint8 (H, W, 3), sRGB: the picture or a smaller copy of it; 480 pixels of its longer side are looked at.
        matte: float32 (h, w) in 0..1, of the whole picture, of any size and by any model.
        features: of the picture.
        suggestion: 0 the random walker, 1 GrabCut (Rother and others, 2004), which is slower and follows colours alone.
        picture: height and width that the strokes' pixels are of; None: as ``rgb``.

    Raises:
        ValueError: there is no such suggestion.
    """

    def __init__(
        self,
        rgb: NDArray[np.uint8],
        matte: NDArray[np.float32],
        features: Features,
        *,
        suggestion: int = 0,
        picture: tuple[int, int] | None = None,
    ) -> None:
        if not 0 <= suggestion < SUGGESTIONS:
            raise ValueError(f"suggestions are numbered from 0 to {SUGGESTIONS - 1}, not {suggestion}")
        height, width = rgb.shape[:2]
        self._shape = _copy_shape(height, width)
        self._picture = picture or (height, width)
        self._matte = matte
        self._before = _resize(matte, self._shape)
        small = np.asarray(cv2.resize(rgb, self._shape[::-1], interpolation=cv2.INTER_AREA), np.uint8)
        self._passes = [_resize(one, self._shape) for one in features.mattes]
        self._finder = StrokeWalker(small, features) if suggestion == 0 else GrabCut(small)
        untouched = np.zeros(self._shape, np.uint8)
        self._states = [_State(strokes=(), said=untouched, decided=untouched)]

    def follow(self, strokes: Sequence[Stroke]) -> CorrectedMatte:
        """Return the matte after strokes, in pixels of the picture; painting strokes are left to `stroke_masks.paint`.

        The result of strokes that the previous call had too is reused.

        Returns:
            The matte with what the strokes reach set to about 1 or 0, and the strokes themselves to exactly 1 or 0.
        """
        drawn = tuple(one for one in strokes if one.kind is not StrokeKind.PAINT)
        while self._states[-1].strokes != drawn[: len(self._states[-1].strokes)]:
            self._states.pop()
        for stroke in drawn[len(self._states[-1].strokes) :]:
            self._states.append(self._after(self._states[-1], stroke))
            if len(self._states) > _REMEMBERED:
                del self._states[1]
        state = self._states[-1]
        if not state.said.any():
            return CorrectedMatte(matte=self._matte, changed=False)
        return _apply(self._matte, self._before, state)

    def _after(self, state: _State, stroke: Stroke) -> _State:
        """Return the state after one more stroke."""
        mine = mask(stroke, self._shape, self._picture)
        if not mine.any():
            return replace(state, strokes=(*state.strokes, stroke))
        kind, other = (KEPT, REMOVED) if stroke.kind is StrokeKind.KEEP else (REMOVED, KEPT)
        inside = np.where(state.decided > 0, state.decided == KEPT, self._before > _INSIDE)
        right = inside if kind == KEPT else ~inside
        unsure = (self._before > _SURE_BACKGROUND) & (self._before < _SURE_SUBJECT) & (state.decided == 0)
        said, decided = state.said.copy(), state.decided.copy()
        said[mine] = decided[mine] = kind
        if (mine & (~right | unsure)).any():
            held = beside(state.decided == other, mine)
            trust = _trust(mine, remoteness(stroke, self._shape, self._picture))
            trust += np.float32(_TRUST_IF_UNSURE * float(unsure[mine].mean()))
            trust[(state.decided > 0) & (held | (state.decided == kind))] += np.float32(_DECIDED_TRUST)
            now = np.where(state.decided > 0, np.where(inside, np.float32(1), np.float32(0)), self._before)
            odds = trust * _log_odds(now, _FAR) + self._odds_of_passes(mine, kind, now, state.decided > 0)
            found = self._finder.find(now, said, odds)
            found = found if kind == KEPT else ~found
            part = touched(found & ~right & ~held, mine) | mine
            part |= settled(part, found & right & unsure)
            decided[part & ~held] = kind
        return _State(strokes=(*state.strokes, stroke), said=said, decided=decided)

    def _odds_of_passes(self, stroke: Mask, kind: int, now: Plane, decided: Mask) -> Plane:
        """Return the log odds that further passes over the picture give, each weighed by how much it is to be believed.

        A pass that is right under the stroke probably knows how far the wrong part extends, and where nothing is wrong. One
        that shows another subject than the matte does not.
        """
        odds = np.zeros(self._shape, np.float32)
        for one in self._passes:
            seen = np.where(decided, now, one)
            subject = float(seen[stroke].mean())
            agreement = subject if kind == KEPT else 1 - subject
            odds += np.float32(_PASS_TRUST * agreement * _likeness(seen, now)) * _log_odds(seen, _PASS_FAR)
        return odds


def framed(coarse: NDArray[np.float32], region: Region, picture: tuple[int, int]) -> NDArray[np.float32]:
    """Extend the matte of a region to the whole picture, so that strokes beside the region have a matte too.

    Args:
        coarse: float32 (h, w) in 0..1, stretched over the region; outside it there is nothing.
        region: of the picture.
        picture: height and width, pixels.

    Returns:
        float32. A matte of the whole picture is returned as it is: enlarged, it would be refined to another edge everywhere. Of a
        part, 480 to 1024 pixels of the longer side: as many as keep what the region shows.
    """
    height, width = picture
    whole = Region.whole(height, width)
    if region == whole:
        return coarse
    rows, columns = region.bottom - region.top, region.right - region.left
    finest = max(coarse.shape[0] / rows, coarse.shape[1] / columns) * max(picture)
    factor = min(1.0, np.clip(finest, SIDE, _FRAME_SIDE) / max(picture))
    shape = (max(1, round(height * factor)), max(1, round(width * factor)))
    top, bottom = (round(row * shape[0] / height) for row in (region.top, region.bottom))
    left, right = (round(column * shape[1] / width) for column in (region.left, region.right))
    frame = np.zeros(shape, np.float32)
    part = frame[top : max(bottom, top + 1), left : max(right, left + 1)]
    part[...] = _resize(coarse, part.shape)
    return frame


def _copy_shape(height: int, width: int) -> tuple[int, int]:
    """Return the rows and columns of the copy that strokes are applied to, at least 2 each."""
    factor = min(1.0, SIDE / max(height, width))
    return max(2, round(height * factor)), max(2, round(width * factor))


def _resize(plane: Plane, shape: tuple[int, int]) -> Plane:
    """Resize a matte, float32 in 0..1."""
    if plane.shape == shape:
        return plane
    is_finer = plane.shape[0] > shape[0] and plane.shape[1] > shape[1]
    method = cv2.INTER_AREA if is_finer else cv2.INTER_CUBIC
    return np.clip(np.asarray(cv2.resize(plane, shape[::-1], interpolation=method), np.float32), 0, 1)


def _log_odds(matte: Plane, far: float) -> Plane:
    """Return the log odds of a matte, float32 in 0..1, of which nothing is nearer to 0 or 1 than ``far``."""
    clipped = np.clip(matte, far, 1 - far)
    return np.asarray(np.log(clipped / (1 - clipped)), np.float32)


def _likeness(one: Plane, other: Plane) -> float:
    """Return the intersection over union of two mattes, as of fuzzy sets."""
    common, either = (
        np.minimum(one, other).sum(dtype=np.float64),
        np.maximum(one, other).sum(dtype=np.float64),
    )
    return float(common / max(either, _TINY))


def _apply(matte: Plane, before: Plane, state: _State) -> CorrectedMatte:
    """Return the matte with the pixels that became subject or background."""
    after = before.copy()
    after[state.decided == KEPT], after[state.decided == REMOVED] = 1, 0
    soft = np.asarray(cv2.GaussianBlur(after, (0, 0), _SOFTNESS_PX), np.float32)
    accepted = state.decided > 0
    after = np.where(accepted, soft, before)
    after[state.said == KEPT], after[state.said == REMOVED] = 1, 0
    if matte.shape != after.shape:
        shape = (matte.shape[0], matte.shape[1])
        enlarged = np.asarray(
            cv2.resize(accepted.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST), np.bool_
        )
        after = np.where(enlarged, _resize(after, shape), matte)
    difference = np.abs(after - matte)
    return CorrectedMatte(matte=after, changed=bool((difference > _SEEN).any()))


def _trust(stroke: Mask, remoteness: Plane) -> Plane:
    """Return the weight of the matte's log odds relative to the strokes', float32 (h, w): it grows with the distance from the stroke."""
    apart = np.asarray(cv2.distanceTransform((~stroke).astype(np.uint8), cv2.DIST_L2, 3), np.float32)
    by_distance = apart * np.float32(_TRUST_BY_DISTANCE / max(apart.shape))
    by_brush = np.minimum(np.float32(_TRUST_BY_BRUSH) * np.square(remoteness), np.float32(_MOST_TRUST))
    return np.asarray(np.float32(_MATTE_TRUST) + by_distance + by_brush, np.float32)
