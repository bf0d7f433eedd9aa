"""Malformed boxes are read in bounded time, and never raise an unexpected error."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutoutd.engine.colour.code_points import CodePoints
from cutoutd.engine.containers.isobmff import MAX_BOXES, refuse_holes, still
from cutoutd.errors import PictureError


def box(kind: bytes, content: bytes) -> bytes:
    """Return one box."""
    return struct.pack(">I4s", len(content) + 8, kind) + content


def full(kind: bytes, content: bytes, version: int = 0) -> bytes:
    """Return one box with version and flags."""
    return box(kind, bytes((version, 0, 0, 0)) + content)


def picture(
    properties: tuple[bytes, ...] = (), spans: tuple[tuple[int, int], ...] = ((0, 8),), items: int = 1
) -> bytes:
    """Return a file with items at the same place, and the properties of the first one."""
    numbers = range(1, items + 1)
    info = b"".join(
        full(b"infe", struct.pack(">HH4s", one, 0, b"hvc1") + b"\0", version=2) for one in numbers
    )
    extents = b"".join(struct.pack(">II", begin, end - begin) for begin, end in spans)
    places = struct.pack(">HH", 0x4400, items) + b"".join(
        struct.pack(">HHH", one, 0, len(spans)) + extents for one in numbers
    )
    which = bytes((0, 0, 0, 1, 0, 1, len(properties), *range(1, len(properties) + 1)))
    about = box(b"ipco", b"".join(properties)) + full(b"ipma", which)
    parts = (
        full(b"pitm", b"\0\1")
        + full(b"iinf", struct.pack(">H", items) + info)
        + full(b"iloc", places)
        + box(b"iprp", about)
    )
    return (
        box(b"ftyp", b"heic" + bytes(4) + b"mif1heic") + full(b"meta", parts) + box(b"mdat", b"\xff" * 4000)
    )


def test_the_turns_and_the_code_points_of_the_primary_picture_are_read() -> None:
    """In their order."""
    colours = box(b"colr", b"nclx" + struct.pack(">HHHB", 12, 13, 6, 128))
    found = still(picture((colours, box(b"irot", b"\3"), box(b"imir", b"\1"))))
    assert found.turns == ((b"irot", 3), (b"imir", 1))
    assert found.nclx == CodePoints(primaries=12, transfer=13)
    assert (found.primary, found.kinds, found.spans) == (1, {1: b"hvc1"}, {1: [(0, 8)]})


def test_data_beyond_the_end_of_the_file_is_missing() -> None:
    """The file is truncated."""
    with pytest.raises(PictureError, match="ends too early"):
        refuse_holes(picture(spans=((100, 100_000),)))


def test_overlapping_parts_are_not_read_repeatedly() -> None:
    """Each of thousands of parts could be as long as the file."""
    with pytest.raises(PictureError, match="over each other"):
        refuse_holes(picture(spans=((0, 4000),) * 1000))


def test_parts_that_share_their_data_are_complete() -> None:
    """Encoders store tiles with the same content once."""
    data = picture(spans=((0, 4000),), items=100)
    assert len(still(data).spans) == 100
    refuse_holes(data)


def test_extents_without_size_end() -> None:
    """65,535 for each item need no bytes in the file, and could take hours."""
    items = b"".join(struct.pack(">HHH", number, 0, 0xFFFF) for number in range(MAX_BOXES))
    places = full(b"iloc", struct.pack(">HH", 0, MAX_BOXES) + items)
    found = still(box(b"ftyp", b"heic" + bytes(4)) + full(b"meta", places))
    assert sum(map(len, found.spans.values())) <= MAX_BOXES


@given(st.data())
def test_invalid_boxes_raise_no_error(data: st.DataObject) -> None:
    """No exception but ours is raised."""
    whole = bytearray(picture((box(b"irot", b"\1"),), ((100, 200), (200, 300))))
    for _ in range(data.draw(st.integers(1, 6))):
        whole[data.draw(st.integers(0, len(whole) - 4000))] = data.draw(st.integers(0, 255))
    still(bytes(whole))
    with suppress(PictureError):
        refuse_holes(bytes(whole))
