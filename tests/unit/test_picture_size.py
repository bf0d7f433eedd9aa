"""A picture's size, read from the head of its file: equal to the decoder's, and never an error."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cutoutd.intake.verification import size_in_head

KINDS: dict[str, dict[str, Any]] = {
    "JPEG": {},
    "JPEG progressive": {"progressive": True, "exif": b"Exif\0\0" + b"x" * 60_000},
    "PNG": {},
    "WEBP": {},
    "WEBP lossless": {"lossless": True},
    "WEBP with more": {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0"},
}


def file_of(kind: str, width: int, height: int) -> bytes:
    """Return a picture as a file of that kind."""
    data = io.BytesIO()
    Image.new("RGB", (width, height)).save(data, format=kind.partition(" ")[0], **KINDS[kind])
    return data.getvalue()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(7, 3), (300, 517)])
def test_the_size_is_read_from_the_head(kind: str, size: tuple[int, int]) -> None:
    """For each supported format."""
    assert size_in_head(io.BytesIO(file_of(kind, *size))) == size


def test_bytes_between_the_segments_of_a_jpeg_are_passed_over() -> None:
    """As every decoder does; otherwise the size would stay unknown."""
    whole = file_of("JPEG", 7, 3)
    assert size_in_head(io.BytesIO(whole[:2] + b"junk\xff\0" + b"\xff\xff" + whole[2:])) == (7, 3)


@settings(deadline=None, max_examples=300, derandomize=True, database=None)
@given(kind=st.sampled_from(sorted(KINDS)), data=st.data())
def test_a_damaged_head_is_no_error(kind: str, data: st.DataObject) -> None:
    """Truncated, or with any byte changed."""
    content = bytearray(file_of(kind, 7, 3))
    place = data.draw(st.integers(0, min(len(content), 200) - 1))
    content[place : place + 4] = data.draw(st.binary(max_size=4))
    size_in_head(io.BytesIO(content[: data.draw(st.integers(0, len(content)))]))
