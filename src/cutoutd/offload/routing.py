"""Which way a job goes next: cut here, made ready for an upload, or put together from what came back.

Pure: it must not read a clock, a file or the journal. What was decided stands in the job's detail, and losing it
costs nothing but time: the uploader knows again what it has sent, and gives the same reply.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from cutoutd.exchange.spool import Body, UploadOutcome, UploadReply
from cutoutd.settings.types import Route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.settings.schema import Folder


class NextStep(Enum):
    """What a worker is to do."""

    CUT = auto()  # with the model on this machine
    EXPORT = auto()  # make the copy that is uploaded
    COMPOSE = auto()  # with the matte that came back


@dataclass(frozen=True, kw_only=True, slots=True)
class RoutePlan:
    """What is known about a job's way so far.

    Attributes:
        reply: what came back, once it is there.
        width, height: of the copy that it answers.
        why: the upload was, or is to be, made for.
        settled: why the local result must do after all; empty while that is open.
        egress: of an upload that led to nothing, as `egress_of` gives it.
        again: a person asked for it, though it may have been billed.
        stays: a person has corrected the local result, and gets no other one.
    """

    reply: UploadReply | None = None
    width: int = 0
    height: int = 0
    why: str = ""
    settled: str = ""
    egress: Mapping[str, Any] | None = None
    again: bool = False
    stays: bool = False

    @classmethod
    def of(cls, detail: Mapping[str, Any]) -> RoutePlan:
        """From a job's detail, which may be about something else."""
        found = detail.get("reply")
        reply = None
        if found is not None:
            body = Body(found["body"]) if found["body"] is not None else None
            reply = UploadReply(**found | {"outcome": UploadOutcome(found["outcome"]), "body": body})
        return cls(
            reply=reply,
            width=int(detail.get("width", 0)),
            height=int(detail.get("height", 0)),
            why=str(detail.get("why", "")),
            settled=str(detail.get("settled", "")),
            egress=detail.get("egress"),
            again=bool(detail.get("again", False)),
            stays=bool(detail.get("stays", False)),
        )

    def detail(self) -> dict[str, Any]:
        """As it stands in the journal: what says nothing is left out."""
        return {name: value for name, value in asdict(self).items() if value}

    def but(self, **changes: Any) -> RoutePlan:  # noqa: ANN401 -- fields of many types
        """The same with changes."""
        return replace(self, **changes)


@dataclass(frozen=True, kw_only=True, slots=True)
class OffloadState:
    """Whether pictures can be uploaded.

    Attributes:
        closed: why nothing can be uploaded just now; empty while it can.
        backlog_s: how long the folder's waiting pictures would take on this machine.
    """

    closed: str = ""
    backlog_s: float = 0.0


def next_step(folder: Folder, plan: RoutePlan, hosted: OffloadState) -> tuple[NextStep, RoutePlan]:
    """Decide, and say what the job's plan is then.

    Args:
        folder: its settings.
        plan: so far.
        hosted: whether pictures can be uploaded.
    """
    if folder.route is Route.LOCAL:
        return NextStep.CUT, RoutePlan(egress=plan.egress)
    if plan.reply is not None and plan.width and plan.height:
        return NextStep.COMPOSE, plan
    # Without the copy's size a reply cannot be checked: the copy is made again, and the uploader repeats its reply.
    plan = plan.but(reply=None)
    if folder.route is Route.HOSTED:
        return NextStep.EXPORT, plan.but(why=plan.why or 'the folder\'s route is "hosted"')
    return _local_first(folder, plan, hosted)


def _local_first(folder: Folder, plan: RoutePlan, hosted: OffloadState) -> tuple[NextStep, RoutePlan]:
    why = plan.why or _of_backlog(folder, hosted.backlog_s)
    if plan.again and not why:
        why = "a person asked for it again"
    if plan.settled or plan.stays or not why:
        return NextStep.CUT, plan
    if hosted.closed:
        return NextStep.CUT, plan.but(why=why, settled=hosted.closed)
    return NextStep.EXPORT, plan.but(why=why)


def escalation_reason(folder: Folder, plan: RoutePlan, score: float) -> str:
    """Why a cutout made here is to be made by the hosted service instead; empty: it is good enough, or the last word."""
    if folder.route is not Route.LOCAL_THEN_HOSTED or plan.settled or plan.stays or plan.reply is not None:
        return ""
    if score >= folder.escalate_below:
        return ""
    return f"its quality score here is {score:.2f}, under {folder.escalate_below:g}"


def of_correction(*, is_hosted: bool) -> RoutePlan:
    """How a picture goes whose cutout a person has corrected: as before, since what was drawn was drawn over that matte.

    Args:
        is_hosted: it was a hosted service's.
    """
    return (
        RoutePlan(why="a person has corrected the service's cutout") if is_hosted else RoutePlan(stays=True)
    )


def egress_of(reply: UploadReply, why: str) -> dict[str, Any] | None:
    """What a sidecar says of an upload; None if nothing left the machine for it."""
    if not reply.bytes and not reply.repeated:
        return None
    return {
        "provider": reply.provider,
        "host": reply.host,
        "bytes": reply.bytes,
        "sha256": reply.sha256,
        "at": reply.at,
        "credits": reply.credits,
        "why": why,
        "repeated": reply.repeated,
    }


def _of_backlog(folder: Folder, backlog_s: float) -> str:
    if folder.escalate_backlog_s <= 0 or backlog_s <= folder.escalate_backlog_s:
        return ""
    return f"the folder's waiting pictures would take {backlog_s:.0f} s here, more than {folder.escalate_backlog_s:g}"
