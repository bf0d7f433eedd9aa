"""Carries out people's decisions about cutouts, and takes them back; main thread only.

Each is about the cutout that the person saw, where the command says which: another one stays as it is. This module must not touch a
folder: what concerns a folder is passed to its own threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cutoutd.events import Accepted
from cutoutd.job_detail import JobResult, is_rejected
from cutoutd.jobs import IN_HAND, RELEASED, JobState, Wanted
from cutoutd.journal.commands import ReviewDecision
from cutoutd.journal.listing import Listing
from cutoutd.journal.reader import Reader

if TYPE_CHECKING:
    from cutoutd.daemon.folder_set import FolderSet
    from cutoutd.events import EventSink
    from cutoutd.jobs import Job
    from cutoutd.journal.commands import Command
    from cutoutd.journal.journal import Journal

_CHANGED: Final = "its cutout was replaced since the decision; look at it again"

_AS_SEEN: Final = "as seen"
"""What is to be decided about is in review, and is what the person saw."""

_MOST_DIGITS: Final = 18
"""The most digits of a job's id that fit into the journal."""


class DecisionHandler:
    """Carries out decisions; its methods return why that is not possible, empty if it was done, None if a job has to end first.

    Args:
        journal: the journal with the jobs.
        folders: the hot folders.
        emit: receives events about how many more pictures wait.
    """

    def __init__(self, journal: Journal, folders: FolderSet, emit: EventSink) -> None:
        self._journal = journal
        self._folders = folders
        self._emit = emit
        self._held_for: set[int] = set()  # commands whose jobs were put back into review

    def forget(self, command: Command) -> None:
        """A command was answered."""
        self._held_for.discard(command.id)

    def decide(self, command: Command, decision: ReviewDecision) -> str | None:
        """Accept, reject or publish again."""
        if not is_number(command.argument):
            return f"{command.argument!r} is not the number of a job"
        number = int(command.argument)
        job = self._job(number)
        if job is not None and _is_on_its_way_back(job):
            return None
        if job is not None and command.seen is not None:
            answer = self._compare(job, command, decision)
            if answer != _AS_SEEN:
                return answer
        if job is not None and self._is_carrying_out_another(job, decision):
            return self._hold_first(command)
        return "" if self._folders.decide(number, decision) else f"job {number} waits for no decision"

    def _compare(self, job: Job, command: Command, decision: ReviewDecision) -> str | None:
        """Handle a decision whose job is not in review any more, or has another cutout than the person saw; else ``_AS_SEEN``."""
        if job.state is JobState.PUBLISHING:
            return None  # what was seen is compared once it is published
        if is_rejected(job):
            return "" if decision is ReviewDecision.REJECT else self._hold_first(command)
        if self._first_result(job) != command.seen:
            return self._refuse_changed(job)
        if decision is ReviewDecision.ACCEPT and self._journal.review_decisions.confirm(job.id):
            self._folders.tell_sidecar(job)
            return ""
        return self._hold_first(command) if job.state in RELEASED else _AS_SEEN

    def _compare_shown(self, job: Job | None, command: Command) -> str | None:
        """Handle a decision that is taken back although there is another cutout than the person saw; else ``_AS_SEEN``.

        One that was rejected has none, so none replaced it.
        """
        if job is None or command.seen is None:
            return _AS_SEEN
        if job.state is JobState.PUBLISHING:
            return None
        return self._refuse_changed(job) if self._first_result(job) not in ("", command.seen) else _AS_SEEN

    def _first_result(self, job: Job) -> str:
        return Listing(self._journal.store).first_results([job.id]).get(job.id, "")

    def _refuse_changed(self, job: Job) -> str:
        self._journal.review_decisions.refuse(job.id, _CHANGED)
        return f"job {job.id}: {_CHANGED}"

    def _is_carrying_out_another(self, job: Job, decision: ReviewDecision) -> bool:
        """Whether a folder's delivery may be carrying out another decision, which would end after this one is written."""
        earlier = JobResult.of(job).decision
        return bool(earlier) and earlier != decision and job.folder in self._folders.active

    def _hold_first(self, command: Command) -> str | None:
        """Put a job back into review, since an earlier decision about it was carried out; the command waits for that, once."""
        if command.id in self._held_for:
            return f"job {command.argument} does not go back into review"
        self._held_for.add(command.id)
        return self._put_back(int(command.argument)) or None

    def doubt(self, command: Command) -> str | None:
        """Mark a published cutout as doubtful again."""
        argument = command.argument
        if not is_number(argument):
            return f"{argument!r} is not the number of a job"
        job = self._job(int(argument))
        if (answer := self._compare_shown(job, command)) != _AS_SEEN:
            return answer
        if self._journal.review_decisions.doubt(int(argument)):
            if job is not None:
                self._folders.tell_sidecar(job)
            return ""
        is_on_its_way = job is not None and (
            job.state in IN_HAND or job.wanted is not None or JobResult.of(job).decision
        )
        return None if is_on_its_way else f"job {argument} is not published"

    def hold(self, command: Command) -> str | None:
        """Put a job back into review, undecided."""
        if not is_number(command.argument):
            return f"{command.argument!r} is not the number of a job"
        number = int(command.argument)
        answer = self._compare_shown(self._job(number), command)
        return self._put_back(number) if answer == _AS_SEEN else answer

    def _put_back(self, number: int) -> str:
        job = self._job(number)
        if job is not None and job.state is JobState.REVIEW and not JobResult.of(job).decision:
            return ""
        if job is not None and _is_on_its_way_back(job):
            return ""
        if not self._folders.decide(number, ReviewDecision.HOLD):
            return f"job {number} does not exist, is in work, or is about an older version"
        if job is not None and job.state is JobState.FAILED:
            self._emit(Accepted(count=1))  # it is cut again
        return ""

    def _job(self, number: int) -> Job | None:
        return Reader(self._journal.store).job(number)


def _is_on_its_way_back(job: Job) -> bool:
    return job.wanted in (Wanted.HELD, Wanted.RECALLED)


def is_number(argument: str) -> bool:
    """Whether it may be the id of a job."""
    return argument.isascii() and argument.isdigit() and len(argument) <= _MOST_DIGITS
