"""Make the edge of a coarse matte follow the full-resolution picture.

Only open pixels are computed, without a float copy of the whole frame. This module must not run a salient object model,
open files or change colours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

from cutoutd.engine.matting import guided_upsample
from cutoutd.engine.matting.candidates import fit, make_candidates, new_guide
from cutoutd.engine.matting.evidence import (
    evidence_of,
    gradient,
    is_exact,
    overall_of,
    resemblance_to_network,
    weigh,
)
from cutoutd.engine.matting.guided_filter import ColourGuide, box, rounded, sum_of_products
from cutoutd.engine.matting.tiles import ImagePyramid, destinations, enlarged, inside, part_of, sources, tiles
from cutoutd.engine.matting.working_copy import working_copy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from cutoutd.engine.matting.candidates import AlphaCandidates
    from cutoutd.engine.matting.guided_filter import Plane
    from cutoutd.engine.matting.working_copy import WorkingCopy

_STRETCH = 0.01  # a linear fit rarely reaches 0 and 1 exactly: without it solid parts keep a veil
# A weighted mean of candidates is never quite 0 or 1 either. Below the first amount of detail, the mean difference of a pixel
# from its neighbours, a faint alpha may be what is really there, as in glass; from the second on it is haze.
_FAINT = 0.03
_NO_DETAIL, _SOME_DETAIL = 0.003, 0.008
# A network fills the gaps between strands, and leaves haze around them. The colours of a pixel say that it is background if those
# of subject and background around it are this far apart, its own lies this near the line between them, and this near its end.
_LITTLE_CONTRAST, _MUCH_CONTRAST = 0.2, 0.4
_NEAR_LINE, _ON_LINE = 0.2, 0.1
_NEAR_BACKGROUND, _AT_BACKGROUND = 0.2, 0.05
_HARDLY_DOUBTED, _NOT_DOUBTED = 0.85, 0.95  # above, the matte is believed instead
# Where it is even, what a network leaves half transparent is a guess about something opaque or absent: one in a hundred of such
# pixels is truly soft. It is decided between these values; not where the colours say the same, as they may of glass, and not
# downward where most around it is subject, for that would be a hole.
_DETAILED, _PLAIN = 0.02, 0.01
_STEEP, _EVEN = 0.02, 0.01  # change from one working pixel to the next: an edge out of focus has more
_GUESSED_OUT, _GUESSED_IN = 0.3, 0.7
_GUESS_RADIUS = 3  # beyond its detail, so that no soft seam stays beside an edge
_MIXED_NEAR_LINE, _MIXED_ON_LINE = 0.4, 0.2
_UNLIKE, _ALIKE = 0.6, 0.4  # difference of alpha from what the colours say
_ENCLOSED, _NOT_ENCLOSED = 0.8, 0.5
_ENCLOSING = 0.03  # radius of the surroundings, of the shorter side
# What the matte is this sure of is not lost to the background, however much the colours speak for it.
_SURE_FROM, _SURE_AT = 0.95, 0.98
_KEPT = 0.55
_EATEN = 0.3  # so far below that, it is as opaque as the matte says
# A fine matte of a network is undecided over a wide area if its mean `4 a (1 - a)` over 13x13 of 512 pixels lies above these.
_NARROW, _WIDE = 0.25, 0.4
_LITTLE_DETAIL, _MUCH_DETAIL = (
    0.1,
    0.14,
)  # mean difference of its pixels from their neighbours, in units of that mean
_DOUBT_PX, _DOUBT_RADIUS = 512, 6
_COARSE_PX = (
    320  # of the side that it is reduced to: the weights of the candidates were found for such mattes
)
_WHITE = 255
# Of the windows in which the result, which is decided by then, is made a function of colour for the full resolution. The
# narrowest follow it most closely; the wide ones of the candidates would blur it again.
_DETAIL_RADIUS = 1
_DETAIL_EPS = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Refined:
    """A refined matte.

    Attributes:
        alpha: uint8 (H, W).
        overall: the evidence of the whole matte, summed up; None: nothing was weighed.
    """

    alpha: NDArray[np.uint8]
    overall: Plane | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MatteChange:
    """What is refined of a matte that a person has changed in places: these places alone, as all of it was before.

    Attributes:
        share: float32 (h, w) of the same frame: the alpha is wanted where it is above 0, and means nothing elsewhere.
        overall: of the matte before: what has not changed is refined to the same then. None: the part that is looked at is summed up.
    """

    share: Plane
    overall: Plane | None = None


def refine(
    rgb: NDArray[np.uint8],
    matte: NDArray[np.float32],
    *,
    pyramid: ImagePyramid[np.uint8] | None = None,
    is_detailed: bool = False,
) -> NDArray[np.uint8]:
    """Return the alpha alone; see `refined`."""
    return refined(rgb, matte, pyramid=pyramid, is_detailed=is_detailed).alpha


def refined(
    rgb: NDArray[np.uint8],
    matte: NDArray[np.float32],
    *,
    pyramid: ImagePyramid[np.uint8] | None = None,
    is_detailed: bool = False,
    change: MatteChange | None = None,
) -> Refined:
    """Enlarge a matte to its picture, its edge led by the picture's colours where they are the better guide.

    The method: on a copy of fixed size the matte is explained by colours (iterated guided filter, sure pixels held),
    once bound to what the model's own grid could have seen and once nearly free of it; a small network says, pixel by
    pixel, what to believe. The result is expressed as local linear functions of colour, and these are applied to the
    full-resolution picture, in tiles that have open pixels. Time and memory grow with the edge, not with the frame.

    A matte finer than the working copy is enlarged by the picture's colours in the smallest windows, which leaves its own detail; but
    where a network's is undecided over a wide area, as in hair, it has none, and is refined as a coarse one. A matte of the
    picture's size that shows no trace of a network is taken as it is.

    Args:
        rgb: uint8 (H, W, 3).
        matte: float32 (h, w) in 0..1: the same frame, at any size.
        pyramid: pyramid of this picture, for reuse; if ``rgb`` is a smaller copy, of the picture: the same functions of colour are found.
        is_detailed: whether a matte that is finer than the working copy is believed in wide areas as well.
        change: what has changed of a matte; None: all of it is refined.

    Raises:
        ValueError: an argument has another shape or type, or no pixels.
    """
    _check(rgb, matte)
    shape = (rgb.shape[0], rgb.shape[1])
    pyramid = pyramid or ImagePyramid(rgb)
    share = None if change is None else change.share
    small = working_copy(pyramid, matte, share)
    if matte.shape == shape and is_exact(small):
        return Refined(alpha=guided_upsample.resized(matte, shape))
    if not small.finer:
        return _follow_colours(rgb, matte, small, change)
    alpha = guided_upsample.enlarge(rgb, matte, pyramid=pyramid, share=share)
    network = 0.0 if is_detailed else resemblance_to_network(small)
    if network > 0 and (doubt := np.float32(network) * _wide_doubt(matte)).any():
        coarse = _reduced(matte, _COARSE_PX)
        follows = _follow_colours(rgb, coarse, working_copy(pyramid, coarse, share), change)
        mix(alpha, follows.alpha, doubt)
        return Refined(alpha=alpha, overall=follows.overall)
    return Refined(alpha=alpha)


def _follow_colours(
    rgb: NDArray[np.uint8], matte: Plane, small: WorkingCopy, change: MatteChange | None
) -> Refined:
    """Refine a coarse matte, of which `small` is the working copy."""
    shape = (rgb.shape[0], rgb.shape[1])
    alpha = _sure(matte, shape)
    if not small.is_wanted.any():
        return Refined(alpha=alpha)
    field, overall = _field(small, None if change is None else change.overall)
    for tile in _open_tiles(small, shape):
        alpha[tile] = guided_upsample.apply(
            rgb[tile], enlarged(field, tile, shape, small=small.whole, origin=small.origin)
        )
    return Refined(alpha=alpha, overall=overall)


def _wide_doubt(matte: Plane) -> Plane:
    """Say where a fine matte is undecided over a wide area without detail, float32 (h, w) in 0..1, at most `_DOUBT_PX` a side."""
    small = _reduced(matte, _DOUBT_PX)
    doubt = box(4 * small * (1 - small), _DOUBT_RADIUS)
    detail = box(np.abs(small - box(small, 1)), _DOUBT_RADIUS)
    detail /= doubt + np.float32(1e-3)
    return _ramp(doubt, _NARROW, _WIDE) * _ramp(detail, _MUCH_DETAIL, _LITTLE_DETAIL)


def _reduced(matte: Plane, side: int) -> Plane:
    """Reduce a matte to at most so many pixels a side."""
    factor = min(1.0, side / max(matte.shape))
    height, width = (max(1, round(length * factor)) for length in matte.shape)
    small = cv2.resize(matte, (width, height), interpolation=cv2.INTER_AREA)
    return np.clip(np.asarray(small, np.float32), 0, 1)


def mix(alpha: NDArray[np.uint8], other: NDArray[np.uint8], share: NDArray[np.float32]) -> None:
    """Move an alpha towards another one, in place; where the share is 0 it stays bit for bit.

    Args:
        alpha: uint8 (H, W).
        other: uint8 (H, W).
        share: float32 (h, w) in 0..1, of the same frame, smaller.
    """
    shape, small = (alpha.shape[0], alpha.shape[1]), (share.shape[0], share.shape[1])
    for tile in tiles(shape):
        if not share[sources(tile, shape, small)].any() or np.array_equal(alpha[tile], other[tile]):
            continue
        moved = other[tile].astype(np.float32) - alpha[tile]
        moved *= enlarged(share, tile, shape, small=small)
        moved += alpha[tile]
        alpha[tile] = rounded(moved)


def _check(rgb: NDArray[np.uint8], matte: NDArray[np.float32]) -> None:
    if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or rgb.size == 0:  # noqa: PLR2004 - three colours
        raise ValueError(f"a picture is uint8 (H, W, 3), not {rgb.dtype} {rgb.shape}")
    if matte.ndim != 2 or matte.dtype != np.float32 or matte.size == 0:  # noqa: PLR2004 - rows and columns
        raise ValueError(f"a matte is float32 (h, w), not {matte.dtype} {matte.shape}")


def _sure(matte: Plane, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Enlarge the thresholded matte: right wherever no open pixel is near."""
    decided = np.where(matte > 0.5, np.uint8(_WHITE), np.uint8(0))  # noqa: PLR2004 - one half
    wide = np.asarray(
        cv2.resize(decided, (shape[1], matte.shape[0]), interpolation=cv2.INTER_NEAREST), np.uint8
    )
    # Whole rows are copied four times as fast as OpenCV looks their pixels up.
    return np.asarray(wide.take(np.arange(shape[0]) * matte.shape[0] // shape[0], axis=0), np.uint8)


def _field(small: WorkingCopy, overall: Plane | None) -> tuple[Plane, Plane]:
    """Weigh the candidates, by the evidence of the whole matte if it is given.

    Returns:
        Slopes by red, green, blue and offset of the result, float32 (h, w, 4), in 0..255; and the evidence of the whole matte.
    """
    guide = new_guide(small)
    candidates = make_candidates(small, guide)
    evidence = evidence_of(small, guide, candidates)
    where = np.flatnonzero(small.hold < 1)
    overall = overall_of(evidence, small) if overall is None else overall
    shares = weigh(_at(where, evidence), overall)
    alpha = small.target.copy()
    alpha.put(where, sum_of_products(list(shares), list(_at(where, candidates.alphas))))
    alpha += small.hold * (small.target - alpha)
    network = np.float32(resemblance_to_network(small))
    alpha = _clear_ends(alpha)
    if network > 0:
        alpha = _clear_gaps(alpha, small, candidates, network)
    alpha = _kept(alpha, small.coarse)
    if network > 0:
        alpha = _decide_guesses(alpha, small, candidates, network)
    given = np.zeros_like(alpha)
    given.put(where, shares[0])
    led = (1 - small.hold) * (1 - given)
    detail = ColourGuide(small.rgb, _DETAIL_RADIUS, _DETAIL_EPS)
    slopes = [slope * led for slope in fit(detail, alpha).slopes]
    offset = alpha - sum_of_products(slopes, detail.planes)
    stretch = np.float32(_STRETCH) * led
    gain = np.asarray(1 / (1 - 2 * stretch), np.float32)
    return guided_upsample.field_of([slope * gain for slope in slopes], (offset - stretch) * gain), overall


def _clear_ends(alpha: Plane) -> Plane:
    """Cut off both ends of an alpha, where it has detail: haze beside an edge goes, and so does a veil inside it."""
    cut = np.float32(_FAINT) * _ramp(_detail(alpha), _NO_DETAIL, _SOME_DETAIL)
    return np.asarray(np.clip((alpha - cut) / (1 - 2 * cut), 0, 1), np.float32)


def _detail(alpha: Plane) -> Plane:
    """Return the mean difference of a pixel from its neighbours."""
    return box(np.abs(alpha - box(alpha, 1)), 2)


def _clear_gaps(alpha: Plane, small: WorkingCopy, candidates: AlphaCandidates, network: np.float32) -> Plane:
    """Lower the alpha of a network's matte to what the colours say, where they say clearly that a pixel is background."""
    clear = 1 - small.hold
    for plane, no, yes in (
        (candidates.contrast, _LITTLE_CONTRAST, _MUCH_CONTRAST),
        (candidates.miss, _NEAR_LINE, _ON_LINE),
        (candidates.projected, _NEAR_BACKGROUND, _AT_BACKGROUND),
    ):
        clear *= _ramp(plane, no, yes)
    clear = box(clear, 1)  # noise alone moves single pixels
    clear *= _ramp(small.coarse, _NOT_DOUBTED, _HARDLY_DOUBTED)
    clear *= network
    return np.asarray(alpha - clear * np.maximum(alpha - candidates.projected, 0), np.float32)


def _decide_guesses(
    alpha: Plane, small: WorkingCopy, candidates: AlphaCandidates, network: np.float32
) -> Plane:
    """Bring what is half transparent, even and without detail nearer to opaque or to absent; one half stays one half."""
    guessed = _ramp(_detail(alpha), _DETAILED, _PLAIN)
    guessed *= _ramp(box(gradient(alpha), 1), _STEEP, _EVEN)
    guessed *= 1 - small.hold
    guessed = box(guessed, _GUESS_RADIUS)
    confirmed = _ramp(np.abs(candidates.projected - alpha), _UNLIKE, _ALIKE)
    confirmed *= _ramp(candidates.contrast, _LITTLE_CONTRAST, _MUCH_CONTRAST)
    confirmed *= _ramp(candidates.miss, _MIXED_NEAR_LINE, _MIXED_ON_LINE)
    guessed *= 1 - box(confirmed, 1)
    moved = guessed * (_ramp(alpha, _GUESSED_OUT, _GUESSED_IN) - alpha)
    around = box(alpha, max(1, round(min(small.whole) * _ENCLOSING)))
    moved *= np.where(moved < 0, _ramp(around, _ENCLOSED, _NOT_ENCLOSED), np.float32(1))
    moved *= network
    return np.asarray(alpha + moved, np.float32)


def _ramp(plane: Plane, no: float, yes: float) -> Plane:
    """Rise from 0 at the first value to 1 at the second, which may be the smaller one."""
    return np.asarray(np.clip((plane - np.float32(no)) * np.float32(1 / (yes - no)), 0, 1), np.float32)


def _kept(alpha: Plane, coarse: Plane) -> Plane:
    """Keep as subject what the coarse matte is sure of: solid parts in the colours of the background are not eaten."""
    least = np.clip((coarse - np.float32(_SURE_FROM)) * np.float32(_KEPT / (_SURE_AT - _SURE_FROM)), 0, _KEPT)
    eaten = np.clip((least - alpha) * np.float32(1 / _EATEN), 0, 1)
    kept = np.asarray(np.maximum(alpha, least), np.float32)
    kept += eaten * np.maximum(coarse - kept, 0)
    return kept


def _at(where: NDArray[np.intp], planes: Sequence[Plane]) -> Plane:
    """Take the pixels of the given numbers out of k planes, float32 (k, n)."""
    taken = np.empty((len(planes), where.size), np.float32)
    for row, plane in zip(taken, planes, strict=True):
        # Without a mode numpy looks for bad numbers, and copies the result once more for it.
        plane.take(where, out=row, mode="clip")
    return taken


def _open_tiles(small: WorkingCopy, shape: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    """Yield, for each tile of the full frame with open pixels that are wanted, the part that depends on them."""
    is_open = np.zeros(small.whole, np.uint8)
    top, left = small.origin
    rows, columns = small.is_wanted.shape
    is_open[top : top + rows, left : left + columns] = small.is_wanted
    for tile in tiles(shape):
        around = sources(tile, shape, small.whole)
        if (part := part_of(around, is_open[around])) is not None:
            yield inside(tile, destinations(part, shape, small.whole))


def enlarge(matte: NDArray[np.float32], height: int, width: int) -> NDArray[np.uint8]:
    """Enlarge a matte by cubic interpolation, without regard to the picture: for folders that switch refinement off.

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
