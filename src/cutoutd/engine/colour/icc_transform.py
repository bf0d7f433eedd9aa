"""Colours from one space to another by ICC profiles: a picture's to 8-bit RGB, a result's to sRGB, a background's to the result's.

RGB keeps its own profile untouched; everything else ends as sRGB, through its profile where it has a fitting one. A picture
whose colours mean the same already is not changed, and metadata other than the profile is not looked at.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from PIL import ImageCms

    from cutoutd.engine.samples import Samples

# ICC.1:2022, 7.2: date and time in the header, which would make two results of one picture differ.
_DATE: Final = slice(24, 36)
_NO_DATE: Final = bytes.fromhex("07d000010001000000000000")
_SAME: Final = 1
"""Levels of 255 by which rounding alone makes two profiles differ that mean the same."""
_STRIP_PIXELS: Final = 1 << 18

MAX_ICC_BYTES: Final = 4 << 20
"""Larger than any real profile (printers' reach 2 to 3 MB), small enough to be copied into every cutout."""

# ICC.1:2022, 7.2: the header's fields.
_HEADER_BYTES: Final = 128
_SPACE: Final = slice(16, 20)
_SIGNATURE: Final = slice(36, 40)

_SPACE_BY_MODE: Final = {
    "1": b"GRAY",
    "L": b"GRAY",
    "LA": b"GRAY",
    "La": b"GRAY",
    "CMYK": b"CMYK",
    "LAB": b"Lab ",
}
_NAME_BY_SPACE: Final = {b"GRAY": "grey", b"CMYK": "CMYK", b"Lab ": "Lab"}
_RGB: Final = b"RGB "
_LAB: Final = b"Lab "


def srgb() -> bytes:
    """Return an sRGB profile; its bytes are always the same."""
    from PIL import ImageCms  # noqa: PLC0415 -- few pictures need it

    made = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    made[_DATE] = _NO_DATE
    return bytes(made)


class UnusableProfileError(ValueError):
    """The ICC profile parses, but no transform can be built from it."""


@lru_cache(maxsize=4)  # the pictures of a folder mostly come from one camera
def between(
    source: bytes | None, target: bytes | None
) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]] | None:
    """Return the transform from one profile to another.

    Args:
        source: ICC profile of RGB colours; None: sRGB.
        target: ICC profile of RGB colours; None: sRGB.

    Returns:
        A function from uint8 (h, w, 3) to the same shape; None where both profiles describe the same colours.

    Raises:
        UnusableProfileError: no transform can be built from one of the profiles.
    """
    if source == target:
        return None
    transform = _transform(source or srgb(), target or srgb(), "RGB")

    def convert(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.asarray(transform.apply(Image.fromarray(np.ascontiguousarray(rgb))))

    samples = _samples()
    difference = convert(samples).astype(np.int16) - samples
    return None if int(np.abs(difference).max()) <= _SAME else convert


def as_srgb(rgb: NDArray[np.uint8], icc: bytes | None) -> NDArray[np.uint8]:
    """Convert a picture to sRGB, the colour space that models are trained on.

    Args:
        rgb: uint8 (h, w, 3).
        icc: profile of the picture; None: sRGB.

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
    """Convert an sRGB colour to a profile; the colour itself where the profile is unusable."""
    try:
        convert = between(None, target)
    except UnusableProfileError:
        return rgb
    if convert is None:
        return rgb
    red, green, blue = convert(np.array([[rgb]], np.uint8))[0, 0].tolist()
    return int(red), int(green), int(blue)


def _samples() -> NDArray[np.uint8]:
    """Return colours evenly spaced in the RGB cube, uint8 (1, 729, 3)."""
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    return np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Conversion:
    """The conversion of strips to RGB.

    Attributes:
        pixels: from a strip to uint8 (h, w, 3), or (h, w, 4) with straight alpha where the picture is
            transparent.
        icc: profile of the result; None for sRGB.
        warnings: what was changed or dropped.
        is_plain: values do not change; grey values are only repeated.
    """

    pixels: Callable[[Image.Image], NDArray[np.uint8]]
    icc: bytes | None
    warnings: tuple[str, ...]
    is_plain: bool = True


def conversion(samples: Samples, icc: bytes | None) -> Conversion:
    """Choose how a picture's strips become RGB.

    Args:
        samples: the loaded picture.
        icc: embedded profile of the picture.
    """
    space = _SPACE_BY_MODE.get(samples.mode, _RGB)
    profile, problem = usable(icc, samples.mode)
    warnings = [problem] if problem else []
    plain = _with_alpha if samples.transparent else _without_alpha
    if profile is not None and profile[_SPACE] == _RGB:
        return Conversion(pixels=plain, icc=profile, warnings=tuple(warnings))
    if space == _RGB or (profile is None and space == b"GRAY"):
        return Conversion(pixels=plain, icc=None, warnings=tuple(warnings))
    transform = _to_srgb(profile, space)
    name = _NAME_BY_SPACE[space]
    if transform is None:
        warnings.append(
            f"its {name} colours were converted to sRGB by rule of thumb, as it has no usable profile"
        )
        return Conversion(pixels=plain, icc=None, warnings=tuple(warnings), is_plain=False)
    warnings.append(f"its {name} colours were converted to sRGB")
    return Conversion(
        pixels=_through(transform, alpha=samples.transparent),
        icc=None,
        warnings=tuple(warnings),
        is_plain=False,
    )


def has_space_of_its_own(mode: str) -> bool:
    """Whether samples of this mode (Pillow's) are CMYK or Lab, which only a profile describes further."""
    return mode in ("CMYK", "LAB")


def usable(icc: bytes | None, mode: str) -> tuple[bytes | None, str | None]:
    """Return the profile if it fits the mode of the picture, else the reason why it is dropped.

    Args:
        icc: embedded profile; None: there is none.
        mode: Pillow's name for the picture's samples.
    """
    space = _SPACE_BY_MODE.get(mode, _RGB)
    if not icc:
        return None, None
    size = int.from_bytes(icc[:4], "big")
    if len(icc) > MAX_ICC_BYTES:
        return None, f"its colour profile of {len(icc) / 1e6:.0f} MB is unreasonably large and was dropped"
    if not _HEADER_BYTES < size <= len(icc) or icc[_SIGNATURE] != b"acsp":
        return None, "its colour profile is damaged and was dropped"
    # Grey values mean the same in an RGB profile, three times over: common with pictures from the web.
    if icc[_SPACE] != space and not (space == b"GRAY" and icc[_SPACE] == _RGB):
        return None, "its colour profile is for another kind of picture and was dropped"
    return icc[:size], None


def _to_srgb(profile: bytes | None, space: bytes) -> ImageCms.ImageCmsTransform | None:
    """Return the transform from CMYK, Lab or grey to sRGB; None without a usable profile (Lab needs none)."""
    modes = {b"GRAY": "L", b"CMYK": "CMYK", _LAB: "LAB"}
    if profile is None and space != _LAB:
        return None
    try:
        return _transform(profile, srgb(), modes[space])
    except UnusableProfileError:
        return None


def _transform(source: bytes | None, target: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    """Build a transform to RGB: relative colorimetric, with black point compensation.

    Args:
        source: ICC profile; None: Lab.
        target: profile of RGB colours.
        mode: Pillow's name for the source's samples.

    Raises:
        UnusableProfileError: no transform can be built from one of the profiles.
    """
    from PIL import ImageCms  # noqa: PLC0415 -- few pictures need it

    try:
        known = (
            ImageCms.createProfile("LAB") if source is None else ImageCms.ImageCmsProfile(io.BytesIO(source))
        )
        return ImageCms.buildTransform(
            known,
            ImageCms.ImageCmsProfile(io.BytesIO(target)),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise UnusableProfileError(str(error)) from error


def _without_alpha(strip: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(strip if strip.mode == "RGB" else strip.convert("RGB"))


def _with_alpha(strip: Image.Image) -> NDArray[np.uint8]:
    if strip.mode == "La":
        strip = strip.convert("LA")
    return np.asarray(strip if strip.mode == "RGBA" else strip.convert("RGBA"))


def _through(
    transform: ImageCms.ImageCmsTransform, *, alpha: bool
) -> Callable[[Image.Image], NDArray[np.uint8]]:
    def colours(strip: Image.Image) -> NDArray[np.uint8]:
        solid = strip if strip.mode == transform.input_mode else strip.convert(transform.input_mode)
        return np.asarray(transform.apply(solid))

    def colours_and_alpha(strip: Image.Image) -> NDArray[np.uint8]:
        straight = _with_alpha(strip)
        grey = strip.convert("LA").getchannel("L") if strip.mode == "La" else strip.convert("L")
        return np.dstack((colours(grey), straight[..., 3]))

    return colours_and_alpha if alpha else colours
