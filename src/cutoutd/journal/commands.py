"""Commands to the daemon, posted as rows of the journal, so that it need not be running.

Nothing is carried out here: the daemon does that when the file's ``data_version`` shows that another process has written. A
decision about a doubtful result is kept in the job's row until it is carried out, and the job stays in review until then; so
the decision survives a crash.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from cutoutd.journal.fix_request import FixRequest, FixRequestError
from cutoutd.journal.queue import job_from_row
from cutoutd.journal.requests import AnsweredRequests
from cutoutd.journal.store import SQL

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from cutoutd.clock import Clock
    from cutoutd.jobs import Job
    from cutoutd.journal.store import Store

PAUSED: Final = "paused"

REBUILT: Final = "rebuilt"
"""Name of the fact that the journal was rebuilt; see `cutoutd.journal.rebuild`. `cutoutd resume` removes it."""


KEPT_REFUSALS: Final = 100
"""Number of refused commands that stay in the journal."""


class Verb(StrEnum):
    """The verb of a command."""

    RETRY = "retry"  # argument: a job's id, "ID model=NAME", "failed", or "model:NAME"
    PAUSE = "pause"  # start no new work
    RESUME = "resume"
    ACCEPT = "accept"  # argument: the id of a job in review
    REJECT = "reject"  # argument: the id of a job in review
    RELOAD = "reload"  # read the configuration again, as SIGHUP does
    HOLD = "hold"  # argument: the id of a job, which goes back into review, undecided
    DOUBT = "doubt"  # argument: the id of a published job, accepted by mistake: its cutout counts as doubtful again
    REPUBLISH = "republish"  # argument: the id of a job in review that was published before, without a doubt and a decision
    REPUBLISH_DOUBTFUL = "republish_doubtful"  # likewise, of one whose cutout was published as doubtful
    SUBMIT = "submit"  # argument: the key of a `cutoutd.journal.submissions.Submission`
    ADOPT = "adopt"  # argument: a `cutoutd.journal.folders.NewPlace`
    FIX = "fix"  # argument: a `cutoutd.journal.fix_request.FixRequest`


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """A command to the daemon.

    Attributes:
        id: id of its row.
        verb: one of `Verb`, unless another version of the program posted it.
        argument: as the verb needs it; see `Verb`.
        seen: SHA-256 of the result that the person saw; None: whichever there is.
    """

    id: int
    verb: str
    argument: str
    seen: str | None = None

    @property
    def summary(self) -> str:
        """The argument in short, for the log."""
        if self.verb != Verb.FIX:
            return self.argument
        try:
            request = FixRequest.from_argument(self.argument)
        except FixRequestError:
            return ""
        return f"{request.job} {request.action}"


class Commands:
    """The commands in the journal."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._requests = AnsweredRequests(store)

    def post(self, verb: Verb, argument: str = "", request: str = "") -> int:
        """Post a command; returns its id.

        Args:
            verb: of the command.
            argument: as the verb needs it.
            request: name of the request that it carries out, once; empty: it has none.
        """
        with self._store.transaction():
            if (first := self.posted(verb, request)) is not None:
                return first
            now_us = self._clock.now_us()
            number = self._store.insert(SQL.post_command, verb=verb, argument=argument, now_us=now_us)
            self._requests.keep(request, verb, number, now_us)
            return number

    def posted(self, verb: Verb, request: str) -> int | None:
        """Return the id of the command that was posted for a request; None if none was, or the request has no name.

        Raises:
            RequestNameTakenError: the name is that of a request for another command.
        """
        found = self._requests.answer(request, verb)
        return None if found is None else int(found)

    def pending(self, *, after: int = 0, limit: int = -1) -> list[Command]:
        """Return the commands that were not carried out or refused yet, oldest first.

        Args:
            after: id of a command; only later ones are returned.
            limit: the most commands to return; below 0: all.
        """
        return [
            Command(id=row["id"], verb=str(row["verb"]), argument=str(row["argument"]), seen=row["seen"])
            for row in self._store.rows(SQL.pending_commands, after=after, limit=limit)
        ]

    def still_pending(self, commands: Sequence[Command]) -> list[Command]:
        """Return those of some commands that were not withdrawn since they were read; inside a transaction of the caller's."""
        ids = json.dumps([one.id for one in commands])
        left = {row["id"] for row in self._store.rows(SQL.still_pending, commands=ids)}
        return [one for one in commands if one.id in left]

    def fixes(self, job: int) -> list[FixRequest]:
        """Return the pending requests for corrections of a job's cutout, oldest first."""
        requests = []
        for command in self.pending():
            if command.verb == Verb.FIX:
                with suppress(FixRequestError):
                    requests.append(FixRequest.from_argument(command.argument))
        return [one for one in requests if one.job == job]

    def refuse(self, command: Command, why: str) -> None:
        """Record why a command cannot be carried out; the last `KEPT_REFUSALS` are kept."""
        with self._store.transaction():
            self._store.write(SQL.refuse_command, why=why, command=command.id, kept=KEPT_REFUSALS)

    def answer(self, request: int) -> str | None:
        """Return why a command was refused; empty: it was carried out; None: it is pending."""
        row = self._store.row(SQL.answer_to_command, command=request)
        if row is None:
            return ""
        return None if row["refused"] is None else str(row["refused"])

    def done(self, command: Command) -> None:
        """Remove a command that was carried out."""
        with self._store.transaction():
            self._store.write(SQL.remove_command, command=command.id)

    def remove(self, commands: Collection[int]) -> None:
        """Remove commands that were carried out, by their ids, in one transaction."""
        with self._store.transaction():
            self._store.write(SQL.remove_commands, commands=json.dumps(list(commands)))

    def is_paused(self) -> bool:
        """Whether no new work is started; survives restarts."""
        return self._store.fact(PAUSED) is not None

    def set_paused(self, *, paused: bool) -> None:
        """Pause new work, or resume it."""
        with self._store.transaction():
            self._store.set_fact(PAUSED, "1" if paused else None)
            if not paused:
                self._store.set_fact(REBUILT, None)


class ReviewDecision(StrEnum):
    """A decision of a person about one job, as its row stores it."""

    ACCEPT = "accept"  # the cutout is published under its own name
    REJECT = "reject"  # the picture counts as failed
    HOLD = "hold"  # back into review, undecided
    REPUBLISH = "republish"  # a decision is undone: published as it was before, undecided
    REPUBLISH_DOUBTFUL = "republish_doubtful"  # likewise, and doubtful


class ReviewDecisions:
    """The decisions in the journal."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def decide(self, job: int, decision: ReviewDecision) -> Job | None:
        """Write a decision into the job's row.

        Returns:
            The job; None if it has nothing to decide about, or a newer version replaced it.
        """
        with self._store.transaction():
            if decision is ReviewDecision.HOLD:
                changed = self._store.write(SQL.recall, job=job)
            else:
                changed = self._store.write(SQL.decide, decision=decision, job=job)
        row = self._store.row(SQL.job, job=job) if changed else None
        return None if row is None else job_from_row(row)

    def confirm(self, job: int) -> bool:
        """Mark a doubtful published result as right; returns False if the job is not published or is about to be recalled."""
        with self._store.transaction():
            return self._store.write(SQL.confirm, job=job) > 0

    def doubt(self, job: int) -> bool:
        """Mark a published result as doubtful again; returns False if the job is not published or is about to be recalled."""
        with self._store.transaction():
            return self._store.write(SQL.doubt_again, job=job) > 0

    def sidecars_behind(self, folder: str) -> list[Job]:
        """Return the published jobs of a folder whose sidecar does not say yet whether they are doubtful."""
        return [job_from_row(row) for row in self._store.rows(SQL.sidecars_behind, folder=folder)]

    def sidecar_behind(self, job: int) -> Job | None:
        """Return a job if its sidecar does not say yet whether it is doubtful; None: it does."""
        row = self._store.row(SQL.sidecar_behind, job=job)
        return None if row is None else job_from_row(row)

    def sidecar_written(self, job: int, *, doubtful: bool) -> None:
        """Record that the sidecar of a job says whether it is doubtful."""
        with self._store.transaction():
            self._store.write(SQL.sidecar_written, job=job, doubtful=doubtful)

    def pending_one(self, job: int) -> Job | None:
        """Return a job whose decision is not carried out yet; None if it has no such decision."""
        row = self._store.row(SQL.decision_of, job=job)
        return job_from_row(row) if row is not None else None

    def pending(self, folder: str) -> list[Job]:
        """Return the jobs of a folder whose decisions are not carried out yet."""
        return [job_from_row(row) for row in self._store.rows(SQL.decisions_in, folder=folder)]

    def withdraw(self, job: int) -> None:
        """Remove the decision from a job's row."""
        with self._store.transaction():
            self._store.write(SQL.withdraw_decision, job=job)

    def refuse(self, job: int, why: str) -> None:
        """Record why a decision could not be carried out; the person has to decide again."""
        with self._store.transaction():
            self._store.write(SQL.refuse_decision, why=why, job=job)
