"""Carries out commands, in the order in which they were posted; main thread only.

A command that cannot be carried out is marked with the reason and not tried again, not even at the next start. This module must
not touch a folder: what concerns a folder is passed to its own threads.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from itertools import groupby
from typing import TYPE_CHECKING, Final

from cutoutd.daemon import fixes
from cutoutd.daemon.decisions import DecisionHandler, is_number
from cutoutd.events import Accepted
from cutoutd.faults.isolation import is_expected, report, unforeseen
from cutoutd.job_detail import HOSTED, JobResult
from cutoutd.jobs import IN_HAND, OPEN, JobState
from cutoutd.journal.commands import ReviewDecision, Verb
from cutoutd.journal.fix_request import FixRequest, FixRequestError
from cutoutd.journal.folders import NewPlace
from cutoutd.journal.queue import BY_MODEL, WITH_MODEL
from cutoutd.journal.reader import Reader
from cutoutd.logs import get
from cutoutd.offload.routing import of_correction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cutoutd.daemon.folder_set import FolderSet
    from cutoutd.events import EventSink
    from cutoutd.jobs import Job
    from cutoutd.journal.commands import Command
    from cutoutd.journal.journal import Journal

PORTION: Final = 200
"""The most decisions about cutouts that are written in one transaction, and the most submissions that are handed on before their
commands are removed."""

TOGETHER_S: Final = 0.25
"""How long submissions may wait to be taken together while the workers have enough to do: each round of a folder costs two
transactions, however many pictures it takes."""

HANDED_ON_S: Final = 1.0
"""How long the command of a submission that was handed on may stay: one transaction removes those of a second."""

AT_ONCE_S: Final = 0.1
"""How long commands are carried out before the main loop goes on; the rest follows in its next turn."""

_TOGETHER: Final = frozenset(
    {Verb.ACCEPT, Verb.REJECT, Verb.HOLD, Verb.DOUBT, Verb.REPUBLISH, Verb.REPUBLISH_DOUBTFUL, Verb.SUBMIT}
)
"""Verbs of commands that come in great numbers, and share transactions."""


class CommandHandler:
    """Carries out the commands of one session.

    Args:
        journal: the journal with the commands, and the jobs they are about.
        folders: the hot folders.
        emit: receives events about how many more pictures wait.

    Attributes:
        paused: whether no new work is to be started.
    """

    def __init__(self, journal: Journal, folders: FolderSet, emit: EventSink) -> None:
        self._journal = journal
        self._folders = folders
        self._emit = emit
        self._data_version = -1
        self._after = 0  # the last command of the current pass
        self._pass_version = -1
        self._is_any_left = False
        self._left: set[str] = set()  # arguments of this pass's commands that stay pending
        self._decisions = DecisionHandler(journal, folders, emit)
        self._reloads: dict[int, tuple[Command, int]] = {}
        self._untaken_since_s: dict[str, float] = {}
        self._handed_on: set[int] = set()
        self._handed_on_since_s = 0.0
        self._log = get()
        self.paused = journal.commands.is_paused()

    def poll(self) -> None:
        """Carry out the commands that were posted since the last call.

        Raises:
            StorageError: the journal refuses; to be called again.
        """
        if self._handed_on and (
            len(self._handed_on) >= PORTION or time.monotonic() - self._handed_on_since_s >= HANDED_ON_S
        ):
            self.remove_handed_on()
        if not self._after:
            self._pass_version, self._is_any_left = self._journal.store.data_version(), False
            self._left.clear()
            if self._pass_version == self._data_version:
                return
        end_s = time.monotonic() + AT_ONCE_S
        while commands := self._journal.commands.pending(after=self._after, limit=PORTION):
            left = [one for one in commands if not self._is_handed_on(one)]
            for is_together, some in groupby(left, lambda one: one.verb in _TOGETHER):
                self._handle_all(list(some), at_once=is_together)
            self._after = commands[-1].id
            if time.monotonic() >= end_s:
                return
        self._after = 0
        # Not earlier: commands that a full disk delayed, or that wait for a job's end, are still pending.
        if not self._is_any_left:
            self._data_version = self._pass_version

    def _handle_all(self, commands: Sequence[Command], *, at_once: bool) -> None:
        """Handle some commands; at once: in one transaction, which a crash leaves whole or undone."""
        with self._journal.store.transaction() if at_once else nullcontext():
            is_any_left = False
            # A person may have withdrawn some while this waited for the transaction.
            for command in self._journal.commands.still_pending(commands) if at_once else commands:
                is_any_left = not self._handle(command) or is_any_left
                if not at_once:
                    self._after = command.id
        self._is_any_left = self._is_any_left or is_any_left
        self._after = commands[-1].id

    def take_submissions(self, *, is_work_wanted: bool) -> bool:
        """Have folders take the submissions that were handed on to them; returns whether some still wait for that.

        Args:
            is_work_wanted: whether workers could start more, so that none is to wait.
        """
        now_s = time.monotonic()
        for name, since_s in list(self._untaken_since_s.items()):
            if is_work_wanted or now_s - since_s >= TOGETHER_S:
                del self._untaken_since_s[name]
                # One that is not there now looks for submissions when it is.
                if (folder := self._folders.active.get(name)) is not None:
                    folder.take_submissions()
        return bool(self._untaken_since_s)

    def remove_handed_on(self) -> None:
        """Remove the commands of submissions that were handed on to their folders.

        Not at once, since each transaction costs as much as a small picture. A command that a crash leaves is handed on again.

        Raises:
            StorageError: the journal refuses; to be called again.
        """
        if self._handed_on:
            self._journal.commands.remove(self._handed_on)
            self._handed_on.clear()

    def settle_reloads(self) -> None:
        """Answer the reload commands whose reload is over.

        Raises:
            StorageError: the journal refuses; to be called again.
        """
        for command, request in list(self._reloads.values()):
            why = self._folders.reloaded(request)
            if why is not None:
                self._answer(command, why)
                del self._reloads[command.id]

    def _handle(self, command: Command) -> bool:
        """Carry out or refuse a command; returns False if it stays pending."""
        if command.id in self._reloads:
            return True
        about = command.argument.partition(WITH_MODEL)[0]
        if about in self._left:
            return False  # commands about one job never overtake each other
        if command.verb == Verb.RELOAD and (request := self._folders.request_reload()) is not None:
            self._reloads[command.id] = (command, request)  # it takes a while
            return True
        try:
            why = self._carry_out(command)
        except Exception as error:
            if is_expected(error):
                raise
            report(self._log, error, over="a command", verb=command.verb, argument=command.summary)
            why = unforeseen(error).cause
        if why is None:
            self._left.add(about)
            return False
        self._answer(command, why)
        return True

    def _answer(self, command: Command, why: str) -> None:
        self._decisions.forget(command)
        if why:
            self._journal.commands.refuse(command, why)
            self._log.warning("command.refused", verb=command.verb, argument=command.summary, why=why)
        else:
            self._journal.commands.done(command)
            self._log.info("command.done", verb=command.verb, argument=command.summary)

    def _carry_out(self, command: Command) -> str | None:  # noqa: PLR0911 -- one for each verb
        """Carry out a command; returns why that is not possible, empty if it was done, None if a job has to end first."""
        match command.verb:
            case Verb.PAUSE | Verb.RESUME:
                self.paused = command.verb == Verb.PAUSE
                self._journal.commands.set_paused(paused=self.paused)
                return ""
            case Verb.RETRY:
                return self._retry(command.argument)
            case Verb.ACCEPT | Verb.REJECT | Verb.REPUBLISH | Verb.REPUBLISH_DOUBTFUL:
                return self._decisions.decide(command, ReviewDecision(command.verb))
            case Verb.DOUBT:
                return self._decisions.doubt(command)
            case Verb.RELOAD:
                return "this run does not reload its configuration"
            case Verb.HOLD:
                return self._decisions.hold(command)
            case Verb.FIX:
                return self._fix(command)
            case Verb.ADOPT:
                return self._adopt(command.argument)
            case Verb.SUBMIT:
                return "the request does not exist any more"
        return f"this cutoutd knows no command {command.verb!r}"

    def _retry(self, argument: str) -> str | None:
        named = argument == "failed" or argument.startswith(BY_MODEL)
        if not named and not is_number(argument.partition(WITH_MODEL)[0]):
            return f"{argument!r} is not the number of a job"
        number, _, model = argument.partition(WITH_MODEL)
        if model and (why := self._why_not_by(int(number), model)):
            return why
        job = None if named else self._job(int(number))
        if job is not None and _is_being_decided(job):
            return None
        queued = self._journal.queue.retry_asked(argument)
        self._emit(Accepted(count=queued))
        if queued or named:
            return ""
        return f"job {argument} does not exist, is in work already, or is about an older version"

    def _why_not_by(self, number: int, model: str) -> str:
        job = self._job(number)
        folder = None if job is None else self._folders.active.get(job.folder)
        if folder is None or folder.has_model(model):
            return ""
        return f"no folder is cut by the model {model!r}, and it is not the second model; name it in the configuration first"

    def _adopt(self, argument: str) -> str:
        place = NewPlace.from_argument(argument)
        if place is None:
            return f"{argument!r} names no directory"
        folder = self._folders.active.get(place.folder)
        if folder is None:
            return f"there is no folder {place.folder!r} in the configuration"
        self._journal.folders.adopt(place)
        folder.check_again()
        return ""

    def _fix(self, command: Command) -> str | None:
        try:
            request = FixRequest.from_argument(command.argument)
        except FixRequestError as error:
            return f"the correction cannot be understood: {error}"
        job = self._job(request.job)
        if job is None:
            return f"there is no job {request.job}"
        if job.state in IN_HAND or _is_being_decided(job):
            return None
        folder = self._folders.active.get(job.folder)
        moves_originals = folder is not None and folder.folder.originals_dir is not None
        if why := fixes.why_not(self._journal, job, request, moves_originals=moves_originals):
            return why
        detail = (
            job.detail
            if job.state is JobState.QUEUED
            else of_correction(is_hosted=HOSTED in job.detail).detail()
        )
        with self._journal.store.transaction():  # or else an undo could be carried out twice
            if not self._journal.correct(job, request, detail):
                return "there are no strokes on its cutout"
            self._journal.commands.done(command)
        self._emit(Accepted(count=int(job.state not in OPEN)))
        return ""

    def _is_handed_on(self, command: Command) -> bool:
        """Note a submission for its folder's own thread, which takes it; False: there is none.

        One whose folder is not in the configuration waits until it is: the program was told that its picture is accepted.
        """
        if command.verb != Verb.SUBMIT:
            return False
        if command.id not in self._handed_on:
            submission = self._journal.submissions.find(command.argument)
            if submission is None:
                return False
            self._untaken_since_s.setdefault(submission.folder, time.monotonic())
            if not self._handed_on:
                self._handed_on_since_s = time.monotonic()
            self._handed_on.add(command.id)
        return True

    def _job(self, number: int) -> Job | None:
        return Reader(self._journal.store).job(number)


def _is_being_decided(job: Job) -> bool:
    """Whether a folder's delivery is carrying out a decision, which must be over before the job is cut again."""
    return job.state is JobState.PUBLISHING or (job.state not in OPEN and bool(JobResult.of(job).decision))
