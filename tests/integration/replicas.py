"""A folder that a sync service keeps on two machines: each has a copy, and changes arrive at the other later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cutoutd.lease import marker
from tests.integration.test_lease import FOLDER, Machine

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import FakeClock

SCAN_S: Final = 2.5

Copy = dict[str, bytes]


class Replicas:
    """Two copies of a marked folder, each with a machine.

    A change is noticed within 2.5 s and arrives ``lag_s`` later. If both have changed a file meanwhile, the version of the
    first copy stays, and the other one becomes a conflict copy, as with Syncthing.

    Args:
        root: directory for the copies.
        clock: clock of both machines; the service runs while ``pass_time`` advances it.
        lag_s: time until a change arrives.
    """

    def __init__(self, root: Path, clock: FakeClock, *, lag_s: float) -> None:
        self._clock = clock
        self._lag_s = lag_s
        self._roots = [root / name for name in ("one", "two")]
        self._known: list[Copy] = [{}, {}]
        self._on_the_way: list[tuple[float, int, str, bytes | None, bytes | None]] = []
        for place in self._roots:
            place.mkdir()
        marker.create(str(self._roots[0]), FOLDER)
        first = (self._roots[0] / marker.NAME).read_bytes()
        (self._roots[1] / marker.NAME).write_bytes(first)
        self._known = [self._copy(0), self._copy(1)]
        self.machines = tuple(Machine(place, clock) for place in self._roots)

    def pass_time(self, seconds: float) -> None:
        """Advance the time for the machines and the service."""
        end_s = self._clock.monotonic_s() + seconds
        while self._clock.monotonic_s() < end_s:
            self._clock.advance(min(SCAN_S, end_s - self._clock.monotonic_s()))
            self._send()
            self._deliver()

    def _copy(self, side: int) -> Copy:
        """Return the files of one copy, by name."""
        return {
            path.name: path.read_bytes() for path in self._roots[side].iterdir() if ".sync-" not in path.name
        }

    def _send(self) -> None:
        """Queue each change of one copy for the other."""
        for side in (0, 1):
            there, known = self._copy(side), self._known[side]
            for name in sorted(there.keys() | known.keys()):
                if there.get(name) != known.get(name):
                    arrives_s = self._clock.monotonic_s() + self._lag_s
                    self._on_the_way.append((arrives_s, 1 - side, name, known.get(name), there.get(name)))
            self._known[side] = there

    def _deliver(self) -> None:
        """Apply the changes that are due, as conflict copies if both have changed a file."""
        now_s = self._clock.monotonic_s()
        due = [change for change in self._on_the_way if change[0] <= now_s]
        self._on_the_way = [change for change in self._on_the_way if change[0] > now_s]
        for _, side, name, before, after in due:
            path = self._roots[side] / name
            here = path.read_bytes() if path.exists() else None
            if here not in (before, after):
                if side == 0:
                    continue  # the first copy's own change counts, and reaches the other
                if here is not None:
                    (self._roots[side] / f"{marker.NAME}.sync-conflict-{now_s:.0f}{name}").write_bytes(here)
            if after is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(after)
            self._known[side] = self._copy(side)
