"""The runs of the daemon on this state directory, so that what a dead one left behind is known for it.

On a share, staging directories of another machine's living daemon may lie beside ours: only runs that
are written down here, and are not this one, are dead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cutoutd.clock import Clock
    from cutoutd.journal.store import Store

KEPT: Final = 1000
"""Older runs are forgotten; what they staged was swept by every start since."""


class Runs:
    """The runs in the journal."""

    def __init__(self, store: Store, clock: Clock, run: str) -> None:
        self._store = store
        self._clock = clock
        self._run = run

    def begin(self, previous: str | None = None) -> frozenset[str]:
        """Write this run down; returns the dead ones.

        Args:
            previous: the run before this one, which the state directory knows even if the journal was lost.
        """
        with self._store.transaction():
            for run in (previous, self._run):
                if run is not None:
                    self._store.write(
                        "INSERT OR IGNORE INTO run (id, started_us) VALUES (?, ?)",
                        (run, self._clock.now_us()),
                    )
            self._store.write(
                "DELETE FROM run WHERE id NOT IN (SELECT id FROM run ORDER BY started_us DESC LIMIT ?)",
                (KEPT,),
            )
        rows = self._store.rows("SELECT id FROM run WHERE id <> ?", (self._run,))
        return frozenset(row["id"] for row in rows)

    def is_dead(self, run: str) -> bool:
        """Whether a run was one on this state directory, which only one can hold, and is not this one."""
        return run != self._run and self._store.row("SELECT 1 FROM run WHERE id = ?", (run,)) is not None
