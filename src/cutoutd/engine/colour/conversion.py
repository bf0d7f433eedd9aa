"""From any colour space a picture may come in to 8-bit RGB with a profile that says what it means.

RGB keeps its own profile untouched; everything else ends as sRGB, through its profile where it has a fitting
one. This module must not look at metadata other than the profile.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from PIL import Image, ImageCms

    from cutoutd.engine.samples import Samples

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


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Conversion:
    """How strips become RGB.

    Attributes:
        pixels: from a strip to uint8 (h, w, 3), or (h, w, 4) with straight alpha where the picture is
            transparent.
        icc: the profile the result is in; None for sRGB.
        warnings: what was changed or dropped.
        is_plain: values stay what they are; grey ones are only repeated.
    """

    pixels: Callable[[Image.Image], NDArray[np.uint8]]
    icc: bytes | None
    warnings: tuple[str, ...]
    is_plain: bool = True


def conversion(samples: Samples, icc: bytes | None) -> Conversion:
    """Choose how a picture's strips become RGB.

    Args:
        samples: the loaded picture.
        icc: the profile it came with.
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
    """The profile if it can describe such a picture, else the reason why it is dropped.

    Args:
        icc: as it came; None: there is none.
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
    """A transform to sRGB as photo editors do it: relative colorimetric, with black point compensation."""
    from PIL import ImageCms  # noqa: PLC0415 -- few pictures need it

    modes = {b"GRAY": "L", b"CMYK": "CMYK", _LAB: "LAB"}
    if profile is None and space != _LAB:
        return None
    try:
        source = (
            ImageCms.createProfile("LAB")
            if profile is None
            else ImageCms.ImageCmsProfile(io.BytesIO(profile))
        )
        return ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            modes[space],
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


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
