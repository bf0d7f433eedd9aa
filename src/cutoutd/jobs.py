"""The nouns of the work: a source's version, the job it becomes, the task a worker gets, the report it gives.

Values only: this module must not touch files, clocks, databases or processes. Paths are text as
``os.fsdecode`` gives it, so that a name that is not UTF-8 survives (PEP 383); they become bytes again
at the journal's edge and lossy text in JSON for people.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class JobState(StrEnum):
    """Where one version of a source stands."""

    QUEUED = "queued"  # accepted, waits for a worker
    WORKING = "working"  # a worker has it
    UPLOADING = "uploading"  # its copy is in the outbox, or on its way to the hosted service
    PUBLISHING = "publishing"  # its results are staged, the plan is written down, names are being given
    DONE = "done"  # its results have their names
    RETRY = "retry"  # a passing fault; waits for its time
    UNKNOWN = (
        "unknown"  # uploaded, but no answer came: it may have been billed, so only a person sends it again
    )
    FAILED = "failed"  # will not be tried again by itself
    REVIEW = "review"  # cut, but doubtful: its results lie in review/
    GONE = "gone"  # removed, or replaced by a newer version, before its turn
    PARKED = "parked"  # its folder was taken out of the configuration
    UNCHANGED = "unchanged"  # the same bytes as what is published for it already
    SKIPPED = "skipped"  # was there before a first start with existing = "skip", or another recording of its shot is cut


OPEN = frozenset({JobState.QUEUED, JobState.WORKING, JobState.UPLOADING, JobState.PUBLISHING, JobState.RETRY})
"""What is still to be done."""


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
class Version:
    """One version of a source: what intake accepts and the journal keeps one row for.

    Attributes:
        path: relative to the folder's input, with ``/`` between parts.
        size: bytes.
        mtime_ns: modification time as the file system gives it.
        provisional: the stat was too close to a coarse modification time to tell a later write apart.
        stamp: of inode and time of the last change of any kind; None where these are not stable.
    """

    path: str
    size: int
    mtime_ns: int
    provisional: bool = False
    stamp: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where a picture lay before.

    Attributes:
        path: relative to the folder's input.
        generation: of the source.
        review: its result is doubtful.
    """

    path: str
    generation: int
    review: bool = False


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

    @property
    def is_deep(self) -> bool:
        """Whether it has 16 bits a channel."""
        return self.bits == 16  # noqa: PLR2004 -- the other is 8

    @property
    def is_transparent(self) -> bool:
        """Whether its pixels have an alpha."""
        return self.channels is Channels.RGBA and self.colour is None and self.picture is None


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """All that decides what a cutout looks like, apart from the picture and the model."""

    renditions: tuple[Rendition, ...]
    refine: bool
    decontaminate: bool
    metadata: Metadata
    review_below: float
    derived_from: bool = False  # results name the source's SHA-256

    @property
    def backgrounds(self) -> tuple[str, ...]:
        """Absolute paths of the pictures that its renditions show behind the subject; each once."""
        return tuple(dict.fromkeys(one.picture for one in self.renditions if one.picture is not None))


@dataclass(frozen=True, kw_only=True, slots=True)
class Export:
    """That a task is to make the copy of a picture that is uploaded, and no cutout.

    Attributes:
        file: absolute path it goes to; for messages, since a worker gets it opened.
        max_side: pixels of the copy's longer side; a larger picture is reduced.
        max_pixels, max_bytes: of the copy.
    """

    file: str
    max_side: int
    max_pixels: int
    max_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Received:
    """That a task's matte comes from a hosted service, and not from the model.

    Attributes:
        file: absolute path of the reply's raw body; for messages, since a worker gets it opened.
        body: what it should be, as in `cutoutd.egress.Body`.
        width, height: of the copy that was uploaded, pixels.
    """

    file: str
    body: str
    width: int
    height: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One job as a worker gets it.

    Attributes:
        job: the journal's id, and the first part of every staged name.
        source: absolute path of the picture; for messages, since a worker gets it opened.
        size, mtime_ns: what the accepted version looked like.
        staging: absolute path of the job's own directory, which its results are staged in; likewise.
        published_sha256: of the version published now, or None; the same bytes are not cut again.
        published_image_sha256: of its data apart from metadata, or None; the same picture is not cut again.
        alone: no other worker is busy, so the memory of all is there for it.
        tagged: its folder may be uploaded from, and has workers of its own for that.
        model: name of one that its workers have; empty: the first of them.
        moved_sha256s: of pictures that lay elsewhere and that this one may be; one that is, is not cut.
        asks_sha256: there may be more of these than were given: which bytes it has is to be said instead of cutting it.
        export, received: it concerns a hosted route; at most one of them is given.
    """

    job: int
    source: str
    size: int
    mtime_ns: int
    staging: str
    published_sha256: str | None
    recipe: Recipe
    alone: bool = False
    tagged: bool = False
    model: str = ""
    export: Export | None = None
    received: Received | None = None
    moved_sha256s: tuple[str, ...] = ()
    asks_sha256: bool = False
    published_image_sha256: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Staged:
    """A result that lies, whole and synced, in the staging directory."""

    name: str
    rendition: int  # index into the recipe's renditions; -1 for the overlay of a doubtful result
    bytes: int
    sha256: str
    width: int
    height: int
    format: Format
    background_sha256: str | None = None  # of the background picture's file that it shows
    quality: int | None = None  # that was chosen to keep the file small enough


def largest_result_bytes(pixels: int) -> int:
    """No result of so many pixels has more bytes, in any format and whatever it shows.

    Four channels of 16 bits that do not compress at all, a quarter for what PNG adds to each row of a picture one pixel
    wide, and 64 MiB for profile and metadata.
    """
    return pixels * 10 + (64 << 20)


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """A result under its name.

    Attributes:
        rendition: as in `Staged`.
        path: in the folder's output, with ``/`` between parts.
        sha256: hex.
        review: it lies there as a doubtful result.
    """

    rendition: int
    path: str
    sha256: str
    review: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFacts:
    """What the worker learned about the picture; the size is as seen, that is after its orientation."""

    bytes: int
    sha256: str
    width: int
    height: int
    format: str
    orientation: int  # EXIF, 1 to 8
    image_sha256: str | None = None  # of the picture's data apart from its metadata


@dataclass(frozen=True, kw_only=True, slots=True)
class Quality:
    """How good the cutout probably is: 0 (no subject) to 1, and why it is not 1."""

    score: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """The worker's report of a finished cutout."""

    source: SourceFacts
    staged: tuple[Staged, ...]
    quality: Quality
    review: bool
    timings_ms: dict[str, float]
    warnings: tuple[str, ...]
    dropped: tuple[str, ...] = ()  # names of metadata that was left out
    doubts: tuple[str, ...] = ()  # why it is doubtful whatever its score, as it breaks a limit that was set


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """The copy to upload lies where it was wanted, whole and synced."""

    source: SourceFacts
    bytes: int
    sha256: str
    width: int
    height: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Unchanged:
    """The picture is that of the version that is published already.

    Attributes:
        sha256: of its bytes.
        image_sha256: of its data apart from metadata, where the bytes are others; else None.
    """

    sha256: str
    image_sha256: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Moved:
    """The bytes are those of a source that lay elsewhere; or may be, where the task asks which they are."""

    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class NeedsRoom:
    """The picture is so large that it should run while no other does."""

    pixels: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why a job could not be done, in the words of the error tree.

    Attributes:
        code: stable name of the kind of error, such as ``Picture``.
        title, cause, advice: for the user.
        permanent: trying the same bytes again cannot help.
        delay_s: how long a passing fault should rest.
    """

    code: str
    title: str
    cause: str
    advice: str
    permanent: bool
    delay_s: float = 0.0


Report = Cut | Exported | Unchanged | Moved | NeedsRoom | Failure


def answers(task: Task, report: Report) -> bool:
    """Whether a report is of a kind that its task can come to; any other is a lie of its worker's."""
    if isinstance(report, Moved):
        return task.asks_sha256 or report.sha256 in task.moved_sha256s
    return isinstance(report, Unchanged | NeedsRoom | Failure | (Cut if task.export is None else Exported))


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A journal row: one version of a source on its way.

    Attributes:
        generation: of the source, among those that had its path one after the other.
        forced: a person asked for it, so it is cut even if its bytes are known.
        attempts: times a worker died over it while the supervisor lived.
        interrupted: times the supervisor itself died while it was in work.
        tries: passing faults so far, for the back-off.
        accepted_us, not_before_us, finished_us: UTC microseconds.
        detail: what the state needs remembered (the failure, the outputs), as it goes to JSON.
    """

    id: int
    folder: str
    path: str
    size: int
    mtime_ns: int
    state: JobState
    forced: bool
    attempts: int
    interrupted: int
    tries: int
    alone: bool
    accepted_us: int
    not_before_us: int
    finished_us: int | None
    sha256: str | None
    generation: int = 0
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def version(self) -> Version:
        """The version of the source this job is about."""
        return Version(path=self.path, size=self.size, mtime_ns=self.mtime_ns)
