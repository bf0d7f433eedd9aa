"""Changes of jobs reach the requests that wait for them, at a cost that does not depend on their number."""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import TYPE_CHECKING, Any, cast

import pytest

from cutoutd.clock import Clock
from cutoutd.database import Database
from cutoutd.job_options import JobOptions
from cutoutd.jobs import Version
from cutoutd.journal.sources import Sources
from cutoutd.journal.store import Store
from cutoutd.journal.submissions import Submission, Submissions
from cutoutd.serve.backend import watching
from cutoutd.serve.backend.configuration import CurrentSettings
from cutoutd.serve.backend.jobs import submission_key
from cutoutd.serve.backend.state import ServeBackend
from cutoutd.serve.keys import KeyFile
from cutoutd.serve.web.pictures import ServedPictures
from cutoutd.settings.schema import Folder, Service, Settings
from cutoutd.webserver.web.backend_channel import Answer, BackendChannel
from tests.integration.parts import until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.conftest import FakeClock

KEY = "program"


def _settings(root: Path) -> Settings:
    """Return settings with one folder."""
    (root / "in").mkdir(exist_ok=True)
    return Settings(
        service=Service(state_dir=root, min_free_disk_mb=0),
        folder=(Folder(name="shop", input=root / "in", output=root / "out"),),
    )


class WatchedJournal:
    """A journal that the daemon writes, and the events sent about its jobs."""

    def __init__(self, state_dir: Path, clock: Clock) -> None:
        self.daemon = Store(state_dir / "journal.sqlite", create=True)
        self.store = Store(state_dir / "journal.sqlite")
        self.events: list[tuple[str, str]] = []
        self.backend = ServeBackend(
            configuration=CurrentSettings(_settings(state_dir), None),
            state_dir=state_dir,
            open_store=lambda: self.store,
            clock=clock,
            keys=KeyFile(state_dir),
            tell=self._tell,
        )
        self.watches = watching.watches(self.backend)

    def _tell(self, _: str, data: Mapping[str, Any]) -> None:
        """Record number and state of a job in an event."""
        self.events.append((data["job"]["id"], data["job"]["state"]))

    def submit(self, count: int, *, waits: bool) -> list[str]:
        """Submit pictures, and watch their jobs."""
        numbers = [f"{number:032x}" for number in range(count)]
        with self.daemon.transaction():
            for number in numbers:
                self._submissions.post(self._submission(number))
        for number in numbers:
            self.watches.add(KEY, number, waits=waits)
        return numbers

    def take(self, number: str) -> None:
        """Accept a picture, as the daemon does."""
        version = Version(path=f"{number}.jpg", size=1, mtime_ns=1)
        Sources(self.daemon, Clock()).accept_submitted("shop", [(version, self._submission(number))], {})

    @property
    def _submissions(self) -> Submissions:
        """Return the daemon's access to submissions."""
        return Submissions(self.daemon, Clock())

    @staticmethod
    def _submission(number: str) -> Submission:
        """Return a submission with this number."""
        key = submission_key(KEY, number)
        return Submission(key=key, folder="shop", spool=number, name="a.jpg", options=JobOptions())


@pytest.fixture
def watched(tmp_path: Path, clock: FakeClock) -> WatchedJournal:
    """A watched journal for one test."""
    return WatchedJournal(tmp_path, clock)


@pytest.fixture
def statements_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The SQL statements that read rows from now on."""
    statements: list[str] = []
    rows = Database.rows

    def noted(self: Database, sql: str, *args: Any, **named: Any) -> Any:  # noqa: ANN401 -- as of Database
        statements.append(sql)
        return rows(self, sql, *args, **named)

    monkeypatch.setattr(Database, "rows", noted)
    return statements


def test_a_change_costs_few_statements_however_many_requests_wait(
    watched: WatchedJournal, statements_read: list[str]
) -> None:
    """Only the changed job gives an event."""
    numbers = watched.submit(60, waits=True)
    watched.watches.poll()
    assert watched.events == [(number, "accepted") for number in numbers]
    watched.events.clear()
    watched.take(numbers[7])
    statements_read.clear()
    watched.watches.poll()
    assert watched.events == [(numbers[7], "queued")]
    assert len(statements_read) <= 5, statements_read


def test_a_journal_that_does_not_change_is_not_read(
    watched: WatchedJournal, statements_read: list[str], clock: FakeClock
) -> None:
    """Except now and then, since file times are coarse: a change in the same tick is found then."""
    (number,) = watched.submit(1, waits=True)
    watched.watches.poll()
    path = watched.store.path
    assert path is not None
    before = path.stat()
    watched.take(number)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    statements_read.clear()
    watched.events.clear()
    watched.watches.poll()
    assert (statements_read, watched.events) == ([], [])
    clock.advance(watching.LATER_S)
    watched.watches.poll()
    assert watched.events == [(number, "queued")]


def test_jobs_that_nobody_waits_for_are_looked_up_some_at_a_time(watched: WatchedJournal) -> None:
    """All of them in the end, also if the journal does not change any more."""
    numbers = watched.submit(2 * watching.AT_ONCE + 50, waits=False)
    so_far = []
    for _ in range(3):
        watched.watches.poll()
        so_far.append(len(watched.events))
    assert so_far == [watching.AT_ONCE, 2 * watching.AT_ONCE, len(numbers)]


def test_the_pause_grows_with_the_cost_of_a_lookup(watched: WatchedJournal) -> None:
    """The pause is short otherwise while a request waits."""
    watched.submit(1, waits=True)
    started_s = time.monotonic()
    watched.watches.wait(0.03)
    assert time.monotonic() - started_s >= 0.03 / watching.SHARE


class FakeChannel:
    """A channel that answers with a job's state."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.job = {"id": "1", "state": "accepted", "over": False}
        self.is_asked = asyncio.Event()

    async def ask(self, method: str, *_: object) -> Answer:
        """Answer as the backend does."""
        self.asked.append(method)
        self.is_asked.set()
        body = json.dumps(self.job).encode()
        return Answer(status=200, body=body, media_type="application/json", immutable=False, named={})


@pytest.mark.parametrize("is_revoked", [False, True])
def test_a_request_that_waits_goes_on_when_its_job_is_over(*, is_revoked: bool) -> None:
    """Without a query in intermediate states; at the end it checks only that its key is still valid."""

    async def run() -> list[str]:
        channel = FakeChannel()
        pictures = ServedPictures(cast("BackendChannel", channel))
        waiting = asyncio.create_task(pictures.wait("key", dict(channel.job), 60))
        await channel.is_asked.wait()
        for state in ("queued", "working", "publishing"):
            channel.job = {**channel.job, "state": state}
            pictures.notify(channel.job, is_revoked=False)
            for _ in range(10):  # turns of the loop
                await asyncio.sleep(0)
        channel.job = {**channel.job, "state": "done", "over": True}
        pictures.notify(channel.job, is_revoked=is_revoked)
        assert (await waiting)["state"] == "done"
        return channel.asked

    assert asyncio.run(run()) == (["watch", "job"] if is_revoked else ["watch"])


def test_jobs_are_watched_on_after_an_error_that_was_not_foreseen(tmp_path: Path) -> None:
    """It ended the thread, and every request waited until its time-out."""
    watched = WatchedJournal(tmp_path, Clock())
    opened, errors = watched.backend.open_store, iter([ZeroDivisionError()])

    def fail_once() -> Store | None:
        for error in errors:
            raise error
        return opened()

    watched.backend.open_store = fail_once
    (number,) = watched.submit(1, waits=True)
    watching.start(watched.backend)
    until(lambda: watched.events == [(number, "accepted")], "its state")
