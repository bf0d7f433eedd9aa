"""Two recordings of one shot: which one is cut, in any order of arrival; none is cut twice or lost."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cutoutd.folder.arrivals import Arrivals
from cutoutd.folder.pairing import Pairing
from cutoutd.folder.scope import FolderScope
from cutoutd.folder.skipped_entries import SkippedEntries
from cutoutd.intake.companions import Recording, partners, recording
from cutoutd.intake.rules import Rules
from cutoutd.jobs import JobState, Version
from cutoutd.journal.adopted import Adopted
from cutoutd.journal.journal import Journal
from cutoutd.journal.reader import Reader
from cutoutd.settings.types import RawPairs
from tests.conftest import FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = "f"
SETTLE_S = 1.0
WAIT_S = 5.0
JPEG = b"\xff\xd8\xff\xe0 and so on"
RAW = b"II\x2a\x00\x10\x00\x00\x00CR\x02\x00 and so on"
BAD = b"\xff\xd8\xff\xe0 that cannot be decoded"


@dataclass
class PairedFolder:
    """A folder, its journal, and a worker that a test runs step by step."""

    root: Path
    mode: RawPairs = RawPairs.JPEG
    rules: Rules = field(default_factory=Rules)
    old_is_quiet: bool = False
    clock: FakeClock = field(default_factory=FakeClock)
    written: int = 0
    removed: dict[str, int] = field(default_factory=dict)
    came: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.journal = Journal(None, session="r", clock=self.clock)
        self.restart()

    def restart(self) -> None:
        """Replace the monitor by a new one, which knows only what is in the journal."""
        self.journal.sources._newest.clear()  # noqa: SLF001 -- what a new process would not have
        scope = FolderScope(
            name=FOLDER,
            root=os.fspath(self.root),
            rules=self.rules,
            sources=self.journal.sources,
            clock=self.clock,
        )
        self.arrivals = Arrivals(
            scope,
            settle_s=SETTLE_S,
            old_is_quiet=self.old_is_quiet,
            pairing=Pairing(scope, mode=self.mode, wait_s=WAIT_S),
            skipped=SkippedEntries(FOLDER),
        )

    def put(self, name: str, content: bytes | None = None) -> None:
        """Write a new file, or a new version of an existing one."""
        self.written += 1
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        if content is None:
            content = RAW if recording(name) is Recording.RAW else JPEG
        path.write_bytes(content + b"." * self.written)
        then_ns = self.clock.now_us() * 1000 + self.written
        os.utime(path, ns=(then_ns, then_ns))
        self.came[name] = self.clock.now_us()
        self.arrivals.examine([name])

    def remove(self, name: str) -> None:
        """Delete a file."""
        if (self.root / name).exists():
            self.removed[name] = self.clock.now_us()
        (self.root / name).unlink(missing_ok=True)
        self.arrivals.examine([name])

    def remove_original(self, name: str) -> None:
        """Remove the original of a picture that was cut, as the daemon does."""
        (job,) = [one for one in Reader(self.journal.store).jobs() if one.path == name][-1:]
        assert job.state is JobState.DONE
        (self.root / name).unlink()
        self.journal.removed_original(job)

    def wait(self, seconds: float) -> None:
        """Advance the time, with a scan every half second."""
        for _ in range(int(seconds * 2)):
            self.clock.advance(0.5)
            self.arrivals.accept_quiet()
        self.arrivals.scan()
        self.arrivals.accept_quiet()

    def work(self) -> bool:
        """Process the next picture; return whether there was one."""
        job = self.journal.queue.next_in(FOLDER, newest_first=False)
        if job is None:
            return False
        self.journal.queue.claim(job)
        path = self.root / job.path
        if not path.exists() or path.stat().st_mtime_ns != job.mtime_ns:
            self.journal.gone(job, "gone")
            self.arrivals.examine([job.path])
        elif path.read_bytes().startswith(BAD):
            self.journal.queue.finish(job.id, JobState.FAILED, detail={})
        else:
            self.journal.begin_publishing(job, sha256=str(job.id), claims=(), detail={})
            self.journal.finish_publishing(job, JobState.DONE, sha256=str(job.id), published=(), detail={})
        return True

    def finish(self) -> None:
        """Alternate waiting and working until nothing changes any more."""
        idle = 0
        while idle < 3:
            self.wait(WAIT_S + SETTLE_S + 1)
            worked = [self.work() for _ in range(10)]
            idle = 0 if any(worked) else idle + 1

    @property
    def states(self) -> dict[str, str]:
        """Return the state of each source's newest version, by path."""
        rows = Reader(self.journal.store).jobs()
        return {job.path: str(job.state) for job in sorted(rows, key=lambda job: job.id)}

    def cut(self) -> set[str]:
        """Return the paths that were cut, in any version."""
        return {job.path for job in Reader(self.journal.store).jobs() if job.state is JobState.DONE}


@pytest.fixture
def paired_folder(tmp_path: Path) -> Iterator[PairedFolder]:
    """A folder of the test's own."""
    created = PairedFolder(tmp_path)
    yield created
    created.journal.close()


def shoot_of(tmp_path: Path, mode: RawPairs) -> PairedFolder:
    """Return a folder with this setting."""
    return PairedFolder(tmp_path, mode=mode)


def test_partners_have_the_same_stem_in_the_same_directory() -> None:
    """And an extension of the other kind, in any case."""
    assert recording("a/B.NEF") is Recording.RAW
    assert recording("a/B.Jpg") is Recording.DEVELOPED
    assert [recording(path) for path in ("nef", "a/b.tif", "a.nef.xmp", "")] == [None] * 4
    assert {"a/B.NEF", "a/B.nef", "a/B.dng"} <= set(partners("a/B.JPG"))
    assert all(path.startswith("a/B.") for path in partners("a/B.JPG"))
    assert set(partners("B.CR3")) >= {"B.JPG", "B.heic"}
    assert list(partners("a/b.tif")) == []


@pytest.mark.parametrize(
    ("mode", "done"), [("jpeg", {"a.JPG"}), ("raw", {"a.NEF"}), ("both", {"a.JPG", "a.NEF"})]
)
@pytest.mark.parametrize("order", [("a.JPG", "a.NEF"), ("a.NEF", "a.JPG")])
@pytest.mark.parametrize("gap_s", [0.0, 3.0])
def test_of_a_pair_the_wanted_one_is_cut(
    tmp_path: Path, mode: str, done: set[str], order: tuple[str, str], gap_s: float
) -> None:
    """Whichever comes first, if the other comes in time."""
    paired_folder = shoot_of(tmp_path, RawPairs(mode))
    paired_folder.put(order[0])
    paired_folder.wait(gap_s)
    paired_folder.put(order[1])
    paired_folder.finish()
    assert paired_folder.cut() == done
    if len(done) == 1:
        assert sorted(paired_folder.states.values()) == ["done", "skipped"]


@pytest.mark.parametrize("mode", ["jpeg", "raw"])
@pytest.mark.parametrize("name", ["a.NEF", "a.JPG", "a.heic"])
def test_a_file_without_a_partner_is_cut_after_its_wait(tmp_path: Path, mode: str, name: str) -> None:
    """Single files are cut too."""
    paired_folder = shoot_of(tmp_path, RawPairs(mode))
    paired_folder.put(name)
    paired_folder.wait(WAIT_S + SETTLE_S + 1)
    assert paired_folder.states == {name: "queued"}


def test_only_the_unwanted_one_waits(paired_folder: PairedFolder) -> None:
    """A JPEG is accepted as soon as it is quiet; a raw file some seconds later."""
    paired_folder.put("a.JPG")
    paired_folder.put("b.NEF")
    paired_folder.wait(SETTLE_S + 0.5)
    assert paired_folder.states == {"a.JPG": "queued"}
    assert paired_folder.arrivals.held_up(10) == ()
    paired_folder.wait(WAIT_S)
    assert paired_folder.states == {"a.JPG": "queued", "b.NEF": "queued"}


def test_a_partner_that_comes_too_late_is_left_out(paired_folder: PairedFolder) -> None:
    """The shot is cut already; also after a restart, and when the partner is rewritten."""
    paired_folder.put("a.NEF")
    paired_folder.finish()
    paired_folder.restart()
    paired_folder.put("a.JPG")
    paired_folder.finish()
    paired_folder.put("a.JPG")
    paired_folder.finish()
    assert paired_folder.states == {"a.NEF": "done", "a.JPG": "skipped"}
    (left_out,) = [
        job for job in Reader(paired_folder.journal.store).jobs() if job.state is JobState.SKIPPED
    ][:1]
    assert left_out.detail["why"] == "the NEF of the same shot is cut"


def test_a_new_version_of_the_one_that_is_cut_is_cut(paired_folder: PairedFolder) -> None:
    """A rewritten JPEG is cut although its pair was cut already."""
    paired_folder.put("a.JPG")
    paired_folder.put("a.NEF")
    paired_folder.finish()
    paired_folder.put("a.JPG")
    paired_folder.finish()
    done = [job.path for job in Reader(paired_folder.journal.store).jobs() if job.state is JobState.DONE]
    assert done == ["a.JPG", "a.JPG"]


def test_a_raw_file_that_was_accepted_stays_the_one_when_it_is_rewritten(paired_folder: PairedFolder) -> None:
    """Although its late JPEG exists by now: otherwise neither would be cut."""
    paired_folder.put("a.NEF")
    paired_folder.wait(7)
    paired_folder.put("a.JPG")
    paired_folder.wait(7)
    paired_folder.put("a.NEF")
    paired_folder.finish()
    assert paired_folder.states == {"a.JPG": "skipped", "a.NEF": "done"}


def test_the_same_stem_in_another_directory_is_another_shot(paired_folder: PairedFolder) -> None:
    """Cameras restart their numbers on each card."""
    paired_folder.put("x/a.JPG")
    paired_folder.put("y/a.NEF")
    paired_folder.put("a.HEIC")
    paired_folder.finish()
    assert paired_folder.cut() == {"x/a.JPG", "y/a.NEF", "a.HEIC"}


def test_the_raw_file_takes_the_place_of_a_jpeg_that_cannot_be_read(paired_folder: PairedFolder) -> None:
    """A broken copy does not lose the shot; a JPEG that is mended later is not cut any more."""
    paired_folder.put("a.JPG", BAD)
    paired_folder.put("a.NEF")
    paired_folder.finish()
    assert paired_folder.states == {"a.JPG": "failed", "a.NEF": "done"}
    paired_folder.put("a.JPG")
    paired_folder.finish()
    assert paired_folder.cut() == {"a.NEF"}


def test_a_jpeg_that_failed_is_not_waited_for_under_another_spelling(paired_folder: PairedFolder) -> None:
    """A case-insensitive file system has the file under both names; here a link does."""
    paired_folder.put("a.JPG", BAD)
    paired_folder.finish()
    (paired_folder.root / "a.jpg").hardlink_to(paired_folder.root / "a.JPG")
    paired_folder.put("a.NEF")
    for _ in range(30):
        paired_folder.clock.advance(1)
        paired_folder.arrivals.accept_quiet()
    assert paired_folder.states == {"a.JPG": "failed", "a.NEF": "queued"}


def test_the_raw_file_takes_the_place_of_a_jpeg_that_is_removed_before_its_turn(
    paired_folder: PairedFolder,
) -> None:
    """Also after a restart, when only the journal knows why it was left out."""
    paired_folder.put("a.JPG")
    paired_folder.put("a.NEF")
    paired_folder.wait(10)
    assert paired_folder.states == {"a.JPG": "queued", "a.NEF": "skipped"}
    paired_folder.restart()
    paired_folder.remove("a.JPG")
    paired_folder.finish()
    assert paired_folder.states == {"a.JPG": "gone", "a.NEF": "done"}


def test_a_raw_file_waits_for_a_jpeg_that_is_still_being_written(paired_folder: PairedFolder) -> None:
    """Longer than for one that does not exist, and the reason says so."""
    paired_folder.put("a.NEF")
    for _ in range(20):
        paired_folder.put("a.JPG")
        paired_folder.wait(0.5)
    assert paired_folder.states == {}
    assert {one.path: one.why for one in paired_folder.arrivals.held_up(10)}[
        "a.NEF"
    ] == "waits for the JPG of the same shot"
    paired_folder.finish()
    assert paired_folder.cut() == {"a.JPG"}


def test_a_jpeg_that_the_folder_does_not_take_is_no_partner(tmp_path: Path) -> None:
    """A folder that excludes JPEGs wants the raw files."""
    paired_folder = PairedFolder(tmp_path, rules=Rules(exclude=("*.JPG",)))
    paired_folder.put("a.JPG")
    paired_folder.put("a.NEF")
    paired_folder.finish()
    assert paired_folder.cut() == {"a.NEF"}


def test_several_raw_files_of_one_shot_are_all_left_out(paired_folder: PairedFolder) -> None:
    """Beside the JPEG, both a raw file and its conversion to DNG."""
    for name in ("a.DNG", "a.CR3", "a.JPG"):
        paired_folder.put(name)
    paired_folder.finish()
    assert paired_folder.cut() == {"a.JPG"}


def test_a_jpeg_whose_new_version_is_broken_was_cut_already(paired_folder: PairedFolder) -> None:
    """The failure is reported; the raw file stays left out."""
    paired_folder.put("a.JPG")
    paired_folder.put("a.NEF")
    paired_folder.finish()
    paired_folder.put("a.JPG", BAD)
    paired_folder.finish()
    assert paired_folder.states == {"a.JPG": "failed", "a.NEF": "skipped"}


def test_a_jpeg_that_was_moved_away_once_cut_still_represents_its_shot(paired_folder: PairedFolder) -> None:
    """A new journal knows the JPEG from its sidecar alone."""
    version = Version(path="a.JPG", size=1, mtime_ns=1)
    moved = Adopted(
        version=version,
        is_present=False,
        latest=True,
        state=JobState.DONE,
        sha256="s",
        at_us=1,
        published=(),
        claims=(),
        detail={},
    )
    paired_folder.journal.sources.adopt(FOLDER, [moved])
    paired_folder.put("a.NEF")
    paired_folder.finish()
    assert paired_folder.states == {"a.NEF": "skipped"}


@pytest.mark.parametrize(("mode", "first", "second"), [("jpeg", "JPG", "NEF"), ("raw", "NEF", "JPG")])
@pytest.mark.parametrize("how", ["put away", "taken away", "taken away while no daemon runs"])
def test_another_shot_under_a_number_that_was_used_before_is_cut(
    tmp_path: Path, mode: str, first: str, second: str, how: str
) -> None:
    """Whatever its format: the first file is gone, and belongs to another shot."""
    paired_folder = shoot_of(tmp_path, RawPairs(mode))
    paired_folder.put(f"a.{first}")
    paired_folder.finish()
    match how:
        case "put away":
            paired_folder.remove_original(f"a.{first}")
        case "taken away":
            paired_folder.remove(f"a.{first}")
        case _:
            (paired_folder.root / f"a.{first}").unlink()
            paired_folder.restart()
            (paired_folder.root / f"a.{second}").write_bytes(RAW)
            paired_folder.arrivals.scan()
    paired_folder.wait(20)
    if how != "taken away while no daemon runs":
        paired_folder.put(f"a.{second}")
    paired_folder.finish()
    assert paired_folder.cut() == {f"a.{first}", f"a.{second}"}
    assert paired_folder.states[f"a.{second}"] == "done"


def test_the_late_half_of_a_shot_is_left_out_although_the_other_was_moved_away(
    paired_folder: PairedFolder,
) -> None:
    """Its copying began before and was seen, and takes longer than the other's cut."""
    paired_folder.put("a.NEF")
    paired_folder.put("a.JPG")
    for _ in range(6):
        paired_folder.wait(0.5)
        paired_folder.put("a.NEF")
    paired_folder.finish()
    paired_folder.put("b.NEF")
    paired_folder.put("b.JPG")
    paired_folder.wait(0.5)
    paired_folder.put("b.NEF")
    paired_folder.wait(0.5)
    paired_folder.work()
    paired_folder.remove_original("b.JPG")
    paired_folder.put("b.NEF")
    paired_folder.finish()
    assert paired_folder.cut() == {"a.JPG", "b.JPG"}
    assert paired_folder.states["b.NEF"] == "skipped"


def test_a_pair_under_a_number_that_was_used_before_is_a_pair(paired_folder: PairedFolder) -> None:
    """The raw file waits for its own JPEG, and replaces a broken one."""
    for content in (None, None, BAD):
        paired_folder.put("a.NEF")
        paired_folder.wait(2)
        paired_folder.put("a.JPG", content)
        paired_folder.finish()
        if content is None:
            assert paired_folder.states == {"a.JPG": "done", "a.NEF": "skipped"}
            paired_folder.remove_original("a.JPG")
            paired_folder.remove("a.NEF")
            paired_folder.wait(20)
    assert paired_folder.states == {"a.JPG": "failed", "a.NEF": "done"}


def test_a_raw_file_whose_time_is_coarse_is_left_out_once_and_for_all(paired_folder: PairedFolder) -> None:
    """The file is checked again and found unchanged; its JPEG was moved away meanwhile."""
    paired_folder.put("a.JPG")
    paired_folder.put("a.NEF")
    paired_folder.wait(0.5)
    second_ns = -(-paired_folder.clock.now_us() // 1_000_000) * 1_000_000_000
    paired_folder.clock.advance(second_ns / 1e9 - paired_folder.clock.now_us() / 1e6)
    os.utime(paired_folder.root / "a.NEF", ns=(second_ns, second_ns))
    paired_folder.arrivals.examine(["a.NEF"])
    for _ in range(3):
        paired_folder.clock.advance(0.5)
        paired_folder.arrivals.accept_quiet()
        paired_folder.work()
    assert paired_folder.states == {"a.JPG": "done", "a.NEF": "skipped"}
    paired_folder.remove_original("a.JPG")
    paired_folder.finish()
    assert paired_folder.states == {"a.JPG": "done", "a.NEF": "skipped"}


def test_with_once_old_files_need_no_wait(tmp_path: Path) -> None:
    """Both halves of a pair exist at the first scan."""
    paired_folder = PairedFolder(tmp_path, old_is_quiet=True)
    for name in ("a.NEF", "a.JPG", "b.NEF"):
        paired_folder.put(name)
    paired_folder.clock.advance(60)
    paired_folder.restart()
    paired_folder.arrivals.scan()
    paired_folder.arrivals.accept_quiet()
    assert paired_folder.states == {"a.JPG": "queued", "b.NEF": "queued", "a.NEF": "skipped"}


NAMES = ("a.JPG", "a.NEF", "s/a.DNG", "s/a.HEIC")
STEPS = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(NAMES)),
    st.tuples(st.just("bad"), st.sampled_from(NAMES)),
    st.tuples(st.just("remove"), st.sampled_from(NAMES)),
    st.tuples(st.just("wait"), st.sampled_from(["0.5", "1", "2", "4", "7"])),
    st.tuples(st.just("work"), st.just("")),
    st.tuples(st.just("restart"), st.just("")),
)


def carry_out(paired_folder: PairedFolder, step: tuple[str, str]) -> None:
    """Carry out one of `STEPS`."""
    match step:
        case ("put", name):
            paired_folder.put(name)
        case ("bad", name):
            paired_folder.put(name, BAD)
        case ("remove", name):
            paired_folder.remove(name)
        case ("wait", seconds):
            paired_folder.wait(float(seconds))
        case ("work", _):
            paired_folder.work()
        case _:
            paired_folder.restart()


@given(st.sampled_from([RawPairs.JPEG, RawPairs.RAW]), st.lists(STEPS, max_size=14))
@settings(max_examples=150)
def test_in_any_order_of_events_each_shot_is_cut_once(mode: RawPairs, steps: list[tuple[str, str]]) -> None:
    """Any order of arrival, rewriting, removal, failure, work and restart."""
    with TemporaryDirectory() as place:
        paired_folder = PairedFolder(Path(place), mode=mode)
        for step in steps:
            carry_out(paired_folder, step)
        paired_folder.finish()
        for directory in ("", "s/"):
            cut = {path for path in paired_folder.cut() if path.rpartition("/")[0] == directory.rstrip("/")}
            if cut.isdisjoint(paired_folder.removed):  # else what came later is another shot
                assert len({recording(path) for path in cut}) <= 1, paired_folder.states
            for path in (paired_folder.root / directory).glob("a.*"):
                name = directory + path.name
                if not path.read_bytes().startswith(BAD) and paired_folder.states[name] != "done":
                    others = {one for one in cut if recording(one) is not recording(name)}
                    assert any(
                        (paired_folder.root / one).exists()
                        or paired_folder.removed[one] >= paired_folder.came[name]
                        for one in others
                    ), paired_folder.states
        assert paired_folder.arrivals.settling == 0
        paired_folder.journal.close()
