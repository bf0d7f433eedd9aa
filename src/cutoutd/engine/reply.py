"""The matte in what a hosted service sent back: hostile input like any other, believed only as far as it can be checked.

It must not read files. Colours that come with the matte are left alone: those of the original are better.
"""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Final

import numpy as np

from cutoutd.egress import Body
from cutoutd.engine import decode
from cutoutd.errors import PictureError, ReplyError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cutoutd.engine.picture import Picture

_ALPHA_NAME: Final = "alpha.png"
_MAX_ALPHA_BYTES: Final = 64 << 20
_OPAQUE: Final = 255


def matte(data: bytes, body: Body, *, width: int, height: int, max_pixels: int) -> NDArray[np.float32]:
    """Take the matte out of a reply.

    Args:
        data: the raw body.
        body: what it should be.
        width: of the copy that was uploaded.
        height: of that copy; the reply must have its shape, at whatever size.
        max_pixels: of a picture.

    Returns:
        float32 (h, w) in 0..1.

    Raises:
        ReplyError: it is something else, damaged, without transparency, or of another shape.
    """
    picture = _decoded(_alpha_part(data) if body is Body.PARTS else data, max_pixels)
    alpha = _alpha(picture, body)
    rows, columns = alpha.shape
    if abs(rows * width - columns * height) > max(width, height):  # more than the rounding of one side
        raise ReplyError(f"a picture of {columns} x {rows} came back for one of {width} x {height}")
    return (alpha.astype(np.float32) / np.float32(_OPAQUE)).astype(np.float32, copy=False)


def _alpha(picture: Picture, body: Body) -> NDArray[np.uint8]:
    if picture.alpha is not None:
        return picture.alpha
    if body is Body.CUTOUT:
        raise ReplyError("a picture without transparency came back")
    if (picture.rgb != picture.rgb[..., :1]).any():
        raise ReplyError("a colour picture came back in place of a matte")
    return np.ascontiguousarray(picture.rgb[..., 0])


def _decoded(data: bytes, max_pixels: int) -> Picture:
    try:
        return decode.decode(data, max_pixels=max_pixels)
    except PictureError as error:
        raise ReplyError(f"what came back is no picture that can be read: {error.cause}") from error


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
    ) as error:
        raise ReplyError(f"what came back is no archive with {_ALPHA_NAME} in it") from error
    if len(found) > _MAX_ALPHA_BYTES:
        raise ReplyError(f"the {_ALPHA_NAME} that came back is unreasonably large")
    return found
