"""People's decisions about many pictures at once, each about the result that the person saw, and how to undo a batch of them.

Decisions become commands to the daemon; nothing is carried out here. The first decision about a picture wins: a later one that
was made about an older state is reported as a conflict. This module must not change a job's row.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from cutoutd.jobs import ACTIVE, RELEASED, JobState, Wanted
from cutoutd.journal.commands import Verb
from cutoutd.journal.decisions import (
    BatchItem,
    Conflict,
    ConflictCode,
    Decided,
    Decision,
    PastDecision,
    UnknownBatchError,
)
from cutoutd.journal.listing import Mark
from cutoutd.journal.queue import WITH_MODEL
from cutoutd.journal.requests import AnsweredRequests
from cutoutd.journal.store import SQL

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from cutoutd.clock import Clock
    from cutoutd.journal.store import Store

KEPT_US: Final = 90 * 86_400_000_000
"""How long decisions are kept."""

_SHOWN: Final = 20

_UNDO: Final = "undo"
"""Kind of a request that undoes a batch."""

_REPUBLISHING: Final = frozenset({Verb.REPUBLISH, Verb.REPUBLISH_DOUBTFUL})

_IN_FORCE: Final = RELEASED | {JobState.PUBLISHING}
"""States of a job whose acceptance is carried out, or about to be."""


_Asked = tuple[str, int, str | None]
"""A verb, the id of a job, and the SHA-256 of the result that was seen; None: whichever there is."""


class Batches:
    """The batches of decisions in a journal that a daemon may be writing."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def decide(
        self, choice: Decision, items: Sequence[BatchItem], clock: Clock, request: str = ""
    ) -> Decided:
        """Write decisions, in one transaction for all that do not conflict; the daemon carries them out, now or when it starts.

        Args:
            choice: the decision.
            items: the pictures, each once.
            clock: clock for the times that are written.
            request: name of the request, which is carried out once; empty: it has none.
        """
        conflicts: list[Conflict] = []
        taken: list[tuple[int, str, str, int, str]] = []
        asked: list[_Asked] = []
        with self._store.transaction():
            if (first := self._first_answer(request, choice)) is not None:
                return first
            for row in self._find(items):
                code = _conflict(row, choice)
                if code is not None:
                    conflicts.append(Conflict(job=row["number"], code=code))
                    continue
                taken.append((row["job"], row["seen"], *_state_and_mark(row), _decision_in_force(row)))
                asked += _commands(row, choice)
            batch = self._store.insert(SQL.insert_batch, verb=choice, now_us=clock.now_us())
            jobs = [job for job, *_ in taken]
            self._ask(batch, jobs, asked, clock)
            self._store.write(SQL.insert_decided, batch=batch, items=json.dumps(taken))
            self._store.write(SQL.forget_batches, before_us=clock.now_us() - KEPT_US)
            return self._answered(
                request, choice, Decided(batch=batch, done=len(taken), conflicts=tuple(conflicts)), clock
            )

    def undo(self, batch: int, clock: Clock, request: str = "") -> Decided:
        """Undo a batch of decisions: commands that are still pending are withdrawn, the daemon reverts those already carried out.

        Args:
            batch: number of the batch.
            clock: clock for the times that are written.
            request: name of the request, which is carried out once; empty: it has none.

        Raises:
            UnknownBatchError: there is no such batch, or it was undone already.
        """
        conflicts: list[Conflict] = []
        jobs: list[int] = []
        asked: list[_Asked] = []
        with self._store.transaction():
            if (first := self._first_answer(request, _UNDO)) is not None:
                return first
            row = self._store.row(SQL.batch, batch=batch)
            if row is None or row["undone_us"] is not None:
                raise UnknownBatchError("there is no decision of this number that could be taken back")
            for found in self._store.rows(SQL.found_for_undo, batch=batch):
                code = _undo_conflict(found)
                if code is not None:
                    conflicts.append(Conflict(job=found["number"], code=code))
                    continue
                jobs.append(found["job"])
                asked += _reversal(found, Decision(row["verb"]))
            self._ask(batch, jobs, asked, clock)
            self._store.write(SQL.end_batch, batch=batch, now_us=clock.now_us(), jobs=json.dumps(jobs))
            return self._answered(
                request, _UNDO, Decided(batch=batch, done=len(jobs), conflicts=tuple(conflicts)), clock
            )

    def retry(self, items: Sequence[BatchItem], model: str, clock: Clock, request: str = "") -> Decided:
        """Have pictures cut again.

        Args:
            items: the pictures, each once.
            model: name of the model that is to cut them; empty: that of their folder.
            clock: clock for the times that are written.
            request: name of the request, which is carried out once; empty: it has none.

        Returns:
            The outcome; its batch number is 0, since it is no batch and cannot be undone.
        """
        conflicts: list[Conflict] = []
        asked: list[tuple[str, str, None]] = []
        with self._store.transaction():
            if (first := self._first_answer(request, Verb.RETRY)) is not None:
                return first
            for row in self._store.rows(SQL.found_for_retry, items=_listed(items)):
                code = _retry_conflict(row)
                if code is not None:
                    conflicts.append(Conflict(job=row["number"], code=code))
                else:
                    argument = f"{row['job']}{WITH_MODEL}{model}" if model else str(row["job"])
                    asked.append((Verb.RETRY, argument, None))
            self._store.write(
                SQL.post_commands, commands=json.dumps(asked), batch=None, now_us=clock.now_us()
            )
            return self._answered(
                request, Verb.RETRY, Decided(batch=0, done=len(asked), conflicts=tuple(conflicts)), clock
            )

    def undoing(self, job: int) -> list[Verb]:
        """Return the verbs of the commands after which a picture is as it was before it was decided about; none: nobody has."""
        (row,) = self._find([BatchItem(job=job, seen="")])
        return [] if row["job"] is None else [Verb(verb) for verb, *_ in _clearing(row)]

    def about(self, job: int) -> list[PastDecision]:
        """Return the decisions about a picture, the newest first."""
        return [
            PastDecision(
                batch=row["batch"], verb=row["verb"], at_us=row["posted_us"], is_undone=bool(row["undone"])
            )
            for row in self._store.rows(SQL.decisions_about, job=job, limit=_SHOWN)
        ]

    def _first_answer(self, request: str, kind: str) -> Decided | None:
        answer = AnsweredRequests(self._store).answer(request, kind)
        if answer is None:
            return None
        conflicts = tuple(Conflict(job=job, code=ConflictCode(code)) for job, code in answer["conflicts"])
        return Decided(batch=answer["batch"], done=answer["done"], conflicts=conflicts)

    def _answered(self, request: str, kind: str, decided: Decided, clock: Clock) -> Decided:
        conflicts = [(one.job, one.code) for one in decided.conflicts]
        answer = {"batch": decided.batch, "done": decided.done, "conflicts": conflicts}
        AnsweredRequests(self._store).keep(request, kind, answer, clock.now_us())
        return decided

    def _find(self, items: Iterable[BatchItem]) -> list[sqlite3.Row]:
        return self._store.rows(SQL.found_for_decision, items=_listed(items))

    def _ask(self, batch: int, jobs: Sequence[int], asked: Sequence[_Asked], clock: Clock) -> None:
        """Post commands to the daemon in place of the pending ones about these jobs."""
        self._store.write(SQL.withdraw_commands, jobs=json.dumps(jobs))
        self._store.write(SQL.post_commands, commands=json.dumps(asked), batch=batch, now_us=clock.now_us())


def _listed(items: Iterable[BatchItem]) -> str:
    return json.dumps([(one.job, one.seen, one.over) for one in items])


def _is_rejected(row: sqlite3.Row) -> bool:
    return bool(row["state"] == JobState.FAILED and row["mark"] == Mark.REJECTED)


def _is_returning(row: sqlite3.Row) -> bool:
    """Whether the daemon is putting the job back into review: it is cut again, or its result is taken back."""
    return row["decision"] == Verb.HOLD or row["wanted"] in (Wanted.HELD, Wanted.RECALLED)


def _is_coming_back(row: sqlite3.Row) -> bool:
    """Whether the job goes back into review, also if the command is still pending."""
    return row["asked"] == Verb.HOLD or _is_returning(row)


def _is_being_published(row: sqlite3.Row) -> bool:
    """Whether what the person saw is being published just now."""
    return bool(row["state"] == JobState.PUBLISHING and row["seen"] and row["seen"] == row["sha256"])


def _is_replaced(row: sqlite3.Row) -> bool:
    """Whether there is another cutout than the person saw; one that was removed is not replaced."""
    return bool(row["sha256"]) and row["sha256"] != row["seen"]


def _state_and_mark(row: sqlite3.Row) -> tuple[str, int]:
    """Return the state and the mark that a job has before a decision, once what is under way is over."""
    pending = row["asked"] or row["decision"]
    if pending in _REPUBLISHING:
        return JobState.DONE, Mark.DOUBTFUL if pending == Verb.REPUBLISH_DOUBTFUL else Mark.PLAIN
    if row["state"] != JobState.REVIEW and _is_coming_back(row):
        return JobState.REVIEW, Mark.DOUBTFUL
    return (JobState.DONE if row["state"] == JobState.PUBLISHING else row["state"]), row["mark"]


def _decision_in_force(row: sqlite3.Row) -> str:
    """Return the decision about a picture that holds, carried out or not; empty: none."""
    pending = row["asked"] or row["decision"]
    if pending:
        return str(pending) if pending in (Verb.ACCEPT, Verb.REJECT) else ""
    if _is_rejected(row):
        return Decision.REJECT
    return Decision.ACCEPT if row["state"] in _IN_FORCE and row["last_verb"] == Decision.ACCEPT else ""


def _conflict(row: sqlite3.Row, choice: Decision) -> ConflictCode | None:  # noqa: PLR0911 -- one for each
    if row["job"] is None or row["state"] == JobState.GONE:
        return ConflictCode.GONE
    if not row["newest"]:
        return ConflictCode.NEWER
    is_there = row["state"] == JobState.REVIEW or row["state"] in RELEASED
    # One that comes back can be decided about meanwhile: the daemon compares what was seen once it is there.
    if not (is_there or _is_rejected(row) or _is_coming_back(row) or _is_being_published(row)):
        return ConflictCode.BUSY if row["state"] != JobState.FAILED else ConflictCode.NO_CUTOUT
    if is_there and row["seen"] != row["sha256"]:
        return ConflictCode.CHANGED
    if choice is Decision.UNDECIDED:
        return None
    decided = _decision_in_force(row)
    if decided and decided != row["over"]:
        return ConflictCode.ACCEPTED if decided == Decision.ACCEPT else ConflictCode.REJECTED
    is_settled = row["state"] in RELEASED and row["mark"] == Mark.PLAIN and not _is_coming_back(row)
    return ConflictCode.NO_CUTOUT if choice is Decision.ACCEPT and is_settled and not decided else None


def _retry_conflict(row: sqlite3.Row) -> ConflictCode | None:
    if row["job"] is None:
        return ConflictCode.GONE
    if not row["newest"]:
        return ConflictCode.NEWER
    # One that is being published is cut again as soon as it is published: an acceptance may have come right before.
    if row["state"] in ACTIVE - {JobState.PUBLISHING} or row["state"] == JobState.QUEUED:
        return ConflictCode.BUSY
    return ConflictCode.CHANGED if _is_replaced(row) else None


def _commands(row: sqlite3.Row, choice: Decision) -> list[_Asked]:
    """Return the commands that carry out a decision, in place of all pending ones about the job."""
    job, seen = row["job"], row["seen"] or None
    if choice is Decision.UNDECIDED:
        return _clearing(row)
    if row["state"] == JobState.REVIEW or _is_returning(row):
        return [(choice, job, seen)]
    if choice is Decision.ACCEPT and row["state"] in _IN_FORCE:
        return [] if row["state"] == JobState.PUBLISHING else [(choice, job, seen)]
    # A published or rejected picture goes back into review first.
    return [(Verb.HOLD, job, seen), (choice, job, seen)]


def _clearing(row: sqlite3.Row) -> list[_Asked]:
    """Return the commands after which a job is undecided; none if nothing is decided. A published result stays published."""
    job, seen, decided = row["job"], row["seen"] or None, _decision_in_force(row)
    if row["decision"] in _REPUBLISHING:
        return []
    if row["state"] == JobState.REVIEW:
        is_coming = not row["decision"]
    elif row["state"] in RELEASED and row["decision"] != Verb.HOLD and row["accepted"]:
        is_coming = False
    elif row["state"] in RELEASED and row["decision"] != Verb.HOLD:
        is_confirmed = decided == Decision.ACCEPT and row["mark"] == Mark.PLAIN
        return [(Verb.DOUBT, job, seen)] if is_confirmed else []
    elif row["state"] == JobState.PUBLISHING and not decided:
        return []
    else:
        is_coming = _is_returning(row)
    first = [] if is_coming else [(Verb.HOLD.value, job, seen)]
    if row["asked"] in _REPUBLISHING:  # undone already, and withdrawn with all that is pending
        return [*first, (row["asked"], job, None)]
    if not decided or row["base_state"] not in RELEASED:
        return [*first]
    return [*first, (_republishing(row["base_mark"]), job, None)]


def _republishing(mark: int) -> Verb:
    """Return the verb by which a result in review is published again as it was, undecided."""
    return Verb.REPUBLISH_DOUBTFUL if mark == Mark.DOUBTFUL else Verb.REPUBLISH


def _undo_conflict(row: sqlite3.Row) -> ConflictCode | None:
    if row["job"] is None or row["state"] == JobState.GONE:
        return ConflictCode.GONE
    if not row["newest"]:
        return ConflictCode.NEWER
    if row["undone"] or row["decided_again"]:
        return ConflictCode.DECIDED_AGAIN
    # A rejected picture has no cutout that could be seen: what is undone then is about the picture alone.
    return ConflictCode.CHANGED if row["seen"] and _is_replaced(row) else None


def _reversal(row: sqlite3.Row, choice: Decision) -> list[_Asked]:
    """Return the commands that bring a job back to its state before a decision, once the decision's own are withdrawn."""
    job, seen, before = row["job"], row["seen"] or None, str(row["decision_before"])
    is_held = row["state"] == JobState.REVIEW
    was_released = row["state_before"] in RELEASED
    # One that was decided about again since may be in review or rejected by now: then it is published again.
    is_published = row["state"] in _IN_FORCE and not _is_returning(row)
    if was_released and choice is Decision.ACCEPT and is_published:
        return [(Verb.DOUBT, job, seen)] if row["mark_before"] == Mark.DOUBTFUL else []
    if was_released and choice is Decision.UNDECIDED and row["state"] in RELEASED and not row["accepted"]:
        is_confirmed = before == Decision.ACCEPT and row["mark_before"] == Mark.PLAIN
        return [(Verb.ACCEPT, job, seen)] if is_confirmed and row["mark"] == Mark.DOUBTFUL else []
    wanted = before or (_republishing(row["mark_before"]) if was_released else "")
    if not wanted:
        is_so = (is_held and not row["decision"]) or _is_returning(row)
        return [] if is_so else [(Verb.HOLD, job, seen)]
    is_so = _is_rejected(row) if wanted == Decision.REJECT else row["state"] in _IN_FORCE
    if is_so and not row["decision"]:
        return []
    first = [] if is_held or _is_returning(row) else [(Verb.HOLD.value, job, seen)]
    return [*first, (wanted, job, None)]
