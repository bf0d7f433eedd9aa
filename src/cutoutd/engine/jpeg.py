"""Whether a JPEG was written to its end: libjpeg decodes zeros to grey without a word.

A program that reserves the whole file before it writes (a download, a copy to a share) leaves such a file
behind while it works, and for good when it is interrupted. This module must not decode.
"""

from __future__ import annotations

from typing import Final

from cutoutd.errors import PictureError

_MARKER: Final = 0xFF
_START_OF_SCAN: Final = 0xDA
_END_OF_IMAGE: Final = b"\xff\xd9"
_ZEROS_BYTES: Final = 64
"""No scan of a picture ends in so many."""


def refuse_unfinished(data: bytes) -> None:
    """Refuse a JPEG that ends in zeros and has no end marker.

    In the scan itself no end marker can occur (ITU-T T.81, B.1.1.5).

    Args:
        data: the whole file.

    Raises:
        PictureError: it was not written to its end.
    """
    if any(data[-_ZEROS_BYTES:]):
        return
    scan = _start_of_scan(data)
    if scan is not None and data.find(_END_OF_IMAGE, scan) < 0:
        raise PictureError("it ends in zeros instead of picture data: it was not written to its end")


def _start_of_scan(data: bytes) -> int | None:
    """Where the first scan begins, by going from segment to segment, as metadata may hold a JPEG as well."""
    at = 2
    while at + 4 <= len(data) and data[at] == _MARKER:
        if data[at + 1] == _START_OF_SCAN:
            return at
        # A marker may be preceded by any number of fill bytes.
        at += 1 if data[at + 1] == _MARKER else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
