"""What a job's row remembers besides its columns, read in one place; what it is about depends on the state.

    queued, working, uploading    `cutoutd.offload.routing.RoutePlan`
    publishing                    `cutoutd.delivery.steps.ResultFacts`, beside the plan
    retry, failed                 `failure_in`
    the others                    `JobResult`

People edit journals, and earlier versions wrote less: a value of another kind than expected counts as missing.
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
"""In the detail of a result whose matte is a hosted service's."""

_TOO_LARGE = 1e18  # for a number that means anything here; JSON's may have any number of digits


@dataclass(frozen=True, kw_only=True, slots=True)
class JobResult:
    """What came of a job.

    Attributes:
        why: it is doubtful, held back, skipped or gone, in words.
        outputs: paths of its results.
        warnings: in words.
        doubtful: its cutout is published and may well be wrong.
        score: the calibrated probability that its cutout is right.
        incomplete: not every rendition was published.
        model: that cut it.
        seconds: that work took.
        decision: of a person's, not carried out yet: a `cutoutd.journal.commands.ReviewDecision`.
        refused: why a decision could not be carried out.
        corrected: number of the correction that it was cut by; 0: none.
        accepted: it was held back, and a person accepted it.
        reasons: what to look for, in words; of a result that an earlier version wrote down, those of its doubt.
        width, height: of the picture as seen, pixels; None where that is not known.
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
        """As far as a job has one."""
        detail = job.detail
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
            width=_pixels(detail.get("width")),
            height=_pixels(detail.get("height")),
        )


def _reasons(detail: Mapping[str, Any]) -> tuple[str, ...]:
    found = _texts(detail.get("reasons"))
    return found or tuple(reason for reason in Reason if reason in _text(detail.get("why")).split("; "))


def failure_in(job: Job) -> Failure | None:
    """Why a job could not be done; None if its row tells of no failure."""
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
    """Why a job could not be done, in words; empty if its row tells of no failure."""
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
