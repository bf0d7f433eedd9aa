"""Extract the matte from the response of a hosted service: untrusted input, of which everything is checked.

It must not read files. Colours that come with the matte are left alone: those of the original are better.
"""

from __future__ import annotations

import io
import lzma
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Final

import numpy as np

from cutoutd.engine.formats import decode
from cutoutd.errors import PictureError, ReplyError
from cutoutd.exchange.spool import Body

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cutoutd.engine.picture import Picture

_ALPHA_NAME: Final = "alpha.png"
_MAX_ALPHA_BYTES: Final = 64 << 20
_OPAQUE: Final = 255

_SMALLEST_LIMIT: Final = 240_000
"""Pixels: remove.bg documents that it reduces what exceeds a size, the smallest of which is 0.25 megapixels. What comes
back smaller than that, less its rounding, was not reduced by any of these limits."""

_ANIMATED: Final = b"acTL"
_PNG_PICTURE: Final = b"IDAT"


def matte(data: bytes, body: Body, *, width: int, height: int, max_pixels: int) -> NDArray[np.float32]:
    """Return the matte of a response.

    Args:
        data: raw body of the response.
        body: what it should be.
        width: of the copy that was uploaded.
        height: of that copy. A matte must have the very same size; a cutout may also be a reduced one of the same
            shape, as remove.bg documents it.
        max_pixels: of a picture.

    Returns:
        float32 (h, w) in 0..1.

    Raises:
        ReplyError: the body is of another type, damaged, animated, rotated, without transparency, or of another shape.
    """
    if width < 1 or height < 1:
        raise ReplyError("the size of what was uploaded is not known, so the reply cannot be checked")
    picture = _decode(_alpha_part(data) if body is Body.PARTS else data, max_pixels)
    alpha = _alpha(picture, body)
    rows, columns = alpha.shape
    is_same = (columns, rows) == (width, height)
    if not is_same and (body is Body.ALPHA or not _is_reduced(columns, rows, width=width, height=height)):
        raise ReplyError(f"a picture of {columns} x {rows} came back for one of {width} x {height}")
    return (alpha.astype(np.float32) / np.float32(_OPAQUE)).astype(np.float32, copy=False)


def _is_reduced(columns: int, rows: int, *, width: int, height: int) -> bool:
    """Whether a size is a reduced version of another: one scale for both sides, except for rounding."""
    if columns > width or rows > height or columns * rows < _SMALLEST_LIMIT:
        return False
    scale = max(columns / width, rows / height)
    return abs(columns - scale * width) <= 1 and abs(rows - scale * height) <= 1


def _alpha(picture: Picture, body: Body) -> NDArray[np.uint8]:
    if picture.alpha is not None:
        return picture.alpha
    if body is Body.CUTOUT:
        raise ReplyError("a picture without transparency came back")
    if (picture.rgb != picture.rgb[..., :1]).any():
        raise ReplyError("a colour picture came back in place of a matte")
    return np.ascontiguousarray(picture.rgb[..., 0])


def _decode(data: bytes, max_pixels: int) -> Picture:
    try:
        kind = decode.header(data).format
        if kind != "PNG":
            raise ReplyError(f"what came back is a {kind} file; every service is asked for PNG")
        if _ANIMATED in data[: data.find(_PNG_PICTURE)]:
            raise ReplyError("what came back is an animation, and one picture was sent")
        picture = decode.decode(data, max_pixels=max_pixels)
    except PictureError as error:
        raise ReplyError(f"what came back is not a picture that can be read: {error.cause}") from error
    if picture.orientation != 1:  # the copy has no metadata, so no honest reply has any
        raise ReplyError("what came back is marked as turned, and what was sent was not")
    return picture


def _alpha_part(data: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open(_ALPHA_NAME) as part:
            found = part.read(_MAX_ALPHA_BYTES + 1)
    except (
        zipfile.BadZipFile,
        KeyError,
        OSError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        zlib.error,
        lzma.LZMAError,
        struct.error,
    ) as error:
        raise ReplyError(f"what came back is not an archive with {_ALPHA_NAME} in it") from error
    if len(found) > _MAX_ALPHA_BYTES:
        raise ReplyError(f"the {_ALPHA_NAME} that came back is unreasonably large")
    return found
