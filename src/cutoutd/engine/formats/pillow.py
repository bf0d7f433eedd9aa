"""The formats that Pillow reads: pixels, profile and metadata of an opened picture.

It must not choose which formats those are; `cutoutd.engine.formats.opening` does.
"""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from PIL import ExifTags, MpoImagePlugin, TiffImagePlugin

from cutoutd import file_signatures
from cutoutd.engine.containers import iptc as iim
from cutoutd.engine.containers import isobmff, metadata, png, resolution
from cutoutd.engine.containers.exif import (
    ARTIST,
    COPYRIGHT,
    DESCRIPTION,
    IPTC,
    ORIENTATION,
    PHOTOSHOP,
    PREFIX,
    PRIMARIES,
    WHITE_POINT,
    XMP,
    ExifBlock,
    IfdEntry,
)
from cutoutd.engine.containers.jpeg import refuse_unfinished
from cutoutd.engine.containers.tiff_structure import ASCII, MalformedError, TiffStructure
from cutoutd.engine.formats import colour_space, load_samples, opening, turbojpeg
from cutoutd.engine.formats.colour_space import Colours
from cutoutd.engine.formats.source import SEVERAL, Loaded
from cutoutd.engine.formats.wide_tiff import WideTiffSource
from cutoutd.errors import PictureError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL import ImageFile

    from cutoutd.engine.colour.icc_build import Chromaticities
    from cutoutd.engine.containers.resolution import Resolution
    from cutoutd.engine.formats.opening import Opened

_RIFF_HEAD_BYTES: Final = 12
_PIXELS_A_ZERO: Final = 128
"""Even areas may rightly be coded as zeros, but then as fewer than one byte for so many pixels: some 350 were seen."""
_FEW: Final = 4096

_RAW_IPTC: Final = "Raw profile type iptc"
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


class PillowSource:
    """A picture that Pillow has opened.

    Args:
        opened: not loaded yet.
    """

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._halvings = 0

    def reduce(self, halvings: int) -> int:
        """Request decoding at a half, a quarter or an eighth of the size, which only a JPEG of three components supports.

        libjpeg then skips frequencies, which takes a fraction of the time; the sides are rounded up. Call this before
        `load`, once.

        Args:
            halvings: 0 to 3.

        Returns:
            Number of halvings that will be applied: ``halvings``, or 0.
        """
        image = self._opened.image
        if self.format != file_signatures.JPEG or image.mode != "RGB" or not halvings:
            return 0
        width, height = image.size
        image.draft("RGB", (max(1, width >> halvings), max(1, height >> halvings)))
        if image.size != (-(-width >> halvings), -(-height >> halvings)):
            raise PictureError("it could not be reduced while it was decoded")
        self._halvings = halvings
        return halvings

    @property
    def format(self) -> str:
        """Its format, such as ``JPEG``."""
        return self._opened.format

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, not yet upright."""
        return self._opened.image.size

    def load(self) -> Loaded:
        """Decode.

        Raises:
            PictureError: the file ends too early, or is damaged.
            LimitError: the samples have no faithful form in 8 bits.
            Exception: Pillow's and the codecs' own, over damaged data.
        """
        image = self._opened.image
        self._refuse_unfinished()
        notes = [*self._opened.warnings, *_pages(image)]
        to_turn, turned = 1, _turned_by_pillow(image)
        loaded = None
        if self.format == file_signatures.TIFF and load_samples.is_cut_by_pillow(image):
            loaded = WideTiffSource(self._opened.data).samples()
            to_turn, turned = turned, 1
        elif self.format == file_signatures.JPEG_2000:
            loaded = load_samples.deep_jpeg2000(self._opened.data, image.mode, image.size)
        elif self.format == file_signatures.JPEG and image.mode == "RGB" and not self._halvings:
            loaded = turbojpeg.samples(self._opened.data, image.size)
        if loaded is None and opening.NO_END_MARKER in self._opened.warnings:
            turbojpeg.refuse_made_up(self._opened.data, image.mode)
        loaded = loaded or load_samples.load(self._opened)
        exif = _exif(image, notes)
        return Loaded(
            samples=loaded,
            colours=self._colours(),
            exif=exif,
            xmp=_xmp(image),
            iptc=_iptc(image, self._opened.data),
            resolution=self._resolution(),
            to_turn=to_turn if self.format == file_signatures.TIFF else metadata.orientation(exif),
            turned=turned,
            warnings=tuple(notes),
        )

    def _colours(self) -> Colours:
        """Return the colour information of the file, except EXIF."""
        image, data = self._opened.image, self._opened.data
        icc = image.info.get("icc_profile") or None
        match self.format:
            case file_signatures.PNG:
                return colour_space.of_png(png.before_picture(data), icc)
            case file_signatures.AVIF:
                return Colours(icc=icc, codes=isobmff.still(data).nclx, codes_are_vague=True)
            case file_signatures.JPEG_2000:
                return Colours(icc=isobmff.jp2_profile(data))
            case file_signatures.TIFF:
                return Colours(icc=icc, primaries=_tiff_primaries(image))
        return Colours(icc=icc)

    def _resolution(self) -> Resolution | None:
        """Return the resolution that the format itself states; a TIFF's is in the same fields as EXIF's."""
        match self.format:
            case file_signatures.JPEG:
                return resolution.of_jpeg(self._opened.image.info)
            case file_signatures.PNG:
                return resolution.of_png(png.before_picture(self._opened.data).get(b"pHYs", b""))
            case file_signatures.TIFF:
                return None
        said = self._opened.image.info.get("dpi")
        return resolution.sound(float(said[0]), float(said[1])) if said else None

    def _refuse_unfinished(self) -> None:
        """Refuse incomplete files that the decoders would accept."""
        data = self._opened.data
        match self.format:
            case file_signatures.JPEG:
                refuse_unfinished(data)
            case file_signatures.PNG:
                png.refuse_damaged_png(data)
            case file_signatures.WEBP:
                refuse_unfinished_webp(data, self._opened.image.width * self._opened.image.height)
            case file_signatures.AVIF:
                isobmff.refuse_holes(data)


def _pages(image: ImageFile.ImageFile) -> Iterator[str]:
    if isinstance(image, MpoImagePlugin.MpoImageFile):
        return  # its other pictures are previews, or the view of the second eye
    if getattr(image, "is_animated", False):
        yield SEVERAL


def _turned_by_pillow(image: ImageFile.ImageFile) -> int:
    """Return the orientation of a TIFF, which Pillow applies and removes when it decodes."""
    found = image.tag_v2.get(ORIENTATION, 1) if isinstance(image, TiffImagePlugin.TiffImageFile) else 1
    return found if found in range(1, 9) else 1


def _with_texts(exif: bytes, image: TiffImagePlugin.TiffImageFile) -> bytes:
    """Return EXIF with the raw texts of a TIFF: Pillow writes ASCII only, with a question mark for any other character."""
    texts = {tag: image.tag_v2.get(tag) for tag in (DESCRIPTION, ARTIST, COPYRIGHT)}
    fields = [
        IfdEntry(tag=tag, kind=ASCII, count=len(text) + 1, value=text.encode("latin-1", "replace") + b"\x00")
        for tag, text in texts.items()
        if isinstance(text, str) and not text.isascii()  # Pillow reads bytes as Latin-1
    ]
    if not fields:
        return exif
    block = ExifBlock(exif)
    block.put(*fields)
    return bytes(block)


def _tiff_primaries(image: ImageFile.ImageFile) -> Chromaticities | None:
    """Return primaries and white point of a TIFF; None unless both are there."""
    assert isinstance(image, TiffImagePlugin.TiffImageFile)  # noqa: S101 -- Pillow's class of every TIFF
    try:
        red_x, red_y, green_x, green_y, blue_x, blue_y = map(float, image.tag_v2.get(PRIMARIES, ()))
        white_x, white_y = map(float, image.tag_v2.get(WHITE_POINT, ()))
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (red_x, red_y), (green_x, green_y), (blue_x, blue_y), (white_x, white_y)


def _exif(image: ImageFile.ImageFile, notes: list[str]) -> bytes | None:
    """Return EXIF without its prefix; malformed EXIF never fails the picture."""
    try:
        return _stored_exif(image).removeprefix(PREFIX) or None
    except Exception:  # noqa: BLE001 -- Pillow's parser raises a dozen kinds
        notes.append("its EXIF data is damaged and was dropped")
        return None


def _stored_exif(image: ImageFile.ImageFile) -> bytes:
    """Return EXIF as the format stores it; empty where there is none."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        found = image.getexif()
        for tag in set(found) - _DESCRIPTIVE:
            del found[tag]  # the rest describes how this file stores its pixels
        return _with_texts(found.tobytes(), image) if found else b""
    stored: bytes = image.info.get("exif", b"")
    if not stored and _RAW_EXIF in image.info:
        return bytes.fromhex("".join(str(image.info[_RAW_EXIF]).split("\n")[3:]))
    return stored


def _iptc(image: ImageFile.ImageFile, data: bytes) -> bytes | None:
    """Return the IIM that JPEG, TIFF and PNG store; None where there is none."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        with suppress(MalformedError):
            block = TiffStructure(data)
            return block.value(IPTC) or iim.in_resources(block.value(PHOTOSHOP) or b"")
        return None
    resources = image.info.get("photoshop")
    if isinstance(resources, dict):
        said = resources.get(iim.IIM_RESOURCE)
        return said if isinstance(said, bytes) else None
    if _RAW_IPTC in image.info:
        with suppress(ValueError):
            return iim.in_resources(bytes.fromhex("".join(str(image.info[_RAW_IPTC]).split("\n")[3:])))
    return None


def _xmp(image: ImageFile.ImageFile) -> bytes | None:
    found = (
        image.tag_v2.get(XMP) if isinstance(image, TiffImagePlugin.TiffImageFile) else image.info.get("xmp")
    )
    if isinstance(found, str):
        found = found.encode("utf-8", "surrogateescape")
    return found if isinstance(found, bytes) else None


def refuse_unfinished_webp(data: bytes, pixels: int) -> None:
    """Refuse a WebP whose picture data is zeros for a large part.

    Args:
        data: the whole file.
        pixels: how many the picture has.

    Raises:
        PictureError: the file is incomplete.
    """
    hole = bytes(max(_FEW, pixels // _PIXELS_A_ZERO))
    for begin, end in _webp_pictures(data):
        if data.find(hole, begin, end) >= 0:
            raise PictureError("a part of its picture data is zeros: it was not written whole, or is damaged")


def _webp_pictures(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the positions of a WebP's coded pictures."""
    at = _RIFF_HEAD_BYTES
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, at)
        if kind in (b"VP8 ", b"VP8L", b"ANMF"):
            yield at + 8, at + 8 + size
        at += 8 + size + size % 2
