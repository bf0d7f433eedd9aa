"""A JPEG decoded directly into an array equals Pillow's result, and libjpeg's warnings are reported."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cutoutd.engine.formats import turbojpeg
from cutoutd.engine.formats.decode import decode
from cutoutd.errors import LimitError, PictureError

SIDES = (96, 64)
END = b"\xff\xd9"


def noise(width: int, height: int, seed: int = 4) -> Image.Image:
    """Return a picture with detail everywhere."""
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def encoded(picture: Image.Image, **options: object) -> bytes:
    """Return the picture as a JPEG."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", **({"quality": 90} | options))
    return buffer.getvalue()


def by_pillow(data: bytes) -> np.ndarray:
    """Return Pillow's pixels of a file."""
    return np.asarray(Image.open(io.BytesIO(data)))


@settings(max_examples=150, deadline=None)
@given(
    width=st.integers(1, 70),
    height=st.integers(1, 70),
    quality=st.integers(1, 100),
    subsampling=st.integers(0, 2),
    progressive=st.booleans(),
    as_rgb=st.booleans(),
    restarts=st.integers(0, 2),
)
def test_the_values_are_pillows(
    *, width: int, height: int, quality: int, subsampling: int, progressive: bool, as_rgb: bool, restarts: int
) -> None:
    """Bit for bit, at any size, quality and subsampling, with YCbCr or RGB components."""
    data = encoded(
        noise(width, height),
        quality=quality,
        subsampling=0 if as_rgb else subsampling,
        progressive=progressive,
        keep_rgb=as_rgb,
        restart_marker_rows=restarts,
    )
    found = turbojpeg.samples(data, (width, height))
    assert found is not None
    assert found.rgb is not None
    assert np.array_equal(found.rgb, by_pillow(data))
    assert np.array_equal(np.asarray(found.strip(0, height)), found.rgb)
    assert found.warnings == ()


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_other_components_are_left_to_pillow(mode: str) -> None:
    """Such files are not RGB, and may have a profile of their own."""
    data = encoded(noise(*SIDES).convert(mode))
    assert np.array_equal(
        decode(data, max_pixels=10**6).rgb, np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    )


@pytest.mark.parametrize(
    "size", [(SIDES[1], SIDES[0]), (1, 1), (95, 64), (97, 64), (2 * SIDES[0], 2 * SIDES[1])]
)
def test_a_size_that_is_not_the_headers_is_left_to_pillow(size: tuple[int, int]) -> None:
    """Whichever is wrong: a file accepted as small is not decoded as large."""
    assert turbojpeg.samples(encoded(noise(*SIDES)), size) is None


def test_a_size_whose_bytes_overflow_is_left_to_pillow() -> None:
    """65,500 x 65,500 pixels have more bytes than 32 bits can count; the header suffices to tell."""
    data = encoded(noise(*SIDES))
    at = data.index(b"\xff\xc0") + 5
    assert turbojpeg.samples(data[:at] + b"\xff\xdc\xff\xdc" + data[at + 4 :], SIDES) is None


def test_extra_bytes_give_a_warning_and_no_failure() -> None:
    """Some cameras write extra bytes, and most changed bits cause some."""
    whole = encoded(noise(*SIDES))
    more = whole.removesuffix(END) + b"\x12" * 9 + END
    picture = decode(more, max_pixels=10**6)
    assert picture.warnings == (turbojpeg.LEFT_OVER,)
    assert np.array_equal(picture.rgb, by_pillow(whole))


@pytest.mark.parametrize("marker", [b"\xff\xdb", b"\xff\xc0", b"\xff\xc4", b"\xff\xda"])
def test_bytes_between_segments_of_the_header_do_no_harm(marker: bytes) -> None:
    """Some programs write them; no picture data is missing."""
    whole = encoded(noise(*SIDES))
    at = whole.index(marker)
    picture = decode(whole[:at] + b"\x00" + whole[at:], max_pixels=10**6)
    assert picture.warnings == ()
    assert np.array_equal(picture.rgb, by_pillow(whole))


def test_a_decoder_without_memory_reports_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture is not reported as damaged."""

    def refuse(*_: object, **__: object) -> np.ndarray:
        raise ValueError("Insufficient memory (case 4)")

    monkeypatch.setattr("simplejpeg.decode_jpeg", refuse)
    with pytest.raises(LimitError, match="memory"):
        decode(encoded(noise(*SIDES)), max_pixels=10**6)


def test_a_missing_end_is_judged_by_pillow() -> None:
    """Pillow detects whether the last pixels are present."""
    whole = encoded(noise(*SIDES))
    assert turbojpeg.samples(whole.removesuffix(END), SIDES) is None


@pytest.mark.parametrize("progressive", [False, True])
def test_changed_bits_that_show_are_mostly_noticed(*, progressive: bool) -> None:
    """By an error where libjpeg invents data, by a warning where bytes are left over."""
    whole = encoded(noise(*SIDES), progressive=progressive)
    begin = whole.index(b"\xff\xda") + 16
    clean = by_pillow(whole).astype(np.int16)
    places = random.Random(9)  # noqa: S311 -- places, not secrets
    shown = noticed = 0
    for _ in range(150):
        at = places.randrange(begin, len(whole) - len(END))
        changed = bytearray(whole)
        changed[at] ^= 1 << places.randrange(8)
        try:
            picture = decode(bytes(changed), max_pixels=10**6)
        except PictureError:
            shown, noticed = shown + 1, noticed + 1
            continue
        if (np.abs(picture.rgb - clean) > 8).mean() > 0.1:
            shown, noticed = shown + 1, noticed + bool(picture.warnings)
    assert shown > 20
    assert noticed >= 0.6 * shown
