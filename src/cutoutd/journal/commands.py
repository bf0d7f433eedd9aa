"""What people ask of the daemon, as rows: so it works with the daemon up or down.

It carries nothing out; the daemon does, when the file's ``data_version`` says that someone wrote. A decision about a
doubtful result stands in the job's own row until it is carried out, which stays in review so long: it survives a crash.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from cutoutd.journal.fix_request import FixRequest, FixRequestError
from cutoutd.journal.queue import job_from_row
from cutoutd.journal.store import SQL

if TYPE_CHECKING:
    from cutoutd.clock import Clock
    from cutoutd.jobs import Job
    from cutoutd.journal.store import Store

PAUSED: Final = "paused"

REBUILT: Final = "rebuilt"
"""The fact that the journal had to be rebuilt; see `cutoutd.journal.rebuild`. A person's `resume` ends it."""


KEPT_REFUSALS: Final = 100
"""So many requests that could not be carried out stay in the journal."""


class Verb(StrEnum):
    """What can be asked."""

    RETRY = "retry"  # argument: a job's id, "ID model=NAME", "failed", or "model:NAME"
    PAUSE = "pause"  # no new work is begun
    RESUME = "resume"
    ACCEPT = "accept"  # argument: the id of a job in review
    REJECT = "reject"  # argument: likewise
    RELOAD = "reload"  # the configuration is read anew, as SIGHUP asks a service
    HOLD = "hold"  # argument: the id of a job; whatever was decided, it is back in review and undecided
    DOUBT = "doubt"  # argument: the id of a published job, which was accepted by mistake: it may be wrong
    SUBMIT = "submit"  # argument: the key of a `cutoutd.journal.submissions.Submission`
    FIX = "fix"  # argument: a `cutoutd.journal.fix_request.FixRequest`


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """One request.

    Attributes:
        verb: one of `Verb`, unless another version of the program posted it.
        seen: SHA-256 of the result that it is about; None: it may be any.
    """

    id: int
    verb: str
    argument: str
    seen: str | None = None

    @property
    def shown(self) -> str:
        """What it is about, in short, for the log."""
        if self.verb != Verb.FIX:
            return self.argument
        try:
            request = FixRequest.of_argument(self.argument)
        except FixRequestError:
            return ""
        return f"{request.job} {request.action}"


class Commands:
    """The requests in the journal."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def post(self, verb: Verb, argument: str = "") -> int:
        """Ask for something; returns the request's id."""
        with self._store.transaction():
            return self._store.insert(
                SQL.post_command, verb=verb, argument=argument, now_us=self._clock.now_us()
            )

    def pending(self, *, after: int = 0, limit: int = -1) -> list[Command]:
        """What was asked and not carried out, oldest first.

        Args:
            after: only those after this one.
            limit: so many at most; below 0: all.
        """
        return [
            Command(id=row["id"], verb=str(row["verb"]), argument=str(row["argument"]), seen=row["seen"])
            for row in self._store.rows(SQL.pending_commands, after=after, limit=limit)
        ]

    def fixes(self, job: int) -> list[FixRequest]:
        """What was asked about corrections of a job's cutout and not carried out, oldest first."""
        requests = []
        for command in self.pending():
            if command.verb == Verb.FIX:
                with suppress(FixRequestError):
                    requests.append(FixRequest.of_argument(command.argument))
        return [one for one in requests if one.job == job]

    def refuse(self, command: Command, why: str) -> None:
        """It cannot be carried out; the last ones are kept for whoever asked."""
        with self._store.transaction():
            self._store.write(SQL.refuse_command, why=why, command=command.id, kept=KEPT_REFUSALS)

    def answer(self, request: int) -> str | None:
        """Why a request was refused, empty if it was carried out; None: it was not seen to yet."""
        row = self._store.row(SQL.answer_to_command, command=request)
        if row is None:
            return ""
        return None if row["refused"] is None else str(row["refused"])

    def done(self, command: Command) -> None:
        """It was carried out."""
        with self._store.transaction():
            self._store.write(SQL.remove_command, command=command.id)

    def is_paused(self) -> bool:
        """Whether new work is held back; survives restarts."""
        return self._store.fact(PAUSED) is not None

    def set_paused(self, *, paused: bool) -> None:
        """Hold new work back, or let it go on."""
        with self._store.transaction():
            self._store.set_fact(PAUSED, "1" if paused else None)
            if not paused:
                self._store.set_fact(REBUILT, None)


class ReviewDecision(StrEnum):
    """What a person can decide."""

    ACCEPT = "accept"  # it is published under its own name
    REJECT = "reject"  # the picture counts as failed
    HOLD = "hold"  # whatever was decided before: it is in review, and undecided


class ReviewDecisions:
    """The decisions in the journal."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def decide(self, job: int, decision: ReviewDecision) -> Job | None:
        """Write a decision down.

        Returns:
            The job; None if there is nothing to decide about it, or a newer version took its place.
        """
        with self._store.transaction():
            if decision is ReviewDecision.HOLD:
                changed = self._store.write(SQL.recall, job=job)
            else:
                changed = self._store.write(SQL.decide, decision=decision, job=job)
        row = self._store.row(SQL.job, job=job) if changed else None
        return None if row is None else job_from_row(row)

    def confirm(self, job: int) -> bool:
        """What is published is right, however doubtful it was; whether it is published, and stays so."""
        with self._store.transaction():
            return self._store.write(SQL.confirm, job=job) > 0

    def doubt(self, job: int) -> bool:
        """What is published may be wrong after all; whether it is published, and stays so."""
        with self._store.transaction():
            return self._store.write(SQL.doubt_again, job=job) > 0

    def pending_one(self, job: int) -> Job | None:
        """A job that waits for its decision to be carried out; None if it does not, or not any more."""
        row = self._store.row(SQL.decision_of, job=job)
        return job_from_row(row) if row is not None else None

    def pending(self, folder: str) -> list[Job]:
        """A folder's jobs that wait for theirs."""
        return [job_from_row(row) for row in self._store.rows(SQL.decisions_in, folder=folder)]

    def withdraw(self, job: int) -> None:
        """Nothing is decided about a job any more."""
        with self._store.transaction():
            self._store.write(SQL.withdraw_decision, job=job)

    def refuse(self, job: int, why: str) -> None:
        """A decision could not be carried out: it is for the person to decide anew."""
        with self._store.transaction():
            self._store.write(SQL.refuse_decision, why=why, job=job)
