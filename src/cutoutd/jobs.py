"""Values of the work: a source's version, the job it becomes, the task a worker gets, the report it gives.

Values only: this module must not touch files, clocks, databases or processes. Paths are text as
``os.fsdecode`` gives it, so that a name that is not UTF-8 survives (PEP 383); they become bytes again
at the journal's edge and lossy text in JSON for people.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from cutoutd.corrections import Corrected, Correction  # noqa: TC001 -- likewise
from cutoutd.errors import FailureCode  # noqa: TC001 -- likewise
from cutoutd.folder_trouble import FolderTrouble  # noqa: TC001 -- likewise
from cutoutd.recipe import Format, Recipe  # noqa: TC001 -- the channel to a worker reads the annotations
from cutoutd.task_route import ClusterTask, Export, Received, RemoteFacts, Returned, WorkerKind

OVERLAY: Final = -1
"""In the place of a rendition's index: the picture that shows a doubtful matte over its source."""


class JobState(StrEnum):
    """The state of one version of a source."""

    QUEUED = "queued"  # accepted, waits for a worker
    WORKING = "working"  # a worker has it
    UPLOADING = "uploading"  # its copy is in the outbox, or on its way to the hosted service
    PUBLISHING = "publishing"  # its results are staged, the plan is recorded, the renames are being done
    DONE = "done"  # its results have their names
    RETRY = "retry"  # delayed after a temporary fault
    UNKNOWN = "unknown"  # uploaded without an answer: it may have been billed, so only a person repeats it
    FAILED = "failed"  # will not be tried again by itself
    REVIEW = "review"  # cut, and held back: its results are in review/
    GONE = "gone"  # removed, or replaced by a newer version, before its turn
    PARKED = "parked"  # its folder was taken out of the configuration
    UNCHANGED = "unchanged"  # the same bytes as what is published for it already
    SKIPPED = "skipped"  # was there before a first start with existing = "skip", or another recording of its shot is cut


IN_HAND = frozenset({JobState.WORKING, JobState.PUBLISHING})
"""States in which a session of the daemon has the job in work."""

ACTIVE = IN_HAND | {JobState.UPLOADING}
"""States of jobs that were begun and are not over: a later version of the source waits for them."""

WAITING = frozenset({JobState.QUEUED, JobState.RETRY})
"""States of jobs that wait, for their turn or for another try."""

OPEN = ACTIVE | WAITING
"""States of jobs that are still to be done."""

RESUMED = OPEN | {JobState.PARKED}
"""States of jobs that the next start continues with."""

UNFINISHED = RESUMED | {JobState.UNKNOWN}
"""States of jobs that are not over, or not known to be."""

CUT = frozenset({JobState.DONE, JobState.REVIEW})
"""States of jobs that ended with a cutout."""

RELEASED = frozenset({JobState.DONE, JobState.UNCHANGED})
"""States of jobs whose results have their own names, through this job or an earlier one."""

HAS_RESULT = CUT | RELEASED
"""States of jobs that ended with results."""

REPORTED = CUT | {JobState.FAILED, JobState.UNKNOWN}
"""States of jobs that ended, and of which webhooks are notified."""

WITHOUT_RESULT = frozenset({JobState.REVIEW, JobState.FAILED})
"""States of jobs that ended without a published result; they have entries in review/ or failed/."""


class Wanted(StrEnum):
    """A result that a person wants for a job, whatever its score."""

    PUBLISHED = "published"
    HELD = "held"  # in review; what is published for an earlier version stays
    RECALLED = "recalled"  # in review, and what is published goes back into review


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """One version of a source: intake accepts it, and the journal has one row for it.

    Attributes:
        path: relative to the folder's input, with ``/`` between parts.
        size: size in bytes.
        mtime_ns: modification time as the file system gives it, in ns.
        provisional: whether the modification time was too coarse and too recent to detect a later write.
        stamp: number computed from inode and change time; None: these are not stable.
    """

    path: str
    size: int
    mtime_ns: int
    provisional: bool = False
    stamp: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where a picture was before it was moved.

    Attributes:
        path: relative to the folder's input.
        generation: generation of the source.
        review: whether its result is doubtful.
    """

    path: str
    generation: int
    review: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """One job as a task for a worker.

    Attributes:
        job: id of the job, and the first part of every staged name.
        source: absolute path of the picture; for messages, since a worker gets the file opened.
        size, mtime_ns: size and modification time of the accepted version.
        staging: absolute path of the job's own staging directory; likewise.
        published_sha256: SHA-256 of the published version, or None; the same bytes are not cut again.
        published_image_sha256: SHA-256 of its data without metadata, or None; the same picture is not cut again.
        alone: whether no other worker is busy, so that all memory is available.
        tagged: whether its folder may be uploaded from, and so has workers of its own.
        model: name of a model that its workers have; empty: the first.
        moved_sha256s: SHA-256 of pictures that this one may be, moved from elsewhere; such a picture is not cut.
        asks_sha256: whether there may be more such pictures than were given: the worker then reports the SHA-256 and cuts nothing.
        put_away_sha256: SHA-256 of the picture that was cut before, whose original may be in the folder for originals.
        export, received: the hosted route's part; at most one of them is given.
        held: whether a person wants it held back for review, or published; None: its score decides.
        correction: what a person drew over its cutout; applied only if the picture has the bytes that it belongs to.
        cluster: another machine carries it out; None: this one does.
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
    cluster: ClusterTask | None = None

    @property
    def kind(self) -> WorkerKind:
        """Which workers it is for."""
        if self.cluster is not None:
            return WorkerKind.CLUSTER
        return WorkerKind.UPLOADED if self.tagged else WorkerKind.LOCAL

    def file_of(self, rendition: int) -> int:
        """Return the index of a rendition's file among those that the worker is given: the overlay's is the last."""
        return len(self.recipe.renditions) if rendition == OVERLAY else rendition


@dataclass(frozen=True, kw_only=True, slots=True)
class Staged:
    """A result in the staging directory, complete and synced."""

    name: str
    rendition: int  # index into the recipe's renditions, or `OVERLAY`
    bytes: int
    sha256: str
    width: int
    height: int
    format: Format
    background_sha256: str | None = None  # of the background picture's file that it shows
    quality: int | None = None  # chosen to keep the file small enough
    subject: tuple[int, int, int, int] | None = None  # left, top, width and height in it, in pixels
    frame: tuple[float, float, float, float] | None = None  # of the whole picture; None: it shows just that

    @property
    def is_overlay(self) -> bool:
        """Whether it is no rendition, but the overlay of a doubtful result."""
        return self.rendition == OVERLAY


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """A result under its name.

    Attributes:
        rendition: as in `Staged`.
        path: path in the folder's output, with ``/`` between parts.
        sha256: SHA-256 of the file, hex.
        review: whether it is in ``review/``, as a doubtful result.
    """

    rendition: int
    path: str
    sha256: str
    review: bool

    @property
    def is_overlay(self) -> bool:
        """Whether it is no rendition, but the overlay of a doubtful result."""
        return self.rendition == OVERLAY


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFacts:
    """What the worker found out about the picture; its size is as seen, that is, after applying the orientation."""

    bytes: int
    sha256: str
    width: int
    height: int
    format: str
    orientation: int  # EXIF, 1 to 8
    image_sha256: str | None = None  # of the picture's data apart from its metadata


class Reason(StrEnum):
    """What to look for in a cutout."""

    NO_SUBJECT = "no subject"  # nothing in the picture stands out
    MISSING = "a part may be missing"  # another pass saw more
    KEPT = "background kept between parts"  # another pass saw less
    EQUALS = "two things of equal weight"  # more than one thing stands out; they may not belong together
    VEIL = "half-transparent in places"  # glass or smoke, or the model is undecided there
    PAGE = "a page or a wall"  # a block that fills the picture: perhaps nothing is to be cut out
    UNSURE = "not sure in places"  # less is decided than usual, and nothing above explains it
    TOUCHING_BORDER = "cut off by the frame"  # part of the subject may lie outside the picture
    SMALL = "subject very small"  # the matte is coarser than usual, compared with the subject
    FEW_FOR_CANVAS = "the subject has too few pixels for this canvas"  # it takes less of it than asked for
    FEW_PIXELS = "the picture has fewer pixels than are wanted"  # a rendition's min_px


@dataclass(frozen=True, kw_only=True, slots=True)
class Quality:
    """How good the cutout probably is: a score from 0 (no subject) to 1, and the reasons why it is not 1."""

    score: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SecondOpinion:
    """The result of a second model for a doubtful picture.

    Attributes:
        taken: whether its matte was used instead of the first model's.
        score: score of the first model's matte, which is why it was used.
        why: the reason, in words.
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
    second: SecondOpinion | None = None  # of another model, if it was used
    corrected: Corrected | None = None  # if a correction was applied
    remote: RemoteFacts | None = None  # if another machine has cut it


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """The worker's report of a finished copy for upload, complete and synced."""

    source: SourceFacts
    bytes: int
    sha256: str
    width: int
    height: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Unchanged:
    """The worker's report that the picture is the published version.

    Attributes:
        sha256: SHA-256 of its bytes.
        image_sha256: SHA-256 of its data without metadata, if its bytes differ from the published ones; else None.
    """

    sha256: str
    image_sha256: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Moved:
    """The worker's report that the bytes are those of a source elsewhere, or, if the task asks for it, which bytes they are."""

    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class NeedsRoom:
    """The worker's report that the picture is so large that it should be cut while no other job runs."""

    pixels: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why a job failed, with the texts of the error for the user."""

    code: FailureCode
    title: str
    cause: str
    advice: str
    permanent: bool  # trying the same bytes again cannot help
    delay_s: float = 0.0  # how long to wait before another try
    trouble: FolderTrouble | None = None  # of the whole folder, if it has a code


Report = Cut | Exported | Unchanged | Moved | NeedsRoom | Failure | Returned


def answers(task: Task, report: Report) -> bool:
    """Whether a report is possible for its task; any other report is false."""
    if isinstance(report, Moved):
        return task.asks_sha256 or report.sha256 in task.moved_sha256s
    if isinstance(report, Returned):
        return task.cluster is not None
    return isinstance(report, Unchanged | NeedsRoom | Failure | (Cut if task.export is None else Exported))


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """A row of the journal: the job of one version of a source.

    Attributes:
        generation: generation of the source, among those that had its path one after the other.
        forced: whether a person asked for it, so that it is cut even if its bytes are known.
        attempts: number of workers that died over it while the supervisor lived.
        interrupted: number of times that the supervisor itself died while it was in work.
        tries: number of temporary faults so far, for the back-off.
        accepted_us, not_before_us, finished_us: times in UTC microseconds.
        wanted: the result that a person wants; None: its score decides.
        model: name of the model that a person wants; empty: the folder's.
        options: what a request asked of it, as text; see `cutoutd.job_options`. Empty: nothing.
        detail: what its state needs besides, such as the failure or the outputs, as JSON.
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
    def starts(self) -> int:
        """Number of times that it was started since it was accepted or a person asked for it, the present or last one included."""
        return self.attempts + self.interrupted + self.tries + 1

    @property
    def version(self) -> Version:
        """The version of the source that the job is about."""
        return Version(path=self.path, size=self.size, mtime_ns=self.mtime_ns)
