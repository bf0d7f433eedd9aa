"""The detail of a job's row, beside its columns, parsed in one place; its contents depend on the state.

    queued, working, uploading    `cutoutd.offload.routing.RoutePlan`
    publishing                    `cutoutd.delivery.steps.ResultFacts`, beside the plan
    retry, failed                 `failure_in`
    the others                    `JobResult`

People edit journals, and earlier versions stored less: a value of an unexpected type counts as missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from cutoutd.errors import FailureCode
from cutoutd.jobs import Failure, JobState, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.jobs import Job

HOSTED: Final = "hosted"
"""Key of the detail of a result whose matte a hosted service made."""

OWN_RESULT: Final = "own_result"
"""Key of the detail of a skipped picture that is a result itself."""

OWN_RESULT_DETAIL: Final[Mapping[str, Any]] = {
    "why": "it is a cutout that cutoutd made; `cutoutd retry` has it cut all the same",
    OWN_RESULT: True,
}

_BEFORE: Final = "before"
"""Key of the detail of a job that carries out a correction: the size of the picture, which a further stroke is checked against."""

_TOO_LARGE = 1e18  # for a number that means anything here; a number in JSON may have any number of digits


@dataclass(frozen=True, kw_only=True, slots=True)
class JobResult:
    """The result of a job.

    Attributes:
        why: why it is doubtful, held back, skipped or gone, in words.
        outputs: paths of its results.
        warnings: warnings, in words.
        doubtful: whether its cutout is published and may be wrong.
        score: calibrated probability that its cutout is right.
        incomplete: whether not every rendition was published.
        model: name of the model that cut it.
        seconds: time that the work took.
        decision: a person's decision that is not carried out yet, a `cutoutd.journal.commands.ReviewDecision`; empty: none.
        refused: why a decision could not be carried out.
        corrected: number of the correction that was applied; 0: none.
        accepted: whether it was held back and a person accepted it.
        reasons: what to look for, in words; for a result of an earlier version, the reasons of its doubt.
        width, height: size of the picture as seen, in pixels; None: not known.
    """

    why: str
    outputs: tuple[str, ...]
    warnings: tuple[str, ...]
    doubtful: bool
    score: float | None
    incomplete: bool
    model: str
    seconds: float | None
    decision: str
    refused: str
    corrected: int = 0
    accepted: bool = False
    reasons: tuple[str, ...]
    width: int | None
    height: int | None

    @classmethod
    def of(cls, job: Job) -> Self:
        """Return the result in a job's detail; missing values are empty."""
        detail = job.detail
        before = detail.get(_BEFORE)
        size = before if isinstance(before, dict) else detail
        return cls(
            why=_text(detail.get("why")),
            outputs=_texts(detail.get("outputs")),
            warnings=_texts(detail.get("warnings")),
            doubtful=bool(detail.get("doubtful")),
            score=_number(detail.get("score")),
            incomplete=bool(detail.get("skipped")),
            model=_text(detail.get("model")),
            seconds=_number(detail.get("seconds")),
            decision=_text(detail.get("decision")),
            refused=_text(detail.get("refused")),
            corrected=int(_number(detail.get("corrected")) or 0),
            accepted=detail.get("accepted") is True,
            reasons=_reasons(detail),
            width=_pixels(size.get("width")),
            height=_pixels(size.get("height")),
        )


def _reasons(detail: Mapping[str, Any]) -> tuple[str, ...]:
    found = _texts(detail.get("reasons"))
    return found or tuple(reason for reason in Reason if reason in _text(detail.get("why")).split("; "))


def failure_in(job: Job) -> Failure | None:
    """Return the failure in a job's detail; None if there is none."""
    fields = job.detail.get("failure")
    if not isinstance(fields, dict):
        return None
    code = fields.get("code")
    return Failure(
        code=FailureCode(code) if isinstance(code, str) and code in set(FailureCode) else FailureCode.OTHER,
        title=_text(fields.get("title")),
        cause=_text(fields.get("cause")),
        advice=_text(fields.get("advice")),
        permanent=bool(fields.get("permanent", True)),
        delay_s=_number(fields.get("delay_s")) or 0.0,
    )


def is_rejected(job: Job) -> bool:
    """Whether a person has rejected a job's cutout."""
    failure = failure_in(job)
    return job.state is JobState.FAILED and failure is not None and failure.code is FailureCode.REJECTED


def cause_in(job: Job) -> str:
    """Return the cause of a job's failure, in words; empty if there is none."""
    failure = failure_in(job)
    return "" if failure is None else failure.cause


def _text(value: Any) -> str:  # noqa: ANN401 -- whatever JSON has
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> tuple[str, ...]:  # noqa: ANN401 -- whatever JSON has
    return tuple(map(str, value)) if isinstance(value, list) else ()


def _pixels(value: Any) -> int | None:  # noqa: ANN401 -- whatever JSON has
    number = _number(value)
    return int(number) if number is not None and number > 0 else None


def _number(value: Any) -> float | None:  # noqa: ANN401 -- whatever JSON has
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < _TOO_LARGE else None


def with_size_of(job: Job) -> dict[str, Any]:
    """Return what the detail of a job that carries out a correction keeps of its result."""
    result = JobResult.of(job)
    return (
        {_BEFORE: {"width": result.width, "height": result.height}} if result.width and result.height else {}
    )
