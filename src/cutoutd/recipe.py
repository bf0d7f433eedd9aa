"""What a cutout is to look like: its forms, and what is done to matte, colours and metadata. Values alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Format(StrEnum):
    """What a rendition can be written as; alpha straight."""

    PNG = "png"  # nothing lost
    WEBP = "webp"  # nothing lost, or smaller
    TIFF = "tiff"  # nothing lost, for programs of the trade
    AVIF = "avif"  # smallest
    JPEG = "jpeg"  # has no transparency

    @property
    def extension(self) -> str:
        """Of a file's name, without the dot: the common one."""
        return {Format.JPEG: "jpg", Format.TIFF: "tif"}.get(self, self.value)

    @classmethod
    def of_extension(cls, extension: str) -> Format | None:
        """The format whose files have this extension, without the dot; None if there is none."""
        return next((one for one in cls if one.extension == extension.lower()), None)

    @property
    def max_side(self) -> int:
        """Pixels of width or height that the format, or its encoder, can hold."""
        # VP8 bitstream, 14 bits; libjpeg's JPEG_MAX_DIMENSION; AV1 frame header, 16 bits; PNG and TIFF have 31 and 32.
        return {Format.WEBP: 16_383, Format.JPEG: 65_500, Format.AVIF: 65_535}.get(self, (1 << 31) - 1)

    @property
    def max_pixels(self) -> int | None:
        """Width times height that its encoder can be trusted with; None: whatever the memory holds."""
        # libaom takes 50 bytes a pixel, and crashes where it gets no more.
        return 40_000_000 if self is Format.AVIF else None


class Channels(StrEnum):
    """What a rendition shows."""

    RGBA = "rgba"  # the subject, with its transparency where there is no background
    ALPHA = "alpha"  # the matte alone, as grey


class Profile(StrEnum):
    """What becomes of the colour profile."""

    KEEP = "keep"  # the picture's own colours, with its profile
    SRGB = "srgb"  # converted, for programs that take every picture for sRGB


class Metadata(StrEnum):
    """How much of a picture's metadata its cutout keeps; the colour profile is always kept."""

    KEEP = "keep"  # all of EXIF, IPTC and XMP
    NO_LOCATION = "no-location"  # EXIF without GPS and maker notes; of IPTC and XMP the rights, and the date
    NONE = "none"  # none of them


@dataclass(frozen=True, kw_only=True, slots=True)
class Margin:
    """Room around a subject: at the top, right, bottom and left, the sum of both.

    Attributes:
        px: pixels.
        share: of the subject's height (top, bottom) or width (right, left).
    """

    px: tuple[int, int, int, int] = (0, 0, 0, 0)
    share: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class RegionOfInterest:
    """A rectangle of a picture as seen: its left, top, right and bottom edge, each the sum of both.

    Attributes:
        px: pixels.
        share: of the picture's width (left, right) or height (top, bottom).
    """

    px: tuple[int, int, int, int] = (0, 0, 0, 0)
    share: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    def box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Left, top, right and bottom in a picture, pixels; as far as it lies in that, so it may be empty."""
        left, top, right, bottom = (
            min(max(0, round(px + share * side)), side)
            for px, share, side in zip(self.px, self.share, (width, height, width, height), strict=True)
        )
        return left, top, right, bottom


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendition:
    """One form in which a cutout is published; by default the picture's own pixels, with transparency.

    Attributes:
        format: the kind of file.
        suffix: stands between the original's name and the extension.
        directory: sub-folder of the output, with ``/`` between parts; empty: the output itself.
        quality: 1 to 100; None: as good as the format can, or for those that always lose something, as is usual.
        bits: of a channel, 8 or 16.
        channels: the subject, or its matte alone.
        colour: of the background, sRGB; None: there is none of one colour.
        picture: absolute path of the background; None: it is no picture.
        crop: cut to the subject with this room around it; None: as large as the picture.
        canvas: width and height, pixels; None: as large as what is shown.
        scale: share of the canvas, or of the picture, that the subject takes; None: see `position`.
        position: how much of the free room lies left of, and above, what is shown, 0 to 1; None: where it was.
        shadow: how dark a shadow it casts on the ground, per cent; 0: none.
        profile: what becomes of the colour profile.
        dpi: pixels to an inch that it says it has; None: what the picture says.
        max_kb: of its file, in kilobytes of 1000 bytes; None: however large.
        min_quality: to which ``quality`` is lowered at most to keep ``max_kb``.
        min_px, max_px: of its longer side; None: any. A larger one is reduced, a smaller one is doubtful.
        max_enlargement: times that the picture is enlarged at most; None: however much.
        max_pixels: width times height at most; None: any. A larger one is reduced.
        is_picture_asked: the background picture is that of one request, so that only this fails where it cannot be used.
        is_opaque: the subject's colours without their transparency, for a matte that lies beside them.
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
        """Whether it has 16 bits a channel."""
        return self.bits == 16  # noqa: PLR2004 -- the other is 8

    @property
    def moves_alone(self) -> bool:
        """Whether the subject is moved in a frame of the picture's size, as large as it is."""
        has_place = self.crop is None and self.canvas is None and self.scale is None
        return has_place and self.position is not None

    @property
    def is_transparent(self) -> bool:
        """Whether its pixels have an alpha."""
        is_clear = self.colour is None and self.picture is None
        return self.channels is Channels.RGBA and is_clear and not self.is_opaque


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """All that decides what a cutout looks like, apart from the picture and the model."""

    renditions: tuple[Rendition, ...]
    refine: bool
    decontaminate: bool
    metadata: Metadata
    review_below: float
    derived_from: bool = False  # results name the source's SHA-256
    second_below: float = 0.0  # score below which a second model looks as well, where there is one
    roi: RegionOfInterest | None = None  # what lies outside is background
    is_solid: bool = False  # nothing inside the subject is see-through
    locates_subject: bool = False  # it is told where in each result the subject is

    @property
    def backgrounds(self) -> tuple[str, ...]:
        """Absolute paths of the pictures that its renditions show behind the subject; each once."""
        return tuple(dict.fromkeys(one.picture for one in self.renditions if one.picture is not None))


def largest_result_bytes(pixels: int, *, source_bytes: int | None = None) -> int:
    """No result of so many pixels has more bytes, in any format and whatever it shows.

    Four channels of 16 bits that do not compress at all, a quarter for what PNG adds to each row of a picture one pixel
    wide, and 64 MiB for profile and metadata; less for those of a small picture, which may have been compressed in it.

    Args:
        pixels: of the result.
        source_bytes: of the picture's file; None: it may be of any size.
    """
    beside = 64 << 20
    if source_bytes is not None:
        beside = min(beside, (8 << 20) + 8 * source_bytes)
    return pixels * 10 + beside
