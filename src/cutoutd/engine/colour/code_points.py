"""Colour spaces given by code points (ITU-T H.273), as in PNG (cICP), HEIC and AVIF (nclx).

Colours that a screen could be sent become a profile of the same meaning; light beyond white (HDR) is brought into the
range of sRGB, since a cutout in 8 bits cannot hold it. This module must not read files.

ITU-R BT.2100 (PQ, HLG), BT.2408 (reference white at 203 cd/m2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image

from cutoutd.engine.colour import icc_build

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from cutoutd.engine.samples import Samples

NARROWED: Final = "its HDR colours were brought into the range of sRGB"
EXPANDED: Final = "its samples of narrow (video) range were spread over the whole range"

_BT709, _UNSPECIFIED, _BT2020 = 1, 2, 9
_D65: Final = (0.3127, 0.3290)
_C: Final = (0.310, 0.316)

# H.273, table 2; where viewers know a name for them, with it.
_PRIMARIES: Final[dict[int, tuple[str, icc_build.Chromaticities]]] = {
    _BT709: ("sRGB", icc_build.SRGB),
    _UNSPECIFIED: ("sRGB", icc_build.SRGB),
    4: ("BT.470 M", ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _C)),
    5: ("BT.470 BG", ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65)),
    6: ("SMPTE 170M", ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65)),
    7: ("SMPTE 240M", ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65)),
    8: ("Film", ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _C)),
    _BT2020: ("Rec. 2020", icc_build.BT2020),
    11: ("DCI P3", icc_build.DCI_P3),
    12: ("Display P3", icc_build.DISPLAY_P3),
    22: ("EBU 3213", ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), _D65)),
}

# H.273, table 3: those that a profile can express.
_CURVES: Final[dict[int, tuple[str, icc_build.Curve]]] = {
    _UNSPECIFIED: ("", icc_build.SRGB_CURVE),
    13: ("", icc_build.SRGB_CURVE),
    4: (", gamma 2.2", (2.2,)),
    5: (", gamma 2.8", (2.8,)),
    7: (", SMPTE 240M curve", (1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4, 0.0913)),
    8: (", linear", (1.0,)),
    17: (", gamma 2.6", (2.6,)),
    **dict.fromkeys((1, 6, 11, 12, 14, 15), (", BT.709 curve", icc_build.BT709_CURVE)),
}
_AS_BT709: Final = frozenset({1, 6, 14, 15})
_PQ, _HLG = 16, 18

_WHITE_NITS: Final = 203.0
_HLG_PEAK_NITS: Final = 1000.0
_KNEE: Final = 0.8
"""Light up to here stays as it is; what is above, far beyond white too, shares the rest."""

_NARROW: Final = (16 / 256, 235 / 256)
"""Black and white of narrow range, as shares of all values (BT.2100, table 9)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CodePoints:
    """A colour space by the code points of ITU-T H.273.

    Attributes:
        primaries, transfer: the code points.
        is_narrow: the samples are RGB from 16 to 235 (of 255); a decoder of YCbCr has brought them to the whole range.
    """

    primaries: int
    transfer: int
    is_narrow: bool = False

    @property
    def is_hdr(self) -> bool:
        """Whether the transfer function is HDR (PQ or HLG), so that the samples must go through `narrowed`."""
        return self.transfer in (_PQ, _HLG)

    @property
    def is_default(self) -> bool:
        """Whether these are the code points that encoders write by default."""
        return self.primaries in (_BT709, _UNSPECIFIED) and self.transfer in (_BT709, _UNSPECIFIED, 13)


class UnknownColoursError(ValueError):
    """The code points are reserved, or have no ICC profile."""


def profile(found: CodePoints) -> bytes | None:
    """Return the ICC profile of the same colour space; None for sRGB.

    Raises:
        UnknownColoursError: the code points are reserved, or have no profile.
    """
    if found.primaries not in _PRIMARIES or found.transfer not in _CURVES:
        raise UnknownColoursError(f"{found.primaries}/{found.transfer}")
    (name, primaries), (said, curve) = _PRIMARIES[found.primaries], _CURVES[found.transfer]
    if primaries == icc_build.SRGB and (curve == icc_build.SRGB_CURVE or found.transfer in _AS_BT709):
        return None  # as every viewer shows them
    return icc_build.profile(primaries, name + said, curve)


def narrowed(loaded: Samples, found: CodePoints) -> Samples:
    """Convert HDR samples to sRGB.

    Args:
        loaded: grey or RGB samples, or a palette's.
        found: what they mean.
    """
    levels = 256 if loaded.wide is None else 65536
    return _map(loaded, to_srgb(found, levels), NARROWED)


def expanded(loaded: Samples) -> Samples:
    """Return 8-bit samples of narrow range, stretched to full range."""
    levels = 256 if loaded.wide is None else 65536
    table = np.rint(_signals(levels, is_narrow=True) * 255).astype(np.uint8)
    return _map(loaded, lambda rgb: table[rgb], EXPANDED)


def _map(
    loaded: Samples, convert: Callable[[NDArray[np.integer[Any]]], NDArray[np.uint8]], warning: str
) -> Samples:
    """Return the samples with converted colours: 8-bit RGB, computed from all bits of the source."""

    def strip(top: int, bottom: int) -> Image.Image:
        rgb, alpha = _rgb_and_alpha(loaded, top, bottom)
        converted = convert(rgb)
        return Image.fromarray(converted if alpha is None else np.dstack((converted, alpha)))

    return replace(
        loaded,
        mode="RGBA" if loaded.transparent else "RGB",
        strip=strip,
        wide=None,
        rgb=None,
        rounded="",
        warnings=(*loaded.warnings, warning),
    )


def _rgb_and_alpha(
    loaded: Samples, top: int, bottom: int
) -> tuple[NDArray[np.integer[Any]], NDArray[np.uint8] | None]:
    """Return rows as RGB of 8 or 16 bits, and their alpha of 8 bits."""
    if loaded.wide is None:
        pixels = np.asarray(loaded.strip(top, bottom).convert("RGBA" if loaded.transparent else "RGB"))
        return pixels[..., :3], pixels[..., 3] if loaded.transparent else None
    wide = loaded.wide(top, bottom)
    wide = wide[..., np.newaxis] if wide.ndim == 2 else wide  # noqa: PLR2004 -- rows and columns
    is_grey = loaded.mode.startswith("L")
    rgb = np.repeat(wide[..., :1], 3, axis=2) if is_grey else wide[..., :3]
    if not loaded.transparent:
        return rgb, None
    return rgb, np.asarray((wide[..., -1].astype(np.uint32) * 255 + 32767) // 65535, np.uint8)


def to_srgb(found: CodePoints, levels: int) -> Callable[[NDArray[np.integer[Any]]], NDArray[np.uint8]]:
    """Return a function that converts samples of a colour space to sRGB.

    Args:
        found: what they mean.
        levels: number of values that a sample can have.

    Returns:
        Function from (h, w, 3) samples to uint8 (h, w, 3).
    """
    light = _light(found.transfer, _signals(levels, is_narrow=found.is_narrow)).astype(np.float32)
    from_xyz = np.linalg.inv(icc_build.to_xyz(icc_build.SRGB))
    matrix = (from_xyz @ icc_build.to_xyz(_primaries(found.primaries))).astype(np.float32)

    def convert(samples: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        linear = light[samples] @ matrix.T
        brightest = np.maximum(linear.max(axis=2, keepdims=True), np.float32(1e-6))
        linear *= _shoulder(brightest) / brightest  # all channels alike: the hue stays
        return encoded(linear)

    return convert


def encoded(linear: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return linear light (1 at white) encoded with the sRGB transfer function (IEC 61966-2-1)."""
    steps = np.clip(linear * np.float32(_STEPS - 1), 0, _STEPS - 1).astype(np.uint16)
    return np.asarray(_CURVE[steps], np.uint8)


def encoded_deep(linear: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Return the same as `encoded` in 16 bits: slower, for look-up tables."""
    return np.asarray(np.rint(_signal(np.clip(linear, 0, 1)) * 65535), np.uint16)


def decoded(values: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the linear light of sRGB values, 1 at white."""
    return _INVERSE[values]


def _primaries(code: int) -> icc_build.Chromaticities:
    return _PRIMARIES.get(code, _PRIMARIES[_BT2020])[1]  # HDR is hardly ever made in another gamut


def _signals(levels: int, *, is_narrow: bool) -> NDArray[np.float64]:
    """Return the signal level of each sample value, from 0 (black) to 1 (maximum)."""
    if not is_narrow:
        return np.linspace(0, 1, levels)
    black, white = (share * levels for share in _NARROW)
    return np.asarray(np.clip((np.arange(levels) - black) / (white - black), 0, 1))


def _light(transfer: int, signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return linear light for signal levels, 1 at reference white."""
    if transfer == _PQ:
        power = signal ** (1 / 78.84375)
        nits = 10000 * (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (
            1 / 0.1593017578125
        )
        return np.asarray(nits / _WHITE_NITS)
    if transfer == _HLG:
        scene = np.where(
            signal <= 1 / 2, signal**2 / 3, (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12
        )
        return np.asarray(scene**1.2 * _HLG_PEAK_NITS / _WHITE_NITS)
    return signal


def _shoulder(light: NDArray[np.float32]) -> NDArray[np.float32]:
    room = np.float32(1 - _KNEE)
    above = _KNEE + room * (1 - np.exp(-np.maximum(light - _KNEE, 0) / room))
    return np.asarray(np.where(light > _KNEE, above, light), np.float32)


_STEPS: Final = 1 << 14


def _curve() -> NDArray[np.uint8]:
    return np.asarray(np.rint(_signal(np.linspace(0, 1, _STEPS)) * 255), np.uint8)


def _signal(linear: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)  # noqa: PLR2004


def _inverse() -> NDArray[np.float32]:
    signal = np.arange(256) / 255
    linear = np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)  # noqa: PLR2004
    return np.asarray(linear, np.float32)


_CURVE: Final = _curve()
_INVERSE: Final = _inverse()
