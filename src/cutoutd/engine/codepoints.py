"""Colours that are described by code points (ITU-T H.273) instead of a profile, as HEIC and AVIF do.

A wide gamut becomes a profile of the same meaning; light beyond white (HDR) is brought into the range of sRGB,
since a cutout in 8 bits cannot hold it. This module must not read files.

ITU-R BT.2100 (PQ, HLG), BT.2408 (reference white at 203 cd/m2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cutoutd.engine import profiles

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from cutoutd.engine.isomedia import Nclx

NARROWED: Final = "its HDR colours were brought into the range of sRGB"

_BT2020: Final = 9
_P3: Final = (11, 12)
_LINEAR, _PQ, _HLG = 8, 16, 18

_WHITE_NITS: Final = 203.0
_HLG_PEAK_NITS: Final = 1000.0
_KNEE: Final = 0.8
"""Light up to here stays as it is; what is above, far beyond white too, shares the rest."""


def profile(found: Nclx | None) -> bytes | None:
    """The ICC profile that says the same; None for sRGB, and for what is nearly that."""
    if found is None:
        return None
    if found.primaries == _BT2020:
        return profiles.profile(profiles.BT2020, "Rec. 2020 primaries, sRGB curve")
    if found.primaries in _P3:
        return profiles.profile(profiles.DISPLAY_P3, "Display P3")
    return None


def is_beyond_white(found: Nclx | None) -> bool:
    """Whether the samples have to go through `to_srgb`: their curve is none that a screen would be sent."""
    return found is not None and found.transfer in (_LINEAR, _PQ, _HLG)


def to_srgb(found: Nclx, levels: int) -> Callable[[NDArray[np.integer[Any]]], NDArray[np.uint8]]:
    """How such samples become sRGB.

    Args:
        found: what they mean.
        levels: how many values a sample can have.

    Returns:
        From (h, w, 3) samples to uint8 (h, w, 3).
    """
    light = _light(found.transfer, np.linspace(0, 1, levels)).astype(np.float32)
    from_xyz = np.linalg.inv(profiles.to_xyz(profiles.SRGB))
    matrix = (from_xyz @ profiles.to_xyz(_primaries(found.primaries))).astype(np.float32)

    def convert(samples: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        linear = light[samples] @ matrix.T
        brightest = np.maximum(linear.max(axis=2, keepdims=True), np.float32(1e-6))
        linear *= _shoulder(brightest) / brightest  # all channels alike: the hue stays
        return encoded(linear)

    return convert


def encoded(linear: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Linear light, 1 at white, in the curve of sRGB (IEC 61966-2-1)."""
    steps = np.clip(linear * np.float32(_STEPS - 1), 0, _STEPS - 1).astype(np.uint16)
    return np.asarray(_CURVE[steps], np.uint8)


def encoded_deep(linear: NDArray[np.float32]) -> NDArray[np.uint16]:
    """As `encoded`, in 16 bits: slower, for tables."""
    return np.asarray(np.rint(_signal(np.clip(linear, 0, 1)) * 65535), np.uint16)


def decoded(values: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The linear light of sRGB values, 1 at white."""
    return _INVERSE[values]


def _primaries(code: int) -> profiles.Chromaticities:
    if code == _BT2020:
        return profiles.BT2020
    return profiles.DISPLAY_P3 if code in _P3 else profiles.SRGB


def _light(transfer: int, signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Light by signal, 1 at reference white."""
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
