"""Which picture formats are read, and opening one of them with nothing else within reach.

Pillow knows some fifty formats, among them ones that start an interpreter (EPS) or hide others; here only the
plugins of the allow-list are ever imported, and a file is given to the one its first bytes name. This module
must not decode pixels.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Final

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

from cutoutd.engine.foreign import HEAD_BYTES, seems_to_be
from cutoutd.errors import LimitError, PictureError

_MEBIBYTE: Final = 1 << 20

TIFF: Final = "TIFF"
JPEG: Final = "JPEG"
PNG: Final = "PNG"

# Magic number, and the plugin that gets the file; JPEG's own also finds MPO, whose first picture is a JPEG.
_ALLOWED: Final = (
    (JPEG, re.compile(rb"\xff\xd8\xff"), JpegImagePlugin.JpegImageFile),
    (PNG, re.compile(rb"\x89PNG\r\n\x1a\n"), PngImagePlugin.PngImageFile),
    (
        TIFF,
        re.compile(rb"II[\x2a\x2b]\x00(?!....CR)|MM\x00[\x2a\x2b]", re.DOTALL),
        TiffImagePlugin.TiffImageFile,
    ),
    ("WebP", re.compile(rb"RIFF....WEBP", re.DOTALL), WebPImagePlugin.WebPImageFile),
    ("GIF", re.compile(rb"GIF8[79]a"), GifImagePlugin.GifImageFile),
    ("AVIF", re.compile(rb"....ftyp(avi[fs]|m[is]f1.{4,64}?avif)", re.DOTALL), AvifImagePlugin.AvifImageFile),
    (
        "JPEG 2000",
        re.compile(rb"\x00{3}\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"),
        Jpeg2KImagePlugin.Jpeg2KImageFile,
    ),
    ("BMP", re.compile(rb"BM"), BmpImagePlugin.BmpImageFile),
)

_EXPORT: Final = "The original is untouched. Export it as JPEG or PNG and put that in its place."

_DNG_VERSION: Final = 0xC612
_SUBFILE_TYPE: Final = 0x00FE
_REDUCED: Final = 1  # bit of the sub-file type: this page is a small version of another one

_PNG_SIGNATURE_BYTES: Final = 8
_PNG_FRAME_BYTES: Final = 12  # length, type and CRC around a chunk's data
_PNG_TEXTS: Final = frozenset({b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"eXIf"})


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Opened:
    """A picture whose header was read.

    Attributes:
        format: such as ``JPEG``.
        data: the file.
        image: not loaded yet.
        warnings: what had to be left out to open it.
    """

    format: str
    data: bytes
    image: ImageFile.ImageFile
    warnings: tuple[str, ...] = ()

    def again(self) -> ImageFile.ImageFile:
        """A second, independent image of the same file."""
        return _open(self.format, self.data)


def open_picture(data: bytes) -> Opened:
    """Read a picture's header.

    Args:
        data: the whole file.

    Raises:
        PictureError: the file is empty, or of no known format.
        LimitError: it is something else than a picture of an allowed format.
        Exception: Pillow's and the codecs' own, over a damaged header.
    """
    name = _allowed_format(data)
    try:
        return _checked(Opened(format=name, data=data, image=_open(name, data)))
    except ValueError as error:
        if name != PNG or "MAX_TEXT" not in str(error):
            raise
    bare = _without_texts(data)
    warning = "its texts, profile and metadata are unreasonably large and were left out"
    return Opened(format=name, data=bare, image=_open(name, bare), warnings=(warning,))


def _allowed_format(data: bytes) -> str:
    head = data[:HEAD_BYTES]
    if not head:
        raise PictureError("the file is empty")
    for name, magic, _ in _ALLOWED:
        if magic.match(head):
            return name
    if (foreign := seems_to_be(head)) is not None:
        raise LimitError(
            f"it is not a picture that can be read here, but seems to be {foreign}", advice=_EXPORT
        )
    if not any(head):
        raise PictureError("it begins with zeros only: nothing was written to it yet, or it is damaged")
    raise PictureError("its content is of no known picture format")


def _open(name: str, data: bytes) -> ImageFile.ImageFile:
    _confine_pillow()
    plugin = next(plugin for known, _, plugin in _ALLOWED if known == name)
    assert plugin.format is not None  # noqa: S101 -- every plugin of the list names its format
    image = Image.open(io.BytesIO(data), formats=[plugin.format])
    if name == TIFF:
        image.info.pop("xmp", None)  # Pillow would turn the picture by it, which no viewer does
    return image


def _confine_pillow() -> None:
    """Set Pillow's switches, which are global, to what this package relies on."""
    Image._initialized = 2  # noqa: SLF001 -- the only way to say that all plugins there will ever be are loaded
    Image.MAX_IMAGE_PIXELS = None  # our own limit takes its place, and is checked before any pixel is decoded
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # a picture cut short must fail, never end in grey
    PngImagePlugin.MAX_TEXT_CHUNK = 4 * _MEBIBYTE  # a printer's profile may be larger than Pillow's 1 MiB
    PngImagePlugin.MAX_TEXT_MEMORY = 16 * _MEBIBYTE
    TiffImagePlugin.READ_LIBTIFF = True  # Pillow's own reader takes uncompressed planes of 16 bits for noise
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # one worker, one thread


def _checked(opened: Opened) -> Opened:
    """Refuse what only wraps a picture: raw files are TIFFs whose first page is a preview of stamp size."""
    image = opened.image
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tags = image.tag_v2
        if _DNG_VERSION in tags or int(tags.get(_SUBFILE_TYPE, 0)) & _REDUCED:
            raise LimitError(
                "it seems to be a camera's raw file, of which only a preview could be read", advice=_EXPORT
            )
    return opened


def _without_texts(data: bytes) -> bytes:
    """A PNG without the chunks that hold texts, profile and metadata.

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
