"""Pictures are renamed onto names in use, and the daemon is killed before each call of its delivery that changes something."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, Final

import pytest

from cutoutd.database import Database
from cutoutd.jobs import JobState
from cutoutd.publish import displaced
from cutoutd.publish import rename as renaming
from cutoutd.publish.verified import PRIVATE
from tests.integration.delivery_run import DeliveryRun, Power
from tests.integration.parts import digest, until
from tests.integration.test_moves import states_shown
from tests.integration.test_moves_onto_names import (
    SWAP,
    claimed,
    cut,
    cutout,
    cutouts_by_name,
    rename,
    take,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.conftest import FakeClock

Pairs = tuple[tuple[str, str], ...]

CYCLE: Final[Pairs] = (("a", "x"), ("c", "a"), ("b", "c"), ("x", "b"))

_CALLS: Final = ("unlink", "rename", "link", "mkdir", "rmdir", "fsync")


class Kill:
    """A simulated kill: after some calls, all changes by other threads than the main one fail."""

    def __init__(self, after: int) -> None:
        self.left = after

    def count(self) -> None:
        """Count a call."""
        if threading.current_thread() is threading.main_thread():
            return
        if self.left <= 0:
            raise Power
        self.left -= 1

    def guard(self, patch: pytest.MonkeyPatch, owner: Any, name: str) -> None:  # noqa: ANN401 -- a module or a class
        """Count the calls of one function."""
        real = getattr(owner, name)

        def counted(*given: Any, **more: Any) -> Any:  # noqa: ANN401 -- as it is
            self.count()
            return real(*given, **more)

        patch.setattr(owner, name, counted)

    def guard_all(self, patch: pytest.MonkeyPatch) -> None:
        """Count changes of names, directories, syncs, and transactions of the journal."""
        for name in _CALLS:
            self.guard(patch, os, name)
        self.guard(patch, renaming, "_call")
        self.guard(patch, Database, "transaction")


def end(pairs: Pairs) -> dict[str, str]:
    """Return the final name of each picture, by the names of before."""
    where = {name: name for pair in pairs for name in pair}
    lies = {name: name for name in where if name in {before for before, _ in pairs}}
    for before, after in pairs:
        if before in lies:
            lies[after] = lies.pop(before)
    return lies


def work(delivery_run: DeliveryRun, names: Sequence[str]) -> list[str]:
    """Work on all waiting jobs as workers do. Returns the paths that had to be cut."""
    again = []
    for job in claimed(delivery_run, names):
        sha256 = digest((delivery_run.folder.input / job.path).read_bytes())
        if (
            sha256 in delivery_run.journal.moves.candidates(job).sha256s
            and job.detail.get("moved") is not False
        ):
            delivery_run.delivery.deliver_moved(job, sha256)
        else:
            again.append(job.path)
            delivery_run.journal.gone(job, "the test needs no second cutout")
    return again


def killed_after(calls: int, root: Path, clock: FakeClock, pairs: Pairs) -> tuple[bool, list[str]]:
    """Rename, kill, and start again. Returns whether it was killed, and what had to be cut again.

    Before, a kill between the names of a sidecar and of its result made the picture be cut again, and one just before the removal
    of the directory for kept results left that directory.
    """
    root.mkdir()
    pictures = sorted(set(end(pairs).values()))
    names = sorted(end(pairs))
    delivery_run = DeliveryRun(root, clock)
    delivery_run.delivery.start()
    cut(delivery_run, *pictures)
    rename(delivery_run, *pairs)
    jobs = take(delivery_run, *names)
    with pytest.MonkeyPatch.context() as patch:
        Kill(calls).guard_all(patch)
        for job in jobs:
            delivery_run.delivery.deliver_moved(
                job, digest((delivery_run.folder.input / job.path).read_bytes())
            )
        until(lambda: delivery_run.delivery.is_idle or delivery_run.delivery.failure is not None, "the end")
        is_killed = delivery_run.delivery.failure is not None
    delivery_run.journal.close()
    again = DeliveryRun(root, clock, run="run-2")
    again.delivery.start()
    for one in again.journal.queue.recover():
        again.delivery.repair(one)
    again.delivery.sweep(frozenset({"run-1"}))
    again.settle()
    recut = work(again, names)
    again.settle()
    recut += work(again, names)
    again.settle()
    assert list(again.folder.output.rglob(f"{PRIVATE}*")) == []
    if not recut:
        assert cutouts_by_name(again) == {
            f"{name}.png": cutout(before) for name, before in end(pairs).items()
        }
        assert {name: states_shown(again)[name] for name in (f"{one}.jpg" for one in names)} == {
            f"{name}.jpg": JobState.DONE for name in names
        }
        assert not (again.folder.output / displaced.DIRECTORY).exists()
    again.end()
    again.journal.close()
    return is_killed, recut


@pytest.mark.parametrize(("pairs", "step"), [(SWAP, 1), (CYCLE, 6)])
def test_results_follow_after_a_kill_before_any_call_of_the_delivery(
    tmp_path: Path, clock: FakeClock, pairs: Pairs, step: int
) -> None:
    """Each picture has its result, none is cut again, and no displaced result is left."""
    calls, wrong = 0, []
    while True:
        is_killed, recut = killed_after(calls, tmp_path / str(calls), clock, pairs)
        if not is_killed:
            break
        if recut:
            wrong.append((calls, recut))
        calls += step
    assert wrong == []
    assert calls > 40
