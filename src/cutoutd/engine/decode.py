"""Bytes in, an upright 8-bit RGB picture out, or an error that a photographer understands.

It must not touch files, and must never return part of a picture: data that ends too early is an error.
"""

from __future__ import annotations

import warnings as python_warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import ExifTags, MpoImagePlugin, TiffImagePlugin, UnidentifiedImageError

from cutoutd.engine import colour, metadata, samples
from cutoutd.engine.exif import ORIENTATION, PREFIX, XMP
from cutoutd.engine.formats import JPEG, open_picture
from cutoutd.engine.jpeg import refuse_unfinished
from cutoutd.engine.orientation import upright
from cutoutd.engine.picture import Picture
from cutoutd.errors import CutoutdError, LimitError, PictureError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from PIL import ImageFile

    from cutoutd.engine.colour import Conversion
    from cutoutd.engine.formats import Opened
    from cutoutd.engine.samples import Samples

MAX_METADATA_BYTES: Final = 2 << 20
"""Of EXIF and of XMP each: beyond the 64 KiB of a JPEG, within what is worth copying into every cutout."""

STRIP_PIXELS: Final = 1 << 16
"""Pixels that are converted at a time: they stay in the cache, and nothing as large as the frame is copied."""

_RAW_EXIF: Final = "Raw profile type exif"  # how ImageMagick keeps EXIF in a PNG
_DESCRIPTIVE: Final = frozenset(
    {
        ExifTags.Base.ImageDescription,
        ExifTags.Base.Make,
        ExifTags.Base.Model,
        ExifTags.Base.XResolution,
        ExifTags.Base.YResolution,
        ExifTags.Base.ResolutionUnit,
        ExifTags.Base.Software,
        ExifTags.Base.DateTime,
        ExifTags.Base.Artist,
        ExifTags.Base.Copyright,
        ExifTags.IFD.Exif,
        ExifTags.IFD.GPSInfo,
    }
)

_OPAQUE: Final = 255
_BAD_HEADER: Final = "it is damaged, ends too early, or is of a kind that is not supported"
_REASON_CHARS: Final = 120
_MEMORY_ADVICE: Final = (
    "The original is untouched. Raise [pool] worker_memory_mb, or export the picture smaller."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """What a file says of itself before anything is decoded; the size is not yet upright."""

    format: str
    width: int
    height: int

    @property
    def pixels(self) -> int:
        """Width times height."""
        return self.width * self.height


def header(data: bytes) -> Header:
    """Look at a picture's header only.

    Args:
        data: the whole file.

    Raises:
        PictureError: it is no picture, or its header is damaged.
        LimitError: it is not of an allowed format.
    """
    with _plain_words(_BAD_HEADER):
        return _header(open_picture(data))


def decode(data: bytes, *, max_pixels: int) -> Picture:
    """Decode a picture, turn it upright and bring it to 8-bit RGB.

    Args:
        data: the whole file.
        max_pixels: width times height above which it is refused by its header.

    Raises:
        PictureError: it is no picture, is damaged, or ends too early.
        LimitError: it is not of an allowed format, too large, or of samples that have no form in 8 bits.
    """
    with _plain_words(_BAD_HEADER):
        opened = open_picture(data)
        _check_size(_header(opened), max_pixels)
    with _plain_words("its picture data is damaged or ends too early"):
        if opened.format == JPEG:
            refuse_unfinished(data)
        return _decode(opened)


def _header(opened: Opened) -> Header:
    return Header(format=opened.format, width=opened.image.width, height=opened.image.height)


def _check_size(found: Header, max_pixels: int) -> None:
    if found.pixels > max_pixels:
        raise LimitError(
            f"it has {found.pixels / 1e6:.0f} megapixels ({found.width} x {found.height}),"
            f" more than the limit of {max_pixels / 1e6:.0f}"
        )


def _decode(opened: Opened) -> Picture:
    image = opened.image
    notes = [*opened.warnings, *_pages(image)]
    turned = _turned_by_pillow(image)
    loaded = samples.load(opened)
    converted = colour.conversion(loaded, image.info.get("icc_profile"))
    exif = _exif(image, notes)
    to_turn = metadata.orientation(exif)
    kept_exif, kept_xmp = _bounded(exif, "EXIF data", notes), _bounded(_xmp(image), "XMP data", notes)
    rgb, alpha = _assemble(loaded, converted)
    return Picture(
        rgb=upright(rgb, to_turn),
        alpha=None if alpha is None else upright(alpha, to_turn),
        icc=converted.icc,
        exif=kept_exif,
        xmp=kept_xmp,
        format=opened.format,
        orientation=turned if to_turn == 1 else to_turn,
        warnings=(*notes, *loaded.warnings, *converted.warnings),
    )


def _pages(image: ImageFile.ImageFile) -> Iterator[str]:
    if isinstance(image, MpoImagePlugin.MpoImageFile):
        return  # its other pictures are previews, or the view of the second eye
    if getattr(image, "is_animated", False):
        yield "it has several pages or frames; the first one was taken"


def _turned_by_pillow(image: ImageFile.ImageFile) -> int:
    """The orientation of a TIFF, which Pillow itself applies and removes when it decodes one."""
    found = image.tag_v2.get(ORIENTATION, 1) if isinstance(image, TiffImagePlugin.TiffImageFile) else 1
    return found if found in range(1, 9) else 1


def _exif(image: ImageFile.ImageFile, notes: list[str]) -> bytes | None:
    """EXIF without its prefix; whatever is wrong with it, the picture is not lost over it."""
    try:
        return _stored_exif(image).removeprefix(PREFIX) or None
    except Exception:  # noqa: BLE001 -- Pillow's parser raises a dozen kinds
        notes.append("its EXIF data is damaged and was dropped")
        return None


def _stored_exif(image: ImageFile.ImageFile) -> bytes:
    """EXIF as the format keeps it; empty where there is none."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        found = image.getexif()
        for tag in set(found) - _DESCRIPTIVE:
            del found[tag]  # the rest describes how this file stores its pixels
        return found.tobytes() if found else b""
    stored: bytes = image.info.get("exif", b"")
    if not stored and _RAW_EXIF in image.info:
        return bytes.fromhex("".join(str(image.info[_RAW_EXIF]).split("\n")[3:]))
    return stored


def _xmp(image: ImageFile.ImageFile) -> bytes | None:
    found = (
        image.tag_v2.get(XMP) if isinstance(image, TiffImagePlugin.TiffImageFile) else image.info.get("xmp")
    )
    if isinstance(found, str):
        found = found.encode("utf-8", "surrogateescape")
    return found if isinstance(found, bytes) else None


def _bounded(found: bytes | None, name: str, notes: list[str]) -> bytes | None:
    if found is None or len(found) <= MAX_METADATA_BYTES:
        return found
    notes.append(f"its {name} ({len(found) / 1e6:.0f} MB) was unreasonably large and was dropped")
    return None


def _assemble(loaded: Samples, converted: Conversion) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """All strips as RGB, and the alpha where there is one that is not opaque throughout."""
    shape = (loaded.height, loaded.width)
    rgb = np.empty((*shape, 3), np.uint8)
    alpha = np.empty(shape, np.uint8) if loaded.transparent else None
    rows = max(1, STRIP_PIXELS // loaded.width)
    for top in range(0, loaded.height, rows):
        bottom = min(loaded.height, top + rows)
        pixels = converted.pixels(loaded.strip(top, bottom))
        rgb[top:bottom] = pixels[..., :3]
        if alpha is not None:
            alpha[top:bottom] = pixels[..., 3]
    if alpha is not None and alpha.min() == _OPAQUE:
        return rgb, None
    return rgb, alpha


@contextmanager
def _plain_words(what: str) -> Iterator[None]:
    """Turn whatever Pillow and its codecs raise into an error of ours; their warnings are found by our checks."""
    with python_warnings.catch_warnings():
        python_warnings.simplefilter("ignore")
        try:
            yield
        except CutoutdError:
            raise
        except Exception as error:
            if isinstance(error, MemoryError) or "out of memory" in str(error):
                raise LimitError("there is not enough memory for it", advice=_MEMORY_ADVICE) from error
            said = (
                ""
                if isinstance(error, UnidentifiedImageError)
                else str(error).partition("\n")[0][:_REASON_CHARS]
            )
            raise PictureError(f"{what} ({said})" if said else what) from error
