"""A picture that is viewed: its levels, made when needed, and tiles and small versions of them as WebP.

`cutoutd.engine.render.levels` makes levels and tiles. This module must not open files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from cutoutd.engine.formats import decode
from cutoutd.engine.render import levels
from cutoutd.errors import PictureError
from cutoutd.exchange.cutout_previews import CutoutPreview
from cutoutd.tiling import TILE, level_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cutoutd.tiling import Size

    Level = tuple[NDArray[np.uint8], NDArray[np.uint8] | None]

COARSE_SIDE: Final = 1024
"""Longer side, in pixels, to which a picture is decoded at first, if its format allows reduced decoding."""

_QUALITY: Final = 88
_SMALL_QUALITY: Final = 82
_DAMAGED: Final = "the small version of it is damaged"
_METHOD: Final = 1
"""libwebp's effort, 0 to 6: a tile takes a third of the time of the default 4, and a tenth more bytes."""


class ShownPicture:
    """A picture that is viewed in parts.

    Args:
        data: the whole file.
        max_pixels: limit for a picture.
        allowed: enabled formats.

    Raises:
        PictureError: it is not a picture, or is damaged.
        LimitError: it is too large, or of another format.

    Attributes:
        stored_size: width and height as the header says: upright for what was made here, not for every picture.
    """

    def __init__(self, data: bytes, *, max_pixels: int, allowed: Sequence[str]) -> None:
        self._data = data
        self._max_pixels = max_pixels
        self._allowed = allowed
        self._levels: dict[int, Level] = {}
        self._icc: bytes | None = None
        self._is_turned = False
        self.stored_size = self._read_header()

    def _read_header(self) -> Size:
        header = decode.header(self._data, allowed=self._allowed)
        return header.width, header.height

    @property
    def size(self) -> Size:
        """Width and height, upright.

        Raises:
            PictureError: it is damaged.
        """
        self.decode()
        width, height = self.stored_size
        return (height, width) if self._is_turned else (width, height)

    @property
    def memory_bytes(self) -> int:
        """Memory that it takes, in bytes."""
        planes = (plane for level in self._levels.values() for plane in level if plane is not None)
        return len(self._data) + sum(plane.nbytes for plane in planes)

    def decode(self) -> None:
        """Decode it once, reduced if its format allows.

        Raises:
            PictureError: it is damaged.
            LimitError: it is too large.
        """
        if not self._levels:
            self._decode(COARSE_SIDE)

    def level(self, level: int) -> Level:
        """Return colours, uint8 (h, w, 3), and alpha, (h, w) or None if it is opaque, of a level.

        Raises:
            PictureError: it is damaged.
            LimitError: it is too large.
        """
        self.decode()
        if level < min(self._levels):
            self._decode(max(self.stored_size) >> level)
        for finer in range(max(one for one in self._levels if one <= level), level):
            self._levels[finer + 1] = levels.halved(*self._levels[finer])
        return self._levels[level]

    def tile(self, level: int, x: int, y: int, *, matte: bool) -> bytes | None:
        """Return a tile as WebP.

        Args:
            level: as in `cutoutd.tiling`.
            x: from the left.
            y: from the top.
            matte: the alpha, as grey.

        Returns:
            The file; None if the matte is requested and there is none.

        Raises:
            PictureError: the picture is damaged.
            LimitError: it is too large.
        """
        rgb, alpha = self.level(level)
        part = slice(y * TILE, (y + 1) * TILE), slice(x * TILE, (x + 1) * TILE)
        if matte:
            return None if alpha is None else _file(alpha[part], None, None, _QUALITY)
        return _file(rgb[part], None if alpha is None else alpha[part], self._icc, _QUALITY)

    def small(self, side: int, *, matte: bool) -> bytes | None:
        """Return the whole picture, with at most so many pixels on its longer side, as WebP; None as from `tile`."""
        width, height = self.size
        level = 0
        while max(level_size((width, height), level + 1)) >= side:
            level += 1
        rgb, alpha = self.level(level)
        factor = max(1.0, max(width, height) / side)
        size = (max(1, round(width / factor)), max(1, round(height / factor)))
        if matte:
            return None if alpha is None else _file(levels.area(alpha, size), None, None, _SMALL_QUALITY)
        return _file(*levels.reduced(rgb, alpha, size), self._icc, _SMALL_QUALITY)

    def _decode(self, least_side: int) -> None:
        picture, halvings = decode.draft(
            self._data, max_pixels=self._max_pixels, least_side=least_side, allowed=self._allowed
        )
        self._icc = picture.icc
        height, width = picture.rgb.shape[:2]
        self._is_turned = (width, height) != level_size(self.stored_size, halvings)
        self._levels[halvings] = (picture.rgb, picture.alpha)


class ShownPreview(ShownPicture):
    """A cutout of which a worker has left the coarse levels, and which has no others.

    Args:
        data: of a `CutoutPreview`.
        max_pixels: as for `ShownPicture`.

    Raises:
        PictureError: it is damaged.
    """

    def __init__(self, data: bytes, *, max_pixels: int) -> None:
        preview = CutoutPreview.unpacked(data)
        if preview is None:
            raise PictureError(_DAMAGED)
        self._preview = preview
        super().__init__(data, max_pixels=max_pixels, allowed=("jpeg", "png"))

    def _read_header(self) -> Size:
        return self._preview.width, self._preview.height

    def _decode(self, least_side: int) -> None:
        del least_side  # there is but one
        preview = self._preview
        colours = decode.decode(preview.colours, max_pixels=self._max_pixels, allowed=self._allowed)
        self._icc, alpha = colours.icc, None
        if preview.alpha:
            grey = decode.decode(preview.alpha, max_pixels=self._max_pixels, allowed=self._allowed)
            alpha = np.ascontiguousarray(grey.rgb[..., 0])
        size = level_size(self.stored_size, preview.level)
        if any(plane.shape[1::-1] != size for plane in (colours.rgb, alpha) if plane is not None):
            raise PictureError(_DAMAGED)
        self._levels[preview.level] = (colours.rgb, alpha)


def _file(
    colours: NDArray[np.uint8], alpha: NDArray[np.uint8] | None, icc: bytes | None, quality: int
) -> bytes:
    return levels.webp(colours, alpha, icc, quality=quality, method=_METHOD)
