"""A picture that is looked at: its levels, made as they are wanted, and tiles and small versions of them as WebP.

A tile is in the picture's own colours with its profile, which browsers follow; where the profile is large or means sRGB anyway,
it is in sRGB. This module must not open files.

Levels are means of four pixels, colours in proportion to their alpha, so that what was cut away does not shine through.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from PIL import Image, WebPImagePlugin  # noqa: F401 -- loaded before the process is locked in

from cutoutd.engine.colour import icc_transform
from cutoutd.engine.formats import decode
from cutoutd.previews.tiling import TILE, level_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cutoutd.previews.tiling import Size

    Level = tuple[NDArray[np.uint8], NDArray[np.uint8] | None]

COARSE_SIDE: Final = 1024
"""Pixels of the longer side that a picture is decoded to at first, where its format can be decoded in small."""

_LARGEST_PROFILE: Final = 4096
"""Bytes of a profile that goes with each tile: those of cameras and programs have 500 to 3,200, those of printers a million."""

_QUALITY: Final = 88
_SMALL_QUALITY: Final = 82
_METHOD: Final = 1
"""libwebp's effort, 0 to 6: a tile takes a third of the time of the usual 4, and a tenth more bytes."""

_OPAQUE: Final = 255


class ShownPicture:
    """A picture of which parts are shown.

    Args:
        data: the whole file.
        max_pixels: above which it is refused.
        allowed: formats that are switched on.

    Raises:
        PictureError: it is no picture, or is damaged.
        LimitError: it is too large, or of another format.
    """

    def __init__(self, data: bytes, *, max_pixels: int, allowed: Sequence[str]) -> None:
        self._data = data
        self._max_pixels = max_pixels
        self._allowed = allowed
        self._levels: dict[int, Level] = {}
        self._icc: bytes | None = None
        self._header = decode.header(data, allowed=allowed)
        self._is_turned = False

    @property
    def stored_size(self) -> Size:
        """Width and height as the header says: upright for what was made here, not for every picture."""
        return self._header.width, self._header.height

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
        """What it takes in memory."""
        planes = (plane for level in self._levels.values() for plane in level if plane is not None)
        return len(self._data) + sum(plane.nbytes for plane in planes)

    def decode(self) -> None:
        """Decode it in small, or whole where its format cannot be decoded so; once.

        Raises:
            PictureError: it is damaged.
            LimitError: it is too large.
        """
        if not self._levels:
            self._decode(COARSE_SIDE)

    def level(self, level: int) -> Level:
        """Colours uint8 (h, w, 3) and alpha (h, w) of a level; None if it is opaque.

        Raises:
            PictureError: it is damaged.
            LimitError: it is too large.
        """
        self.decode()
        if level < min(self._levels):
            self._decode(max(self.stored_size) >> level)
        for finer in range(max(one for one in self._levels if one <= level), level):
            self._levels[finer + 1] = halved(*self._levels[finer])
        return self._levels[level]

    def tile(self, level: int, x: int, y: int, *, matte: bool) -> bytes | None:
        """A tile as WebP.

        Args:
            level: as in `cutoutd.previews.tiling`.
            x: from the left.
            y: from the top.
            matte: the alpha, as grey.

        Returns:
            The file; None if the matte is wanted and there is none.

        Raises:
            PictureError: the picture is damaged.
            LimitError: it is too large.
        """
        rgb, alpha = self.level(level)
        part = slice(y * TILE, (y + 1) * TILE), slice(x * TILE, (x + 1) * TILE)
        if matte:
            return None if alpha is None else _webp(alpha[part], None, None, _QUALITY)
        return _webp(rgb[part], None if alpha is None else alpha[part], self._icc, _QUALITY)

    def small(self, side: int, *, matte: bool) -> bytes | None:
        """All of it, with a longer side of so many pixels or fewer, as WebP; None as of `tile`."""
        width, height = self.size
        level = 0
        while max(level_size((width, height), level + 1)) >= side:
            level += 1
        rgb, alpha = self.level(level)
        factor = max(1.0, max(width, height) / side)
        size = (max(1, round(width / factor)), max(1, round(height / factor)))
        if matte:
            return None if alpha is None else _webp(_area(alpha, size), None, None, _SMALL_QUALITY)
        return _webp(*_reduced(rgb, alpha, size), self._icc, _SMALL_QUALITY)

    def _decode(self, least_side: int) -> None:
        picture, halvings = decode.draft(
            self._data, max_pixels=self._max_pixels, least_side=least_side, allowed=self._allowed
        )
        self._icc = picture.icc
        height, width = picture.rgb.shape[:2]
        self._is_turned = (width, height) != level_size(self.stored_size, halvings)
        self._levels[halvings] = (picture.rgb, picture.alpha)


def halved(
    rgb: NDArray[np.uint8], alpha: NDArray[np.uint8] | None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """The next level: means of two by two pixels, colours in proportion to their alpha; sides are rounded up.

    Args:
        rgb: uint8 (h, w, 3).
        alpha: uint8 (h, w), straight; None: it is opaque.
    """
    small = _halved_plane(rgb)
    if alpha is None:
        return small, None
    small_alpha = _halved_plane(alpha)
    # Elsewhere the plain mean is right: what is cut away is not seen, and opaque pixels weigh the same.
    rows, columns = np.nonzero((small_alpha > 0) & (small_alpha < _OPAQUE))
    weights, colours = [], []
    last_row, last_column = alpha.shape[0] - 1, alpha.shape[1] - 1
    for top, left in ((0, 0), (0, 1), (1, 0), (1, 1)):
        at = np.minimum(2 * rows + top, last_row), np.minimum(2 * columns + left, last_column)
        weights.append(alpha[at].astype(np.float32)[:, np.newaxis])
        colours.append(rgb[at].astype(np.float32) * weights[-1])
    small[rows, columns] = np.rint(sum(colours) / sum(weights)).astype(np.uint8)
    return small, small_alpha


def _halved_plane(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Means of two by two; the last row and the last column count twice where their number is odd."""
    height, width = plane.shape[:2]
    rows, columns = height // 2, width // 2
    small = np.empty((-(-height // 2), -(-width // 2), *plane.shape[2:]), np.uint8)
    if rows and columns:
        small[:rows, :columns] = _area(plane[: 2 * rows, : 2 * columns], (columns, rows))
    if height % 2:
        strip = _even(plane[-1:])
        small[-1:] = _shaped(_area(strip, (strip.shape[1] // 2, 1)), small[-1:])
    if width % 2:
        strip = _even(plane[:, -1:])
        small[:, -1:] = _shaped(_area(strip, (1, strip.shape[0] // 2)), small[:, -1:])
    return small


def _shaped(part: NDArray[np.uint8], like: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """OpenCV drops a single channel's axis, and NumPy keeps it."""
    return part.reshape(like.shape)


def _even(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """With the last row and the last column once more, where their number is odd."""
    height, width = plane.shape[:2]
    return np.asarray(cv2.copyMakeBorder(plane, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE), np.uint8)


def _area(plane: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.uint8)


def _reduced(
    rgb: NDArray[np.uint8], alpha: NDArray[np.uint8] | None, size: Size
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """To any smaller size, colours in proportion to their alpha."""
    if alpha is None:
        return _area(rgb, size), None
    weight = alpha.astype(np.float32)
    premultiplied = cv2.resize(rgb * weight[..., np.newaxis], size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
    colours = np.rint(premultiplied / np.maximum(small, 1e-3)[..., np.newaxis])
    return np.clip(colours, 0, _OPAQUE).astype(np.uint8), np.rint(small).astype(np.uint8)


def _webp(
    colours: NDArray[np.uint8], alpha: NDArray[np.uint8] | None, icc: bytes | None, quality: int
) -> bytes:
    """Colours, or grey without alpha, as a file."""
    profile = b""
    if icc is not None:
        profile = _profile(icc)
        if not profile:
            colours = icc_transform.as_srgb(colours, icc)
    if alpha is not None and alpha.min() < _OPAQUE:
        colours = np.dstack((colours, alpha))
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(colours)).save(
        file, format="WEBP", quality=quality, method=_METHOD, icc_profile=profile
    )
    return file.getvalue()


def _profile(icc: bytes) -> bytes:
    """What goes with a tile; nothing if it is to be in sRGB, or is already."""
    if len(icc) > _LARGEST_PROFILE:
        return b""
    try:
        return b"" if icc_transform.between(icc, None) is None else icc
    except icc_transform.UnusableProfileError:
        return icc
