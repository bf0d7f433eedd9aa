"""Publication as values: a step contains all it needs, so that any thread can take it, and take it again after a failure.

    DeliverResult ────▶ Done
    Deliver ──────┐
    DeliverMoved ─┼─▶ MakePlan ──▶ CarryOut ──▶ Commit ──▶ Done
    Decide ───────┘      ▲            │
                         └─ retry ────┼──▶ Abandon   another machine has the folder, or the names are refused
                                      └──▶ Repair    a staged result is gone; also after a crash

`cutoutd.delivery.publication` takes them. Values only: this module must not touch files or the journal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from cutoutd.publish.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.errors import CutoutdError
    from cutoutd.jobs import Cut, Job
    from cutoutd.publish.plan import Publication


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultFacts:
    """The facts of a result for the journal, besides its names.

    Attributes:
        sha256: SHA-256 of the source's bytes.
        image_sha256: SHA-256 of its data without metadata; None: not known.
        model: name of the model that made it.
        review: whether it is held back for a person.
        doubtful: why a published result is doubtful; empty: it is not, or a person has accepted it.
        why: why it is held back.
        score: probability that it is right; None: not known.
        seconds: a worker's time; 0: no worker has worked on it this time.
        warnings: the worker's warnings.
        reasons: what to look for in the result, whether or not it is doubtful.
        width, height: size of the picture as seen, in pixels; 0: not known.
        recalls: whether published results go back into review with it.
        corrected: number of the correction that was applied; 0: none.
        accepted: whether it was held back and a person accepted it.
        is_hosted: whether a hosted service made its matte.
    """

    sha256: str
    model: str
    review: bool
    image_sha256: str | None = None
    doubtful: str = ""
    why: str = ""
    score: float | None = None
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    width: int = 0
    height: int = 0
    recalls: bool = False
    corrected: int = 0
    accepted: bool = False
    is_hosted: bool = False

    @classmethod
    def of_job(cls, job: Job) -> Self:
        """Read the facts that ``to_detail`` has written."""
        return cls(
            sha256=job.sha256 or "",
            model=str(job.detail.get("model", "")),
            review=bool(job.detail["review"]),
            doubtful=str(job.detail.get("doubtful", "")),
            why=str(job.detail.get("held_back", "")),
            score=job.detail.get("score"),
            reasons=tuple(map(str, job.detail.get("reasons", ()))),
            width=int(job.detail.get("width", 0)),
            height=int(job.detail.get("height", 0)),
            recalls=bool(job.detail.get("recalls")),
            corrected=int(job.detail.get("corrected", 0)),
            accepted=bool(job.detail.get("accepted")),
            is_hosted=bool(job.detail.get("is_hosted")),
        )

    def to_detail(self) -> dict[str, Any]:
        """Return the facts for the row of a job whose plan is written."""
        names = (
            "review",
            "model",
            "image_sha256",
            "doubtful",
            "score",
            "reasons",
            "width",
            "height",
            "recalls",
            "corrected",
            "accepted",
            "is_hosted",
        )
        # Not as "why": if the job is queued again, the plan of its route would take that for a reason to upload it.
        return {name: getattr(self, name) for name in names} | {"held_back": self.why}

    @property
    def figures(self) -> Mapping[str, Any]:
        """The figures that the journal keeps of a cut: score, reasons, size, and the time it took."""
        known = {
            "score": self.score,
            "seconds": self.seconds or None,
            "reasons": list(self.reasons) or None,
            "width": self.width or None,
            "height": self.height or None,
        }
        return {name: value for name, value in known.items() if value is not None}


@dataclass(frozen=True, kw_only=True, slots=True)
class Deliver:
    """A worker has cut a picture.

    Attributes:
        directory: name of the job's own directory with the results; empty: they are in the session's directory.
    """

    job: Job
    cut: Cut
    directory: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliverUnchanged:
    """A worker found the source's bytes, or its data without metadata, to be published already."""

    job: Job
    sha256: str
    image_sha256: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliverMoved:
    """A worker found the source's bytes to be those of a source that vanished elsewhere."""

    job: Job
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliverResult:
    """A worker found the source's bytes to be those of a published result."""

    job: Job
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Decide:
    """A person has decided about a doubtful result."""

    job: Job


@dataclass(frozen=True, kw_only=True, slots=True)
class MakePlan:
    """A publication needs names, and its plan is to be written."""

    job: Job
    cut: Cut
    publication: Publication

    @property
    def is_fresh(self) -> bool:
        """Whether a worker made the results or found them to move along; else a person has accepted them."""
        return self.publication.document is None or self.publication.moved_from is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class CarryOut:
    """A plan is written, and its renames are to be done.

    Attributes:
        made_by: the step to take again if a name is taken meanwhile.
    """

    job: Job
    plan: Plan
    facts: ResultFacts
    made_by: MakePlan


@dataclass(frozen=True, kw_only=True, slots=True)
class Commit:
    """All results have their names, and the journal is to be updated."""

    job: Job
    plan: Plan
    facts: ResultFacts


@dataclass(frozen=True, kw_only=True, slots=True)
class Abandon:
    """A plan is to be abandoned: another machine has the folder, or the output refuses this picture's names alone."""

    job: Job
    plan: Plan
    error: CutoutdError


@dataclass(frozen=True, kw_only=True, slots=True)
class Repair:
    """A plan was begun, and a part of it is missing or unknown: it is to be finished or undone."""

    job: Job
    plan: Plan
    facts: ResultFacts

    @classmethod
    def of_job(cls, job: Job) -> Self:
        """Return the repair of a publication that an ended session had begun.

        Raises:
            ValueError: the journal's row has no plan.
        """
        return cls(job=job, plan=Plan.from_json(job.detail["plan"]), facts=ResultFacts.of_job(job))


Step = (
    Deliver
    | DeliverUnchanged
    | DeliverMoved
    | DeliverResult
    | Decide
    | MakePlan
    | CarryOut
    | Commit
    | Abandon
    | Repair
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Retry:
    """A step is to be taken again.

    Attributes:
        delay_s: delay in seconds; 0: after the queued tasks.
    """

    step: Step
    delay_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """Nothing is left to do about the job here."""
