"""Decode the bytes of a file to an upright RGB picture, or raise an error that a photographer understands.

This module must not touch files, and must never return part of a picture: data that ends too early is an error.
"""

from __future__ import annotations

import warnings as python_warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from PIL import UnidentifiedImageError

from cutoutd import file_signatures
from cutoutd.engine.colour import code_points, icc_transform
from cutoutd.engine.containers import bigtiff, resolution
from cutoutd.engine.containers.exif import IPTC, ExifBlock
from cutoutd.engine.containers.tiff_structure import MalformedError
from cutoutd.engine.formats import colour_space, opening
from cutoutd.engine.formats.pillow import PillowSource
from cutoutd.engine.formats.source import upright
from cutoutd.engine.formats.tiff_page import picture_first
from cutoutd.engine.formats.wide_tiff import WideTiffSource
from cutoutd.engine.picture import Picture
from cutoutd.errors import CutoutdError, LimitError, PictureError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from numpy.typing import NDArray

    from cutoutd.engine.colour.code_points import CodePoints
    from cutoutd.engine.colour.icc_transform import Conversion
    from cutoutd.engine.formats.source import PictureSource
    from cutoutd.engine.samples import Samples

MAX_METADATA_BYTES: Final = 2 << 20
"""Largest EXIF data and largest XMP data: more than the 64 KiB of a JPEG, and not too much to copy into every cutout."""

STRIP_PIXELS: Final = 1 << 16
"""Pixels that are converted at a time: they fit into the cache, and no copy of the whole frame is needed."""

_WORKER_MB: Final = 1024
_BYTES_PER_PIXEL: Final = 24
"""Memory of a worker with a model, and for each pixel: 100 megapixels needed 2.3 GiB, 190 needed 3.5 (measured)."""

MOST_PIXELS: Final = 1_000_000_000
"""The largest number that ``max_pixels`` may be: larger pictures can only be exported smaller."""

_MOST_HALVINGS: Final = 3  # libjpeg's smallest scale is an eighth
_RGBA, _ALPHA = 4, 3
_OPAQUE: Final = 255
_LAST_STANDING: Final = 4  # EXIF orientations from 5 on swap width and height
_BAD_HEADER: Final = "it is damaged, ends too early, or is of a kind that is not supported"
_REASON_CHARS: Final = 120
_NO_MEMORY: Final = ("out of memory", "sufficient memory", "memory allocation", "cannot allocate")
MEMORY_ADVICE: Final = (
    "The original is untouched. Raise [pool] worker_memory_mb, or export the picture smaller."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """Header of a picture file; width and height are before the orientation is applied."""

    format: str
    width: int
    height: int

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height


def header(data: bytes, *, allowed: Collection[str] | None = None) -> Header:
    """Read only the header of a picture.

    Args:
        data: the whole file.
        allowed: enabled formats, of ``formats.SWITCHES``; None: all.

    Raises:
        PictureError: the data is not a picture, or its header is damaged.
        LimitError: the format is not allowed.
    """
    with _plain_words(_BAD_HEADER):
        return _header(_source(data, allowed))


def decode(
    data: bytes, *, max_pixels: int, deep: bool = False, allowed: Collection[str] | None = None
) -> Picture:
    """Decode a picture, turn it upright and convert it to RGB with 8 bits a channel.

    Args:
        data: the whole file.
        max_pixels: largest width times height, checked in the header.
        deep: also return all bits, if the file has more than 8 bits a channel.
        allowed: as for ``header``.

    Raises:
        PictureError: the data is not a picture, is damaged, or ends too early.
        LimitError: the format is not allowed, the picture is too large, or its samples cannot be converted to 8 bits.
    """
    with _plain_words(_BAD_HEADER):
        source = _source(data, allowed)
        _check_size(_header(source), max_pixels)
    with _plain_words("its picture data is damaged or ends too early"):
        return _decode(source, deep=deep)


def draft(
    data: bytes, *, max_pixels: int, least_side: int, allowed: Collection[str] | None = None
) -> tuple[Picture, int]:
    """Decode a picture for a preview, as `decode` does; a JPEG at a reduced size, which takes less time.

    Args:
        data: the whole file.
        max_pixels: as for ``decode``.
        least_side: pixels that the longer side keeps, if the picture has as many.
        allowed: as for ``header``.

    Returns:
        The picture, and how many times its sides were halved, rounded up: 0 to 3.

    Raises:
        PictureError: the data is not a picture, is damaged, or ends too early.
        LimitError: the format is not allowed, the picture is too large, or its samples cannot be converted to 8 bits.
    """
    with _plain_words(_BAD_HEADER):
        source = _source(data, allowed)
        _check_size(_header(source), max_pixels)
        halvings = 0
        while halvings < _MOST_HALVINGS and max(source.size) >> (halvings + 1) >= least_side:
            halvings += 1
        halvings = source.reduce(halvings) if isinstance(source, PillowSource) else 0
    with _plain_words("its picture data is damaged or ends too early"):
        return _decode(source, deep=False), halvings


def _source(data: bytes, allowed: Collection[str] | None) -> PictureSource:
    """Return the reader for a file, by its first bytes; rarely used readers are imported here."""
    data = bigtiff.as_plain(data)
    name = opening.recognise(data)
    opening.check_allowed(name, allowed)
    if name in opening.BY_PILLOW:
        try:
            return PillowSource(opening.open_picture(name, data))
        except UnidentifiedImageError:
            if name != file_signatures.TIFF:
                raise
            turned = picture_first(data)
            return WideTiffSource(turned, () if turned is data else (opening.THUMBNAIL_FIRST,))
    try:
        if name == file_signatures.HEIC:
            from cutoutd.engine.formats.heif import HeifSource  # noqa: PLC0415

            return HeifSource(data)
        from cutoutd.engine.formats.raw import RawSource  # noqa: PLC0415
    except ModuleNotFoundError as error:
        # On an Intel Mac with a Python that has no rawpy, or if an installer left a decoder out.
        raise LimitError(
            f"it is a {name} file, and the library that reads those is not installed on this system",
            advice=opening.EXPORT_ADVICE,
        ) from error
    return RawSource(data, name)


def _header(source: PictureSource) -> Header:
    width, height = source.size
    return Header(format=source.format, width=width, height=height)


def _check_size(found: Header, max_pixels: int) -> None:
    if found.pixels > max(max_pixels, MOST_PIXELS):
        raise LimitError(
            f"its header says that it has {found.pixels / 1e6:.0f} megapixels ({found.width} x {found.height}); either that"
            " is not true, or the picture is too large to be cut",
            advice=f"The original is untouched. Export it with fewer than {MOST_PIXELS / 1e6:.0f} megapixels and put that in its place.",
        )
    if found.pixels > max_pixels:
        raise LimitError(
            f"it has {found.pixels / 1e6:.0f} megapixels ({found.width} x {found.height}),"
            f" more than the limit of {max_pixels / 1e6:.0f}",
            advice=f"The original is untouched. If you trust it, set [pool] max_pixels = {_above(found.pixels):_} or more, and "
            f"worker_memory_mb = {_memory_mb(found.pixels)} or more for what that needs in memory; or export it smaller.",
        )


def _above(pixels: int) -> int:
    """Return the next whole million."""
    return -(-pixels // 1_000_000) * 1_000_000


def _memory_mb(pixels: int) -> int:
    """Return the memory in MB that a worker needs for so many pixels, with half as much again to spare: see `_BYTES_PER_PIXEL`."""
    return -(-(_WORKER_MB + pixels * _BYTES_PER_PIXEL // 1_000_000) // 256) * 256


def _decode(source: PictureSource, *, deep: bool) -> Picture:
    found = source.load()
    space = colour_space.meant(found.colours, found.exif, found.samples.mode)
    loaded = _in_range(found.samples, space.codes)
    converted = icc_transform.conversion(loaded, space.icc)
    notes = list(found.warnings)
    density = resolution.chosen(found.resolution, found.exif)
    exif, xmp = _drop_if_huge(found.exif, "EXIF data", notes), _drop_if_huge(found.xmp, "XMP data", notes)
    iptc = _drop_if_huge(found.iptc or _iptc_in(exif), "IPTC data", notes)
    rgb, alpha = _assemble(loaded, converted)
    wide = _assemble_deep(loaded) if deep and converted.is_plain else None
    return Picture(
        rgb=upright(rgb, found.to_turn),
        alpha=None if alpha is None else upright(alpha, found.to_turn),
        icc=converted.icc,
        exif=exif,
        xmp=xmp,
        format=source.format,
        orientation=found.turned if found.to_turn == 1 else found.to_turn,
        warnings=(*notes, *space.warnings, *loaded.warnings, *converted.warnings),
        deep=None if wide is None else upright(wide, found.to_turn),
        rounded=loaded.rounded,
        iptc=iptc,
        resolution=density
        if density is None or found.to_turn * found.turned <= _LAST_STANDING
        else density.turned,
    )


def _in_range(loaded: Samples, codes: CodePoints | None) -> Samples:
    """Convert samples to a form that a profile can describe."""
    if codes is None:
        return loaded
    return code_points.narrowed(loaded, codes) if codes.is_hdr else code_points.expanded(loaded)


def _iptc_in(exif: bytes | None) -> bytes | None:
    """Return the IPTC data (IIM) inside EXIF, which is stored there as in a TIFF."""
    if not exif:
        return None
    try:
        return ExifBlock(exif).value(IPTC)
    except MalformedError:
        return None


def _drop_if_huge(found: bytes | None, name: str, notes: list[str]) -> bytes | None:
    if found is None or len(found) <= MAX_METADATA_BYTES:
        return found
    notes.append(f"its {name} ({len(found) / 1e6:.0f} MB) was unreasonably large and was dropped")
    return None


def _assemble(loaded: Samples, converted: Conversion) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Return all strips as RGB, and the alpha; None for an alpha that is opaque throughout."""
    if loaded.rgb is not None and converted.is_plain:
        return loaded.rgb, None
    shape = (loaded.height, loaded.width)
    rgb = np.empty((*shape, 3), np.uint8)
    alpha = np.empty(shape, np.uint8) if loaded.transparent else None
    rows = max(1, STRIP_PIXELS // loaded.width)
    for top in range(0, loaded.height, rows):
        bottom = min(loaded.height, top + rows)
        pixels = converted.pixels(loaded.strip(top, bottom))
        if pixels.shape[2] == _RGBA:  # by slices it takes 20 times as long, and half of a large PNG's time
            pixels = np.ascontiguousarray(pixels)
            cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB, dst=rgb[top:bottom])
        else:
            rgb[top:bottom] = pixels
        if alpha is not None:
            cv2.extractChannel(pixels, _ALPHA, dst=alpha[top:bottom])
    if alpha is not None and alpha.min() == _OPAQUE:
        return rgb, None
    return rgb, alpha


def _assemble_deep(loaded: Samples) -> NDArray[np.uint16] | None:
    """Return all strips as RGB in 16 bits; None where the file has fewer."""
    if loaded.wide is None:
        return None
    rgb = np.empty((loaded.height, loaded.width, 3), np.uint16)
    rows = max(1, STRIP_PIXELS // loaded.width)
    for top in range(0, loaded.height, rows):
        bottom = min(loaded.height, top + rows)
        pixels = loaded.wide(top, bottom)
        is_grey = loaded.mode.startswith("L")
        grey = pixels if pixels.ndim == 2 else pixels[..., 0]  # noqa: PLR2004 -- rows and columns
        rgb[top:bottom] = grey[..., np.newaxis] if is_grey else pixels[..., :3]
    return rgb


@contextmanager
def _plain_words(what: str) -> Iterator[None]:
    """Translate the decoders' exceptions to ours; their warnings are ignored, as our checks find the causes."""
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore")
        try:
            yield
        except CutoutdError:
            raise
        except Exception as error:
            if _is_out_of_memory(error):
                raise LimitError("there is not enough memory for it", advice=MEMORY_ADVICE) from error
            said = "" if isinstance(error, UnidentifiedImageError) else _first_line(error)
            adds = said and "truncated" not in said  # our own message says that already
            raise PictureError(f"{what}; the decoder says: {said}" if adds else what) from error


def _first_line(error: Exception) -> str:
    """Return the first line of an exception's message; LibRaw's are bytes."""
    first = error.args[0] if error.args else ""
    text = first.decode("ascii", "replace") if isinstance(first, bytes) else str(error)
    return text.partition("\n")[0][:_REASON_CHARS]


def _is_out_of_memory(error: Exception) -> bool:
    """Whether an exception means out of memory, from Python or a decoder."""
    said = _first_line(error).lower()
    return isinstance(error, MemoryError) or any(words in said for words in _NO_MEMORY)
