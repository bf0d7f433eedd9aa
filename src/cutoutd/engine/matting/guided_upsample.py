"""Guided upsampling: alpha as local linear functions of colour, applied at full resolution.

This module only enlarges a matte. A matte that is fine enough to be used
as it is, as of a model that sees 1024 pixels, is enlarged by this alone (He and Sun, Fast Guided Filter, 2015): windows as
narrow as they can be, at the matte's own resolution, and only where it is undecided.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from cutoutd.engine.matting.guided_filter import ColourGuide, rounded, sum_of_products, summed
from cutoutd.engine.matting.tiles import ImagePyramid, enlarged, sources, tiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from cutoutd.engine.matting.guided_filter import Plane

_WHITE = 255
_RADIUS = 1
# Variance of colour below which a window counts as flat. Less follows edges more closely still, and does more harm where they
# are soft and the matte was right: with this, none of 160 mattes it was chosen on came out worse by more than .0005 in the band.
_EPS = 1e-3
_SIDE = 256  # matte pixels of a tile
_MARGIN = 4  # matte pixels around it: windows of windows, and one to interpolate from
_LEVEL = 1 / _WHITE


def enlarge(
    rgb: NDArray[np.uint8],
    matte: Plane,
    *,
    pyramid: ImagePyramid[np.uint8] | None = None,
    share: Plane | None = None,
) -> NDArray[np.uint8]:
    """Enlarge a fine matte; one that is not smaller than its picture in both directions is only resized.

    Args:
        rgb: uint8 (H, W, 3).
        matte: float32 (h, w) in 0..1.
        pyramid: pyramid of this picture, for reuse.
        share: float32 (h, w) of the same frame: only where it is above 0 the colours need to be followed; None: everywhere.

    Returns:
        The alpha, uint8 (H, W).
    """
    shape = (rgb.shape[0], rgb.shape[1])
    alpha = resized(matte, shape)
    height, width = matte.shape
    if height >= shape[0] or width >= shape[1]:
        return alpha
    if share is not None:
        share = np.asarray(cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    small = (pyramid or ImagePyramid(rgb)).reduced((width, height))
    for tile in tiles((height, width), _SIDE):
        if share is not None and not share[tile].any():
            continue
        around = _with_margin(tile, (height, width))
        part = matte[around]
        if float(part.max()) - float(part.min()) < _LEVEL:
            continue
        guide = ColourGuide(small[around].astype(np.float32) * np.float32(_LEVEL), _RADIUS, _EPS)
        slopes = guide.fit(part)[:3]
        field = field_of(slopes, part - sum_of_products(slopes, guide.planes))
        origin = (around[0].start, around[1].start)
        # A field of floats as large as what a tile becomes would be as large as the picture, if that is much larger.
        for full in _parts(_enlarged_tile(tile, (height, width), shape)):
            if share is not None:
                seen = sources(full, shape, (height, width))
                if not share[seen].any() or np.ptp(matte[_with_margin(seen, (height, width))]) < _LEVEL:
                    continue
            alpha[full] = apply(rgb[full], enlarged(field, full, shape, small=(height, width), origin=origin))
    return alpha


def resized(matte: Plane, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Enlarge or reduce a matte without looking at the picture: float32 (h, w) in 0..1 to uint8 (H, W)."""
    rounded = np.asarray(cv2.convertScaleAbs(matte, alpha=_WHITE), np.uint8)
    method = cv2.INTER_AREA if matte.shape[0] > shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(rounded, (shape[1], shape[0]), interpolation=method), np.uint8)


def field_of(slopes: Sequence[Plane], offset: Plane) -> Plane:
    """Join slopes and offset of a fit, for colours in 0..1 minus one half, to the field that `apply` takes.

    Args:
        slopes: three float32 (h, w), alpha by red, green and blue.
        offset: float32 (h, w).

    Returns:
        float32 (h, w, 4): the same three and the offset, for colours in 0..255 and a fourth that is always 255, which
        give an alpha in 0..255.
    """
    moved = offset - np.float32(0.5) * (slopes[0] + slopes[1] + slopes[2])
    return np.dstack([*slopes, moved])


def apply(rgb: NDArray[np.uint8], field: Plane) -> NDArray[np.uint8]:
    """Evaluate a field at the colours of one tile: uint8 (h, w, 3) and float32 (h, w, 4) to uint8 (h, w)."""
    terms = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA), np.uint8).astype(np.float32)
    terms *= field
    return rounded(summed(terms))


def _with_margin(tile: tuple[slice, slice], shape: tuple[int, int]) -> tuple[slice, slice]:
    rows, columns = (
        slice(max(0, part.start - _MARGIN), min(side, part.stop + _MARGIN))
        for part, side in zip(tile, shape, strict=True)
    )
    return rows, columns


def _parts(tile: tuple[slice, slice]) -> Iterator[tuple[slice, slice]]:
    """Cut a tile of the full frame into tiles of the usual side."""
    rows, columns = tile
    for down, across in tiles((rows.stop - rows.start, columns.stop - columns.start)):
        yield (
            slice(rows.start + down.start, rows.start + down.stop),
            slice(columns.start + across.start, columns.start + across.stop),
        )


def _enlarged_tile(
    tile: tuple[slice, slice], small: tuple[int, int], shape: tuple[int, int]
) -> tuple[slice, slice]:
    rows, columns = (
        slice(part.start * outer // inner, part.stop * outer // inner)
        for part, inner, outer in zip(tile, small, shape, strict=True)
    )
    return rows, columns
