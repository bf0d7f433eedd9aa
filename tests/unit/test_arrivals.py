"""From the first scan of a file to its acceptance: which files are accepted, when, and how often."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import time
from typing import TYPE_CHECKING

import pytest

from cutoutd.folder import source_changes
from cutoutd.folder.arrivals import BATCH, Arrivals
from cutoutd.folder.pairing import Pairing
from cutoutd.folder.scope import FolderScope
from cutoutd.folder.skipped_entries import SkippedEntries
from cutoutd.folder.source_changes import SAVE_S, Rehashing
from cutoutd.intake import probe
from cutoutd.intake.rules import Rules
from cutoutd.intake.scan import Scan
from cutoutd.jobs import JobState, Version
from cutoutd.journal.journal import Journal
from cutoutd.journal.reader import Reader
from cutoutd.journal.sources import Sources
from cutoutd.settings.types import RawPairs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cutoutd.intake.scan import FolderBoundary, ScannedFile
    from tests.conftest import FakeClock

JPEG = b"\xff\xd8\xff\xe0 and so on"
SETTLE_S = 2.0
FOLDER = "f"

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of writers")


class Place:
    """A watched folder, its arrivals, and a clock that the files' times follow."""

    def __init__(
        self,
        root: Path,
        clock: FakeClock,
        *,
        old_is_quiet: bool = False,
        rules: Rules | None = None,
    ) -> None:
        self.root = root / "in"
        self.root.mkdir()
        self.clock = clock
        self.journal = Journal(None, session="r", clock=clock)
        self.old_is_quiet = old_is_quiet
        self.rules = rules or Rules()
        self.restart()

    def restart(self, *, has_stamps: bool = True, is_known_disk: bool = True) -> None:
        """Replace the arrivals by new ones, as a new monitor has."""
        self.arrivals = self.open(
            self.scope(self.rules, has_stamps=has_stamps, is_known_disk=is_known_disk),
            settle_s=SETTLE_S,
            old_is_quiet=self.old_is_quiet,
        )

    def scope(self, rules: Rules, *, has_stamps: bool = False, is_known_disk: bool = True) -> FolderScope:
        """Return the scope of the folder on a disk with these properties."""
        return FolderScope(
            name=FOLDER,
            root=os.fspath(self.root),
            rules=rules,
            sources=self.journal.sources,
            clock=self.clock,
            has_stamps=has_stamps,
            is_known_disk=is_known_disk,
        )

    def open(self, scope: FolderScope, *, settle_s: float, old_is_quiet: bool) -> Arrivals:
        """Return arrivals with the default rule for pairs, which reports no files without a partner."""
        return Arrivals(
            scope,
            settle_s=settle_s,
            old_is_quiet=old_is_quiet,
            pairing=Pairing(scope, mode=RawPairs.JPEG, wait_s=5.0),
            skipped=SkippedEntries(FOLDER),
        )

    def put(self, name: str, content: bytes = JPEG, *, age_s: float = 0.5) -> Path:
        """Write a file whose modification time lies this many seconds back."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.date(path, age_s)
        return path

    def date(self, path: Path, age_s: float) -> None:
        """Set a file's modification time this many seconds back from now."""
        then_ns = self.clock.now_us() * 1000 - int(age_s * 1_000_000_000)
        os.utime(path, ns=(then_ns, then_ns))

    def accepted(self) -> list[str]:
        """Return the paths of the accepted files, in order."""
        return [job.path for job in Reader(self.journal.store).jobs()]

    def held_up(self) -> dict[str, str]:
        """Return the reason for each file that is held back, by path."""
        return {file.path: file.why for file in self.arrivals.held_up(1000)}

    def after(self, seconds: float) -> int:
        """Scan after this many seconds; return the number of files accepted by that scan."""
        self.clock.advance(seconds)
        self.arrivals.scan()
        return self.arrivals.accept_quiet()


@pytest.fixture
def place(tmp_path: Path, clock: FakeClock) -> Iterator[Place]:
    """A watched folder of the test's own."""
    created = Place(tmp_path, clock)
    yield created
    created.journal.close()


def test_a_file_is_taken_once_it_has_been_quiet_and_only_once(place: Place) -> None:
    """Not before its time, and never again."""
    place.put("sub/a.jpg")
    assert place.after(0) == 0
    assert place.arrivals.settling == 1
    assert place.after(SETTLE_S - 0.1) == 0
    assert place.after(0.2) == 1
    assert [place.after(60) for _ in range(3)] == [0, 0, 0]
    assert place.accepted() == ["sub/a.jpg"]
    assert place.arrivals.settling == 0


@pytest.mark.parametrize("change", ["size", "time", "heard"])
def test_every_change_restarts_the_quiet_time(place: Place, change: str) -> None:
    """A change of size, of modification time, or any event for the file."""
    path = place.put("a.jpg")
    place.after(0)
    for step in range(4):
        place.clock.advance(SETTLE_S - 0.1)
        if change == "size":
            path.write_bytes(JPEG * (step + 2))
            place.date(path, 0.5)
        elif change == "time":
            place.date(path, 0.01 * step)
        place.arrivals.examine(["a.jpg"] if change == "heard" else [])
        assert place.after(0) == 0
    assert place.after(SETTLE_S) == 1


def test_a_change_between_two_scans_is_noticed_before_acceptance(place: Place) -> None:
    """No event was received; the last check before acceptance finds the change."""
    path = place.put("a.jpg")
    place.after(0)
    place.clock.advance(SETTLE_S)
    path.write_bytes(JPEG * 2)
    assert place.arrivals.accept_quiet() == 0
    place.clock.advance(SETTLE_S)
    assert place.arrivals.accept_quiet() == 1


def test_the_requested_wake_time_is_when_a_file_may_be_accepted(place: Place) -> None:
    """Neither sooner, which would be polling, nor later."""
    assert place.arrivals.next_due_s is None
    place.put("a.jpg")
    place.after(0)
    assert place.arrivals.next_due_s == place.clock.monotonic_s() + SETTLE_S


@pytest.mark.parametrize(("age_s", "taken"), [(SETTLE_S + 1, 1), (SETTLE_S - 1, 0), (-3600.0, 0)])
def test_a_file_that_is_old_enough_is_taken_at_once_if_nothing_else_can_be_waited_for(
    tmp_path: Path, clock: FakeClock, age_s: float, taken: int
) -> None:
    """As under `run --once`; a time in the future counts as now."""
    place = Place(tmp_path, clock, old_is_quiet=True)
    place.put("a.jpg", age_s=age_s)
    assert place.after(0) == taken
    assert place.after(SETTLE_S) == 1 - taken


def test_a_daemon_watches_an_old_file_for_the_whole_quiet_time(place: Place) -> None:
    """A copy may carry the time of its original while it is still being written."""
    place.put("a.jpg", age_s=1e6)
    assert place.after(0) == 0
    assert place.after(SETTLE_S) == 1


def test_a_whole_second_cannot_tell_a_later_write_apart(tmp_path: Path, clock: FakeClock) -> None:
    """The file is accepted provisionally, and again once its time lies back far enough."""
    place = Place(tmp_path, clock, old_is_quiet=True)
    path = place.put("a.jpg")
    second_ns = clock.now_us() // 1_000_000 * 1_000_000_000

    os.utime(path, ns=(second_ns, second_ns))
    place.arrivals.scan()
    clock.advance(1.5)
    # A quiet time of two seconds would have passed before: this one is for a shorter one.
    short = place.open(place.scope(Rules()), settle_s=1.0, old_is_quiet=True)
    short.scan()
    assert short.accept_quiet() == 1
    short.scan()
    assert short.accept_quiet() == 0
    clock.advance(1.0)
    for taken in (1, 0):
        short.scan()
        assert short.accept_quiet() == taken
    assert place.accepted() == ["a.jpg", "a.jpg"]


def test_a_time_with_a_fraction_is_trusted_at_once(tmp_path: Path, clock: FakeClock) -> None:
    """Nearly every file system records fractions, so few files are checked twice."""
    place = Place(tmp_path, clock, old_is_quiet=True)
    place.put("a.jpg", age_s=SETTLE_S + 0.001)
    assert place.after(0) == 1
    assert place.after(60) == 0


def test_a_file_that_is_no_picture_is_looked_into_once_for_each_version(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder may hold thousands of them."""
    probed: list[str] = []

    def counted(root: str, path: str, boundary: FolderBoundary | None) -> probe.Probe | None:
        probed.append(path)
        return probe.open_probe(root, path, boundary)

    monkeypatch.setattr("cutoutd.folder.arrivals.open_probe", counted)
    path = place.put("notes.txt", b"plain text, and a good deal of it, so that no header is missing........")
    place.after(0)
    assert [place.after(SETTLE_S) for _ in range(4)] == [0] * 4
    assert probed == ["notes.txt"]
    assert place.arrivals.settling == 0
    path.write_bytes(JPEG)
    place.date(path, 0.5)
    place.after(0)
    assert place.after(SETTLE_S) == 1
    assert probed == ["notes.txt"] * 2


@pytest.mark.parametrize("content", [b"", b"no picture at all"])
def test_a_file_that_is_named_like_a_picture_and_is_none_is_accepted(place: Place, content: bytes) -> None:
    """The job's failure tells the owner why it is not cut."""
    place.put("a.JPG", content)
    place.after(0)
    assert place.after(SETTLE_S) == 1


def test_a_file_that_vanishes_while_it_is_waited_for_is_forgotten(place: Place) -> None:
    """With or without an event for its removal."""
    place.put("heard.jpg").unlink()
    place.put("a.jpg")
    place.put("b.jpg")
    place.after(0)
    (place.root / "a.jpg").unlink()
    place.arrivals.examine(["a.jpg", "heard.jpg", "never/was.jpg"])
    assert place.arrivals.settling == 1
    (place.root / "b.jpg").unlink()
    place.clock.advance(SETTLE_S)
    assert place.arrivals.accept_quiet() == 0
    assert place.arrivals.settling == 0
    assert place.accepted() == []


@linux_only
def test_a_file_that_is_open_for_writing_waits(place: Place) -> None:
    """However long it is unchanged; the reason names the open file."""
    path = place.put("a.jpg")
    place.put("b.jpg")
    with path.open("ab"):
        place.after(0)
        assert place.after(SETTLE_S) == 1
        assert place.after(60) == 0
        assert place.held_up() == {"a.jpg": "still being written"}
    assert place.accepted() == ["b.jpg"]
    assert place.after(60) == 1
    assert place.accepted() == ["b.jpg", "a.jpg"]
    assert place.held_up() == {}


def test_a_file_that_keeps_changing_is_named(place: Place) -> None:
    """Only after a while, since every file changes while it arrives."""
    path = place.put("a.jpg")
    place.after(0)
    seen = []
    for step in range(6):
        path.write_bytes(JPEG * (step + 2))
        place.after(1.0)
        seen.append(place.held_up())
    assert seen[0] == {}
    assert seen[-1] == {"a.jpg": "still being written"}


@linux_only
def test_all_files_that_are_held_are_named(tmp_path: Path, clock: FakeClock) -> None:
    """`run --once` ends when only held files are left."""
    place = Place(tmp_path, clock, old_is_quiet=True)
    held = [place.put(f"{number}.jpg", age_s=60).open("ab") for number in range(25)]
    try:
        assert place.after(0) == 0
        assert len(place.held_up()) == place.arrivals.settling == 25
        assert len(place.arrivals.held_up(20)) == 20
    finally:
        for file in held:
            file.close()


def test_files_that_are_quiet_together_are_accepted_together(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One transaction for a batch, since each costs a sync."""
    batches: list[int] = []
    accept = place.journal.sources.accept

    def counted(*args: object, **named: object) -> list[int]:
        accepted: list[int] = accept(*args, **named)  # type: ignore[arg-type]
        batches.append(len(accepted))
        return accepted

    monkeypatch.setattr(place.journal.sources, "accept", counted)
    for number in range(BATCH + 20):
        place.put(f"{number}.jpg")
    place.after(0)
    assert place.after(SETTLE_S) == BATCH + 20
    assert batches == [BATCH, 20]
    assert len(set(place.accepted())) == BATCH + 20


def test_earlier_files_can_be_skipped_until_they_change(place: Place) -> None:
    """`existing = "skip"`."""
    path = place.put("old.jpg", age_s=1000)
    place.arrivals.skip_all()
    place.put("new.jpg")
    place.after(0)
    assert place.after(SETTLE_S) == 1
    states = {job.path: job.state for job in Reader(place.journal.store).jobs()}
    assert states == {"old.jpg": JobState.SKIPPED, "new.jpg": JobState.QUEUED}
    whys = [job.detail.get("why", "") for job in Reader(place.journal.store).jobs()]
    assert whys == ['it was there before the first start, and existing = "skip"', ""]
    path.write_bytes(JPEG * 2)
    place.after(0)
    assert place.after(SETTLE_S) == 1


def test_a_skipped_file_stays_skipped_whatever_its_time(place: Place) -> None:
    """Also where times are whole seconds and the file was written just before the first start."""
    path = place.put("old.jpg")
    second_ns = place.clock.now_us() // 1_000_000 * 1_000_000_000
    os.utime(path, ns=(second_ns, second_ns))
    place.arrivals.skip_all()
    place.after(10)
    assert place.after(SETTLE_S) == 0


def test_names_that_are_not_wanted_are_not_even_waited_for(tmp_path: Path, clock: FakeClock) -> None:
    """Whether a scan or an event finds them."""
    place = Place(tmp_path, clock, rules=Rules(include=("*.jpg",), exclude=("raw/",), subtrees=("out",)))
    for name in ("a.png", ".a.jpg", "raw/a.jpg", "out/a.jpg", "a.jpg.part", "keep/a.jpg"):
        place.put(name)
    place.arrivals.examine(["a.png", ".a.jpg", "raw/a.jpg", "out/a.jpg", "a.jpg.part", "keep/a.jpg"])
    place.after(0)
    assert place.arrivals.settling == 1
    assert place.after(SETTLE_S) == 1
    assert place.accepted() == ["keep/a.jpg"]


def test_a_fifo_a_link_and_a_directory_are_passed_over(place: Place, tmp_path: Path) -> None:
    """None blocks the thread, and no link leads out of the folder."""
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(JPEG)
    os.mkfifo(place.root / "fifo.jpg")
    (place.root / "dir.jpg").mkdir()
    (place.root / "link.jpg").symlink_to(outside)
    place.arrivals.examine(["fifo.jpg", "dir.jpg", "link.jpg"])
    place.after(0)
    assert place.after(SETTLE_S) == 0
    assert place.accepted() == []


def test_a_name_that_is_not_utf8_is_accepted_as_it_is(place: Place) -> None:
    """Bytes that are not text survive."""
    name = os.fsdecode(b"caf\xe9\n.jpg")
    place.put(name)
    place.after(0)
    assert place.after(SETTLE_S) == 1
    assert place.accepted() == [name]


def test_a_file_that_cannot_be_read_holds_up_no_other(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as another user's file: it is reported, and accepted once it is readable."""
    place.put("theirs.jpg")
    place.put("ours.jpg")
    permitted: list[str] = []

    def refused(root: str, path: str, boundary: FolderBoundary | None) -> probe.Probe | None:
        # The tests may run as root, whom no permission stops.
        if path == "theirs.jpg" and not permitted:
            raise PermissionError(13, "Permission denied", path)
        return probe.open_probe(root, path, boundary)

    monkeypatch.setattr("cutoutd.folder.arrivals.open_probe", refused)
    place.after(0)
    assert place.after(SETTLE_S) == 1
    assert place.accepted() == ["ours.jpg"]
    assert place.held_up() == {"theirs.jpg": "cannot be read: Permission denied"}
    permitted.append("now")
    assert place.after(60) == 1
    assert place.held_up() == {}


def test_a_folder_that_is_away_is_no_empty_folder(place: Place) -> None:
    """The scan reports that the folder is missing, and forgets no file."""
    place.put("a.jpg")
    place.after(0)
    place.root.rename(place.root.with_name("away"))
    with pytest.raises(FileNotFoundError):
        place.arrivals.scan()
    assert place.arrivals.settling == 1


def generations(place: Place) -> list[tuple[str, int]]:
    """Return the path and the generation of each accepted version's source."""
    return [(job.path, job.generation) for job in Reader(place.journal.store).jobs()]


def test_a_file_that_is_overwritten_is_a_later_version_of_its_source(place: Place) -> None:
    """Whatever time has passed."""
    place.put("a.jpg")
    assert place.after(0) + place.after(SETTLE_S + 0.1) == 1
    place.clock.advance(3600)
    place.put("a.jpg", JPEG + b"later")
    assert place.after(0) + place.after(SETTLE_S + 0.1) == 1
    assert generations(place) == [("a.jpg", 0), ("a.jpg", 0)]


@pytest.mark.parametrize(
    ("how", "generation"),
    [("overwritten", 0), ("renamed over it", 1), ("deleted and made anew", 1), ("while it runs", 0)],
)
def test_a_file_that_took_anothers_place_while_no_daemon_ran_is_another_picture(
    tmp_path: Path, clock: FakeClock, how: str, generation: int
) -> None:
    """Only overwriting keeps the inode; while a daemon runs, a new inode is an editor's save."""
    clock.advance(time.time() - clock.now_us() / 1e6)  # the system writes down when a file was made
    place = Place(tmp_path, clock)
    path = place.put("a.jpg")
    assert place.after(0) + place.after(SETTLE_S + 0.1) == 1
    with place.journal.store.transaction():
        place.journal.store.write(
            "UPDATE job SET state = 'done', finished_us = 1, accepted_us = ?", (int(time.time() * 1_000_000),)
        )
    if how != "while it runs":
        place.restart()
    time.sleep(0.02)  # the clock of a file system ticks every few milliseconds
    later = JPEG + b"another shot"
    if how == "overwritten":
        path.write_bytes(later)
    elif how == "deleted and made anew":
        path.unlink()
        path.write_bytes(later)
    else:
        (place.root / ".new").write_bytes(later)
        (place.root / ".new").rename(path)
    place.date(path, 0.5)
    assert place.after(60) + place.after(SETTLE_S + 0.1) == 1
    assert generations(place) == [("a.jpg", 0), ("a.jpg", generation)]
    place.journal.close()


@pytest.mark.parametrize(("away_s", "generation"), [(0.5, 0), (SAVE_S + 1, 1), (86_400.0, 1)])
@pytest.mark.parametrize("how", ["scan", "event"])
def test_a_file_that_comes_to_the_path_of_a_vanished_one_is_another_picture(
    place: Place, away_s: float, generation: int, how: str
) -> None:
    """A camera restarts its counter; an editor that deletes and creates is quicker."""
    path = place.put("a.jpg")
    assert place.after(0) + place.after(SETTLE_S + 0.1) == 1
    path.unlink()
    if how == "scan":
        place.after(1)
    else:
        place.arrivals.examine(["a.jpg"])
        place.arrivals.accept_quiet()
    place.clock.advance(away_s)
    place.put("a.jpg", JPEG + b"another shot")
    assert place.after(0) + place.after(SETTLE_S + 0.1) == 1
    assert generations(place) == [("a.jpg", 0), ("a.jpg", generation)]


def test_the_same_file_that_comes_back_is_the_same_picture(place: Place) -> None:
    """A share that was empty for an hour, or a card that was inserted again."""
    path = place.put("a.jpg")
    assert place.after(0) + place.after(SETTLE_S + 0.1) == 1
    path.rename(place.root.parent / "aside.jpg")
    place.after(1)
    (place.root.parent / "aside.jpg").rename(path)
    assert [place.after(3600), place.after(60)] == [0, 0]
    place.put("a.jpg", JPEG + b"later")
    assert place.after(0) + place.after(SETTLE_S + 0.1) == 1
    assert generations(place) == [("a.jpg", 0), ("a.jpg", 0)]


def published(place: Place) -> None:
    """End all waiting jobs as published a moment ago by the system's clock, which dates new files."""
    done(place, hashlib.sha256(JPEG).hexdigest())
    with place.journal.store.transaction():
        place.journal.store.write("UPDATE job SET accepted_us = ?", (int(time.time() * 1_000_000),))
    time.sleep(0.02)  # the clock of a file system ticks every few milliseconds


def copied(path: Path) -> None:
    """Replace a file by a copy with the same size and modification time."""
    status = path.stat()
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content)
    os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))


@pytest.mark.parametrize("how", ["moved out and back", "copied with its dates"])
@pytest.mark.parametrize(("away_s", "accepted"), [(1.0, 0), (SAVE_S + 1, 1)])
def test_a_file_that_was_missing_and_looks_as_before_is_accepted_again(
    place: Place, how: str, away_s: float, accepted: int
) -> None:
    """Its size and time are known; after an editor's save it counts as unchanged."""
    path, aside = place.put("a.jpg"), place.root.parent / "aside.jpg"
    assert place.after(0) + place.after(SETTLE_S + 0.1) == 1
    published(place)
    path.rename(aside)
    place.after(1)
    place.clock.advance(away_s)
    aside.rename(path)
    if how == "copied with its dates":
        copied(path)
    assert place.after(0) + place.after(SETTLE_S + 0.1) + place.after(60) == accepted
    assert generations(place)[1:] == [("a.jpg", 1)] * accepted


@pytest.mark.parametrize(
    ("how", "accepted"),
    [("copied with its dates", 1), ("permissions", 0), ("on another disk", 0), ("to be moved", 0)],
)
def test_a_copy_that_came_while_no_daemon_ran_is_accepted_again(
    tmp_path: Path, clock: FakeClock, how: str, accepted: int
) -> None:
    """The copy matches the earlier file; a backup restored to another disk counts as unchanged."""
    clock.advance(time.time() - clock.now_us() / 1e6)
    place = Place(tmp_path, clock)
    path = place.put("a.jpg")
    assert place.after(0) + place.after(SETTLE_S + 0.1) == 1
    published(place)
    if how == "permissions":
        path.chmod(0o600)
    else:
        copied(path)
    if how == "to be moved":
        with place.journal.store.transaction():
            place.journal.store.write("UPDATE job SET cleanup_pending = 1")
    place.restart(is_known_disk=how != "on another disk")
    assert place.after(60) + place.after(SETTLE_S + 0.1) + place.after(60) == accepted
    place.journal.close()


@pytest.mark.parametrize(("gone", "accepted"), [(1, 1), (0, 0)])
def test_without_stable_inodes_only_files_that_we_removed_are_accepted_again(
    place: Place, gone: int, accepted: int
) -> None:
    """A share that listed nothing for an hour looks the same.

    An original that the daemon deleted must be new.
    """
    place.restart(has_stamps=False)
    path = place.put("a.jpg")
    assert place.after(0) + place.after(SETTLE_S + 0.1) == 1
    done(place, hashlib.sha256(JPEG).hexdigest())
    with place.journal.store.transaction():
        place.journal.reservations.record_within(
            FOLDER, "a.jpg", source_sha256=hashlib.sha256(JPEG).hexdigest(), published=()
        )
        place.journal.store.write("UPDATE published SET gone = ?", (gone,))
    path.rename(place.root.parent / "aside.jpg")
    place.after(1)
    (place.root.parent / "aside.jpg").rename(path)
    assert place.after(3600) + place.after(SETTLE_S + 0.1) + place.after(60) == accepted


def test_unlisted_and_excluded_files_are_not_missing(place: Place) -> None:
    """An unreadable directory says nothing about its files, nor does a pattern that excludes them."""
    place.put("sub/a.jpg")
    place.put("b.jpg")
    assert place.after(0) + place.after(SETTLE_S + 0.1) == 2
    with pytest.MonkeyPatch.context() as patched:
        excluding = place.scope(Rules(exclude=("b.jpg",)), has_stamps=True)
        patched.setattr(place.arrivals, "_scope", excluding)
        patched.setattr(place.arrivals._missing, "_scope", excluding)  # noqa: SLF001 -- as after a reload
        real = Scan._list  # noqa: SLF001 -- root may list everything

        def refusing(scan: Scan, directory: str, directories: list[str]) -> Iterator[ScannedFile]:
            if directory == "sub":
                raise PermissionError(errno.EACCES, "no")
            return real(scan, directory, directories)

        patched.setattr(Scan, "_list", refusing)
        place.after(60)
    assert [place.journal.sources.missing_us(FOLDER, path) for path in ("sub/a.jpg", "b.jpg")] == [None] * 2


def test_that_a_source_vanished_is_remembered_after_a_restart(place: Place, tmp_path: Path) -> None:
    """The next daemon knows it, too."""
    del tmp_path
    path = place.put("a.jpg")
    assert place.after(0) + place.after(SETTLE_S + 0.1) == 1
    path.unlink()
    place.after(1)
    place.clock.advance(60)
    afresh = Sources(place.journal.store, place.clock)
    assert afresh.missing_us(FOLDER, "a.jpg") is not None
    afresh.accept(FOLDER, [Version(path="a.jpg", size=1, mtime_ns=1)])
    assert generations(place) == [("a.jpg", 0), ("a.jpg", 1)]


def done(place: Place, sha256: str | None, state: JobState = JobState.DONE) -> None:
    """End all waiting jobs in this state."""
    while job := place.journal.queue.next_in(FOLDER, newest_first=False):
        place.journal.queue.finish(job.id, state, detail={}, sha256=sha256)


def like(path: Path, content: bytes) -> None:
    """Replace a file by another one with the same size and modification time."""
    status = path.stat()
    assert len(content) == status.st_size
    draft = path.with_name(".draft")
    draft.write_bytes(content)
    os.utime(draft, ns=(status.st_mtime_ns, status.st_mtime_ns))
    draft.rename(path)


def test_a_file_that_is_replaced_by_one_of_equal_size_and_time_is_accepted_again(place: Place) -> None:
    """Same size and time, other bytes, long after the first was accepted."""
    path = place.put("a.jpg")
    assert place.after(0) + place.after(SETTLE_S + 0.1) == 1
    done(place, hashlib.sha256(JPEG).hexdigest())
    like(path, JPEG[:4] + JPEG[4:][::-1])
    assert place.after(1) + place.after(SETTLE_S + 0.1) == 1
    assert place.accepted() == ["a.jpg", "a.jpg"]


def test_a_change_of_permissions_costs_one_read_and_no_cut(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hard link does the same; the journal keeps the digest for the next start."""
    path = place.put("a.jpg")
    assert place.after(0) + place.after(SETTLE_S + 0.1) == 1
    done(place, hashlib.sha256(JPEG).hexdigest())
    reads = []
    real = Rehashing._sha256  # noqa: SLF001 -- what it reads is what is counted

    def counting(rehashing: Rehashing, version: Version) -> str | None:
        reads.append(version.path)
        return real(rehashing, version)

    monkeypatch.setattr(Rehashing, "_sha256", counting)
    path.chmod(0o600)
    assert [place.after(60) for _ in range(3)] == [0, 0, 0]
    (place.root / ".other").hardlink_to(path)
    assert [place.after(60) for _ in range(3)] == [0, 0, 0]
    assert reads == ["a.jpg"] * 2
    stored = Sources(place.journal.store, place.clock).stamp(FOLDER, "a.jpg")
    assert stored == place.journal.sources.stamp(FOLDER, "a.jpg")
    assert stored is not None


def test_an_unread_failure_is_retried_when_replaced_by_a_file_of_equal_size_and_time(place: Place) -> None:
    """No digest of the failed file is known."""
    path = place.put("a.jpg")
    assert place.after(0) + place.after(SETTLE_S + 0.1) == 1
    done(place, None, JobState.FAILED)
    assert place.after(60) == 0
    like(path, JPEG[:4] + JPEG[4:][::-1])
    assert place.after(1) + place.after(SETTLE_S + 0.1) == 1


def test_one_file_that_cannot_be_reread_holds_up_no_other(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read error such as a bad sector must not stop the folder after each scan."""
    path = place.put("bad.jpg")
    assert place.after(0) + place.after(SETTLE_S + 0.1) == 1
    done(place, hashlib.sha256(JPEG).hexdigest())
    path.chmod(0o600)
    place.put("good.jpg", age_s=60)

    def broken(_: int, __: int) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(source_changes.os, "read", broken)  # type: ignore[attr-defined]
        assert place.after(60) == 0
    assert place.after(SETTLE_S + 0.1) == 1
    assert place.accepted() == ["bad.jpg", "good.jpg"]


def test_many_changed_files_are_read_at_a_bounded_rate(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a backup that links every file, or `chmod -R`."""
    monkeypatch.setattr(source_changes, "BURST_BYTES", 4 * len(JPEG))
    monkeypatch.setattr(source_changes, "BYTES_S", len(JPEG))
    place.arrivals._rehashing._budget = 4.0 * len(JPEG)  # noqa: SLF001 -- as it is made with that burst
    paths = [place.put(f"{number}.jpg") for number in range(20)]
    assert place.after(0) + place.after(SETTLE_S + 0.1) == 20
    done(place, hashlib.sha256(JPEG).hexdigest())
    for path in paths:
        path.chmod(0o600)

    def unread() -> int:
        return len(place.arrivals._rehashing._waiting)  # noqa: SLF001 -- what waits is what is counted

    place.arrivals.scan()
    place.arrivals.accept_quiet()
    assert unread() == 16
    due_s = place.arrivals.next_due_s
    assert due_s is not None
    place.clock.advance(2)
    place.arrivals.accept_quiet()
    assert unread() == 14
    place.clock.advance(100)
    place.arrivals.accept_quiet()
    assert unread() == 10
