"""Encode WebP, AVIF and JPEG, by the libraries that Pillow brings; at a lower quality where a file size limit demands it.

Unlike PNG and TIFF these need the whole frame at once. This module must not know where pixels come from, must not resize,
and writes no file: the bytes are returned.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import cv2
import numpy as np
from PIL import AvifImagePlugin, Image, JpegImagePlugin, WebPImagePlugin

from cutoutd.engine.containers import iptc
from cutoutd.engine.containers.exif import ORIENTATION, PREFIX, ExifBlock
from cutoutd.recipe import Format

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from cutoutd.engine.containers.png import Extras, Layout
    from cutoutd.recipe import Rendition

JPEG_QUALITY: Final = 92
AVIF_QUALITY: Final = 80
"""Where no difference is seen side by side at full size; below these, files shrink fast and edges suffer first."""

_WEBP_EFFORT: Final = 2  # of 0 to 6: more costs several times as long for a few per cent
_WEBP_LOSSLESS_EFFORT: Final = 1  # 0 is twice as fast for 40 % more bytes, 2 and above gain nothing
_AVIF_SPEED: Final = 9  # of 0 to 10

_JPEG_SEGMENT: Final = 65_533  # bytes in a marker segment, its own length included
_JPEG_XMP_NAME: Final = 29  # bytes that name XMP in its segment

_RGBA: Final = 4
_SMALL: Final = 8
_NEAR: Final = 5


class EncodingError(Exception):
    """The encoder failed, most likely for lack of memory; not a disk error."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoded:
    """A file in memory.

    Attributes:
    data: its bytes.
        warnings: messages for the user about metadata that had to be left out.
    """

    data: memoryview
    warnings: tuple[str, ...] = ()


def framed(strips: Iterable[NDArray[np.uint8]], layout: Layout) -> NDArray[np.uint8]:
    """Join all strips to one frame: uint8 (H, W, channels), or (H, W) for one channel."""
    shape = (
        (layout.height, layout.width)
        if layout.channels == 1
        else (layout.height, layout.width, layout.channels)
    )
    frame = np.empty(shape, np.uint8)
    top = 0
    for strip in strips:
        frame[top : top + len(strip)] = strip
        top += len(strip)
    return frame


def encode(frame: NDArray[np.uint8], kind: Format, quality: int | None, extras: Extras) -> Encoded:
    """Encode a frame.

    Args:
        frame: uint8 (H, W) grey, (H, W, 3) RGB or (H, W, 4) with straight alpha; its invisible pixels may be changed.
        kind: WebP, AVIF or JPEG.
        quality: 1 to 100; None: for WebP, nothing is lost; for the others, nothing that is seen.
        extras: profile and metadata.

    Raises:
        EncodingError: it cannot be encoded.
        MemoryError: there is too little memory.
    """
    try:
        return _ENCODERS[kind](frame, quality, extras)
    except (OSError, RuntimeError, ValueError) as error:  # what Pillow raises for its libraries
        raise EncodingError(str(error)) from error


def _webp(frame: NDArray[np.uint8], quality: int | None, extras: Extras) -> Encoded:
    if quality is None:
        options: dict[str, Any] = {
            "lossless": True,
            "exact": True,
            "quality": 0,
            "method": _WEBP_LOSSLESS_EFFORT,
        }
    else:
        options = {"quality": quality, "method": _WEBP_EFFORT}
    exif = extras.exif or b""
    return _saved(frame, WebPImagePlugin.WebPImageFile.format, options, extras, exif)


def _avif(frame: NDArray[np.uint8], quality: int | None, extras: Extras) -> Encoded:
    if frame.shape[2:] == (_RGBA,):
        _extend(frame)
    options = {
        "quality": AVIF_QUALITY if quality is None else quality,
        "speed": _AVIF_SPEED,
        "subsampling": "4:0:0" if frame.ndim == 2 else "4:4:4",  # noqa: PLR2004 -- coarser colour would blur edges
        "max_threads": 1,  # one worker, one thread
        "codec": "aom",
        # Alpha loses nothing, as in WebP: else opaque pixels become see-through by up to 7 of 255.
        "advanced": {"a:cq-level": "0"},
    }
    exif, warnings = _without_orientation(extras.exif)
    encoded = _saved(frame, AvifImagePlugin.AvifImageFile.format, options, extras, exif)
    return Encoded(data=encoded.data, warnings=warnings)


def _jpeg(frame: NDArray[np.uint8], quality: int | None, extras: Extras) -> Encoded:
    warnings = []
    exif = PREFIX + extras.exif if extras.exif else b""
    if len(exif) > _JPEG_SEGMENT:
        exif = b""
        warnings.append("its EXIF data has more than 64 KiB and does not fit into a JPEG")
    xmp = extras.xmp
    if xmp and len(xmp) > _JPEG_SEGMENT - _JPEG_XMP_NAME:
        xmp = None
        warnings.append("its XMP data has more than 64 KiB and does not fit into a JPEG")
    options = {
        "quality": JPEG_QUALITY if quality is None else quality,
        "subsampling": 0,  # 4:4:4: a red shoe on white has no grey rim
        "optimize": False,
        "dpi": _density(extras),
        "extra": iptc.segment(extras.iptc) if extras.iptc else b"",
    }
    encoded = _saved(frame, JpegImagePlugin.JpegImageFile.format, options, extras, exif, xmp=xmp)
    return Encoded(data=encoded.data, warnings=tuple(warnings))


_ENCODERS: Final[dict[Format, Callable[[NDArray[np.uint8], int | None, Extras], Encoded]]] = {
    Format.WEBP: _webp,
    Format.AVIF: _avif,
    Format.JPEG: _jpeg,
}


def _density(extras: Extras) -> tuple[float, float]:
    """Return pixels per inch for JFIF, whose numbers have 16 bits; 0 where there is no resolution."""
    found = extras.resolution
    return (0, 0) if found is None or max(found.x, found.y) >= 1 << 16 else (found.x, found.y)


def _saved(
    frame: NDArray[np.uint8],
    kind: str | None,
    options: dict[str, Any],
    extras: Extras,
    exif: bytes,
    *,
    xmp: bytes | None = None,
) -> Encoded:
    target = io.BytesIO()
    Image.fromarray(frame).save(
        target,
        format=kind,
        **options,
        icc_profile=extras.icc or b"",
        exif=exif,
        xmp=xmp if kind == "JPEG" else (extras.xmp or b""),
    )
    return Encoded(data=target.getbuffer())


def _without_orientation(exif: bytes | None) -> tuple[bytes, tuple[str, ...]]:
    """Remove the orientation from EXIF, since Pillow rewrites a block that has one."""
    if not exif:
        return b"", ()
    try:
        block = ExifBlock(exif)
        block.remove(block.root, ORIENTATION)
        left = bytes(block)
        Image.Exif().load(left)
    except Exception:  # noqa: BLE001 -- Pillow's parser raises a dozen kinds
        return b"", ("its EXIF data could not be kept in AVIF",)
    return left, ()


def _extend(frame: NDArray[np.uint8]) -> None:
    """Extend the subject's colours under the invisible pixels, in place.

    A lossy encoder smears colours over some pixels: black ones beside the subject would darken its edge.
    """
    height, width = frame.shape[:2]
    filled = cv2.resize(_running_on(frame), (width, height), interpolation=cv2.INTER_LINEAR)
    rows = max(1, (1 << 20) // (4 * width))
    for top in range(0, height, rows):
        part = slice(top, top + rows)
        invisible = (frame[part, :, 3] == 0).view(np.uint8)
        cv2.copyTo(cv2.cvtColor(filled[part], cv2.COLOR_RGB2RGBA), invisible, frame[part])
        frame[part, :, 3] &= invisible - np.uint8(1)  # the colours alone were wanted


def _running_on(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the extended colours at reduced size, uint8 (h, w, 3): the subject's nearby colours, elsewhere its average."""
    by = min(_SMALL, *frame.shape[:2])
    height, width = (side // by for side in frame.shape[:2])  # by whole factors OpenCV is six times as fast
    inner = frame[: height * by, : width * by]
    alpha = cv2.extractChannel(inner, 3)
    planes = [cv2.multiply(cv2.extractChannel(inner, channel), alpha, scale=1 / 255) for channel in range(3)]
    red, green, blue, share = (
        np.asarray(cv2.resize(plane, (width, height), interpolation=cv2.INTER_AREA), np.float32)
        for plane in (*planes, alpha)
    )
    weighed = np.dstack((red, green, blue))
    average = 255 * weighed.sum(axis=(0, 1)) / max(float(share.sum()), 1.0)
    near = cv2.blur(weighed, (_NEAR, _NEAR))
    weight = cv2.blur(share, (_NEAR, _NEAR))[..., np.newaxis] / 255
    trust = np.clip(weight * 50, 0, 1)
    colour = (near + 1e-3 * average) / (weight + 1e-3) * trust + average * (1 - trust)
    return np.asarray(np.clip(np.rint(colour), 0, 255), np.uint8)


KILOBYTE: Final = 1000
"""Bytes, the smaller of the two readings, so that a result keeps a limit whichever is meant."""

_WEBP_QUALITY: Final = 92
"""Where the search begins once WebP may not stay lossless."""

_USUAL: Final = {
    Format.JPEG: JPEG_QUALITY,
    Format.AVIF: AVIF_QUALITY,
    Format.WEBP: _WEBP_QUALITY,
}


class CannotFitError(Exception):
    """The file is too large at the lowest allowed quality."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitted:
    """A file in memory.

    Attributes:
        encoded: the file.
        quality: chosen quality, 1 to 100; None: the rendition's own.
        said: messages for the user about the chosen quality.
    """

    encoded: Encoded
    quality: int | None = None
    said: tuple[str, ...] = ()


def fitted(frame: NDArray[np.uint8], rendition: Rendition, extras: Extras) -> Fitted:
    """Encode a frame in a rendition's quality, or the highest one below it whose file is small enough.

    Args:
        frame: as for `encode`.
        rendition: settings with format, quality and limits.
        extras: profile and metadata, which count towards the file size.

    Raises:
        EncodingError: it cannot be encoded.
        CannotFitError: the file is too large at ``min_quality``; the message gives its size.
    """
    encoded = encode(frame, rendition.format, rendition.quality, extras)
    if rendition.max_kb is None or len(encoded.data) <= rendition.max_kb * KILOBYTE:
        return Fitted(encoded=encoded)
    most = rendition.max_kb * KILOBYTE
    usual = _USUAL[rendition.format] if rendition.quality is None else rendition.quality
    is_lossless = rendition.format is Format.WEBP and rendition.quality is None
    best: tuple[int, Encoded] | None = None
    low, high = rendition.min_quality, usual if is_lossless else usual - 1
    smallest = len(encoded.data)
    while low <= high:
        quality = (low + high + 1) // 2
        encoded = encode(frame, rendition.format, quality, extras)
        smallest = min(smallest, len(encoded.data))
        if len(encoded.data) <= most:
            best, low = (quality, encoded), quality + 1
        else:
            high = quality - 1
    if best is None:
        raise CannotFitError(
            f"has {smallest / KILOBYTE:,.0f} KB at the lowest quality that is allowed "
            f"({rendition.min_quality}), more than max_kb = {rendition.max_kb}"
        )
    before = "lossless" if is_lossless else f"quality {usual}"
    said = f"its quality was lowered from {before} to {best[0]}, so that it has no more than {rendition.max_kb} KB"
    return Fitted(encoded=best[1], quality=best[0], said=(said,))
