"""What people ask of the daemon, as rows: so it works with the daemon up or down.

It carries nothing out; the daemon does, when the file's ``data_version`` says that someone wrote.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cutoutd.clock import Clock
    from cutoutd.journal.store import Store

PAUSED: Final = "paused"

REBUILT: Final = "rebuilt"
"""The fact that the journal had to be made anew; see `cutoutd.journal.rebuild`. A person's `resume` ends it."""


KEPT_REFUSALS: Final = 100
"""So many requests that could not be carried out stay in the journal."""


class Verb(StrEnum):
    """What can be asked."""

    RETRY = "retry"  # argument: a job's id, "failed", or "model:NAME"
    PAUSE = "pause"  # no new work is begun
    RESUME = "resume"
    ACCEPT = "accept"  # argument: the id of a job in review
    REJECT = "reject"  # argument: likewise


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """One request.

    Attributes:
        verb: one of `Verb`, unless another version of the program posted it.
    """

    id: int
    verb: str
    argument: str


class Commands:
    """The requests in the journal."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def post(self, verb: Verb, argument: str = "") -> int:
        """Ask for something; returns the request's id."""
        with self._store.transaction():
            return self._store.insert(
                "INSERT INTO command (verb, argument, posted_us) VALUES (?, ?, ?)",
                (verb, argument, self._clock.now_us()),
            )

    def pending(self) -> list[Command]:
        """What was asked and not carried out, oldest first."""
        return [
            Command(id=row["id"], verb=str(row["verb"]), argument=str(row["argument"]))
            for row in self._store.rows(
                "SELECT id, verb, argument FROM command WHERE refused IS NULL ORDER BY id"
            )
        ]

    def refuse(self, command: Command, why: str) -> None:
        """It cannot be carried out; the last ones are kept for whoever asked."""
        with self._store.transaction():
            self._store.write("UPDATE command SET refused = ? WHERE id = ?", (why, command.id))
            self._store.write(
                "DELETE FROM command WHERE refused IS NOT NULL AND id NOT IN "
                "(SELECT id FROM command WHERE refused IS NOT NULL ORDER BY id DESC LIMIT ?)",
                (KEPT_REFUSALS,),
            )

    def answer(self, request: int) -> str | None:
        """Why a request was refused, empty if it was carried out; None: it was not seen to yet."""
        row = self._store.row("SELECT refused FROM command WHERE id = ?", (request,))
        if row is None:
            return ""
        return None if row["refused"] is None else str(row["refused"])

    def done(self, command: Command) -> None:
        """It was carried out."""
        with self._store.transaction():
            self._store.write("DELETE FROM command WHERE id = ?", (command.id,))

    def is_paused(self) -> bool:
        """Whether new work is held back; survives restarts."""
        return self._store.row("SELECT 1 FROM fact WHERE name = ?", (PAUSED,)) is not None

    def set_paused(self, *, paused: bool) -> None:
        """Hold new work back, or let it go on."""
        with self._store.transaction():
            self._store.write("DELETE FROM fact WHERE name = ?", (PAUSED,))
            if not paused:
                self._store.write("DELETE FROM fact WHERE name = ?", (REBUILT,))
            else:
                self._store.write("INSERT INTO fact (name, value) VALUES (?, '1')", (PAUSED,))
