"""A hot folder's intake with real threads, real events and real files."""

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
from cutoutd.daemon.assembly import publisher_of, rules_of
from cutoutd.folder.health import HealthCheck
from cutoutd.folder.monitor import FolderMonitor
from cutoutd.folder.overlaps import Overlaps
from cutoutd.folder.status import FolderState, HeldUp, told
from cutoutd.intake import filesystems
from cutoutd.jobs import JobState
from cutoutd.journal.journal import Journal
from cutoutd.lease import marker
from cutoutd.lease.lease import Lease
from tests.integration.namespaces import in_namespace
from tests.integration.parts import JPEG, NAME, Heard, folder_in, states, until
from tests.integration.share import Share

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FOR_EVER_S = 3600.0
OTHER = "22222222-2222-4222-8222-222222222222"

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of writers")


class Intake:
    """A monitor and what it needs."""

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
            min_free_mb=min_free_mb,
            state_dir=root,
            lease=Lease(run="run-1", is_dead=self.journal.sessions.is_dead, clock=Clock()),
            overlaps=Overlaps(Path("/no-state"), "run-1"),
        )
        self.monitor = FolderMonitor(
            self.folder,
            rules=rules_of(self.folder),
            sources=self.journal.sources,
            health=self.health,
            clock=Clock(),
            listener=self.heard,
            wake=self.woken.set,
            once=once,
        )

    @property
    def watching(self) -> FolderState:
        """How it stands."""
        return self.monitor.status.watching

    def begin(self) -> None:
        """Start, and wait until it has looked."""
        self.monitor.start()
        assert self.monitor.wait_for_first_look(20.0)

    def put(self, name: str, content: bytes = JPEG) -> None:
        """A file arrives, whole."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.root.parent / "draft"
        draft.write_bytes(content)
        draft.rename(path)

    def accepts(self, name: str) -> None:
        """Wait until a file is accepted."""
        until(lambda: name in states(self.journal), f"the acceptance of {name}; {self.monitor.status}")


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Intake]]:
    """Makes intakes, and ends them."""
    made: list[Intake] = []

    def build(**given: Any) -> Intake:  # noqa: ANN401 -- as of Intake
        made.append(Intake(tmp_path, **given))
        return made[-1]

    yield build
    for intake in made:
        intake.monitor.stop()
        if intake.monitor.wait_for_first_look(0):
            intake.monitor.join(20.0)
        intake.journal.close()


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Share]:
    """A mounted share."""
    made = Share(tmp_path)
    made.attach()
    yield made
    made.detach()


@pytest.fixture
def native(tmp_path: Path) -> None:
    """Go on only where the kernel's events are trusted."""
    if filesystems.watch_mode(os.fspath(tmp_path)).watching is not filesystems.WatchMethod.NATIVE:
        pytest.skip("temporary files are on a network file system here")


@pytest.mark.usefixtures("native")
def test_a_file_is_accepted_because_an_event_tells_of_it(make: Callable[..., Intake]) -> None:
    """Long before the next scan; once; and the supervisor is woken for it."""
    intake = make(rescan_interval_s=FOR_EVER_S, poll_interval_s=FOR_EVER_S)
    intake.begin()
    assert intake.watching is FolderState.NATIVE
    assert intake.monitor.status.scanned
    intake.woken.clear()
    intake.put("a.jpg")
    intake.put("sub/deep/b.jpg")
    intake.put("notes.txt", b"no picture " * 10)
    intake.accepts("a.jpg")
    intake.accepts("sub/deep/b.jpg")
    assert intake.woken.is_set()
    until(lambda: intake.monitor.status.settling == 0, "everything to be looked at")
    assert states(intake.journal) == {"a.jpg": JobState.QUEUED, "sub/deep/b.jpg": JobState.QUEUED}
    assert intake.heard.count == 2


def test_what_is_there_at_the_start_is_found_by_the_scan(make: Callable[..., Intake]) -> None:
    """No event ever told of it."""
    intake = make(rescan_interval_s=FOR_EVER_S)
    intake.put("a.jpg")
    intake.begin()
    intake.accepts("a.jpg")


def test_a_folder_can_be_polled(make: Callable[..., Intake]) -> None:
    """As where events do not come; status says why."""
    intake = make(watch="poll")
    intake.begin()
    assert intake.watching is FolderState.POLL
    assert intake.monitor.status.why == "as configured"
    assert intake.heard.messages == [f"{NAME}: {told(FolderState.POLL, 'as configured')}"]
    intake.put("a.jpg")
    intake.accepts("a.jpg")


def test_a_file_that_was_asked_about_is_looked_at_soon(make: Callable[..., Intake]) -> None:
    """As when a newer version took its place while it was in work."""
    intake = make(watch="poll", poll_interval_s=FOR_EVER_S)
    intake.begin()
    intake.put("a.jpg")
    intake.monitor.look_at("a.jpg")
    intake.accepts("a.jpg")


@pytest.mark.parametrize("watch", ["auto", "poll"])
def test_a_folder_that_is_deleted_and_made_anew_is_watched_again(
    make: Callable[..., Intake], watch: str
) -> None:
    """With its marker."""
    intake = make(watch=watch)
    intake.begin()
    uuid = marker.read(os.fspath(intake.root))
    before = intake.watching
    shutil.rmtree(intake.root)
    until(lambda: intake.watching is FolderState.STANDING_BY, "the folder to stand by")
    assert "is not there" in intake.monitor.status.why
    intake.root.mkdir()
    until(lambda: intake.watching is before, "the folder to be watched again")
    intake.put("a.jpg")
    intake.accepts("a.jpg")
    assert marker.read(os.fspath(intake.root)) == uuid
    statuses = [message.split(": ")[1] for message in intake.heard.messages]
    assert statuses[-2:] == ["standing by", told(FolderState(before), "")]


@pytest.mark.usefixtures("native")
def test_another_folder_that_takes_its_place_is_not_touched(
    make: Callable[..., Intake], tmp_path: Path
) -> None:
    """Its pictures belong to somebody else; the health is asked before the next scan, whatever asks for that."""
    intake = make(rescan_interval_s=FOR_EVER_S)
    intake.begin()
    other = tmp_path / "other"
    other.mkdir()
    (other / marker.NAME).write_text(marker.text(OTHER), encoding="utf-8")
    (other / "theirs.jpg").write_bytes(JPEG)
    intake.root.rename(tmp_path / "away")
    other.rename(intake.root)
    intake.monitor.look_at("anything.jpg")
    until(
        lambda: OTHER in intake.monitor.status.why or states(intake.journal),
        "the other folder to be noticed",
    )
    assert intake.watching is FolderState.STANDING_BY
    assert states(intake.journal) == {}


@pytest.mark.usefixtures("native")
def test_a_folder_replaced_at_once_is_watched_again(make: Callable[..., Intake], tmp_path: Path) -> None:
    """Before any time is up."""
    intake = make(rescan_interval_s=FOR_EVER_S)
    intake.begin()
    intake.root.rename(tmp_path / "away")
    intake.root.mkdir()
    intake.put("a.jpg")
    intake.monitor.look_at("a.jpg")
    intake.accepts("a.jpg")


def test_what_was_there_before_the_first_start_can_be_left_alone(make: Callable[..., Intake]) -> None:
    """Until it changes; what comes later is cut."""
    intake = make(existing="skip", watch="poll")
    intake.put("old.jpg")
    intake.begin()
    intake.put("new.jpg")
    intake.accepts("new.jpg")
    assert states(intake.journal) == {"old.jpg": JobState.SKIPPED, "new.jpg": JobState.QUEUED}
    intake.put("old.jpg", JPEG * 2)
    until(lambda: states(intake.journal)["old.jpg"] is JobState.QUEUED, "the changed file to be accepted")


def test_too_little_room_pauses_the_folder_with_the_reason(make: Callable[..., Intake]) -> None:
    """And nothing is taken."""
    intake = make(min_free_mb=1 << 40)
    intake.put("a.jpg")
    intake.begin()
    assert intake.watching is FolderState.PAUSED
    assert not intake.monitor.status.is_open
    assert "min_free_disk_mb" in intake.heard.messages[0]
    assert states(intake.journal) == {}


def test_a_folder_that_is_missing_stands_by_until_it_is_there(make: Callable[..., Intake]) -> None:
    """Told once, not at every look."""
    intake = make()
    intake.root.rmdir()
    intake.begin()
    assert intake.watching is FolderState.STANDING_BY
    intake.woken.clear()
    until(intake.woken.is_set, "a second look")
    assert len(intake.heard.messages) == 1
    intake.root.mkdir()
    until(lambda: intake.monitor.status.is_open, "the folder to be open")
    intake.put("a.jpg")
    intake.accepts("a.jpg")


def test_nothing_but_time_opens_a_folder_that_is_away(make: Callable[..., Intake]) -> None:
    """Neither an event nor a request, which may be late echoes of what it was."""
    intake = make(poll_interval_s=FOR_EVER_S)
    intake.root.rmdir()
    intake.begin()
    intake.root.mkdir()
    turns = intake.monitor.turns
    intake.monitor.look_at("a.jpg")
    until(lambda: intake.monitor.turns > turns, "a turn")
    assert intake.watching is FolderState.STANDING_BY


def test_a_folder_is_checked_when_that_is_asked_for(make: Callable[..., Intake], tmp_path: Path) -> None:
    """As when a worker got stuck in it: what has changed is noticed long before its time, both ways."""
    intake = make(watch="poll", poll_interval_s=FOR_EVER_S)
    intake.begin()
    away = intake.root.rename(tmp_path / "away")
    turns = intake.monitor.turns
    intake.monitor.check_again()
    until(lambda: intake.watching is FolderState.STANDING_BY, "the folder to stand by")
    until(lambda: intake.monitor.turns > turns, "the end of the look")
    away.rename(intake.root)
    intake.monitor.check_again()
    until(lambda: intake.watching is FolderState.POLL, "the folder to come back")
    until(lambda: intake.monitor.turning_since_s is None, "the end of the look")


def test_one_look_is_over_when_all_that_is_there_was_taken(make: Callable[..., Intake]) -> None:
    """As under `run --once`."""
    intake = make(once=True, settle_s=0.5)
    for name in ("a.jpg", "b.jpg"):
        intake.put(name)
    os.utime(intake.root / "a.jpg", (1, 1))
    intake.begin()
    until(lambda: intake.monitor.has_settled, "the folder to settle")
    assert states(intake.journal).keys() == {"a.jpg", "b.jpg"}
    assert intake.heard.messages == []


@linux_only
def test_one_look_does_not_wait_for_a_writer(make: Callable[..., Intake]) -> None:
    """The file is named instead."""
    intake = make(once=True)
    intake.put("a.jpg")
    intake.put("held.jpg")
    os.utime(intake.root / "held.jpg", (1, 1))
    with (intake.root / "held.jpg").open("ab"):
        intake.begin()
        until(lambda: intake.monitor.has_settled, "the folder to settle")
        assert intake.monitor.status.held_up == (HeldUp(path="held.jpg", why="still being written"),)
        assert states(intake.journal).keys() == {"a.jpg"}


@linux_only
def test_one_look_does_not_wait_for_many_writers(make: Callable[..., Intake]) -> None:
    """However many files somebody keeps open."""
    intake = make(once=True)
    held = []
    for number in range(25):
        intake.put(f"{number}.jpg")
        os.utime(intake.root / f"{number}.jpg", (1, 1))
        held.append((intake.root / f"{number}.jpg").open("ab"))
    try:
        intake.begin()
        assert intake.monitor.status.settling == 25
        assert intake.monitor.has_settled
    finally:
        for file in held:
            file.close()


def test_one_look_at_a_folder_that_is_away_is_over(make: Callable[..., Intake]) -> None:
    """There is nothing to wait for."""
    intake = make(once=True)
    intake.root.rmdir()
    assert not intake.monitor.has_settled
    intake.begin()
    assert intake.monitor.has_settled


def test_the_death_of_the_thread_is_reported_and_a_new_start_looks_at_everything(
    make: Callable[..., Intake], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The supervisor is woken to start it again; silence would lose files."""
    intake = make(watch="poll")
    intake.begin()

    def explode(_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(HealthCheck, "check", explode)
    intake.woken.clear()
    intake.put("a.jpg")
    until(lambda: intake.monitor.failure is not None, "the thread to die")
    assert isinstance(intake.monitor.failure, ZeroDivisionError)
    until(intake.woken.is_set, "the supervisor to be woken")
    monkeypatch.undo()
    intake.monitor.start()
    until(lambda: states(intake.journal) == {"a.jpg": JobState.QUEUED}, "the picture")
    assert intake.monitor.failure is None


def test_a_stop_ends_the_thread_soon(make: Callable[..., Intake]) -> None:
    """However long it would have waited."""
    intake = make(rescan_interval_s=FOR_EVER_S, poll_interval_s=FOR_EVER_S)
    intake.begin()
    before = threading.active_count()
    intake.monitor.stop()
    intake.monitor.join(10.0)
    assert threading.active_count() < before
    assert intake.monitor.failure is None


REARMED = """
import json, sys
from pathlib import Path
from cutoutd.intake import watch
from tests.integration.parts import until
from tests.integration.test_folder_monitor import Intake

limit = Path("/proc/sys/user/max_inotify_instances")
watch.REARM_S = 0.3
limit.write_text("0")
intake = Intake(Path(sys.argv[1]))
intake.begin()
refused = intake.monitor.status
intake.put("polled.jpg")
intake.accepts("polled.jpg")
limit.write_text("128")
until(lambda: intake.watching == "native", "the events")
after = intake.monitor.status
intake.monitor.stop()
intake.monitor.join(20.0)
print(json.dumps([refused.watching, refused.why, after.why]))  # the thread's log goes there too: one at a time
"""


@linux_only
@pytest.mark.usefixtures("native")
def test_a_folder_that_got_no_events_is_polled_and_armed_again_by_itself(tmp_path: Path) -> None:
    """When the system gives them, a while later; until then status says what to raise."""
    said = in_namespace("-Ur", sys.executable, "-c", REARMED, os.fspath(tmp_path))
    before, why, after = json.loads(said.splitlines()[-1])
    assert (before, after) == ("poll", "")
    assert "max_user_instances" in why


def test_a_file_that_could_not_be_read_is_tried_at_every_poll(
    make: Callable[..., Intake], share: Share
) -> None:
    """When it can be again, what was put off need not wait; one that was never seen to fail does."""
    intake = make(watch="poll", input=os.fspath(share.mount))
    (share.far / "a.jpg").write_bytes(JPEG)
    intake.begin()
    intake.accepts("a.jpg")
    before = intake.monitor.recoveries
    number = intake.monitor.check_again("a.jpg")
    until(lambda: intake.monitor.checked >= number, "a check")
    assert intake.monitor.recoveries == before
    share.fail(errno.EIO, "read", only="a.jpg")
    number = intake.monitor.check_again("a.jpg")
    until(lambda: intake.monitor.checked >= number, "another")
    assert (intake.watching, intake.monitor.recoveries) == (FolderState.POLL, before)
    share.heal()
    until(lambda: intake.monitor.recoveries == before + 1, "the file to be read")


def test_an_output_that_refuses_is_tried_before_work_goes_on(
    make: Callable[..., Intake], share: Share
) -> None:
    """Its folder is paused as long, with the reason; without a doubt nothing is written for a trial."""
    intake = make(watch="poll", output=os.fspath(share.mount))
    intake.begin()
    share.fail(errno.EIO, "fsync")
    number = intake.monitor.check_again()
    until(lambda: intake.monitor.checked >= number, "a check")
    assert intake.monitor.status.is_open
    intake.monitor.check_again("a.jpg")
    until(lambda: intake.watching is FolderState.PAUSED, "the folder to be paused")
    before = intake.monitor.recoveries
    share.heal()
    until(lambda: intake.monitor.status.is_open, "the folder to be open")
    until(lambda: intake.monitor.recoveries == before + 1, "that to be said")
    assert [path.name for path in share.far.rglob("trial")] == []


def test_a_folder_of_another_machine_is_waited_for_and_learned_about(make: Callable[..., Intake]) -> None:
    """The flag by which what that machine cut is looked up stands until the first whole look."""
    intake = make(watch="poll", existing="skip")
    marker.create(os.fspath(intake.root), OTHER)
    other = Lease(run="another", is_dead=lambda _: False, clock=Clock())
    assert other.acquire(os.fspath(intake.root), OTHER).ours
    intake.put("a.jpg")
    intake.begin()
    assert intake.watching is FolderState.STANDING_BY
    assert os.uname().nodename in intake.monitor.status.why
    other.release()
    until(lambda: intake.monitor.status.is_open, "the folder to be handed over")
    intake.accepts("a.jpg")
    assert states(intake.journal) == {"a.jpg": JobState.QUEUED}  # not skipped: it was dropped there to be cut
    assert not intake.health.took_over


@pytest.mark.usefixtures("native")
def test_files_in_directories_made_in_one_rush_are_all_found(make: Callable[..., Intake]) -> None:
    """Before the system has begun to watch them, most are there already."""
    intake = make(rescan_interval_s=FOR_EVER_S, poll_interval_s=FOR_EVER_S)
    intake.begin()
    names = [f"{outer}/{n}.jpg" for outer in range(200) for n in range(5)]
    for name in names:
        path = intake.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(JPEG)
    until(lambda: intake.heard.count == len(names), "all files")
    assert states(intake.journal).keys() == set(names)


@pytest.mark.usefixtures("native")
def test_whatever_way_a_file_gets_its_name_it_is_taken_once(
    make: Callable[..., Intake], tmp_path: Path
) -> None:
    """In a directory that is moved in, renamed, moved in, or linked; and never under a name that is not final."""
    intake = make(rescan_interval_s=FOR_EVER_S, poll_interval_s=FOR_EVER_S)
    intake.begin()
    filled = tmp_path / "filled"
    (filled / "deep").mkdir(parents=True)
    (filled / "deep" / "a.jpg").write_bytes(JPEG)
    filled.rename(intake.root / "filled")
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
        (intake.root / name).parent.mkdir(exist_ok=True)
        (intake.root / name).write_bytes(JPEG)
    intake.accepts("filled/deep/a.jpg")
    (intake.root / ".x.jpg.tmp").rename(intake.root / "x.jpg")
    (intake.root / "c.jpg.part").rename(intake.root / "c.jpg")
    (tmp_path / "linked").write_bytes(JPEG)
    (intake.root / "l.jpg").hardlink_to(tmp_path / "linked")
    for name in ("x.jpg", "c.jpg", "l.jpg"):
        intake.accepts(name)
    assert states(intake.journal).keys() == {"filled/deep/a.jpg", "x.jpg", "c.jpg", "l.jpg"}
    until(lambda: intake.heard.count == 4, "each to be told once")


@linux_only
@pytest.mark.usefixtures("native")
def test_a_writer_that_pauses_or_never_ends_is_waited_for(make: Callable[..., Intake]) -> None:
    """Status shows it; when it closes its file, that is taken, once."""
    intake = make(settle_s=0.1)
    intake.begin()
    with (intake.root / "slow.jpg").open("wb", buffering=0) as file:
        for pause_s in (0.1, 0.3, 1.0):
            file.write(JPEG)
            time.sleep(pause_s)
        until(lambda: intake.monitor.status.held_up, "the writer to be shown")
        assert intake.monitor.status.held_up == (HeldUp(path="slow.jpg", why="still being written"),)
        assert states(intake.journal) == {}
    intake.accepts("slow.jpg")
    until(lambda: intake.heard.count, "the acceptance to be told")  # which comes after the journal's row
    assert intake.heard.count == 1


def test_files_written_on_another_machine_are_found_by_polling(
    make: Callable[..., Intake], share: Share
) -> None:
    """No event tells of them; the folder is polled because of its file system."""
    intake = make(input=os.fspath(share.mount))
    intake.begin()
    assert intake.watching is FolderState.POLL
    assert "fuse" in intake.monitor.status.why
    (share.far / "sub").mkdir()
    (share.far / "sub" / "a.jpg").write_bytes(JPEG)
    intake.accepts("sub/a.jpg")


def test_a_scan_that_a_share_held_up_does_not_put_the_next_one_off(
    share: Share, make: Callable[..., Intake]
) -> None:
    """Scans grow rarer as they grow longer, but not by a hang: two seconds of one would be minutes."""
    (share.far / "sub").mkdir()
    intake = make(input=os.fspath(share.mount))
    intake.begin()
    share.hang("readdir", only="/sub")
    until(lambda: (since_s := intake.monitor.turning_since_s) and time.monotonic() - since_s > 2.0, "a hang")
    share.heal()
    until(lambda: intake.monitor.turning_since_s is None, "the end of the look")
    (share.far / "late.jpg").write_bytes(JPEG)
    intake.accepts("late.jpg")


def test_the_last_look_can_be_waited_for_by_one_thread_and_the_end_by_another(
    make: Callable[..., Intake], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a look hangs, and after it."""
    intake = make()
    check = intake.health.check
    entered, may_go_on = threading.Event(), threading.Event()

    def slowly(*, thoroughly: bool) -> tuple[FolderState, str] | None:
        entered.set()
        assert may_go_on.wait(20.0)
        return check(thoroughly=thoroughly)

    monkeypatch.setattr(intake.health, "check", slowly)
    intake.monitor.start()
    assert entered.wait(20.0)
    intake.monitor.stop()
    other = threading.Thread(target=intake.monitor.wait_for_last_look, args=(20.0,))
    other.start()
    intake.monitor.join(0.1)
    assert other.is_alive()
    may_go_on.set()
    other.join(10.0)
    intake.monitor.join(10.0)
    assert not other.is_alive()
    assert intake.monitor.has_ended
