"""Compose colour and matte: straight-alpha RGBA, strip by strip without a second frame; or an overlay for review.

This module must not change a colour of an opaque pixel. Invisible pixels are zero, which compresses best and
keeps nothing of what was cut away.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, cast

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from cutoutd.engine.picture import Sample

STRIP_BYTES: Final = 1 << 20
"""Of RGBA made at a time: small enough for the cache, large enough that Python's part does not show."""

_OPAQUE: Final = 255
_GREY: Final = 128


def strips(rgb: NDArray[Sample], alpha: NDArray[np.uint8]) -> Iterator[NDArray[Sample]]:
    """Yield the strips of the cutout, from top to bottom.

    Args:
        rgb: uint8 or uint16 (H, W, 3), the source, in its soft pixels perhaps with the subject's own colour
            (`cutoutd.engine.matting.foreground.decontaminate`).
        alpha: uint8 (H, W), straight.

    Yields:
        The same type, (rows, W, 4): the colour as given where alpha is above 0, zeros where it is 0.
    """
    height, width = alpha.shape
    rows = max(1, STRIP_BYTES // (4 * rgb.itemsize * width))
    for top in range(0, height, rows):
        part = slice(top, min(height, top + rows))
        yield rgba(rgb[part], alpha[part])


def multiplied(alpha: NDArray[np.uint8], existing: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Multiply a matte with the source's own transparency.

    Args:
        alpha: uint8 (H, W).
        existing: uint8 (H, W), the source's own alpha.

    Returns:
        uint8 (H, W), the nearest value to ``alpha * existing / 255``.
    """
    return cast("NDArray[np.uint8]", cv2.multiply(alpha, existing, scale=1 / _OPAQUE))


def widened(levels: NDArray[np.uint8], kind: np.dtype[Sample]) -> NDArray[Sample]:
    """Scale 8-bit values to 8 or 16 bits: white stays white."""
    if kind == np.uint8:
        return levels.view(kind)
    return levels.astype(kind) * kind.type(white(kind) // _OPAQUE)


def white(kind: np.dtype[Any]) -> int:
    """Return the largest value of uint8 or uint16."""
    return 255 if kind == np.uint8 else 65535


def over_grey(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Composite a picture with transparency over mid-grey, as input of the model.

    What lies hidden under transparent pixels is often black or left over from an edit, and would mislead the
    model; grey is what the fewest subjects vanish on.

    Args:
        rgb: uint8 (H, W, 3).
        alpha: uint8 (H, W).

    Returns:
        uint8 (H, W, 3).
    """
    seen = np.empty_like(rgb)
    rows = max(1, STRIP_BYTES // (4 * rgb.shape[1]))
    for top in range(0, len(rgb), rows):
        part = slice(top, top + rows)
        share = alpha[part, :, np.newaxis].astype(np.float32) / _OPAQUE
        seen[part] = np.rint(_GREY + (rgb[part] - np.float32(_GREY)) * share)
    return seen


def rgba(rgb: NDArray[Sample], alpha: NDArray[np.uint8]) -> NDArray[Sample]:
    """Compose one part of a cutout.

    Args:
        rgb: uint8 or uint16 (h, w, 3).
        alpha: uint8 (h, w), straight.

    Returns:
        The same type, (h, w, 4): the colour as given where alpha is above 0, zeros where it is 0.
    """
    joined = np.zeros((*alpha.shape, 4), rgb.dtype)
    columns = alpha.max(axis=0).nonzero()[0]
    if columns.size == 0:
        return joined
    # The rest of the strip stays zero without being touched.
    span: slice[int, int, None] = slice(int(columns[0]), int(columns[-1]) + 1)
    seen = alpha[:, span]
    pixels = cv2.cvtColor(rgb[:, span], cv2.COLOR_RGB2RGBA)
    cv2.mixChannels([widened(seen, rgb.dtype)], [pixels], [0, 3])
    cv2.copyTo(pixels, seen, joined[:, span])
    return joined


MAX_PIXELS: Final = 1_000_000
"""Enough to judge a mask by; a full-size copy of each doubtful picture would fill disks."""

_VEIL: Final = (200, 30, 90)  # R, G, B: of nothing that is commonly photographed
_VEIL_SHARE: Final = 0.65


def overlay(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Tint what a matte cuts away: a small picture for a person who decides about a doubtful cutout.

    Args:
        rgb: uint8 (H, W, 3), the source.
        alpha: uint8 (H, W), the matte.

    Returns:
        uint8 (h, w, 3), of at most about `MAX_PIXELS`.
    """
    height, width = alpha.shape
    factor = max(1.0, math.sqrt(height * width / MAX_PIXELS))
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    veil = (255 - cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)).astype(np.float32) * (
        _VEIL_SHARE / 255
    )
    mixed = small + (np.array(_VEIL, np.float32) - small) * veil[..., np.newaxis]
    return cast("NDArray[np.uint8]", np.rint(mixed).astype(np.uint8))
