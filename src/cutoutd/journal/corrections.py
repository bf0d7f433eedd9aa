"""People's corrections of cutouts, kept in the journal: for each source the newest last, so that the one before can be restored.

A correction has all strokes that hold from then on, and belongs to certain bytes of its source. A correction without strokes
means that all strokes were cleared: the picture is cut as the model does it, and undoing it restores what was drawn. This module
must not look at a picture, nor queue a job.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from cutoutd import strokes
from cutoutd.corrections import Correction
from cutoutd.journal.fix_request import FixAction
from cutoutd.journal.reservations import of_source
from cutoutd.journal.store import SQL

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from cutoutd.clock import Clock
    from cutoutd.jobs import Job
    from cutoutd.journal.fix_request import FixRequest
    from cutoutd.journal.store import Store
    from cutoutd.strokes import Stroke

KEPT: Final = 20
"""Number of corrections kept for a source; the oldest are dropped. The largest possible one takes 400 KB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Undone:
    """A correction that was undone or cleared.

    Attributes:
        was_held: whether the cutout before it was in review.
    """

    was_held: bool


class Corrections:
    """The corrections in the journal."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def last(self, folder: str, path: str, generation: int) -> Correction | None:
        """Return the newest correction of a source, for whichever of its bytes; None if nothing was drawn."""
        row = self._store.row(SQL.last_correction, **of_source(folder, path, generation))
        return None if row is None else _correction(row)

    def of(self, job: Job) -> Correction | None:
        """Return the newest correction of a job's source, if it belongs to the job's bytes."""
        last = self.last(job.folder, job.path, job.generation)
        return last if last is not None and last.sha256 == job.sha256 else None

    def expected(self, job: Job, requests: Iterable[FixRequest]) -> Correction | None:
        """Return the correction that will hold for a job's source once pending requests are carried out.

        Args:
            job: the job.
            requests: the pending requests about its cutout, oldest first.
        """
        rows = self._store.rows(SQL.corrections, **_source(job))
        drawn = [one for one in map(_correction, rows) if one.sha256 == job.sha256]
        for request in requests:
            match request.action:
                case FixAction.DRAW:
                    number = drawn[-1].number + 1 if drawn else 1
                    drawn.append(
                        Correction(
                            number=number,
                            sha256=job.sha256 or "",
                            strokes=request.strokes,
                            suggestion=request.suggestion,
                        )
                    )
                case FixAction.UNDO:
                    drawn = drawn[:-1]
                case FixAction.CLEAR if drawn and drawn[-1].strokes:
                    drawn.append(replace(drawn[-1], number=drawn[-1].number + 1, strokes=(), suggestion=0))
                case FixAction.CLEAR:
                    pass  # nothing to clear
        return drawn[-1] if drawn else None

    def numbered(self, job: Job, number: int) -> Correction | None:
        """Return a correction of a job's source by its number."""
        rows = self._store.rows(SQL.corrections, **of_source(job.folder, job.path, job.generation))
        return next((_correction(row) for row in rows if row["number"] == number), None)

    def add_within(
        self, job: Job, drawn: tuple[Stroke, ...], *, suggestion: int = 0, was_held: bool = False
    ) -> None:
        """Write a correction, inside a transaction of the caller's; the SHA-256 of the job's source must be known."""
        self._store.write(SQL.remove_corrections, sha256=job.sha256, **_source(job))
        self._store.write(
            SQL.insert_correction,
            sha256=job.sha256,
            suggestion=suggestion,
            strokes=json.dumps(strokes.dump(drawn), separators=(",", ":")),
            was_held=was_held,
            now_us=self._clock.now_us(),
            kept=KEPT,
            **_source(job),
        )

    def undo_within(self, job: Job) -> Undone | None:
        """Remove the newest correction of a source, inside a transaction of the caller's.

        Returns:
            The removed correction; None if there was none.
        """
        rows = self._store.rows(SQL.corrections, **_source(job))
        if not rows:
            return None
        self._store.write(SQL.remove_correction, number=rows[-1]["number"], **_source(job))
        return Undone(was_held=bool(rows[-1]["was_held"]))

    def clear_within(self, job: Job, *, was_held: bool) -> Undone | None:
        """Write a correction without strokes, inside a transaction of the caller's; it can be undone like any other.

        Args:
            job: the job; the SHA-256 of its source must be known.
            was_held: whether the cutout is in review now.

        Returns:
            The oldest correction that this clears; None if there is nothing to clear.
        """
        first = None
        for row in self._store.rows(SQL.corrections, **_source(job)):
            first = (first or row) if _correction(row).strokes else None
        if first is None:
            return None
        self.add_within(job, (), was_held=was_held)
        return Undone(was_held=bool(first["was_held"]))

    def keep_only_within(self, job: Job, sha256: str) -> int:
        """Drop corrections that belong to other bytes of a source, inside a transaction of the caller's; returns how many."""
        return self._store.write(SQL.remove_corrections, sha256=sha256, **_source(job))


def _source(job: Job) -> dict[str, object]:
    return of_source(job.folder, job.path, job.generation)


def _correction(row: sqlite3.Row) -> Correction:
    try:
        drawn = strokes.parse(json.loads(row["strokes"]))
    except strokes.StrokesError:
        drawn = ()  # the row was edited by hand
    return Correction(
        number=row["number"], sha256=row["sha256"], strokes=drawn, suggestion=int(row["suggestion"])
    )
