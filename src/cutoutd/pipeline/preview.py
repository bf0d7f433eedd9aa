"""A rendition in small, made of its strips while they are on their way into its file: a large view begins with it at once.

To decode a cutout of 50 megapixels again, only to show it, takes seconds; here its pixels are at hand. What is made here costs
some 2 % of a picture's time: a JPEG and a small PNG for the large view, of which a process of the page's makes tiles when somebody
looks, and one WebP for lists. It must not change the strips.
"""

from __future__ import annotations

import io
import os
import traceback
from typing import TYPE_CHECKING, Final, TypeVar, cast

import cv2
import numpy as np
from PIL import Image

from cutoutd import tiling
from cutoutd.engine.containers import png
from cutoutd.engine.render import levels
from cutoutd.exchange.cutout_previews import CutoutPreview

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    _Strip = TypeVar("_Strip", bound="NDArray[np.uint8] | NDArray[np.uint16]")

SMALL_SIDE: Final = 320
"""Pixels of the longer side of what lists show."""

_JPEG_QUALITY: Final = 88
_WEBP_QUALITY: Final = 82
_WEBP_ALPHA: Final = 90
"""Some 170 values of alpha: all 256 take half as long again."""

_WEBP_METHOD: Final = 0
"""libwebp's effort: cutting waits for it."""

_RGBA: Final = 4
_BLOCK: Final = 8
_NEAR: Final = 5
"""Blocks of a JPEG: colours run on by two of them."""

_FAINT: Final = 16
"""Below this alpha a colour that was multiplied by it has too few values left to be told, and is hardly seen."""


class ReducedRendition:
    """Takes the strips of one rendition and has it in small then.

    Args:
        size: of the rendition, pixels.
    """

    def __init__(self, size: tiling.Size) -> None:
        self._size = size
        self._level = tiling.first_level_within(size, tiling.COARSE_SIDE)
        self._step = 1 << self._level
        self._parts: list[NDArray[np.uint8]] = []
        self._rest: list[NDArray[np.uint8]] = []

    def watched(self, strips: Iterable[_Strip]) -> Iterator[_Strip]:
        """The same strips, from top to bottom, each looked at on its way; from the beginning if called again."""
        self._parts, self._rest = [], []
        for strip in strips:
            self._take(strip)
            yield strip
        if self._rest:
            self._reduce(np.concatenate(self._rest))

    def preview(self, icc: bytes | None) -> CutoutPreview:
        """The rendition in small; once all strips were taken.

        Args:
            icc: profile of its colours; None: sRGB.
        """
        frame = np.concatenate(self._parts)
        width, height = self._size
        colours, alpha = _parted(frame)
        return CutoutPreview(
            width=width,
            height=height,
            level=self._level,
            small=self._small(frame, icc),
            colours=_jpeg(colours if alpha is None else _run_on(frame, colours, alpha), icc),
            alpha=b"" if alpha is None else _png(alpha),
        )

    def _small(self, frame: NDArray[np.uint8], icc: bytes | None) -> bytes:
        width, height = self._size
        factor = max(1.0, max(width, height) / SMALL_SIDE)
        size = max(1, round(width / factor)), max(1, round(height / factor))
        while frame.shape[1] >= 2 * size[0] and frame.shape[0] >= 2 * size[1]:
            frame = levels.halved_plane(frame)
        colours, alpha = _parted(levels.area(frame, size))
        return levels.webp(
            colours, alpha, icc, quality=_WEBP_QUALITY, method=_WEBP_METHOD, alpha_quality=_WEBP_ALPHA
        )

    def _take(self, strip: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
        pixels = (
            (strip >> 8).astype(np.uint8) if strip.dtype == np.uint16 else cast("NDArray[np.uint8]", strip)
        )
        if self._rest:
            missing = self._step - sum(map(len, self._rest))
            self._rest.append(pixels[:missing].copy())
            if len(pixels) < missing:
                return
            self._reduce(np.concatenate(self._rest))
            pixels = pixels[missing:]
        whole = len(pixels) // self._step * self._step
        self._reduce(pixels[:whole])
        self._rest = [pixels[whole:].copy()] if whole < len(pixels) else []

    def _reduce(self, pixels: NDArray[np.uint8]) -> None:
        """Colours multiplied by their alpha, in means of as many rows and columns as a pixel of the level stands for."""
        if not len(pixels):
            return
        if pixels.shape[2:] == (_RGBA,):
            pixels = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGBA2mRGBA), np.uint8)
        for _ in range(self._level):
            pixels = levels.halved_plane(pixels)
        self._parts.append(pixels.copy() if self._level == 0 else pixels)


def write_preview(descriptor: int, reduced: ReducedRendition, icc: bytes | None) -> None:
    """Write a rendition in small; whatever goes wrong costs the preview, and not the cutout.

    Args:
        descriptor: of an empty file, open for writing.
        reduced: all of its strips were taken.
        icc: profile of its colours; None: sRGB.
    """
    try:
        content = memoryview(reduced.preview(icc).packed())
        while content:
            content = content[os.write(descriptor, content) :]
    except OSError:
        pass  # the disk of the state directory refuses, which costs nobody a cutout
    except Exception as error:  # noqa: BLE001 -- an internal error here
        traceback.print_exception(error)


def _parted(frame: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Colours, and alpha where something is not opaque, of pixels that are multiplied by it."""
    if frame.shape[2:] != (_RGBA,):
        return frame, None
    alpha = np.asarray(cv2.extractChannel(frame, 3), np.uint8)
    if alpha.min() < levels.OPAQUE:
        frame = np.asarray(cv2.cvtColor(frame, cv2.COLOR_mRGBA2RGBA), np.uint8)
        return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGBA2RGB), np.uint8), alpha
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGBA2RGB), np.uint8), None


def _run_on(
    frame: NDArray[np.uint8], colours: NDArray[np.uint8], alpha: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """The colours, running on beside what can be seen: a JPEG smears them over some pixels, and black ones would darken edges.

    Args:
        frame: uint8 (h, w, 4), multiplied by its alpha.
        colours: uint8 (h, w, 3), as they are.
        alpha: uint8 (h, w).
    """
    height, width = alpha.shape
    small = levels.area(frame, (max(1, width // _BLOCK), max(1, height // _BLOCK)))
    around = cv2.cvtColor(cv2.blur(small, (_NEAR, _NEAR)), cv2.COLOR_mRGBA2RGBA)
    filled = cv2.resize(
        cv2.cvtColor(around, cv2.COLOR_RGBA2RGB), (width, height), interpolation=cv2.INTER_NEAREST
    )
    return np.asarray(cv2.copyTo(filled, (alpha < _FAINT).view(np.uint8), colours), np.uint8)


def _jpeg(colours: NDArray[np.uint8], icc: bytes | None) -> bytes:
    file = io.BytesIO()
    Image.fromarray(colours).save(file, format="JPEG", quality=_JPEG_QUALITY, icc_profile=icc or b"")
    return file.getvalue()


def _png(alpha: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    height, width = alpha.shape
    png.write(file, [alpha], png.Layout(width=width, height=height, channels=1), png.Extras())
    return file.getvalue()
