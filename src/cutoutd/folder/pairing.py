"""The two recordings of one shot: which of them is cut, according to the folder's settings.

    the wanted recording   is cut, unless the other one was taken before it
    the other recording    waits for the wanted one, and is cut only if that does not come

The first decision holds, so that nothing is cut again when a partner comes later. If the recording that was taken vanishes or
fails, the journal queues the other one (`cutoutd.journal.queue`). Once it was cut and is not there any more, a new file with
its number belongs to another shot: cameras start counting again. Owned by the folder's monitor thread. This module must not
write anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cutoutd.intake.companions import Recording, partners, recording
from cutoutd.intake.scan import scan_file
from cutoutd.settings.types import RawPairs

if TYPE_CHECKING:
    from cutoutd.folder.scope import FolderScope
    from cutoutd.journal.recordings import Recorded


@dataclass(frozen=True, kw_only=True, slots=True)
class Take:
    """The file is to be cut."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaveOut:
    """The file is not cut, as long as its partner, of the same shot, is not lost."""

    partner: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Wait:
    """The file waits for its partner, of the same shot, which is there and not taken yet."""

    partner: str


class Pairing:
    """Decides about the recordings in one folder.

    Args:
        scope: the folder.
        mode: which recording is wanted.
        wait_s: how many seconds the other recording waits for it.
    """

    def __init__(self, scope: FolderScope, *, mode: RawPairs, wait_s: float) -> None:
        self._scope = scope
        self._wanted = {RawPairs.JPEG: Recording.DEVELOPED, RawPairs.RAW: Recording.RAW}.get(mode)
        self.wait_s = wait_s

    def may_wait(self, path: str) -> bool:
        """Whether a file is, by its name, a recording that waits for the wanted one."""
        return self._wanted is not None and recording(path) not in (None, self._wanted)

    def waits(self, path: str, quiet_s: float, came_us: int) -> bool:
        """Whether it is too early to decide about a file: its partner was not taken yet, and may still come."""
        if not self.may_wait(path) or quiet_s >= self.wait_s:
            return False
        return not _others(self._recordings(path), recording(path), came_us)

    def decide(self, path: str, came_us: int) -> Take | LeaveOut | Wait:
        """Decide about a file that has settled, and has waited if it had to.

        Args:
            path: path relative to the input.
            came_us: when it was first seen, UTC microseconds.

        Raises:
            OSError: it cannot be found out now whether its partner is there.
        """
        kind = recording(path)
        if self._wanted is None or kind is None:
            return Take()
        found = self._recordings(path)
        if any(one.path == path and one.is_covered and not one.left_out for one in found):
            return Take()  # an earlier version of the same recording was cut
        found = _others(found, kind, came_us)
        for one in found:
            if one.is_covered and not (one.left_out and kind is self._wanted):
                return LeaveOut(partner=one.path)
        if kind is not self._wanted:
            # On a case-insensitive file system, a partner is found under both spellings.
            known = {one.path.casefold() for one in found if one.known}
            for other in partners(path):
                if (
                    other.casefold() not in known
                    and self._scope.rules.takes_file(other)
                    and scan_file(self._scope.root, other) is not None
                ):
                    return Wait(partner=other)
        return Take()

    def _recordings(self, path: str) -> list[Recorded]:
        return self._scope.sources.recordings(self._scope.name, path)


def _others(found: list[Recorded], kind: Recording | None, came_us: int) -> list[Recorded]:
    """Return the recordings of the other kind that are of the same shot as a file that came at this time."""
    return [
        one
        for one in found
        if recording(one.path) not in (None, kind) and (one.until_us is None or came_us <= one.until_us)
    ]
