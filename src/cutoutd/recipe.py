"""What a cutout looks like: its renditions, and the treatment of matte, colours and metadata. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Format(StrEnum):
    """File format of a rendition; alpha is straight."""

    PNG = "png"  # lossless
    WEBP = "webp"  # lossless, or smaller
    TIFF = "tiff"  # lossless, for professional programs
    AVIF = "avif"  # smallest
    JPEG = "jpeg"  # has no transparency

    @property
    def extension(self) -> str:
        """The usual file extension, without the dot."""
        return {Format.JPEG: "jpg", Format.TIFF: "tif"}.get(self, self.value)

    @classmethod
    def of_extension(cls, extension: str) -> Format | None:
        """Return the format with this extension, without the dot; None if there is none."""
        return next((one for one in cls if one.extension == extension.lower()), None)

    @property
    def max_side(self) -> int:
        """The largest width or height in pixels that the format, or its encoder, supports."""
        # VP8 bitstream, 14 bits; libjpeg's JPEG_MAX_DIMENSION; AV1 frame header, 16 bits; PNG and TIFF have 31 and 32.
        return {Format.WEBP: 16_383, Format.JPEG: 65_500, Format.AVIF: 65_535}.get(self, (1 << 31) - 1)

    @property
    def max_pixels(self) -> int | None:
        """The largest width times height that its encoder supports; None: limited by memory only."""
        # libaom takes 50 bytes per pixel, and crashes if it gets no more memory.
        return 40_000_000 if self is Format.AVIF else None


class Channels(StrEnum):
    """What a rendition contains."""

    RGBA = "rgba"  # the subject, with its transparency where there is no background
    ALPHA = "alpha"  # the matte alone, as greyscale


class Profile(StrEnum):
    """The treatment of the colour profile."""

    KEEP = "keep"  # the picture's own colours, with its profile
    SRGB = "srgb"  # converted, for programs that assume sRGB


class Metadata(StrEnum):
    """How much of a picture's metadata its cutout keeps; the colour profile is always kept."""

    KEEP = "keep"  # all of EXIF, IPTC and XMP
    NO_LOCATION = "no-location"  # EXIF without GPS, free text and maker notes; of IPTC and XMP only the rights and the date
    NONE = "none"  # none of them


@dataclass(frozen=True, kw_only=True, slots=True)
class Margin:
    """Room around a subject at the top, right, bottom and left: the sum of pixels and share.

    Attributes:
        px: room in pixels.
        share: room as a share of the subject's height (top, bottom) or width (right, left).
    """

    px: tuple[int, int, int, int] = (0, 0, 0, 0)
    share: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class RegionOfInterest:
    """A rectangle in a picture as seen, by its left, top, right and bottom edges: each the sum of pixels and share.

    Attributes:
        px: edges in pixels.
        share: edges as a share of the picture's width (left, right) or height (top, bottom).
    """

    px: tuple[int, int, int, int] = (0, 0, 0, 0)
    share: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    def box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Return left, top, right and bottom in pixels, clamped to a picture of this size, so it may be empty."""
        left, top, right, bottom = (
            min(max(0, round(px + share * side)), side)
            for px, share, side in zip(self.px, self.share, (width, height, width, height), strict=True)
        )
        return left, top, right, bottom


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendition:
    """One form in which a cutout is published; by default the picture's own pixels, with transparency.

    Attributes:
        format: the file format.
        suffix: text between the original's name and the extension.
        directory: sub-folder of the output, with ``/`` between parts; empty: the output itself.
        quality: 1 to 100; None: lossless, or the usual quality for formats that are always lossy.
        bits: bits per channel, 8 or 16.
        channels: the subject, or its matte alone.
        colour: background colour, sRGB; None: it has none.
        picture: absolute path of the background picture; None: it has none.
        crop: room around the subject to which it is cropped; None: as large as the picture.
        canvas: width and height in pixels; None: as large as its contents.
        scale: share of the canvas, or of the picture, that the subject takes; None: see `position`.
        position: share of the free room that is left of, and above, the contents, 0 to 1; None: as in the picture.
        shadow: darkness of a shadow on the ground, in per cent; 0: none.
        profile: treatment of the colour profile.
        dpi: resolution in the file's metadata, pixels per inch; None: the picture's.
        max_kb: upper bound of the file size, in kilobytes of 1000 bytes; None: any.
        min_quality: the lowest ``quality`` to which it is reduced to keep ``max_kb``.
        min_px, max_px: bounds of its longer side; None: any. A larger one is reduced, a smaller one is doubtful.
        max_enlargement: upper bound of the factor by which the picture is enlarged; None: any.
        max_pixels: upper bound of width times height; None: any. A larger one is reduced.
        is_picture_asked: whether the background picture is that of one request, so that only this fails if it cannot be used.
        is_opaque: whether it has the subject's colours without transparency, for a separate matte.
    """

    format: Format
    suffix: str
    directory: str = ""
    quality: int | None = None
    bits: int = 8
    channels: Channels = Channels.RGBA
    colour: tuple[int, int, int] | None = None
    picture: str | None = None
    crop: Margin | None = None
    canvas: tuple[int, int] | None = None
    scale: float | None = None
    position: tuple[float, float] | None = None
    shadow: int = 0
    profile: Profile = Profile.KEEP
    dpi: int | None = None
    max_kb: int | None = None
    min_quality: int = 60
    min_px: int | None = None
    max_px: int | None = None
    max_enlargement: float | None = None
    max_pixels: int | None = None
    is_picture_asked: bool = False
    is_opaque: bool = False

    @property
    def is_deep(self) -> bool:
        """Whether it has 16 bits per channel."""
        return self.bits == 16  # noqa: PLR2004 -- the other is 8

    @property
    def moves_alone(self) -> bool:
        """Whether the subject is moved within a frame of the picture's size, at its original size."""
        has_place = self.crop is None and self.canvas is None and self.scale is None
        return has_place and self.position is not None

    @property
    def is_laid_out(self) -> bool:
        """Whether the subject may lie elsewhere than in the picture, or be of another size in relation to the frame."""
        return not (
            self.crop is None and self.canvas is None and self.scale is None and self.position is None
        )

    @property
    def is_transparent(self) -> bool:
        """Whether its pixels have alpha."""
        is_clear = self.colour is None and self.picture is None
        return self.channels is Channels.RGBA and is_clear and not self.is_opaque


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """All that determines a cutout's look, apart from the picture and the model."""

    renditions: tuple[Rendition, ...]
    refine: bool
    decontaminate: bool
    metadata: Metadata
    review_below: float
    derived_from: bool = False  # results name the source's SHA-256
    second_below: float = 0.0  # score below which a second model is used, if there is one
    roi: RegionOfInterest | None = None  # what is outside is background
    is_solid: bool = False  # nothing inside the subject is see-through
    locates_subject: bool = False  # whether the subject's position in each result is reported

    @property
    def backgrounds(self) -> tuple[str, ...]:
        """Absolute paths of the background pictures of its renditions; each once."""
        return tuple(dict.fromkeys(one.picture for one in self.renditions if one.picture is not None))


def largest_result_bytes(pixels: int, *, source_bytes: int | None = None) -> int:
    """Return an upper bound of the bytes of a result with this many pixels, in any format and with any contents.

    Four channels of 16 bits that do not compress at all, a quarter for what PNG adds to each row of a picture one pixel wide, and
    64 MiB for profile and metadata; less for those of a small picture, in which they may have been compressed.

    Args:
        pixels: number of pixels of the result.
        source_bytes: size of the picture's file in bytes; None: any.
    """
    beside = 64 << 20
    if source_bytes is not None:
        beside = min(beside, (8 << 20) + 8 * source_bytes)
    return pixels * 10 + beside
