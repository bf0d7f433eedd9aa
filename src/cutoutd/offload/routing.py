"""The next step of a job: cut here, copy for an upload, or compose from a reply.

Pure: it must not read a clock, a file or the journal. Decisions are kept in the job's detail. Losing them costs only time:
the uploader recognises what it has sent, and gives the same reply.
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
    """What a worker does next."""

    CUT = auto()  # with the model on this machine
    EXPORT = auto()  # make the copy that is uploaded
    COMPOSE = auto()  # with the matte that came back


@dataclass(frozen=True, kw_only=True, slots=True)
class RoutePlan:
    """State of a job on its route.

    Attributes:
        reply: reply of the service; None while there is none.
        width, height: size of the copy that was sent, pixels.
        why: reason for the upload.
        settled: why the local result is final; empty while that is open.
        egress: record of an upload that led to nothing, from `egress_of`.
        again: whether a person asked for the upload, though it may have been billed.
        stays: whether a person has corrected the local result, which is final then.
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
        """Read a plan from a job's detail, which may hold another kind of record."""
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
        """Return the plan for the journal, without empty values."""
        return {name: value for name, value in asdict(self).items() if value}

    def but(self, **changes: Any) -> RoutePlan:  # noqa: ANN401 -- fields of many types
        """Return the plan with changes."""
        return replace(self, **changes)


@dataclass(frozen=True, kw_only=True, slots=True)
class OffloadState:
    """Whether pictures can be uploaded.

    Attributes:
        closed: why nothing can be uploaded now; empty while it can.
        backlog_s: seconds that the waiting pictures of the folder would take on this machine.
    """

    closed: str = ""
    backlog_s: float = 0.0


def next_step(folder: Folder, plan: RoutePlan, hosted: OffloadState) -> tuple[NextStep, RoutePlan]:
    """Decide the next step. Returns it with the updated plan.

    Args:
        folder: settings of the folder.
        plan: plan so far.
        hosted: whether pictures can be uploaded.
    """
    if folder.route is Route.LOCAL:
        return NextStep.CUT, RoutePlan(egress=plan.egress)
    if folder.route.uses_cluster:
        return NextStep.CUT, RoutePlan(egress=plan.egress, settled=plan.settled)
    if plan.reply is not None and plan.width and plan.height:
        return NextStep.COMPOSE, plan
    # Without the size of the copy a reply cannot be checked: the copy is made again, and the uploader repeats its reply.
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
    """Return why the hosted service is to make a cutout again that was made here; empty if it is not."""
    if folder.route is not Route.LOCAL_THEN_HOSTED or plan.settled or plan.stays or plan.reply is not None:
        return ""
    if score >= folder.escalate_below:
        return ""
    return f"its quality score here is {score:.2f}, under {folder.escalate_below:g}"


def of_correction(*, is_hosted: bool) -> RoutePlan:
    """Return the plan of a picture whose cutout a person has corrected. It keeps its matte, since the strokes refer to it.

    Args:
        is_hosted: whether a hosted service made that matte.
    """
    return (
        RoutePlan(why="a person has corrected the service's cutout") if is_hosted else RoutePlan(stays=True)
    )


def egress_of(reply: UploadReply, why: str) -> dict[str, Any] | None:
    """Return the egress record of an upload for the sidecar; None if nothing left the machine for it."""
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
