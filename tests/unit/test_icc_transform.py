"""Colours from one RGB profile to another."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import ImageCms

from cutoutd.engine.colour import icc_transform
from tests.unit.colour_profiles import wide_profile


def test_our_srgb_profile_is_one_and_always_the_same() -> None:
    """On any day: results of one picture are compared by their bytes."""
    created = icc_transform.srgb()
    assert created == icc_transform.srgb()
    assert created[24:36] == bytes.fromhex("07d000010001000000000000")
    assert "sRGB" in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(created)))


def test_equivalent_profiles_are_not_converted() -> None:
    """SRGB under another name, or the identical profile."""
    other = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert icc_transform.between(other, None) is None
    assert icc_transform.between(other, other) is None
    assert icc_transform.between(None, None) is None


def test_a_wider_profile_is_converted(wide: bytes) -> None:
    """Its red exceeds sRGB, its grey is the same."""
    convert = icc_transform.between(wide, None)
    assert convert is not None
    pixels = np.array([[[128, 128, 128], [255, 255, 255], [200, 60, 40]]], np.uint8)
    grey, white, red = convert(pixels)[0].tolist()
    assert white == [255, 255, 255]
    assert max(grey) - min(grey) <= 2
    assert red[0] > 200


def test_a_web_colour_means_the_same_in_every_profile(wide: bytes) -> None:
    """After conversion to the profile and back."""
    inside = icc_transform.colour((200, 60, 40), wide)
    assert inside != (200, 60, 40)
    back = icc_transform.between(wide, None)
    assert back is not None
    assert np.abs(back(np.array([[inside]], np.uint8))[0, 0].astype(int) - (200, 60, 40)).max() <= 2
    assert icc_transform.colour((255, 255, 255), wide) == (255, 255, 255)


def test_a_profile_that_cannot_be_used_gives_a_warning(wide: bytes) -> None:
    """With a warning; the colour is unchanged."""
    damaged = wide[:128] + bytes(len(wide) - 128)
    with pytest.raises(icc_transform.UnusableProfileError):
        icc_transform.between(damaged, None)
    assert icc_transform.colour((1, 2, 3), damaged) == (1, 2, 3)


@pytest.fixture
def wide() -> bytes:
    """Adobe RGB's primaries with a gamma of 2.2, as a matrix profile (ICC.1:2022, 8.3)."""
    return wide_profile()
