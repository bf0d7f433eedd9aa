"""An image pyramid by repeated halving, and small WebP files of its levels for browsers.

Colours are means in proportion to their alpha, so that what was cut away does not shine through. A file keeps the picture's own
profile, which browsers follow; where that is large, or means sRGB anyway, it is in sRGB. It must not open files.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from PIL import Image, WebPImagePlugin  # noqa: F401 -- loaded before a process is locked in

from cutoutd.engine.colour import icc_transform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cutoutd.tiling import Size

_LARGEST_PROFILE: Final = 4096
"""Bytes of a profile that goes with each file: those of cameras and programs have 500 to 3,200, those of printers a million."""

OPAQUE: Final = 255


def halved(
    rgb: NDArray[np.uint8], alpha: NDArray[np.uint8] | None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Return the next level: means of two by two pixels, colours weighted by alpha; sides are rounded up.

    Args:
        rgb: uint8 (h, w, 3).
        alpha: uint8 (h, w), straight; None: the picture is opaque.
    """
    small = halved_plane(rgb)
    if alpha is None:
        return small, None
    small_alpha = halved_plane(alpha)
    # Elsewhere the plain mean is right: what is cut away is not seen, and opaque pixels weigh the same.
    rows, columns = np.nonzero((small_alpha > 0) & (small_alpha < OPAQUE))
    weights, colours = [], []
    last_row, last_column = alpha.shape[0] - 1, alpha.shape[1] - 1
    for top, left in ((0, 0), (0, 1), (1, 0), (1, 1)):
        at = np.minimum(2 * rows + top, last_row), np.minimum(2 * columns + left, last_column)
        weights.append(alpha[at].astype(np.float32)[:, np.newaxis])
        colours.append(rgb[at].astype(np.float32) * weights[-1])
    small[rows, columns] = np.rint(sum(colours) / sum(weights)).astype(np.uint8)
    return small, small_alpha


def halved_plane(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return means of two by two pixels; the last row or column counts twice where their number is odd.

    Args:
        plane: uint8 (h, w), or (h, w, channels).
    """
    height, width = plane.shape[:2]
    rows, columns = height // 2, width // 2
    small = np.empty((-(-height // 2), -(-width // 2), *plane.shape[2:]), np.uint8)
    if rows and columns:
        small[:rows, :columns] = area(plane[: 2 * rows, : 2 * columns], (columns, rows))
    if height % 2:
        strip = _even(plane[-1:])
        small[-1:] = _shape(area(strip, (strip.shape[1] // 2, 1)), small[-1:])
    if width % 2:
        strip = _even(plane[:, -1:])
        small[:, -1:] = _shape(area(strip, (1, strip.shape[0] // 2)), small[:, -1:])
    return small


def _shape(part: NDArray[np.uint8], like: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Restore the axis of a single channel, which OpenCV drops."""
    return part.reshape(like.shape)


def _even(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Repeat the last row or column where their number is odd."""
    height, width = plane.shape[:2]
    return np.asarray(cv2.copyMakeBorder(plane, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE), np.uint8)


def area(plane: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Reduce to any smaller size by plain means, without regard to alpha."""
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.uint8)


def reduced(
    rgb: NDArray[np.uint8], alpha: NDArray[np.uint8] | None, size: Size
) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Reduce to any smaller size, colours weighted by alpha."""
    if alpha is None:
        return area(rgb, size), None
    weight = alpha.astype(np.float32)
    premultiplied = cv2.resize(rgb * weight[..., np.newaxis], size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(weight, size, interpolation=cv2.INTER_AREA)
    colours = np.rint(premultiplied / np.maximum(small, 1e-3)[..., np.newaxis])
    return np.clip(colours, 0, OPAQUE).astype(np.uint8), np.rint(small).astype(np.uint8)


def webp(
    colours: NDArray[np.uint8],
    alpha: NDArray[np.uint8] | None,
    icc: bytes | None,
    *,
    quality: int,
    method: int,
    alpha_quality: int = 100,
) -> bytes:
    """Encode colours, or grey without alpha, as a WebP file.

    Args:
        colours: uint8 (h, w, 3), or (h, w).
        alpha: uint8 (h, w); None: it is opaque.
        icc: profile of the colours; None: sRGB.
        quality: libwebp's, 0 to 100.
        method: libwebp's effort, 0 to 6.
        alpha_quality: libwebp's quality of the alpha, 0 to 100: 100 keeps each value.
    """
    profile = b""
    if icc is not None:
        profile = _profile(icc)
        if not profile:
            colours = icc_transform.as_srgb(colours, icc)
    if alpha is not None and alpha.min() < OPAQUE:
        colours = np.dstack((colours, alpha))
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(colours)).save(
        file, format="WEBP", quality=quality, method=method, alpha_quality=alpha_quality, icc_profile=profile
    )
    return file.getvalue()


def _profile(icc: bytes) -> bytes:
    """Return the profile to embed; empty for an sRGB file."""
    if len(icc) > _LARGEST_PROFILE:
        return b""
    try:
        return b"" if icc_transform.between(icc, None) is None else icc
    except icc_transform.UnusableProfileError:
        return icc
