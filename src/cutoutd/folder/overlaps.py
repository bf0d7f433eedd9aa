"""Which folders must not be worked on because their places overlap, compared by where they really are, not by their paths.

Called by each folder's own thread before it opens or scans the folder or takes anything from it. It accesses the folder's own
places, which may hang, and those of others only as far as that cannot hang. It must not open or close a folder.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cutoutd.intake import location
from cutoutd.intake.location import Location, locate, relation
from cutoutd.intake.scan import FolderBoundary
from cutoutd.publish.staging import STAGING_NAME
from cutoutd.settings.overlap import FolderPlaces, Relation, overlaps
from cutoutd.settings.rules import folder_places

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from cutoutd.fs.tree import FileId
    from cutoutd.intake.location import Mounts
    from cutoutd.settings.schema import Folder

KEEP_S: Final = 1.0
"""How long, in seconds, one look at a folder's places is reused for other folders."""

KEEP_SHARE: Final = 100
"""And for this many times its duration, so that many folders cost no more than a hundredth of a core."""

_ADVICE: Final = "choose directories apart from each other"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Places:
    """The places of a folder, as they were found."""

    folder: Folder
    locations: Mapping[str, Location]
    at_s: float
    took_s: float

    @property
    def answered(self) -> bool:
        return all(place.answered for place in self.locations.values())


class Overlaps:
    """The places of all folders; ``why_closed`` and ``boundary`` touch no disk, the rest runs in folders' threads.

    Args:
        state_dir: state directory of the service; no folder may be in it.
        run: id of this session of the daemon.
        tell: called, from any thread, with the name of another folder that has to look at its places again, because it was found to
            have to give way, or not any more.
    """

    def __init__(self, state_dir: Path, run: str, tell: Callable[[str], None] = lambda _: None) -> None:
        self._state_dir = state_dir
        self._sign = f"{STAGING_NAME}/{run}" if run else ""
        self._tell = tell
        self._lock = threading.Lock()
        self._is_configured = False
        self._folders: dict[str, Folder] = {}
        self._own: dict[str, _Places] = {}  # as found by each folder's own thread
        self._seen: dict[str, _Places] = {}  # as found by other threads, without access to any share
        # Which folder found that another must give way, and why. Two folders may see different places, such as where a share
        # responds to only one of them: a finding holds until the same folder finds otherwise, else the two would alternate.
        self._closed: dict[str, dict[str, str]] = {}
        self._boundaries: dict[str, FolderBoundary] = {}

    def configure(self, folders: Iterable[Folder]) -> None:
        """Set all folders, in the order of the configuration."""
        with self._lock:
            self._is_configured = True
            self._folders = {folder.name: folder for folder in folders}
            for known in (self._own, self._seen):
                for name in [name for name, one in known.items() if self._folders.get(name) != one.folder]:
                    del known[name]
                    self._closed.pop(name, None)
                    for found in self._closed.values():
                        found.pop(name, None)
            self._closed = {
                name: {finder: why for finder, why in found.items() if finder in self._folders}
                for name, found in self._closed.items()
                if name in self._folders
            }

    def why_closed(self, name: str) -> str:
        """Return why a folder must not be worked on, as found by any folder; empty: it may."""
        with self._lock:
            found = self._closed.get(name, {})
            return found.get(name) or next(iter(found.values()), "")

    def withdraw(self, name: str) -> None:
        """Drop what a folder that is not there has found about others; they look again."""
        with self._lock:
            freed = [one for one, reasons in self._closed.items() if name in reasons and one != name]
            for one in freed:
                del self._closed[one][name]
            self._closed = {one: reasons for one, reasons in self._closed.items() if reasons}
        for one in freed:
            self._tell(one)

    def boundary(self, name: str) -> FolderBoundary:
        """Return what inside a folder's input does not belong to it, as it was last found."""
        return self._boundaries.get(name, FolderBoundary())

    def check(self, folder: Folder, *, uuid: str | None = None) -> str:
        """Compare the places of a folder with those of all others; returns why it must not be worked on, or an empty string.

        Args:
            folder: settings of the folder.
            uuid: UUID of its marker; None: not known.
        """
        mounts = location.mounts()
        own = self._locate(folder, mounts, reachable=None)
        reachable = frozenset(share for one in own.locations.values() for share in one.shares)
        with self._lock:
            if not self._is_configured:
                self._folders[folder.name] = folder
            if self._folders.get(folder.name) != folder:
                # It is being removed: it takes nothing more, and nothing has to give way to it.
                return ""
            self._own[folder.name] = own
            folders = list(self._folders.values())
        # For a folder that may send pictures away, the places of others are looked at anew.
        found = [
            own if one.name == folder.name else self._other(one, mounts, reachable, fresh=folder.may_leave)
            for one in folders
        ]
        arranged = [_folder_places(number, one) for number, one in enumerate(found, 1)]
        state = locate(self._state_dir, mounts, reachable=reachable)
        self._update_closed(folder.name, arranged, own, state)
        self._boundaries[folder.name] = self._boundary_of(own, found, state, uuid)
        return self.why_closed(folder.name)

    def _locate(self, folder: Folder, mounts: Mounts, reachable: frozenset[str] | None) -> _Places:
        started_s = time.monotonic()
        locations = {
            key: locate(place, mounts, reachable=reachable, sign=self._sign if key == "input" else "")
            for key, place in folder.places.items()
        }
        now_s = time.monotonic()
        return _Places(folder=folder, locations=locations, at_s=now_s, took_s=now_s - started_s)

    def _other(self, folder: Folder, mounts: Mounts, reachable: frozenset[str], *, fresh: bool) -> _Places:
        """Return the places of another folder, without access to a share that the asking folder is not on itself."""
        with self._lock:
            seen, own = self._seen.get(folder.name), self._own.get(folder.name)
        age_s = time.monotonic() - seen.at_s if seen is not None else 0.0
        if seen is None or fresh or age_s > max(KEEP_S, KEEP_SHARE * seen.took_s):
            seen = self._locate(folder, mounts, frozenset())
            with self._lock:
                if self._folders.get(folder.name) == folder:
                    self._seen[folder.name] = seen
        if seen.answered:
            return seen
        reached = self._locate(folder, mounts, reachable)
        if own is None:
            return reached
        # Places that only the folder's own thread can access are taken from there.
        locations = {
            key: place if place.answered else own.locations[key] for key, place in reached.locations.items()
        }
        return _Places(folder=folder, locations=locations, at_s=reached.at_s, took_s=reached.took_s)

    def _update_closed(
        self, name: str, arranged: list[FolderPlaces[Location]], own: _Places, state: Location
    ) -> None:
        """Find out which folders must give way to which, as far as the named folder is concerned."""
        found: dict[str, str] = {}
        for overlap in overlaps(arranged, relation, about=name):
            found.setdefault(overlap.name, f"{overlap.key} {overlap.text}; {_ADVICE}")
        for giving_way, why in _shared_outputs(arranged, name):
            found.setdefault(giving_way, why)
        alone = _against_state(own, state) or _against_signs(own)
        if alone is not None:
            found.setdefault(name, alone)
        with self._lock:
            before = {one for one, reasons in self._closed.items() if name in reasons}
            # A folder that found that this one must give way, while this one does not, may find otherwise by now.
            doubted = set() if name in found else set(self._closed.get(name, {})) - {name}
            for one in before - found.keys():
                del self._closed[one][name]
            for one, why in found.items():
                self._closed[one] = {**self._closed.get(one, {}), name: why}
            self._closed = {one: reasons for one, reasons in self._closed.items() if reasons}
        for one in sorted((before ^ found.keys() | doubted) - {name}):
            self._tell(one)

    def _boundary_of(
        self, own: _Places, found: Iterable[_Places], state: Location, uuid: str | None
    ) -> FolderBoundary:
        """Return what inside a folder's input does not belong to it."""
        root = own.locations["input"]
        ids: dict[FileId, str] = {}
        paths: dict[str, str] = {}
        for whose, place in (*_foreign(own, found), ("it is the state directory", state)):
            if place.own is not None and place.own != root.own and place.own not in root.above:
                ids[place.own] = whose
            for path in location.inside(place, root):
                paths[path] = whose
        return FolderBoundary(
            root=None if root.unstable else root.own,
            ids=ids,
            paths=paths,
            uuid=uuid,
            sign=self._sign if root.unstable else "",
        )


def _foreign(own: _Places, found: Iterable[_Places]) -> Iterator[tuple[str, Location]]:
    for one in found:
        for key, place in one.locations.items():
            if one is not own:
                yield f'it is the {key} of "{one.folder.name}"', place
            elif key != "input":
                yield f"it is the folder's own {key}", place


def _folder_places(number: int, places: _Places) -> FolderPlaces[Location]:
    written = folder_places(number, places.folder)
    return FolderPlaces(
        number=number,
        name=written.name,
        tagged=written.tagged,
        overwrites=written.overwrites,
        places=places.locations,
    )


def _shared_outputs(arranged: list[FolderPlaces[Location]], about: str) -> Iterator[tuple[str, str]]:
    """Yield folders that write to a shared output under two different paths, since their names could not be coordinated."""
    for number, first in enumerate(arranged):
        for second in arranged[number + 1 :]:
            one, other = second.places["output"], first.places["output"]
            if about not in (first.name, second.name) or not (first.overwrites or second.overwrites):
                continue
            hidden = (one.real + "/").startswith(other.real + "/") or (other.real + "/").startswith(
                one.real + "/"
            )
            found = relation(one, other) if not hidden else None
            if found is not None:
                why = f'{one} {found} the output of "{first.name}" ({other}), where cutouts could replace each other'
                yield second.name, f"output {why}; {_ADVICE}, or write both by the same path"


def _against_state(own: _Places, state: Location) -> str | None:
    for key, place in own.locations.items():
        found = relation(place, state)
        if found in (Relation.IS, Relation.INSIDE) or (
            found is Relation.CONTAINS and key in ("input", "output")
        ):
            return f"{key} {place} {found} the state directory ({state}); {_ADVICE}"
    return None


def _against_signs(own: _Places) -> str | None:
    """Check for staged results in the input: on a share that is mounted twice, only they show that it is the output."""
    place = own.locations["input"]
    if place.staged:
        return f"input {place} is where results of this run go, by another name; {_ADVICE}"
    return None
