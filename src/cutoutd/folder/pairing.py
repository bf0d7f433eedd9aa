"""What becomes of the two recordings of one shot: one of them is cut, and which, the folder's settings say.

    the wanted one     is cut, unless the other one was taken before it
    the other one      waits for the wanted one, and is cut only if that does not come

What was taken once decides, so that nothing is cut again when a partner comes later. Should the one that was taken
vanish or fail, the journal has the other one cut (`cutoutd.journal.queue`). Once it was cut and is not there any more,
what comes under its number is of another shot: cameras count from the beginning again. Owned by the folder's monitor thread. It
must not write anything down.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cutoutd.intake.companions import Recording, partners, recording
from cutoutd.intake.scan import look
from cutoutd.settings.types import RawPairs

if TYPE_CHECKING:
    from cutoutd.folder.scope import FolderScope
    from cutoutd.journal.recordings import Recorded


@dataclass(frozen=True, kw_only=True, slots=True)
class Take:
    """It is to be cut."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LeaveOut:
    """It is not, as long as this one of the same shot is not lost."""

    partner: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Wait:
    """For this one of the same shot, which is there and not taken yet."""

    partner: str


class Pairing:
    """The rule of one folder.

    Args:
        scope: the folder.
        mode: which recording is wanted.
        wait_s: how long the other one waits for it.
    """

    def __init__(self, scope: FolderScope, *, mode: RawPairs, wait_s: float) -> None:
        self._scope = scope
        self._wanted = {RawPairs.JPEG: Recording.DEVELOPED, RawPairs.RAW: Recording.RAW}.get(mode)
        self.wait_s = wait_s

    def may_wait(self, path: str) -> bool:
        """Whether it is the other recording of a shot, or could be."""
        return self._wanted is not None and recording(path) not in (None, self._wanted)

    def waits(self, path: str, quiet_s: float, came_us: int) -> bool:
        """Whether it is too early to look at a file again: its partner was not taken, and may still come."""
        if not self.may_wait(path) or quiet_s >= self.wait_s:
            return False
        return not _others(self._recordings(path), recording(path), came_us)

    def decide(self, path: str, came_us: int) -> Take | LeaveOut | Wait:
        """What becomes of a file that has settled, and has waited if it had to.

        Args:
            path: relative to the input.
            came_us: when it was seen first, UTC microseconds.

        Raises:
            OSError: whether its partner is there cannot be told now.
        """
        kind = recording(path)
        if self._wanted is None or kind is None:
            return Take()
        found = self._recordings(path)
        if any(one.path == path and one.stands and not one.left_out for one in found):
            return Take()  # an earlier version of it is the one that was taken
        found = _others(found, kind, came_us)
        for one in found:
            if one.stands and not (one.left_out and kind is self._wanted):
                return LeaveOut(partner=one.path)
        if kind is not self._wanted:
            # Where the file system does not tell capitals from small letters, a partner is there under both names.
            known = {one.path.casefold() for one in found if one.known}
            for other in partners(path):
                if (
                    other.casefold() not in known
                    and self._scope.rules.takes_file(other)
                    and look(self._scope.root, other) is not None
                ):
                    return Wait(partner=other)
        return Take()

    def _recordings(self, path: str) -> list[Recorded]:
        return self._scope.sources.recordings(self._scope.name, path)


def _others(found: list[Recorded], kind: Recording | None, came_us: int) -> list[Recorded]:
    """Those of the other kind that are of the same shot as a file that came at this time."""
    return [
        one
        for one in found
        if recording(one.path) not in (None, kind) and (one.until_us is None or came_us <= one.until_us)
    ]
