"""A hot folder's monitor with real threads, events and files."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.clock import Clock
from cutoutd.daemon.assembly import publisher_of
from cutoutd.folder.health import HealthCheck
from cutoutd.folder.monitor import FolderMonitor
from cutoutd.folder.overlaps import Overlaps
from cutoutd.folder.status import Closed, FolderState, PendingFile, describe
from cutoutd.intake import filesystems
from cutoutd.jobs import JobState
from cutoutd.journal.journal import Journal
from cutoutd.lease import marker
from cutoutd.lease.lease import Lease
from cutoutd.settings.schema import Service
from tests.integration.namespaces import in_namespace
from tests.integration.parts import JPEG, NAME, Heard, folder_in, states, until
from tests.integration.share import Share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOR_EVER_S = 3600.0
OTHER = "22222222-2222-4222-8222-222222222222"

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of writers")


class MonitoredFolder:
    """A folder monitor with all that it needs."""

    def __init__(self, root: Path, *, once: bool = False, min_free_mb: int = 0, **given: Any) -> None:  # noqa: ANN401 -- any key of a folder
        self.folder = folder_in(root, **given)
        self.root = self.folder.input
        self.journal = Journal(None, session="run-1", clock=Clock())
        self.heard = Heard()
        self.woken = threading.Event()
        self.health = HealthCheck(
            self.folder,
            memory=self.journal.folders,
            publisher=publisher_of(self.folder, name=NAME, run="run-1"),
            service=Service(state_dir=root, min_free_disk_mb=min_free_mb),
            lease=Lease(run="run-1", is_dead=self.journal.sessions.is_dead, clock=Clock()),
            overlaps=Overlaps(Path("/no-state"), "run-1"),
        )
        self.monitor = FolderMonitor(
            self.folder,
            sources=self.journal.sources,
            health=self.health,
            clock=Clock(),
            emit=self.heard,
            wake=self.woken.set,
            once=once,
            submissions=self.journal.submissions,
        )

    @property
    def watching(self) -> FolderState:
        """State of the folder."""
        return self.monitor.snapshot.status.watching

    def begin(self) -> None:
        """Start, and wait for the first scan."""
        self.monitor.thread.start()
        assert self.monitor.wait_for_first_look(20.0)

    def put(self, name: str, content: bytes = JPEG) -> None:
        """Add a complete file."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.root.parent / "draft"
        draft.write_bytes(content)
        draft.rename(path)

    def accepts(self, name: str) -> None:
        """Wait until a file is accepted."""
        until(
            lambda: name in states(self.journal), f"the acceptance of {name}; {self.monitor.snapshot.status}"
        )


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., MonitoredFolder]]:
    """A function that makes monitored folders; they are ended with the test."""
    created: list[MonitoredFolder] = []

    def build(**given: Any) -> MonitoredFolder:  # noqa: ANN401 -- as of MonitoredFolder
        created.append(MonitoredFolder(tmp_path, **given))
        return created[-1]

    yield build
    for watched in created:
        watched.monitor.stop()
        if watched.monitor.wait_for_first_look(0):
            watched.monitor.thread.join(20.0)
        watched.journal.close()


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Share]:
    """A mounted share."""
    created = Share(tmp_path)
    created.attach()
    yield created
    created.detach()


@pytest.fixture
def native(tmp_path: Path) -> None:
    """Skip the test where the kernel's events are not used."""
    if filesystems.watch_mode(os.fspath(tmp_path)).network:
        pytest.skip("temporary files are on a network file system here")


@pytest.mark.usefixtures("native")
def test_a_file_is_accepted_because_an_event_tells_of_it(make: Callable[..., MonitoredFolder]) -> None:
    """Long before the next scan, once; and the supervisor is woken."""
    watched = make(rescan_interval_s=FOR_EVER_S, poll_interval_s=FOR_EVER_S)
    watched.begin()
    assert watched.watching is FolderState.NATIVE
    assert watched.monitor.snapshot.status.scanned
    watched.woken.clear()
    watched.put("a.jpg")
    watched.put("sub/deep/b.jpg")
    watched.put("notes.txt", b"no picture " * 10)
    watched.accepts("a.jpg")
    watched.accepts("sub/deep/b.jpg")
    assert watched.woken.is_set()
    until(lambda: watched.monitor.snapshot.status.settling == 0, "everything to be looked at")
    assert states(watched.journal) == {"a.jpg": JobState.QUEUED, "sub/deep/b.jpg": JobState.QUEUED}
    assert watched.heard.count == 2


def test_existing_files_are_found_by_the_first_scan(make: Callable[..., MonitoredFolder]) -> None:
    """No event ever reported it."""
    watched = make(rescan_interval_s=FOR_EVER_S)
    watched.put("a.jpg")
    watched.begin()
    watched.accepts("a.jpg")


def test_a_folder_can_be_polled(make: Callable[..., MonitoredFolder]) -> None:
    """As where there are no events; the status says why."""
    watched = make(watch="poll")
    watched.begin()
    assert watched.watching is FolderState.POLL
    assert watched.monitor.snapshot.status.why == "as configured"
    assert watched.heard.messages == [f"{NAME}: {describe(FolderState.POLL, 'as configured')}"]
    watched.put("a.jpg")
    watched.accepts("a.jpg")


def test_a_file_that_was_asked_about_is_checked_soon(make: Callable[..., MonitoredFolder]) -> None:
    """As when a newer version replaced it while it was cut."""
    watched = make(watch="poll", poll_interval_s=FOR_EVER_S)
    watched.begin()
    watched.put("a.jpg")
    watched.monitor.look_at("a.jpg")
    watched.accepts("a.jpg")


@pytest.mark.parametrize("watch", ["auto", "poll"])
def test_a_folder_that_is_deleted_and_recreated_is_watched_again(
    make: Callable[..., MonitoredFolder], watch: str
) -> None:
    """The recreated folder has the marker that the journal knows."""
    watched = make(watch=watch)
    watched.begin()
    before = watched.watching
    shutil.rmtree(watched.root)
    until(lambda: watched.watching is FolderState.STANDING_BY, "the folder to stand by")
    assert "is not there" in watched.monitor.snapshot.status.why
    watched.root.mkdir()
    until(lambda: watched.watching is before, "the folder to be watched again")
    watched.put("a.jpg")
    watched.accepts("a.jpg")
    known = watched.journal.folders.recall(NAME)
    assert known is not None
    assert marker.read(os.fspath(watched.root)) == known.marker
    statuses = [message.split(": ")[1] for message in watched.heard.messages]
    assert statuses[-2:] == ["standing by", describe(FolderState(before), "")]


@pytest.mark.usefixtures("native")
def test_another_folder_that_takes_its_place_is_not_touched(
    make: Callable[..., MonitoredFolder], tmp_path: Path
) -> None:
    """Its pictures belong to somebody else; the health check comes before any scan."""
    watched = make(rescan_interval_s=FOR_EVER_S)
    watched.begin()
    other = tmp_path / "other"
    other.mkdir()
    (other / marker.NAME).write_text(marker.text(OTHER), encoding="utf-8")
    (other / "theirs.jpg").write_bytes(JPEG)
    watched.root.rename(tmp_path / "away")
    other.rename(watched.root)
    watched.monitor.look_at("anything.jpg")
    until(
        lambda: OTHER in watched.monitor.snapshot.status.why or states(watched.journal),
        "the other folder to be noticed",
    )
    assert watched.watching is FolderState.STANDING_BY
    assert states(watched.journal) == {}


@pytest.mark.usefixtures("native")
def test_a_folder_replaced_at_once_is_watched_again(
    make: Callable[..., MonitoredFolder], tmp_path: Path
) -> None:
    """Without waiting for a limit."""
    watched = make(rescan_interval_s=FOR_EVER_S)
    watched.begin()
    watched.root.rename(tmp_path / "away")
    watched.root.mkdir()
    watched.put("a.jpg")
    watched.monitor.look_at("a.jpg")
    watched.accepts("a.jpg")


def test_files_from_before_the_first_start_can_be_skipped(
    make: Callable[..., MonitoredFolder],
) -> None:
    """Until it changes; what comes later is cut."""
    watched = make(existing="skip", watch="poll")
    watched.put("old.jpg")
    watched.begin()
    watched.put("new.jpg")
    watched.accepts("new.jpg")
    assert states(watched.journal) == {"old.jpg": JobState.SKIPPED, "new.jpg": JobState.QUEUED}
    watched.put("old.jpg", JPEG * 2)
    until(lambda: states(watched.journal)["old.jpg"] is JobState.QUEUED, "the changed file to be accepted")


def test_too_little_space_pauses_the_folder_with_the_reason(make: Callable[..., MonitoredFolder]) -> None:
    """No picture is accepted meanwhile."""
    watched = make(min_free_mb=10**9)
    watched.put("a.jpg")
    watched.begin()
    assert watched.watching is FolderState.PAUSED
    assert not watched.monitor.snapshot.status.is_open
    assert "min_free_disk_mb" in watched.heard.messages[0]
    assert states(watched.journal) == {}


def test_a_folder_that_is_missing_stands_by_until_it_is_there(make: Callable[..., MonitoredFolder]) -> None:
    """Logged once, not at every check."""
    watched = make()
    watched.root.rmdir()
    watched.begin()
    assert watched.watching is FolderState.STANDING_BY
    watched.woken.clear()
    until(watched.woken.is_set, "a second look")
    assert len(watched.heard.messages) == 1
    watched.root.mkdir()
    until(lambda: watched.monitor.snapshot.status.is_open, "the folder to be open")
    watched.put("a.jpg")
    watched.accepts("a.jpg")


def test_nothing_but_time_opens_a_folder_that_is_away(make: Callable[..., MonitoredFolder]) -> None:
    """Neither an event nor a request, which may be late echoes of its former state."""
    watched = make(poll_interval_s=FOR_EVER_S)
    watched.root.rmdir()
    watched.begin()
    watched.root.mkdir()
    turns = watched.monitor.snapshot.looks
    watched.monitor.look_at("a.jpg")
    until(lambda: watched.monitor.snapshot.looks > turns, "a turn")
    assert watched.watching is FolderState.STANDING_BY


def test_a_folder_is_checked_on_request(make: Callable[..., MonitoredFolder], tmp_path: Path) -> None:
    """As when a worker was stuck in it: a change is noticed early, in both directions."""
    watched = make(watch="poll", poll_interval_s=FOR_EVER_S)
    watched.begin()
    away = watched.root.rename(tmp_path / "away")
    turns = watched.monitor.snapshot.looks
    watched.monitor.check_again()
    until(lambda: watched.watching is FolderState.STANDING_BY, "the folder to stand by")
    until(lambda: watched.monitor.snapshot.looks > turns, "the end of the look")
    away.rename(watched.root)
    watched.monitor.check_again()
    until(lambda: watched.watching is FolderState.POLL, "the folder to come back")
    until(lambda: watched.monitor.snapshot.looking_since_s is None, "the end of the look")


def test_a_single_scan_is_over_when_all_files_were_accepted(make: Callable[..., MonitoredFolder]) -> None:
    """As with `run --once`."""
    watched = make(once=True, settle_s=0.5)
    for name in ("a.jpg", "b.jpg"):
        watched.put(name)
    os.utime(watched.root / "a.jpg", (1, 1))
    watched.begin()
    until(lambda: watched.monitor.snapshot.has_settled, "the folder to settle")
    assert states(watched.journal).keys() == {"a.jpg", "b.jpg"}
    assert watched.heard.messages == []


@linux_only
def test_a_single_scan_does_not_wait_for_a_writer(make: Callable[..., MonitoredFolder]) -> None:
    """The file is named instead."""
    watched = make(once=True)
    watched.put("a.jpg")
    watched.put("held.jpg")
    os.utime(watched.root / "held.jpg", (1, 1))
    with (watched.root / "held.jpg").open("ab"):
        watched.begin()
        until(lambda: watched.monitor.snapshot.has_settled, "the folder to settle")
        assert watched.monitor.snapshot.status.held_up == (
            PendingFile(path="held.jpg", why="still being written"),
        )
        assert states(watched.journal).keys() == {"a.jpg"}


@linux_only
def test_a_single_scan_does_not_wait_for_many_writers(make: Callable[..., MonitoredFolder]) -> None:
    """However many files somebody keeps open."""
    watched = make(once=True)
    held = []
    for number in range(25):
        watched.put(f"{number}.jpg")
        os.utime(watched.root / f"{number}.jpg", (1, 1))
        held.append((watched.root / f"{number}.jpg").open("ab"))
    try:
        watched.begin()
        assert watched.monitor.snapshot.status.settling == 25
        assert watched.monitor.snapshot.has_settled
    finally:
        for file in held:
            file.close()


def test_a_single_scan_of_a_missing_folder_is_over(make: Callable[..., MonitoredFolder]) -> None:
    """There is nothing to wait for."""
    watched = make(once=True)
    watched.root.rmdir()
    assert not watched.monitor.snapshot.has_settled
    watched.begin()
    assert watched.monitor.snapshot.has_settled


def test_the_death_of_the_thread_is_reported_and_a_restart_scans_everything(
    make: Callable[..., MonitoredFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The supervisor is woken to restart it; without a report files would be missed."""
    watched = make(watch="poll")
    watched.begin()

    def explode(_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(HealthCheck, "check", explode)
    watched.woken.clear()
    watched.put("a.jpg")
    until(lambda: watched.monitor.thread.failure is not None, "the thread to die")
    assert isinstance(watched.monitor.thread.failure, ZeroDivisionError)
    until(watched.woken.is_set, "the supervisor to be woken")
    monkeypatch.undo()
    watched.monitor.thread.start()
    until(lambda: states(watched.journal) == {"a.jpg": JobState.QUEUED}, "the picture")
    assert watched.monitor.thread.failure is None


def test_a_stop_ends_the_thread_soon(make: Callable[..., MonitoredFolder]) -> None:
    """However long its pause would have been."""
    watched = make(rescan_interval_s=FOR_EVER_S, poll_interval_s=FOR_EVER_S)
    watched.begin()
    before = threading.active_count()
    watched.monitor.stop()
    watched.monitor.thread.join(10.0)
    assert threading.active_count() < before
    assert watched.monitor.thread.failure is None


REARMED = """
import json, sys
from pathlib import Path
from cutoutd.folder import scan_schedule
from tests.integration.parts import until
from tests.integration.test_folder_monitor import MonitoredFolder

limit = Path("/proc/sys/user/max_inotify_instances")
scan_schedule.REARM_S = 0.3
limit.write_text("0")
watched = MonitoredFolder(Path(sys.argv[1]))
watched.begin()
refused = watched.monitor.snapshot.status
watched.put("polled.jpg")
watched.accepts("polled.jpg")
limit.write_text("128")
until(lambda: watched.watching == "native", "the events")
after = watched.monitor.snapshot.status
watched.monitor.stop()
watched.monitor.thread.join(20.0)
print(json.dumps([refused.watching, refused.why, after.why]))  # the thread's log goes there too: one at a time
"""


@linux_only
@pytest.mark.usefixtures("native")
def test_a_folder_that_got_no_events_is_polled_and_armed_again_by_itself(tmp_path: Path) -> None:
    """Once the system provides them, a while later; until then the status says which limit to raise."""
    output = in_namespace("-Ur", sys.executable, "-c", REARMED, os.fspath(tmp_path))
    before, why, after = json.loads(output.splitlines()[-1])
    assert (before, after) == ("poll", "")
    assert "max_user_instances" in why


def test_a_file_that_could_not_be_read_is_tried_at_every_poll(
    make: Callable[..., MonitoredFolder], share: Share
) -> None:
    """Once it is readable, delayed work on it continues at once; that on a file never seen unreadable keeps its delay."""
    watched = make(watch="poll", input=os.fspath(share.mount))
    (share.far / "a.jpg").write_bytes(JPEG)
    watched.begin()
    watched.accepts("a.jpg")
    before = watched.monitor.snapshot.recoveries
    number = watched.monitor.check_again("a.jpg")
    until(lambda: watched.monitor.snapshot.checks >= number, "a check")
    assert watched.monitor.snapshot.recoveries == before
    share.fail(errno.EIO, "read", only="a.jpg")
    number = watched.monitor.check_again("a.jpg")
    until(lambda: watched.monitor.snapshot.checks >= number, "another")
    assert (watched.watching, watched.monitor.snapshot.recoveries) == (FolderState.POLL, before)
    share.heal()
    until(lambda: watched.monitor.snapshot.recoveries == before + 1, "the file to be read")


def test_an_output_that_refuses_is_tried_before_work_goes_on(
    make: Callable[..., MonitoredFolder], share: Share
) -> None:
    """Its folder is paused meanwhile, with the reason; without a refusal nothing is written to test it."""
    watched = make(watch="poll", output=os.fspath(share.mount))
    watched.begin()
    share.fail(errno.EIO, "fsync")
    number = watched.monitor.check_again()
    until(lambda: watched.monitor.snapshot.checks >= number, "a check")
    assert watched.monitor.snapshot.status.is_open
    watched.monitor.check_again("a.jpg")
    until(lambda: watched.watching is FolderState.PAUSED, "the folder to be paused")
    before = watched.monitor.snapshot.recoveries
    share.heal()
    until(lambda: watched.monitor.snapshot.status.is_open, "the folder to be open")
    until(lambda: watched.monitor.snapshot.recoveries == before + 1, "that to be said")
    assert [path.name for path in share.far.rglob("trial")] == []


def test_a_folder_of_another_machine_is_waited_for_and_learned_about(
    make: Callable[..., MonitoredFolder],
) -> None:
    """Until the first complete scan, results of the other machine are looked up."""
    watched = make(watch="poll", existing="skip")
    marker.create(os.fspath(watched.root), OTHER)
    other = Lease(run="another", is_dead=lambda _: False, clock=Clock())
    assert other.acquire(os.fspath(watched.root), OTHER).ours
    watched.put("a.jpg")
    watched.begin()
    assert watched.watching is FolderState.STANDING_BY
    assert os.uname().nodename in watched.monitor.snapshot.status.why
    other.release()
    until(lambda: watched.monitor.snapshot.status.is_open, "the folder to be handed over")
    watched.accepts("a.jpg")
    assert states(watched.journal) == {
        "a.jpg": JobState.QUEUED
    }  # not skipped: it was dropped there to be cut
    assert not watched.health.took_over


@pytest.mark.usefixtures("native")
def test_files_in_directories_made_in_one_rush_are_all_found(make: Callable[..., MonitoredFolder]) -> None:
    """Most exist before the system watches their directories."""
    watched = make(rescan_interval_s=FOR_EVER_S, poll_interval_s=FOR_EVER_S)
    watched.begin()
    names = [f"{outer}/{n}.jpg" for outer in range(200) for n in range(5)]
    for name in names:
        path = watched.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(JPEG)
    until(lambda: watched.heard.count == len(names), "all files")
    assert states(watched.journal).keys() == set(names)


@pytest.mark.usefixtures("native")
def test_a_file_is_accepted_once_however_it_gets_its_name(
    make: Callable[..., MonitoredFolder], tmp_path: Path
) -> None:
    """In a directory that is moved in, renamed, moved in, or linked; and never under a temporary name."""
    watched = make(rescan_interval_s=FOR_EVER_S, poll_interval_s=FOR_EVER_S)
    watched.begin()
    filled = tmp_path / "filled"
    (filled / "deep").mkdir(parents=True)
    (filled / "deep" / "a.jpg").write_bytes(JPEG)
    filled.rename(watched.root / "filled")
    junk = (
        ".x.jpg.tmp",
        "c.jpg.part",
        "d.jpg.crdownload",
        "~e.jpg",
        ".syncthing.f.jpg",
        ".DS_Store",
        "@eaDir/g.jpg",
    )
    for name in junk:
        (watched.root / name).parent.mkdir(exist_ok=True)
        (watched.root / name).write_bytes(JPEG)
    watched.accepts("filled/deep/a.jpg")
    (watched.root / ".x.jpg.tmp").rename(watched.root / "x.jpg")
    (watched.root / "c.jpg.part").rename(watched.root / "c.jpg")
    (tmp_path / "linked").write_bytes(JPEG)
    (watched.root / "l.jpg").hardlink_to(tmp_path / "linked")
    for name in ("x.jpg", "c.jpg", "l.jpg"):
        watched.accepts(name)
    assert states(watched.journal).keys() == {"filled/deep/a.jpg", "x.jpg", "c.jpg", "l.jpg"}
    until(lambda: watched.heard.count == 4, "each to be told once")


@linux_only
@pytest.mark.usefixtures("native")
def test_a_writer_that_pauses_or_never_ends_is_waited_for(make: Callable[..., MonitoredFolder]) -> None:
    """The status shows it; when the writer closes the file, it is taken, once."""
    watched = make(settle_s=0.1)
    watched.begin()
    with (watched.root / "slow.jpg").open("wb", buffering=0) as file:
        for pause_s in (0.1, 0.3, 1.0):
            file.write(JPEG)
            time.sleep(pause_s)
        until(lambda: watched.monitor.snapshot.status.held_up, "the writer to be shown")
        assert watched.monitor.snapshot.status.held_up == (
            PendingFile(path="slow.jpg", why="still being written"),
        )
        assert states(watched.journal) == {}
    watched.accepts("slow.jpg")
    until(lambda: watched.heard.count, "the acceptance to be told")  # which comes after the journal's row
    assert watched.heard.count == 1


def test_files_written_on_another_machine_are_found_by_polling(
    make: Callable[..., MonitoredFolder], share: Share
) -> None:
    """There are no events; the folder is polled because of its file system."""
    watched = make(input=os.fspath(share.mount))
    watched.begin()
    assert watched.watching is FolderState.POLL
    assert "fuse" in watched.monitor.snapshot.status.why
    (share.far / "sub").mkdir()
    (share.far / "sub" / "a.jpg").write_bytes(JPEG)
    watched.accepts("sub/a.jpg")


def test_a_scan_that_a_share_held_up_does_not_put_the_next_one_off(
    share: Share, make: Callable[..., MonitoredFolder]
) -> None:
    """Longer scans are made less often, but a hang does not count: two seconds of it would delay the next scan by minutes."""
    (share.far / "sub").mkdir()
    watched = make(input=os.fspath(share.mount))
    watched.begin()
    share.hang("readdir", only="/sub")
    until(
        lambda: (since_s := watched.monitor.snapshot.looking_since_s) and time.monotonic() - since_s > 2.0,
        "a hang",
    )
    share.heal()
    until(lambda: watched.monitor.snapshot.looking_since_s is None, "the end of the look")
    (share.far / "late.jpg").write_bytes(JPEG)
    watched.accepts("late.jpg")


def test_one_thread_can_wait_for_the_last_scan_and_another_for_the_end(
    make: Callable[..., MonitoredFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a scan hangs, and after it."""
    watched = make()
    check = watched.health.check
    entered, may_go_on = threading.Event(), threading.Event()

    def slowly(*, thoroughly: bool) -> Closed | None:
        entered.set()
        assert may_go_on.wait(20.0)
        return check(thoroughly=thoroughly)

    monkeypatch.setattr(watched.health, "check", slowly)
    watched.monitor.thread.start()
    assert entered.wait(20.0)
    watched.monitor.stop()
    other = threading.Thread(target=watched.monitor.thread.join, args=(20.0,))
    other.start()
    watched.monitor.thread.join(0.1)
    assert other.is_alive()
    may_go_on.set()
    other.join(10.0)
    watched.monitor.thread.join(10.0)
    assert not other.is_alive()
    assert watched.monitor.thread.has_ended


def test_a_closed_folder_that_is_to_be_checked_has_not_settled(
    make: Callable[..., MonitoredFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As right after `cutoutd adopt`: `run --once` waits for what it finds; before, it ended at times without cutting that."""
    watched = make(poll_interval_s=60.0)
    watched.root.rename(watched.root.with_name("away"))
    watched.begin()
    until(lambda: watched.monitor.snapshot.has_settled, "that it stands by")
    checks, may_go_on = watched.health.check, threading.Event()

    def check(*, thoroughly: bool = False) -> Closed | None:
        assert may_go_on.wait(20.0)
        return checks(thoroughly=thoroughly)

    monkeypatch.setattr(watched.health, "check", check)
    watched.root.with_name("away").rename(watched.root)
    watched.put("a.jpg")
    watched.monitor.check_again()
    assert not watched.monitor.snapshot.has_settled
    may_go_on.set()
    until(lambda: watched.monitor.snapshot.has_settled, "the end of the check")
    assert states(watched.journal) == {"a.jpg": JobState.QUEUED}


def test_what_a_folder_shows_is_no_older_than_the_number_of_its_look(
    make: Callable[..., MonitoredFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look that ends while the status is read does not count as seen."""
    watched = make()

    def settled_before_a_look_ends(monitor: FolderMonitor) -> bool:
        monitor._checks += 1  # noqa: SLF001 -- as the monitor's thread does
        return True

    monkeypatch.setattr(FolderMonitor, "_has_settled", property(settled_before_a_look_ends))
    assert watched.monitor.snapshot.checks == 0
