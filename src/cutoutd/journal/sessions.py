"""The sessions of the daemon, one for each start, on this state directory, so that what a dead one left behind is known for it.

On a share, staging directories of another machine's living daemon may lie beside ours: only sessions that
are written down here, and are not this one, are dead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cutoutd.clock import Clock
    from cutoutd.journal.store import Store

KEPT: Final = 1000
"""Older sessions are forgotten; what they staged was swept by every start since."""


class Sessions:
    """The sessions in the journal."""

    def __init__(self, store: Store, clock: Clock, session: str) -> None:
        self._store = store
        self._clock = clock
        self._session = session

    def begin(self, previous: str | None = None) -> frozenset[str]:
        """Write this session down; returns the dead ones.

        Args:
            previous: the session before this one, which the state directory knows even if the journal was lost.
        """
        with self._store.transaction():
            for session in (previous, self._session):
                if session is not None:
                    self._store.write(
                        "INSERT OR IGNORE INTO session (id, started_us) VALUES (?, ?)",
                        (session, self._clock.now_us()),
                    )
            self._store.write(
                "DELETE FROM session WHERE id NOT IN (SELECT id FROM session ORDER BY started_us DESC LIMIT ?)",
                (KEPT,),
            )
        rows = self._store.rows("SELECT id FROM session WHERE id <> ?", (self._session,))
        return frozenset(row["id"] for row in rows)

    def is_dead(self, session: str) -> bool:
        """Whether a session was one on this state directory, which only one can hold, and is not this one."""
        return (
            session != self._session
            and self._store.row("SELECT 1 FROM session WHERE id = ?", (session,)) is not None
        )
