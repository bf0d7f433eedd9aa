"""Colours from one RGB profile to another: a result's to sRGB, a background's to the result's.

How pictures of other colour spaces become RGB is `cutoutd.engine.colour.conversion`'s. This module must not change a picture
whose colours mean the same already.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

# ICC.1:2022, 7.2: date and time in the header, which would make two results of one picture differ.
_DATE: Final = slice(24, 36)
_NO_DATE: Final = bytes.fromhex("07d000010001000000000000")
_SAME: Final = 1
"""Levels of 255 by which rounding alone makes two profiles differ that mean the same."""


def srgb() -> bytes:
    """An sRGB profile, always the same bytes."""
    from PIL import ImageCms  # noqa: PLC0415 -- few pictures need it

    made = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    made[_DATE] = _NO_DATE
    return bytes(made)


_STRIP_PIXELS: Final = 1 << 18


class UnusableProfileError(ValueError):
    """A profile that looks like one, and that no conversion can be made of."""


@lru_cache(maxsize=4)  # the pictures of a folder mostly come from one camera
def between(
    source: bytes | None, target: bytes | None
) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None:
    """How colours are brought from one profile to another.

    Args:
        source: ICC profile of RGB colours; None: sRGB.
        target: likewise.

    Returns:
        A function from uint8 (h, w, 3) to the same shape; None where nothing is to be done, as they mean the same.

    Raises:
        UnusableProfileError: one of them cannot be used.
    """
    from PIL import ImageCms  # noqa: PLC0415 -- few pictures need it

    if source == target:
        return None
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(source or srgb())),
            ImageCms.ImageCmsProfile(io.BytesIO(target or srgb())),
            "RGB",
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise UnusableProfileError(str(error)) from error

    def convert(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.asarray(transform.apply(Image.fromarray(np.ascontiguousarray(rgb))))

    samples = _samples()
    difference = convert(samples).astype(np.int16) - samples
    return None if int(np.abs(difference).max()) <= _SAME else convert


def as_srgb(rgb: NDArray[np.uint8], icc: bytes | None) -> NDArray[np.uint8]:
    """A picture as models learned to see them: what a wide gamut or another curve makes of the numbers is undone.

    Args:
        rgb: uint8 (h, w, 3).
        icc: its profile; None: sRGB.

    Returns:
        The same shape; the very same array where nothing is to be done, or its profile cannot be used: colours a little
        off still show what is subject and what is not.
    """
    try:
        convert = between(icc, None)
    except UnusableProfileError:
        return rgb
    if convert is None:
        return rgb
    converted = np.empty_like(rgb)
    rows = max(1, _STRIP_PIXELS // rgb.shape[1])
    for top in range(0, len(rgb), rows):
        converted[top : top + rows] = convert(rgb[top : top + rows])
    return converted


def colour(rgb: tuple[int, int, int], target: bytes | None) -> tuple[int, int, int]:
    """An sRGB colour in the colours of a profile; as it is, where that cannot be used."""
    try:
        convert = between(None, target)
    except UnusableProfileError:
        return rgb
    if convert is None:
        return rgb
    red, green, blue = convert(np.array([[rgb]], np.uint8))[0, 0].tolist()
    return int(red), int(green), int(blue)


def _samples() -> NDArray[np.uint8]:
    """Colours from all over the cube, uint8 (1, 729, 3)."""
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    return np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
