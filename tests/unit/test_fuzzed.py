"""Inputs on which a parser of ours raised an undocumented error; found by `torture.coverage`."""

from __future__ import annotations

import struct

import pytest

from cutoutd.engine.formats.wide_tiff import WideTiffSource
from cutoutd.errors import PictureError


@pytest.mark.parametrize("offset", [2**63, 2**64 - 1])
def test_a_bigtiff_whose_directory_is_nowhere_is_damaged(offset: int) -> None:
    """Its offset is larger than any file position."""
    with pytest.raises(PictureError, match="damaged"):
        WideTiffSource(struct.pack("<2sHHHQ", b"II", 43, 8, 0, offset))
