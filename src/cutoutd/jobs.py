"""Values of the work: a source's version, the job it becomes, the task a worker gets, the report it gives.

Values only: this module must not touch files, clocks, databases or processes. Paths are text as
``os.fsdecode`` gives it, so that a name that is not UTF-8 survives (PEP 383); they become bytes again
at the journal's edge and lossy text in JSON for people.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from cutoutd.corrections import Corrected, Correction  # noqa: TC001 -- likewise
from cutoutd.errors import FailureCode  # noqa: TC001 -- likewise
from cutoutd.recipe import Format, Recipe  # noqa: TC001 -- the channel to a worker reads the annotations


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
    REVIEW = "review"  # cut, and held back: its results lie in review/
    GONE = "gone"  # removed, or replaced by a newer version, before its turn
    PARKED = "parked"  # its folder was taken out of the configuration
    UNCHANGED = "unchanged"  # the same bytes as what is published for it already
    SKIPPED = "skipped"  # was there before a first start with existing = "skip", or another recording of its shot is cut


IN_HAND = frozenset({JobState.WORKING, JobState.PUBLISHING})
"""A session of the daemon has it in hand."""

ACTIVE = IN_HAND | {JobState.UPLOADING}
"""It is begun and not over: a later version of its source waits for it."""

WAITING = frozenset({JobState.QUEUED, JobState.RETRY})
"""For its turn, or for another try."""

OPEN = ACTIVE | WAITING
"""What is still to be done."""

RESUMED = OPEN | {JobState.PARKED}
"""What the next start goes on with."""

UNFINISHED = RESUMED | {JobState.UNKNOWN}
"""What is not over, or not known to be."""

CUT = frozenset({JobState.DONE, JobState.REVIEW})
"""It ended with a cutout."""

RELEASED = frozenset({JobState.DONE, JobState.UNCHANGED})
"""Its results have their own names, by this job or by one before it."""

HAS_RESULT = CUT | RELEASED
"""It ended, and there are results of it."""

TOLD = CUT | {JobState.FAILED, JobState.UNKNOWN}
"""It ended with something that a webhook is told."""

WITHOUT_RESULT = frozenset({JobState.REVIEW, JobState.FAILED})
"""It ended, and nothing has its own name; entries in review/ or failed/ tell of it."""


class Wanted(StrEnum):
    """What a person wants a job to come to, whatever its score."""

    PUBLISHED = "published"
    HELD = "held"  # in review; what is published for an earlier version stays
    RECALLED = "recalled"  # in review, and what is published goes back there


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
        body: what it should be, as in `cutoutd.exchange.spool.Body`.
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
        put_away_sha256: of the picture that was cut before, whose original may have been moved to the folder for originals.
        export, received: it concerns a hosted route; at most one of them is given.
        held: a person wants it held back for review, or published; None: its score says.
        correction: what a person drew over its cutout; it is followed only if the picture has the bytes it is about.
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
    put_away_sha256: str | None = None
    held: bool | None = None
    correction: Correction | None = None


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
    subject: tuple[int, int, int, int] | None = None  # where it is in it: left, top, width and height, pixels


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


class Reason(StrEnum):
    """What to look for in a cutout; a rendition's own limits give reasons in other words."""

    NO_SUBJECT = "no subject"  # nothing in the picture stands out
    MISSING = "a part may be missing"  # another pass saw more
    KEPT = "background kept between parts"  # another pass saw less
    EQUALS = "two things of equal weight"  # more than one thing stands out; they may not belong together
    VEIL = "see-through or smoke"  # much of it is neither subject nor background
    PAGE = "a page or a wall"  # a block that fills the picture: perhaps nothing is to be cut out
    UNSURE = "not sure in places"  # less is decided than usual, and nothing above explains it
    TOUCHING_BORDER = "cut off by the frame"  # part of the subject may lie outside the picture
    SMALL = "subject very small"  # the matte is coarser than usual, compared with the subject


@dataclass(frozen=True, kw_only=True, slots=True)
class Quality:
    """How good the cutout probably is: 0 (no subject) to 1, and why it is not 1."""

    score: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SecondOpinion:
    """What a second model's look at a doubtful picture came to.

    Attributes:
        taken: its matte was taken, and not the first one's.
        score: of the first model's matte, for which it was asked.
        why: in words.
    """

    taken: bool
    score: float
    why: str


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
    second: SecondOpinion | None = None  # of another model, where that was asked
    corrected: Corrected | None = None  # as a person drew


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
        code: the kind of error.
        title, cause, advice: for the user.
        permanent: trying the same bytes again cannot help.
        delay_s: how long a passing fault should rest.
    """

    code: FailureCode
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
        wanted: what a person wants it to come to; None: its score says.
        model: that a person wants it cut by; empty: the folder's.
        options: what a request asked of it, as text; see `cutoutd.job_options`. Empty: nothing.
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
    wanted: Wanted | None = None
    model: str = ""
    options: str = ""
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def version(self) -> Version:
        """The version of the source this job is about."""
        return Version(path=self.path, size=self.size, mtime_ns=self.mtime_ns)
