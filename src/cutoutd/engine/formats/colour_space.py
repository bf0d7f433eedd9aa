"""Determine the colour space of a picture, from whichever field of its file states it: for all readers.

An ICC profile goes first, then code points (H.273), then the gamma and primaries of a PNG or TIFF, then EXIF.
The result is a profile that every program understands. This module must not read pixels.

PNG specification, third edition, 11.3.2 (cICP, iCCP, sRGB, gAMA, cHRM; cICP with HDR comes first there, and here);
CIPA DC-008 (Exif), 4.6.5 and DCF 2.0, 5.2.3 (Adobe RGB is told by the interoperability index R03); TIFF 6.0, section 20.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from cutoutd.engine.colour import code_points, icc_build, icc_transform
from cutoutd.engine.colour.code_points import CodePoints
from cutoutd.engine.containers import exif as exif_block
from cutoutd.engine.containers.exif import ExifBlock
from cutoutd.engine.containers.tiff_structure import MalformedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.engine.colour.icc_build import Chromaticities, Curve

_WEB_GAMMA: Final = 1 / 2.2
"""What PNGs say that are sRGB (11.3.2.5)."""
_GAMMA_DIFFERENCE: Final = 0.02  # relative; 1/2.2 is written as 0.45455 or 0.45
_PLACE_DIFFERENCE: Final = 0.004  # of x and y, as rounding and near relatives of sRGB make them
_GAMMAS: Final = (0.2, 5.0)
_SMALLEST_AREA: Final = 0.01  # of a gamut in the chromaticity diagram; that of sRGB is 0.112

_EXIF_ADOBE_RGB: Final = 2  # as some cameras write it, against the standard
_ADOBE_RGB_INDEX: Final = b"R03"
_ICC_HEADER_BYTES: Final = 128
_ICC_TAG_BYTES: Final = 12
_MAX_ICC_TAGS: Final = 100

UNKNOWN_EXIF: Final = (
    "its EXIF says that its colours are not sRGB, but not what they are; they were taken for sRGB"
)
UNKNOWN_CODES: Final = (
    "its colours are described by code points that are not known ({}); they were taken for sRGB"
)
UNUSABLE_PRIMARIES: Final = (
    "the gamma or primaries that it gives for its colours make no sense; they were taken for sRGB"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Colours:
    """Colour information of a file, except EXIF.

    Attributes:
        icc: embedded profile.
        codes: code points.
        codes_are_vague: this format's encoders write code points of sRGB where nobody told them anything.
        is_srgb: the file states that it is sRGB.
        gamma: exponent from light to value, such as 0.45455.
        primaries: x and y of red, green, blue and white.
    """

    icc: bytes | None = None
    codes: CodePoints | None = None
    codes_are_vague: bool = False
    is_srgb: bool = False
    gamma: float | None = None
    primaries: Chromaticities | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """The colour space of a picture.

    Attributes:
        icc: profile of the colour space; None: sRGB.
        codes: code points of samples that must be converted to sRGB first: HDR, or of narrow range.
        warnings: messages about colour information that could not be used.
    """

    icc: bytes | None = None
    codes: CodePoints | None = None
    warnings: tuple[str, ...] = ()


def meant(colours: Colours, exif: bytes | None, mode: str) -> Space:
    """Return the colour space of a picture.

    Args:
        colours: colour information of the file.
        exif: TIFF structure, with or without the six-byte ``Exif`` prefix; or None.
        mode: Pillow's name for its samples. CMYK and Lab are described by ICC alone.
    """
    is_rgb = not icc_transform.has_space_of_its_own(mode)
    icc, problem = icc_transform.usable(colours.icc, mode)
    warnings = (problem,) if problem else ()
    codes = colours.codes if is_rgb else None
    if codes is None and icc is not None and is_rgb:
        codes = _codes_in(icc)
    if codes is not None and codes.is_hdr:
        return Space(codes=codes, warnings=warnings)
    if icc is not None or not is_rgb:
        return Space(icc=icc, warnings=warnings)
    by_exif = _by_exif(exif)
    if codes is not None and not (colours.codes_are_vague and codes.is_default and by_exif.icc):
        return _with(_by_codes(codes), warnings)
    if colours.is_srgb:
        return Space(warnings=warnings)
    if colours.gamma is not None or colours.primaries is not None:
        return _with(_by_primaries(colours.gamma, colours.primaries), warnings)
    return _with(by_exif, warnings)


def of_png(chunks: Mapping[bytes, bytes], icc: bytes | None) -> Colours:
    """Return the colour information of a PNG.

    Args:
        chunks: those before its picture data, by their type.
        icc: its profile, unpacked.
    """
    codes = None
    if len(said := chunks.get(b"cICP", b"")) == 4:  # noqa: PLR2004 -- bytes: primaries, curve, matrix, range
        codes = CodePoints(primaries=said[0], transfer=said[1], is_narrow=said[3] == 0)
    gamma = primaries = None
    if len(said := chunks.get(b"gAMA", b"")) == 4:  # noqa: PLR2004 -- bytes
        gamma = int.from_bytes(said, "big") / 100_000
    if len(said := chunks.get(b"cHRM", b"")) == 32:  # noqa: PLR2004 -- bytes: eight numbers
        white_x, white_y, *rest = (value / 100_000 for value in struct.unpack(">8I", said))
        primaries = _chromaticities(rest, (white_x, white_y))
    return Colours(icc=icc, codes=codes, is_srgb=b"sRGB" in chunks, gamma=gamma, primaries=primaries)


def _chromaticities(numbers: list[float], white: tuple[float, float]) -> Chromaticities:
    red_x, red_y, green_x, green_y, blue_x, blue_y = numbers
    return (red_x, red_y), (green_x, green_y), (blue_x, blue_y), white


def _with(space: Space, warnings: tuple[str, ...]) -> Space:
    return Space(icc=space.icc, codes=space.codes, warnings=(*warnings, *space.warnings))


def _by_codes(codes: CodePoints) -> Space:
    pending = codes if codes.is_narrow else None
    try:
        return Space(icc=code_points.profile(codes), codes=pending)
    except code_points.UnknownColoursError as error:
        return Space(codes=pending, warnings=(UNKNOWN_CODES.format(error),))


def _by_primaries(gamma: float | None, primaries: Chromaticities | None) -> Space:
    """Return the colour space by exponent and primaries; sRGB's stand in for missing values."""
    if (primaries is not None and not _is_sound(primaries)) or (
        gamma is not None and not _GAMMAS[0] <= gamma <= _GAMMAS[1]
    ):
        return Space(warnings=(UNUSABLE_PRIMARIES,))
    places = icc_build.SRGB if primaries is None else primaries
    is_srgb = _is_near(places, icc_build.SRGB)
    is_web = gamma is None or abs(gamma / _WEB_GAMMA - 1) < _GAMMA_DIFFERENCE
    if is_srgb and is_web:
        return Space()
    if _is_near(places, icc_build.ADOBE_RGB) and is_web:
        return Space(icc=_adobe_rgb())
    curve: Curve = icc_build.SRGB_CURVE if gamma is None else (1 / gamma,)
    name = "RGB by primaries" if gamma is None else f"RGB by primaries, gamma {1 / gamma:.2f}"
    return Space(icc=icc_build.profile(icc_build.SRGB if is_srgb else places, name, curve))


def _is_near(one: Chromaticities, other: Chromaticities) -> bool:
    return bool(np.abs(np.array(one) - np.array(other)).max() <= _PLACE_DIFFERENCE)


def _is_sound(places: Chromaticities) -> bool:
    """Whether these are primaries around a white: anything else has no matrix, or one that turns colours round."""
    (red_x, red_y), (green_x, green_y), (blue_x, blue_y), (_, white_y) = places
    area = (green_x - red_x) * (blue_y - red_y) - (blue_x - red_x) * (green_y - red_y)
    if abs(area) / 2 < _SMALLEST_AREA or min(red_y, green_y, white_y) <= 0 or blue_y <= 0:
        return False
    matrix = icc_build.to_xyz(places)
    return bool(np.isfinite(matrix).all() and (matrix.sum(axis=0) > 0).all())


def _by_exif(exif: bytes | None) -> Space:
    if not exif:
        return Space()
    try:
        block = ExifBlock(exif)
        space, index = block.colour_space, block.interoperability
        gamma, white, places = block.gamma, block.white_point, block.primaries
    except MalformedError:
        return Space()
    if index == _ADOBE_RGB_INDEX or space == _EXIF_ADOBE_RGB:
        return Space(icc=_adobe_rgb())
    if places is not None and white is not None and space != exif_block.SRGB:
        return _by_primaries(None if not gamma else 1 / gamma, _chromaticities(list(places), white))
    return Space(warnings=(UNKNOWN_EXIF,) if space == exif_block.UNCALIBRATED else ())


def _adobe_rgb() -> bytes:
    return icc_build.profile(
        icc_build.ADOBE_RGB, "Compatible with Adobe RGB (1998)", icc_build.ADOBE_RGB_CURVE
    )


def _codes_in(icc: bytes) -> CodePoints | None:
    """The code points inside a profile (ICC.1:2022, 9.2.17), which tell PQ and HLG from what they look like in it."""
    (count,) = struct.unpack_from(">I", icc, _ICC_HEADER_BYTES) if len(icc) >= _ICC_HEADER_BYTES + 4 else (0,)
    for number in range(min(count, _MAX_ICC_TAGS)):
        at = _ICC_HEADER_BYTES + 4 + number * _ICC_TAG_BYTES
        entry = icc[at : at + _ICC_TAG_BYTES]
        if entry[:4] != b"cicp" or len(entry) < _ICC_TAG_BYTES:
            continue
        offset = int.from_bytes(entry[4:8], "big")
        said = icc[offset + 8 : offset + 12]
        if len(said) == 4:  # noqa: PLR2004 -- bytes: primaries, curve, matrix, range
            return CodePoints(primaries=said[0], transfer=said[1])
    return None
