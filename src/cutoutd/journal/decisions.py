"""People's decisions about pictures, their outcome, and why one is refused."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cutoutd.errors import FailureCode, UsageError


class Decision(StrEnum):
    """What a person can decide about a picture."""

    ACCEPT = "accept"  # the cutout is right: it is published, or no longer doubtful
    REJECT = "reject"  # the cutout is wrong: it is removed, and the picture counts as failed
    UNDECIDED = "undecided"  # the decision is undone: the picture is held back or published, as it was before


class ConflictCode(StrEnum):
    """Why a decision about one picture is refused."""

    GONE = "gone"
    NEWER = "newer"
    CHANGED = "changed"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    BUSY = "busy"
    DECIDED_AGAIN = "decided_again"
    NO_CUTOUT = "no_cutout"


_TEXTS: Final = {
    ConflictCode.GONE: "The picture is not there any more.",
    ConflictCode.NEWER: "The picture was replaced by a newer version, which is shown on its own.",
    ConflictCode.CHANGED: "The cutout was replaced by another one since it was shown here. Look at it again.",
    ConflictCode.ACCEPTED: "Somebody has accepted it meanwhile.",
    ConflictCode.REJECTED: "Somebody has rejected it meanwhile.",
    ConflictCode.BUSY: "The picture is being cut just now. Decide when it is done.",
    ConflictCode.DECIDED_AGAIN: "It was decided about again afterwards, and stays as it is.",
    ConflictCode.NO_CUTOUT: "There is no cutout of it that waits for a decision.",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchItem:
    """One picture that a decision is about.

    Attributes:
        job: id of the job.
        seen: SHA-256 of the first result that was shown, hex.
        over: the decision that was shown and that this one replaces; empty: none.
    """

    job: int
    seen: str
    over: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Conflict:
    """A picture for which a decision was refused, and why."""

    job: int
    code: ConflictCode

    @property
    def text(self) -> str:
        """The reason, as a sentence for the person."""
        return _TEXTS[self.code]


@dataclass(frozen=True, kw_only=True, slots=True)
class Decided:
    """The outcome of a batch of decisions.

    Attributes:
        batch: number of the batch, by which it can be undone.
        done: number of pictures for which the decision was written.
        conflicts: pictures for which it was refused.
    """

    batch: int
    done: int
    conflicts: tuple[Conflict, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PastDecision:
    """A decision that was made about a picture.

    Attributes:
        batch: number of its batch.
        verb: the decision.
        at_us: when it was made, UTC microseconds.
        is_undone: whether it was undone.
    """

    batch: int
    verb: str
    at_us: int
    is_undone: bool


class UnknownBatchError(UsageError):
    """There is no batch of this number that can be undone."""

    code = FailureCode.USAGE
    title = "Nothing can be taken back"
    advice = "It was taken back already, or is too long ago."
