"""What is remembered of each hot folder: its marker, its device, and that it was healthy once.

It draws no conclusion from them; `cutoutd.intake.marker` does.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cutoutd.clock import Clock
    from cutoutd.journal.store import Store

FIRST_RUN: Final = "first-run/"
"""Begins the names of facts about folders, which a rebuilt journal has of the lost one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderMemory:
    """A hot folder as it was when it was last healthy.

    Attributes:
        input: absolute path.
        marker: UUID in its marker file.
        device: st_dev of the input.
        aside: the marker is kept here alone, because the input is read-only.
    """

    input: str
    marker: str
    device: int
    aside: bool


class Folders:
    """The folders in the journal."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def recall(self, name: str) -> FolderMemory | None:
        """What is remembered; None at the first start."""
        row = self._store.row("SELECT input, marker, device, aside FROM folder WHERE name = ?", (name,))
        if row is None:
            return None
        return FolderMemory(
            input=os.fsdecode(row["input"]),
            marker=row["marker"],
            device=row["device"],
            aside=bool(row["aside"]),
        )

    def see_that_journal_can_be_written(self) -> None:
        """Before a folder is held: what is found there could not be written down otherwise.

        Raises:
            JournalError: it cannot be.
        """
        self._store.see_that_it_can_be_written()

    def first_run_us(self, name: str) -> int | None:
        """When a folder that is not known any more was healthy for the first time, from a journal that was lost."""
        row = self._store.row("SELECT value FROM fact WHERE name = ?", (f"{FIRST_RUN}{name}",))
        return int(row["value"]) if row is not None else None

    def remember(self, name: str, memory: FolderMemory) -> None:
        """Write down a healthy folder."""
        first_run_us = self.first_run_us(name)
        with self._store.transaction():
            self._store.write(
                "INSERT INTO folder (name, input, marker, device, aside, first_run_us) VALUES (?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (name) DO UPDATE SET "
                "input = excluded.input, marker = excluded.marker, device = excluded.device, aside = excluded.aside",
                (
                    name,
                    os.fsencode(memory.input),
                    memory.marker,
                    memory.device,
                    memory.aside,
                    self._clock.now_us() if first_run_us is None else first_run_us,
                ),
            )
            self._store.write("DELETE FROM fact WHERE name = ?", (f"{FIRST_RUN}{name}",))
