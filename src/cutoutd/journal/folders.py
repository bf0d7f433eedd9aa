"""What the journal remembers of each hot folder: its marker, its device, and that it was healthy once.

It draws no conclusion from them; `cutoutd.lease.marker` does.
"""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final, Self

from cutoutd.journal.store import SQL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from cutoutd.clock import Clock
    from cutoutd.journal.store import Store

FIRST_RUN: Final = "first-run/"
"""Prefix of the facts by which a rebuilt journal knows when the folders of the lost one were first healthy."""

_MISSES_RESULTS: Final = "misses-results/"
"""Prefix of the facts that say of which folders another journal knew results that this one may not have; also in `daemon.sql`."""

_COPY_OF: Final = "copy-of/"
"""Prefix of the facts that say of which marker's folder a folder is a copy; also in `daemon.sql`."""

_ADOPTED: Final = "adopted/"
"""Prefix of the facts that say which directory a person named as a folder's new place."""

MOUNTS: Final = "mounts/"
"""Prefix of the facts that say which mounts a folder's places for results and originals were on."""

_DIGITS: Final = 8  # of a marker, which distinguish a folder that lost its name from the one that has it now


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderMemory:
    """A hot folder as it was when it was last healthy.

    Attributes:
        input: absolute path of the input.
        marker: UUID in the marker file.
        device: st_dev of the input.
        inode: st_ino of the input; None: an earlier version, which did not record it, saw the folder last.
        read_only: whether the marker is kept here alone, because the input is read-only.
    """

    input: str
    marker: str
    device: int
    read_only: bool
    inode: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderHistory:
    """What decides whether a directory that is not the known one may take its place.

    Attributes:
        name: name of the folder.
        outstanding: number of pictures that are accepted or handed in and not over, or whose originals are still to be moved or
            deleted.
        first_run_us: when the folder was first healthy, UTC microseconds; None: it never was.
        former: markers that it had before.
        adopted: device and inode of the directory that a person named as its new place; None: none.
    """

    name: str
    outstanding: int = 0
    first_run_us: int | None = None
    former: frozenset[str] = frozenset()
    adopted: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NewPlace:
    """The argument of the command `adopt`: the directory that a person names as the new place of a folder.

    Attributes:
        folder: name of the folder.
        device, inode: st_dev and st_ino of the directory that is there now.
        places: paths of the folder's places for results and originals that are named instead of its input; none: the input is.
    """

    folder: str
    device: int
    inode: int
    places: tuple[str, ...] = ()

    def argument(self) -> str:
        """Return it as a command's argument."""
        return json.dumps(asdict(self))

    @classmethod
    def from_argument(cls, argument: str) -> Self | None:
        """Return the place that an argument names; None: it names none."""
        try:
            held = json.loads(argument)
        except (ValueError, RecursionError):
            return None
        # An earlier version names no places.
        if not (isinstance(held, dict) and set(held) | {"places"} == {"folder", "device", "inode", "places"}):
            return None
        places = held.get("places", [])
        is_sane = (
            isinstance(held["folder"], str)
            and all(type(held[key]) is int for key in ("device", "inode"))
            and isinstance(places, list)
            and all(isinstance(place, str) for place in places)
        )
        return cls(**{**held, "places": tuple(places)}) if is_sane else None


class Folders:
    """The folders in the journal.

    Args:
        store: the journal's file.
        clock: clock for the time of a first run.
        renamed: called with the names that folders have got or lost.
    """

    def __init__(
        self, store: Store, clock: Clock, renamed: Callable[[Iterable[str]], None] = lambda _: None
    ) -> None:
        self._store = store
        self._clock = clock
        self._renamed = renamed

    def recall(self, name: str) -> FolderMemory | None:
        """Return what is remembered of a folder; None at its first start."""
        row = self._store.row(SQL.folder, name=name)
        if row is None:
            return None
        return FolderMemory(
            input=os.fsdecode(row["input"]),
            marker=row["marker"],
            device=row["device"],
            inode=row["inode"],
            read_only=bool(row["read_only"]),
        )

    def now_us(self) -> int:
        """Return the time in UTC microseconds, by the clock of first runs."""
        return self._clock.now_us()

    def history(self, name: str) -> FolderHistory:
        """Return what is known of a folder beside its place and marker."""
        adopted = self._store.fact(f"{_ADOPTED}{name}")
        device, inode = (None, None) if adopted is None else json.loads(adopted)
        return FolderHistory(
            name=name,
            outstanding=self.count_outstanding(name),
            first_run_us=self._store.number(SQL.folder_since, name=name) or None,
            former=self.former(name),
            adopted=None if device is None or inode is None else (device, inode),
        )

    def former(self, name: str) -> frozenset[str]:
        """Return the markers that a folder had before, and that no folder has now."""
        return frozenset(str(row["marker"]) for row in self._store.rows(SQL.former_markers, name=name))

    def copy_of(self, name: str) -> frozenset[str]:
        """Return the marker of the folder that a folder is a copy of: records that were copied with it have that one."""
        marker = self._store.fact(f"{_COPY_OF}{name}")
        return frozenset() if marker is None else frozenset({marker})

    def note_copy(self, name: str, marker: str) -> None:
        """Record that a folder is a copy of the one with a marker."""
        with self._store.transaction():
            self._store.set_fact(f"{_COPY_OF}{name}", marker)

    def count_outstanding(self, name: str) -> int:
        """Return how many pictures need files of a folder's input; see `FolderHistory`."""
        return self._store.number(SQL.count_outstanding, folder=name)

    def adopt(self, place: NewPlace) -> None:
        """Record that a person named a directory as a folder's new place, until the folder is healthy again.

        For places of results and originals, their mounts are forgotten: those that are found at the next health check count.
        """
        if place.places:
            known = self.mounts(place.folder)
            self.remember_mounts(
                place.folder, {path: on for path, on in known.items() if path not in place.places}
            )
            return
        with self._store.transaction():
            self._store.set_fact(f"{_ADOPTED}{place.folder}", json.dumps([place.device, place.inode]))

    def forget_adoption(self, name: str) -> None:
        """Forget that a person named a directory: the right one is there."""
        if self._store.fact(f"{_ADOPTED}{name}") is not None:
            with self._store.transaction():
                self._store.set_fact(f"{_ADOPTED}{name}", None)

    def misses_results(self, name: str) -> bool:
        """Whether another journal may have known results of a folder that this one does not."""
        return self._store.fact(f"{_MISSES_RESULTS}{name}") is not None

    def note_other_owner(self, name: str) -> None:
        """Record, once, that another machine works on a folder, and may have results that this journal lacks."""
        if not self.misses_results(name):
            with self._store.transaction():
                self._store.set_fact(f"{_MISSES_RESULTS}{name}", "")

    def mark_caught_up(self, name: str) -> None:
        """Record that the results of a folder were adopted."""
        if self.misses_results(name):
            with self._store.transaction():
                self._store.set_fact(f"{_MISSES_RESULTS}{name}", None)

    def mounts(self, name: str) -> dict[str, dict[str, str]]:
        """Return the mounts that a folder's places were on, by the places' paths: types of file systems by mount point."""
        said = self._store.fact(f"{MOUNTS}{name}")
        return {} if said is None else json.loads(said)

    def remember_mounts(self, name: str, mounts: Mapping[str, Mapping[str, str]]) -> None:
        """Store the mounts that a folder's places are on; see `mounts`."""
        with self._store.transaction():
            self._store.set_fact(f"{MOUNTS}{name}", json.dumps(mounts) if mounts else None)

    def check_journal_writable(self) -> None:
        """Check that the journal can be written, before a folder is held.

        Raises:
            JournalError: the journal cannot be written.
        """
        self._store.check_writable()

    def first_run_us(self, name: str) -> int | None:
        """Return when a folder that a lost journal knew was first healthy, UTC microseconds; None if that is not known."""
        value = self._store.fact(f"{FIRST_RUN}{name}")
        return None if value is None else int(value)

    def remember(self, name: str, memory: FolderMemory) -> None:
        """Store a healthy folder."""
        first_run_us = self.first_run_us(name)
        with self._store.transaction():
            self._store.write(
                SQL.remember_folder,
                name=name,
                input=os.fsencode(memory.input),
                marker=memory.marker,
                device=memory.device,
                inode=memory.inode,
                read_only=memory.read_only,
                first_run_us=self._clock.now_us() if first_run_us is None else first_run_us,
            )
            self._store.set_fact(f"{FIRST_RUN}{name}", None)
            self._store.set_fact(f"{_ADOPTED}{name}", None)
            self._label(memory.marker, name)

    def marked(self, marker: str) -> dict[str, str]:
        """Return the folders that had a marker when they were last healthy: input by name."""
        rows = self._store.rows(SQL.folders_with_marker, marker=marker)
        return {row["name"]: os.fsdecode(row["input"]) for row in rows}

    def at(self, place: str) -> dict[str, str]:
        """Return the folders that had an input when they were last healthy: input by name."""
        rows = self._store.rows(SQL.folders_at, input=os.fsencode(place))
        return {row["name"]: os.fsdecode(row["input"]) for row in rows}

    def labels(self, marker: str) -> frozenset[str]:
        """Return all names that the folder with a marker has or had."""
        rows = self._store.rows(SQL.labels, marker=marker)
        return frozenset(str(row["name"]) for row in rows)

    def former_names(self, name: str, place: str) -> frozenset[str]:
        """Return the names that a folder had before, also if it has a new one in the configuration and was not looked at yet.

        Args:
            name: its present name in the configuration.
            place: its input.
        """
        memory = self.recall(name)
        labels = self.labels(memory.marker) if memory is not None else frozenset()
        # A name that was given to another folder since is that one's.
        given_up = {label for label in labels if self.recall(label) is None}
        return frozenset({*self.at(place), *given_up}) - {name}

    def relabel(self, before: str, after: str) -> None:
        """Rename a folder in the journal, in one transaction.

        Another folder that has the name loses it; see `free_name`. What was parked because the old name is not in the
        configuration is queued again.
        """
        with self._store.transaction():
            waits_as = self._free_name_within(after)
            self._rename_within(before, after)
            self._store.write(SQL.unpark, folder=after)
        self._renamed((before, after, waits_as))

    def free_name(self, name: str) -> None:
        """Give the folder that has a name another one, since the name is another folder's now."""
        with self._store.transaction():
            waits_as = self._free_name_within(name)
        self._renamed((name, waits_as))

    def _free_name_within(self, name: str) -> str:
        """Give a folder a name that no other folder has, inside a transaction; returns the name."""
        memory = self.recall(name)
        marker = memory.marker if memory is not None else str(uuid.uuid4())
        waits_as = f"{name}~{marker[:_DIGITS]}"
        while self.recall(waits_as) is not None:  # a copied folder, marker included, had the same name
            waits_as = f"{name}~{uuid.uuid4().hex[:_DIGITS]}"
        self._rename_within(name, waits_as)
        self._store.write(SQL.park_waiting, folder=waits_as)
        return waits_as

    def _rename_within(self, before: str, after: str) -> None:
        self._store.write(SQL.rename_folder, before=before, after=after)
        self._store.set_fact(f"{MOUNTS}{after}", self._store.fact(f"{MOUNTS}{before}"))
        self._store.set_fact(f"{MOUNTS}{before}", None)
        memory = self.recall(after)
        if memory is not None:
            self._label(memory.marker, before)

    def _label(self, marker: str, name: str) -> None:
        self._store.write(SQL.add_label, marker=marker, name=name)
