"""Inputs on which a parser of ours raised what it does not promise; found by `torture.coverage`."""

from __future__ import annotations

import struct

import pytest

from cutoutd.engine.formats.wide_tiff import WideTiffSource
from cutoutd.errors import PictureError


@pytest.mark.parametrize("offset", [2**63, 2**64 - 1])
def test_a_bigtiff_whose_directory_is_nowhere_is_damaged(offset: int) -> None:
    """An offset that no file has is not even a number that a file can be asked for."""
    with pytest.raises(PictureError, match="damaged"):
        WideTiffSource(struct.pack("<2sHHHQ", b"II", 43, 8, 0, offset))
