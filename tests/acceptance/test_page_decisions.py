"""Many pictures accepted in one action of the page: kept while no daemon runs, finished after a kill, and undone as one."""

from __future__ import annotations

import hashlib
import signal
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from cutoutd.clock import Clock
from cutoutd.jobs import JobState
from cutoutd.journal.batches import Batches
from cutoutd.journal.decisions import BatchItem, Decision
from cutoutd.journal.listing import Listing
from cutoutd.journal.reader import Reader
from cutoutd.journal.store import FILE_NAME, Store
from tests.acceptance.test_review import drop_empty

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.acceptance.conftest import Bench, Daemon

COUNT = 20


@pytest.mark.small_model
def test_a_daemon_killed_amid_an_accept_of_many_finishes_it(
    bench: Bench, start: Callable[..., Daemon]
) -> None:
    """Each is published once, with the bytes that were shown; then all of them are held back again."""
    for number in range(COUNT):
        drop_empty(bench, f"{number}.jpg", 40 + number)
    bench.once()
    (path,) = bench.root.joinpath("state").rglob(FILE_NAME)
    with closing(Store(path)) as store:
        listing = Listing(store)
        numbers = [job.id for job in Reader(store).jobs(state=JobState.REVIEW)]
        seen = listing.first_results(numbers)
        items = [BatchItem(job=number, seen=seen[number]) for number in numbers]
        decided = Batches(store).decide(Decision.ACCEPT, items, Clock())
        assert (decided.done, decided.conflicts) == (COUNT, ())

    def published() -> list[str]:
        return sorted(one.name for one in bench.output.glob("*.png"))

    killed = start()
    bench.wait_for(lambda: len(published()) > COUNT // 5, "the first")
    killed.end(signal.SIGKILL)
    assert len(published()) < COUNT
    start()
    bench.wait_for(lambda: len(list(bench.output.glob("*.png.json"))) == COUNT, "all of them")
    assert published() == sorted(f"{number}.png" for number in range(COUNT))
    found = {hashlib.sha256(one.read_bytes()).hexdigest() for one in bench.output.glob("*.png")}
    assert found == set(seen.values())

    def held() -> list[JobState]:
        with closing(Store(path)) as store:
            return [job.state for job in Reader(store).newest_jobs()]

    bench.wait_for(lambda: held() == [JobState.DONE] * COUNT, "the journal")
    with closing(Store(path)) as store:
        assert Batches(store).undo(decided.batch, Clock()).done == COUNT
    bench.wait_for(lambda: held() == [JobState.REVIEW] * COUNT, "all of them in review")
    assert published() == []
    assert len(list((bench.output / "review").glob("*.png"))) >= COUNT
