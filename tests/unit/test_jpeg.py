"""A JPEG with missing picture data is detected where its structure allows; a complete one never fails."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest
from PIL import Image

from cutoutd.engine.containers.jpeg import refuse_unfinished
from cutoutd.engine.formats.decode import decode
from cutoutd.errors import PictureError

SIDES = (320, 240)
BLOCK = 4096
TRIES = 20
WAYS: dict[str, dict[str, object]] = {
    "baseline": {},
    "optimised": {"optimize": True},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_rows": 1},
    "full colour": {"subsampling": 0},
}


def noisy() -> Image.Image:
    """Return a picture with detail everywhere."""
    values = np.random.default_rng(4)
    coarse = Image.fromarray(values.integers(0, 255, (15, 20, 3), dtype=np.uint8)).resize(
        SIDES, Image.Resampling.BICUBIC
    )
    noise = values.integers(-20, 20, (SIDES[1], SIDES[0], 3), dtype=np.int16)
    return Image.fromarray(np.clip(np.asarray(coarse).astype(np.int16) + noise, 0, 255).astype(np.uint8))


def flat() -> Image.Image:
    """Return a small object on white: nearly all of the scan encodes plain blocks."""
    picture = Image.new("RGB", SIDES, "white")
    picture.paste(noisy().crop((0, 0, 40, 40)), (140, 100))
    return picture


def encoded(picture: Image.Image, **options: object) -> bytes:
    """Return the picture as a JPEG."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", **({"quality": 92} | options))
    return buffer.getvalue()


def scan_of(data: bytes) -> int:
    """Return the position of the first scan's data."""
    at = data.index(b"\xff\xda")
    return at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize(
    "picture", [noisy, flat, lambda: Image.new("RGB", SIDES)], ids=["noisy", "flat", "black"]
)
def test_a_whole_jpeg_of_any_kind_passes(way: str, mode: str, picture: object) -> None:
    """At the lowest and the highest quality; also a plain one, whose scan may contain zeros."""
    assert callable(picture)
    for quality in (1, 50, 100):
        refuse_unfinished(encoded(picture().convert(mode), quality=quality, **WAYS[way]))


@pytest.mark.parametrize("way", ["baseline", "optimised", "restarts", "full colour"])
def test_a_lost_block_of_zeros_is_noticed_wherever_it_is(way: str) -> None:
    """As after a download out of order, or a bad sector."""
    whole = encoded(noisy(), **WAYS[way])
    places = random.Random(7)  # noqa: S311 -- places, not secrets
    for _ in range(TRIES):
        at = places.randrange(scan_of(whole), len(whole) - BLOCK)
        with pytest.raises(PictureError):
            decode(whole[:at] + bytes(BLOCK) + whole[at + BLOCK :], max_pixels=10**6)


@pytest.mark.parametrize("way", WAYS)
def test_a_block_of_something_else_is_mostly_noticed(way: str) -> None:
    """Nearly always it contains markers where none are allowed."""
    whole = encoded(noisy(), **WAYS[way])
    places = random.Random(8)  # noqa: S311 -- places, not secrets
    noticed = 0
    for _ in range(TRIES):
        at = places.randrange(scan_of(whole), len(whole) - BLOCK)
        try:
            decode(whole[:at] + places.randbytes(BLOCK) + whole[at + BLOCK :], max_pixels=10**6)
        except PictureError:
            noticed += 1
    assert noticed >= 0.75 * TRIES


def test_a_missing_part_is_noticed_by_its_restart_markers() -> None:
    """A missing part without restart markers cannot be detected."""
    whole = encoded(noisy(), **WAYS["restarts"])
    at = scan_of(whole) + BLOCK
    with pytest.raises(PictureError, match="missing"):
        refuse_unfinished(whole[:at] + whole[at + BLOCK :])


def test_data_after_the_end_is_not_refused() -> None:
    """Phones append films and previews."""
    refuse_unfinished(encoded(noisy()) + b"\xff\xd8\xff\x01\xff\x02" + bytes(100))


@pytest.mark.parametrize("percent", range(100))
def test_a_jpeg_cut_at_any_percent_fails(percent: int) -> None:
    """No partial picture is decoded."""
    for way in ("baseline", "progressive"):
        whole = encoded(noisy(), **WAYS[way])
        with pytest.raises(PictureError) as refused:
            decode(whole[: len(whole) * percent // 100], max_pixels=10**6)
        assert refused.value.cause


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "GIF"])
def test_other_formats_cut_at_every_second_percent_fail(kind: str) -> None:
    """No partial picture is decoded either."""
    buffer = io.BytesIO()
    noisy().save(buffer, kind)
    whole = buffer.getvalue()
    for percent in range(0, 100, 2):
        with pytest.raises(PictureError):
            decode(whole[: len(whole) * percent // 100], max_pixels=10**6)
