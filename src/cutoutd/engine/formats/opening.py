"""The list of supported picture formats, and opening a file with no other decoder enabled.

Pillow knows some fifty formats, among them ones that start an interpreter (EPS) or hide others; here only the
plugins of the allow-list are ever imported, and a file is given to the one its first bytes name. HEIC and cameras'
raw files have readers of their own, which know no other formats either. This module must not decode pixels.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from cutoutd.engine.containers.jpeg import with_end_marker
from cutoutd.engine.containers.png import without_animation, without_damaged
from cutoutd.engine.formats import tiff_kind
from cutoutd.engine.formats.source import SEVERAL
from cutoutd.engine.formats.tiff_page import picture_first, raw_format
from cutoutd.errors import LimitError, PictureError
from cutoutd.file_signatures import (
    AVIF,
    BMP,
    GIF,
    HEAD_BYTES,
    HEIC,
    JPEG,
    JPEG_2000,
    PNG,
    TIFF,
    WEBP,
    picture_format,
    seems_to_be,
)

if TYPE_CHECKING:
    from collections.abc import Collection

_MEBIBYTE: Final = 1 << 20

# The plugin that gets the file; JPEG's own also finds MPO, whose first picture is a JPEG.
_PLUGINS: Final = {
    JPEG: JpegImagePlugin.JpegImageFile,
    PNG: PngImagePlugin.PngImageFile,
    TIFF: TiffImagePlugin.TiffImageFile,
    WEBP: WebPImagePlugin.WebPImageFile,
    GIF: GifImagePlugin.GifImageFile,
    JPEG_2000: Jpeg2KImagePlugin.Jpeg2KImageFile,
    BMP: BmpImagePlugin.BmpImageFile,
    AVIF: AvifImagePlugin.AvifImageFile,
}
BY_PILLOW: Final = frozenset(_PLUGINS)

_SWITCHES: Final = {
    JPEG: "jpeg",
    PNG: "png",
    TIFF: "tiff",
    WEBP: "webp",
    AVIF: "avif",
    HEIC: "heic",
    JPEG_2000: "jpeg2000",
    GIF: "gif",
    BMP: "bmp",
}
_RAW_SWITCH: Final = "raw"
SWITCHES: Final = frozenset({*_SWITCHES.values(), _RAW_SWITCH})
"""What ``[pool] formats`` calls the formats; all cameras' raw files are one."""

NO_END_MARKER: Final = "it lacks its end marker; the picture is whole"
THUMBNAIL_FIRST: Final = (
    "its first page is a small version of the picture; the first page that is none was taken"
)

EXPORT_ADVICE: Final = "The original is untouched. Export it as JPEG, PNG or TIFF and put that in its place."

_UNSUPPORTED_BMP: Final = "Unsupported BMP "
_PNG_SIGNATURE_BYTES: Final = 8
_PNG_FRAME_BYTES: Final = 12  # length, type and CRC around a chunk's data
_PNG_TEXTS: Final = frozenset({b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf"})


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Opened:
    """A picture whose header was read.

    Attributes:
        format: such as ``JPEG``.
        data: the file.
        image: Pillow's image, not loaded yet.
        warnings: messages about parts that were left out to open the file.
    """

    format: str
    data: bytes
    image: ImageFile.ImageFile
    warnings: tuple[str, ...] = ()

    def again(self) -> ImageFile.ImageFile:
        """Return a second, independent image of the same file."""
        return _open(self.format, self.data)


def recognise(data: bytes) -> str:
    """Return the format of a file by its first bytes: one of `BY_PILLOW`, HEIC, or a raw format such as ``CR2``.

    Args:
        data: the whole file.

    Raises:
        PictureError: the file is empty, or of no known format.
        LimitError: the file is of a format that is not supported.
    """
    head = data[:HEAD_BYTES]
    if not head:
        raise PictureError("the file is empty")
    if (name := picture_format(head)) is not None:
        # Raw files that are TIFFs by their first bytes are told by their tags.
        return (raw_format(data) or name) if name == TIFF else name
    if (hint := seems_to_be(head)) is not None:
        raise LimitError(
            f"it is not a picture that can be read here, but seems to be {hint}", advice=EXPORT_ADVICE
        )
    if not any(head):
        raise PictureError("it begins with zeros only: nothing was written to it yet, or it is damaged")
    raise PictureError("its content is of no known picture format")


def check_allowed(name: str, allowed: Collection[str] | None) -> None:
    """Check that a format is enabled; called before any decoder gets the file.

    Args:
        name: as ``recognise`` gives it.
        allowed: of `SWITCHES`; None: all.

    Raises:
        LimitError: the format is switched off.
    """
    switch = _SWITCHES.get(name, _RAW_SWITCH)
    if allowed is not None and switch not in allowed:
        raise LimitError(
            f"it is a {name} file, and those are switched off by [pool] formats",
            advice=f'The original is untouched. Add "{switch}" to [pool] formats and run `cutoutd retry`, or export it as '
            "one of those that are there.",
        )


def open_picture(name: str, data: bytes) -> Opened:
    """Read the header of a picture that Pillow reads.

    Args:
        name: one of `BY_PILLOW`.
        data: the whole file.

    Raises:
        LimitError: it is of a kind that is not supported.
        Exception: Pillow's and the codecs' own, over a damaged header.
    """
    data, warnings = _mended(name, data)
    if name == TIFF:
        tiff_kind.refuse_compression(data)
    try:
        return Opened(format=name, data=data, image=_open(name, data), warnings=warnings)
    except OSError as error:
        if name != BMP or not str(error).startswith(_UNSUPPORTED_BMP):
            raise
        kind = str(error).removeprefix(_UNSUPPORTED_BMP).lower()
        raise LimitError(
            f"it is a BMP of a kind that is not supported, because of its {kind}", advice=EXPORT_ADVICE
        ) from error
    except ValueError as error:
        if name != PNG or "MAX_TEXT" not in str(error):
            raise
    bare = _without_texts(data)
    warning = "its texts, profile and metadata are unreasonably large and were left out"
    return Opened(format=name, data=bare, image=_open(name, bare), warnings=(*warnings, warning))


def _mended(name: str, data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Repair a file whose picture is whole but whose decoder would refuse it or decode another picture; return it, and what was done."""
    if name == JPEG and (ended := with_end_marker(data)) is not data:
        return ended, (NO_END_MARKER,)
    if name == PNG:
        sound, damaged = without_damaged(data)
        still, has_frames = without_animation(sound)
        said = f"it has damaged chunks that no pixel needs, which were left out: {', '.join(damaged)}"
        return still, (*((said,) if damaged else ()), *((SEVERAL,) if has_frames else ()))
    if name == TIFF and (turned := picture_first(data)) is not data:
        return turned, (THUMBNAIL_FIRST,)
    return data, ()


def _open(name: str, data: bytes) -> ImageFile.ImageFile:
    _confine_pillow()
    plugin = _PLUGINS[name]
    assert plugin.format is not None  # noqa: S101 -- every plugin of the list names its format
    image = Image.open(io.BytesIO(data), formats=[plugin.format])
    if name == TIFF:
        image.info.pop("xmp", None)  # Pillow would turn the picture by it, which no viewer does
    return image


def _confine_pillow() -> None:
    """Set Pillow's global options to the values that this package relies on."""
    Image._initialized = 2  # noqa: SLF001 -- the only way to say that all plugins there will ever be are loaded
    Image.MAX_IMAGE_PIXELS = None  # our own limit takes its place, and is checked before any pixel is decoded
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # a picture cut short must fail, never end in grey
    PngImagePlugin.MAX_TEXT_CHUNK = 4 * _MEBIBYTE  # a printer's profile may be larger than Pillow's 1 MiB
    PngImagePlugin.MAX_TEXT_MEMORY = 16 * _MEBIBYTE
    TiffImagePlugin.READ_LIBTIFF = True  # Pillow's own reader takes uncompressed planes of 16 bits for noise
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # one worker, one thread


def _without_texts(data: bytes) -> bytes:
    """Remove the chunks with texts, profile and metadata from a PNG.

    PNG specification, third edition, 5.3 (chunk layout).
    """
    parts = [data[:_PNG_SIGNATURE_BYTES]]
    at = _PNG_SIGNATURE_BYTES
    while at < len(data):
        end = at + _PNG_FRAME_BYTES + int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] not in _PNG_TEXTS:
            parts.append(data[at:end])
        at = end
    return b"".join(parts)
