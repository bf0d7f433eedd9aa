"""Reduce the full frame to a small one, and map tiles of the full frame back to it.

All conversions between working pixels and full-resolution pixels are here. This module does not interpret pixel values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, cast

import cv2
import numpy as np

from cutoutd.engine.picture import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from cutoutd.engine.matting.guided_filter import Plane

# Of an odd side the last column or row is left out; nothing is moved by more than one of so many parts of a small pixel by that.
_SHIFT_PARTS = 6
_SIDE_PX = 192  # smaller tiles fit an edge more closely but cost more each: 128 was 6 % slower over all, 64 a quarter


class ImagePyramid(Generic[Sample]):
    """A picture, its half, its quarter and so on, each made when a reduction first needs it.

    Repeated halving is six times as fast as one reduction, and a second size does not read the large picture again.

    Args:
        picture: uint8 or uint16 (H, W) or (H, W, 3); changes to it after the first reduction are not seen.
    """

    def __init__(self, picture: NDArray[Sample]) -> None:
        self._levels: dict[int, NDArray[Sample]] = {0: picture}
        self._shape = (picture.shape[0], picture.shape[1])

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the picture."""
        return self._shape

    def reduced(self, size: tuple[int, int]) -> NDArray[Sample]:
        """Reduce the picture by area averages.

        Args:
            size: (width, height) wanted, no larger than the picture.

        Returns:
            The same type, of that size.
        """
        return _resize(self._at(self._level(size)), size)

    def drop_larger(self, size: tuple[int, int]) -> None:
        """Free what only reductions to more than (width, height) need; they are not possible any more."""
        needed = self._level(size)
        self._at(needed)
        self._levels = {level: kept for level, kept in self._levels.items() if level >= needed}

    def _level(self, size: tuple[int, int]) -> int:
        level = 0
        while all(
            _may_halve(side, level + 1, wanted) for side, wanted in zip(self.shape, size[::-1], strict=True)
        ):
            level += 1
        return level

    def _at(self, level: int) -> NDArray[Sample]:
        for made in range(max(self._levels) + 1, level + 1):
            self._levels[made] = _halve(self._levels[made - 1])
        return self._levels[level]


def reduced(picture: NDArray[Sample], size: tuple[int, int]) -> NDArray[Sample]:
    """Reduce a picture once, as `ImagePyramid.reduced` does."""
    return ImagePyramid(picture).reduced(size)


def _may_halve(side: int, times: int, wanted: int) -> bool:
    """Whether a side, halved so many times, is still twice what is wanted, and nearly all of it."""
    halved = side >> times
    left_out = side - (halved << times)
    return halved >= 2 * wanted and left_out * wanted * _SHIFT_PARTS <= side


def _halve(picture: NDArray[Sample]) -> NDArray[Sample]:
    height, width = (side // 2 for side in picture.shape[:2])
    return _resize(picture[: 2 * height, : 2 * width], (width, height))


def _resize(picture: NDArray[Sample], size: tuple[int, int]) -> NDArray[Sample]:
    return cast("NDArray[Sample]", cv2.resize(picture, size, interpolation=cv2.INTER_AREA))


def tiles(shape: tuple[int, int], side: int = _SIDE_PX) -> Iterator[tuple[slice, slice]]:
    """Cut a frame of (height, width) pixels into square tiles, row by row; the last ones are smaller."""
    height, width = shape
    for top in range(0, height, side):
        for left in range(0, width, side):
            yield slice(top, min(top + side, height)), slice(left, min(left + side, width))


def part_of(tile: tuple[slice, slice], wanted: NDArray[np.uint8]) -> tuple[slice, slice] | None:
    """Return the smallest part of a tile that holds all wanted pixels; None if there are none.

    Args:
        tile: rows and columns of the full frame.
        wanted: uint8, the tile's height and width, 0 where a pixel is not wanted.
    """
    left, top, width, height = cv2.boundingRect(wanted)
    if width == 0:
        return None
    rows, columns = tile
    return (
        slice(rows.start + top, rows.start + top + height),
        slice(columns.start + left, columns.start + left + width),
    )


def sources(tile: tuple[slice, slice], shape: tuple[int, int], small: tuple[int, int]) -> tuple[slice, slice]:
    """Return the pixels of a small frame that a tile of the full one is interpolated from, and one more around."""
    first, second = (
        slice(max(0, part.start * inner // outer - 1), -(-part.stop * inner // outer) + 1)
        for part, outer, inner in zip(tile, shape, small, strict=True)
    )
    return first, second


def destinations(
    part: tuple[slice, slice], shape: tuple[int, int], small: tuple[int, int]
) -> tuple[slice, slice]:
    """Return the pixels of the full frame that are interpolated from a part of a small one, and a few more around."""
    first, second = (
        slice(max(0, (one.start - 1) * outer // inner), min(outer, -(-(one.stop + 1) * outer // inner)))
        for one, outer, inner in zip(part, shape, small, strict=True)
    )
    return first, second


def inside(tile: tuple[slice, slice], part: tuple[slice, slice]) -> tuple[slice, slice]:
    """Return the intersection of a part with a tile."""
    rows, columns = (
        slice(max(one.start, other.start), max(one.start, other.start, min(one.stop, other.stop)))
        for one, other in zip(tile, part, strict=True)
    )
    return rows, columns


def enlarged(
    plane: Plane,
    tile: tuple[slice, slice],
    shape: tuple[int, int],
    *,
    small: tuple[int, int],
    origin: tuple[int, int] = (0, 0),
) -> Plane:
    """Interpolate a small plane linearly at the pixels of a tile; its border is repeated outward.

    Args:
        plane: float32 (h, w) or (h, w, channels), a part of the small frame.
        tile: rows and columns of the full frame.
        shape: (height, width) of the full frame.
        small: (height, width) of the whole small frame.
        origin: (top, left) of the plane in the small frame.

    Returns:
        float32, the tile's height and width, channels as in the plane.
    """
    rows, columns = tile
    step_y, step_x = small[0] / shape[0], small[1] / shape[1]
    # Pixel centres lie at halves in both frames.
    x = (columns.start + 0.5) * step_x - 0.5 - origin[1]
    y = (rows.start + 0.5) * step_y - 0.5 - origin[0]
    place = np.array([[step_x, 0, x], [0, step_y, y]])
    size = (columns.stop - columns.start, rows.stop - rows.start)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(plane, place, size, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32
    )
