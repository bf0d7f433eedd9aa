"""Notices of changes through the real system."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.intake.hints import Hints, Inbox
from cutoutd.intake.rules import Rules
from cutoutd.intake.watch import STOP_TIMEOUT_S, EventWatch, UnwatchableError
from tests.integration.namespaces import in_namespace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_S = 40.0

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


class RecordedWatch:
    """A watch, and the hints received so far."""

    def __init__(self, root: Path, rules: Rules | None = None) -> None:
        self._woken = threading.Event()
        self.watch = EventWatch(str(root), rules or Rules(), self._woken.set)
        self.paths: set[str] = set()
        self.scan = False

    def until(self, condition: Callable[[], bool]) -> bool:
        """Listen until a condition holds, with a limit."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not condition() and time.monotonic() < deadline_s:
            self._woken.wait(0.02)
            self._woken.clear()
            hints = self.watch.take()
            self.paths |= hints.paths
            self.scan = self.scan or hints.scan
        return condition()

    def hears(self, path: str) -> bool:
        """Wait for a hint for a file; return whether it came."""
        return self.until(lambda: path in self.paths)

    def hears_of_everything(self) -> bool:
        """Wait for a request to scan; return whether it came."""
        return self.until(lambda: self.scan)

    def is_unwell(self) -> bool:
        """Wait until the watch reports that it is unreliable; return whether it did."""
        return self.until(lambda: self.watch.trouble() is not None)

    def forget(self) -> None:
        """Drop the hints so far."""
        self.watch.take()
        self.paths, self.scan = set(), False


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[RecordedWatch]:
    """A running watch of a directory named ``root``."""
    root = tmp_path / "root"
    root.mkdir()
    heard = RecordedWatch(root)
    heard.watch.start()
    yield heard
    heard.watch.stop()


def test_writing_renaming_linking_and_touching_give_hints(recorded: RecordedWatch, tmp_path: Path) -> None:
    """Whichever way a file gets its name or content."""
    root = tmp_path / "root"
    (root / "written.jpg").write_bytes(b"1")
    assert recorded.hears("written.jpg")
    (root / ".x.tmp").write_bytes(b"1")
    (root / ".x.tmp").rename(root / "renamed.jpg")
    assert recorded.hears("renamed.jpg")
    (tmp_path / "outside.jpg").write_bytes(b"1")
    (tmp_path / "outside.jpg").rename(root / "moved-in.jpg")
    assert recorded.hears("moved-in.jpg")
    (root / "linked.jpg").hardlink_to(root / "written.jpg")
    assert recorded.hears("linked.jpg")
    recorded.forget()
    os.utime(root / "written.jpg")
    assert recorded.hears("written.jpg")
    assert recorded.paths == {"written.jpg"}
    assert recorded.watch.trouble() is None


@linux_only
def test_reading_and_junk_give_no_hints(tmp_path: Path) -> None:
    """The daemon's own reads must not wake it, nor excluded files."""
    (tmp_path / "a.jpg").write_bytes(b"1")
    recorded = RecordedWatch(tmp_path)
    recorded.watch.start()
    (tmp_path / "a.jpg").read_bytes()
    list(tmp_path.iterdir())
    (tmp_path / "b.jpg.part").write_bytes(b"1")
    (tmp_path / "@eaDir").mkdir()
    (tmp_path / "@eaDir" / "c.jpg").write_bytes(b"1")
    (tmp_path / "last.jpg").write_bytes(b"1")
    assert recorded.hears("last.jpg")
    assert (recorded.paths, recorded.scan) == ({"last.jpg"}, False)
    recorded.watch.stop()


@linux_only
def test_files_that_leave_hold_up_no_others(recorded: RecordedWatch, tmp_path: Path) -> None:
    """By default watchdog waits half a second to see where each went, which is long if originals are moved away."""
    for n in range(24):
        (tmp_path / "root" / f"{n}.jpg").write_bytes(b"1")
    assert recorded.hears("23.jpg")
    began_s = time.monotonic()
    for n in range(24):
        (tmp_path / "root" / f"{n}.jpg").rename(tmp_path / f"{n}.jpg")
        (tmp_path / "root" / f"new-{n}.jpg").write_bytes(b"1")
        assert recorded.hears(f"new-{n}.jpg")
    assert time.monotonic() - began_s < 24 * 0.5


def test_new_and_moved_directories_ask_for_a_scan(recorded: RecordedWatch, tmp_path: Path) -> None:
    """Files may have been in them before they were watched; afterwards each file is reported."""
    root = tmp_path / "root"
    (root / "new").mkdir()
    assert recorded.hears_of_everything()
    (root / "new" / "x.jpg").write_bytes(b"1")
    assert recorded.hears("new/x.jpg")
    (tmp_path / "filled" / "deep").mkdir(parents=True)
    recorded.forget()
    (tmp_path / "filled").rename(root / "filled")
    assert recorded.hears_of_everything()
    (root / "filled" / "deep" / "y.jpg").write_bytes(b"1")
    assert recorded.hears("filled/deep/y.jpg")


def test_odd_names_give_hints(recorded: RecordedWatch, tmp_path: Path) -> None:
    """As text with surrogates, like everywhere in intake."""
    for raw in (b"line\nbreak.jpg", b"\xff\xfe.jpg", b"n" * 251 + b".jpg"):
        name = os.fsdecode(raw)
        (tmp_path / "root" / name).write_bytes(b"1")
        assert recorded.hears(name)


def test_a_root_reached_through_a_link_is_watched(tmp_path: Path) -> None:
    """The owner may have named a link."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    recorded = RecordedWatch(tmp_path / "link")
    recorded.watch.start()
    (tmp_path / "real" / "x.jpg").write_bytes(b"1")
    assert recorded.hears("x.jpg")
    (tmp_path / "other").mkdir()
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to(tmp_path / "other")
    assert "another directory" in str(recorded.watch.trouble())
    recorded.watch.stop()


@linux_only
def test_a_flat_folder_gets_hints_of_its_own_files_only(tmp_path: Path) -> None:
    """No watches are used for sub-directories."""
    (tmp_path / "sub").mkdir()
    recorded = RecordedWatch(tmp_path, Rules(recursive=False))
    recorded.watch.start()
    (tmp_path / "sub" / "x.jpg").write_bytes(b"1")
    (tmp_path / "new").mkdir()
    (tmp_path / "y.jpg").write_bytes(b"1")
    assert recorded.hears("y.jpg")
    assert (recorded.paths, recorded.scan) == ({"y.jpg"}, False)
    recorded.watch.stop()


def test_a_root_deleted_and_recreated_is_noticed(recorded: RecordedWatch, tmp_path: Path) -> None:
    """The new root may even have the former inode; the old watch is dead all the same."""
    (tmp_path / "root").rmdir()
    (tmp_path / "root").mkdir()
    assert recorded.is_unwell()
    recorded.watch.stop()
    again = RecordedWatch(tmp_path / "root")
    again.watch.start()
    assert again.watch.trouble() is None
    (tmp_path / "root" / "x.jpg").write_bytes(b"1")
    assert again.hears("x.jpg")
    again.watch.stop()


@linux_only
def test_a_root_moved_away_asks_for_a_scan(recorded: RecordedWatch, tmp_path: Path) -> None:
    """Its events would continue, under a wrong name."""
    (tmp_path / "root").rename(tmp_path / "elsewhere")
    assert recorded.hears_of_everything()
    assert "cannot be reached" in str(recorded.watch.trouble())


@linux_only
def test_the_end_of_the_reading_thread_is_noticed(recorded: RecordedWatch, tmp_path: Path) -> None:
    """This order of events ends it in watchdog 7.1, which records one path for two watches."""
    inside, outside = tmp_path / "root" / "a", tmp_path / "a"
    inside.mkdir()
    (inside / "w.jpg").write_bytes(b"1")
    assert recorded.hears("a/w.jpg")  # so the directory is watched before it is moved away
    (inside / "w.jpg").unlink()
    inside.rename(outside)
    inside.mkdir()
    (inside / "x.jpg").write_bytes(b"1")
    assert recorded.hears("a/x.jpg")
    (inside / "x.jpg").unlink()
    inside.rmdir()
    outside.rmdir()
    assert recorded.is_unwell()
    assert "reading events failed" in str(recorded.watch.trouble())


def test_a_burst_is_one_request_for_a_scan(recorded: RecordedWatch, tmp_path: Path) -> None:
    """Memory is limited, and afterwards single files are reported again."""
    for n in range(6000):
        os.close(os.open(tmp_path / "root" / f"{n}.jpg", os.O_CREAT | os.O_WRONLY))
    assert recorded.hears_of_everything()
    recorded.forget()
    (tmp_path / "root" / "last.jpg").write_bytes(b"1")
    assert recorded.until(lambda: recorded.scan or "last.jpg" in recorded.paths)
    assert recorded.watch.trouble() is None


OVERFLOW = """
import json, os, signal, sys, time
from cutoutd.intake.rules import Rules
from cutoutd.intake.watch import EventWatch

root = sys.argv[1]
for name in "ab":
    os.mkdir(f"{root}/{name}")
watch = EventWatch(root, Rules(), lambda: None)
watch.start()
me = os.getpid()
child = os.fork()
if child == 0:
    os.kill(me, signal.SIGSTOP)
    # Changes of directories make no hints of their own, and two by turns are not taken for one.
    for _ in range(int(sys.argv[2])):
        os.utime(f"{root}/a")
        os.utime(f"{root}/b")
    os.mkdir(f"{root}/a/lost")
    os.kill(me, signal.SIGCONT)
    os._exit(0)
os.waitpid(child, 0)

def wait(condition):
    deadline, paths, scan = time.monotonic() + 60, set(), False
    while not condition(paths, scan) and time.monotonic() < deadline:
        time.sleep(0.01)
        hints = watch.take()
        paths, scan = paths | hints.paths, scan or hints.scan
    return condition(paths, scan)

scan = wait(lambda paths, scan: scan)
with open(f"{root}/a/lost/x.jpg", "w"):
    pass
after = wait(lambda paths, scan: "a/lost/x.jpg" in paths)
print(json.dumps([scan, after, watch.trouble()]))
"""


@linux_only
def test_an_overflow_asks_for_a_scan(tmp_path: Path) -> None:
    """The kernel's queue overflows while the process is stopped; the directory whose creation was lost is watched again."""
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    command = [sys.executable, "-c", OVERFLOW, str(tmp_path), str(limit // 2 + 100)]
    scan, after, trouble = json.loads(in_namespace("-U", *command))
    assert scan
    assert after
    assert trouble is None


ARM = """
import json, os, sys, time
from cutoutd.intake.rules import Rules
from cutoutd.intake.watch import UnwatchableError, EventWatch

root = sys.argv[1]
watch = EventWatch(root, Rules(), lambda: None)
try:
    watch.start()
except UnwatchableError as error:
    print(json.dumps(["refused", error.cause, error.advice]))
    sys.exit()
before = watch.trouble()
os.mkdir(f"{root}/one-more")
deadline = time.monotonic() + 60
while watch.trouble() is None and time.monotonic() < deadline:
    time.sleep(0.01)
print(json.dumps(["armed", before, watch.trouble()]))
watch.stop()
"""


def _arm_with(root: Path, limit: str, value: int) -> list[Any]:
    """Return the outcome of starting a watch under a limit of inotify."""
    shell = f'echo {value} > /proc/sys/user/{limit}; exec "$@"'
    run = in_namespace("-Ur", "sh", "-c", shell, "sh", sys.executable, "-c", ARM, str(root))
    answer: list[Any] = json.loads(run)
    return answer


@linux_only
@pytest.mark.parametrize("watches", [0, 20])
def test_exhausted_watches_are_an_error(tmp_path: Path, watches: int) -> None:
    """Also if they run out half-way, which watchdog ignores."""
    for n in range(49):
        (tmp_path / str(n)).mkdir()
    verdict, cause, advice = _arm_with(tmp_path, "max_inotify_watches", watches)
    assert verdict == "refused"
    assert "watch limit" in cause
    assert "max_user_watches" in advice
    if watches:
        assert "30 of 50 directories" in cause


@linux_only
def test_watches_that_end_later_are_noticed(tmp_path: Path) -> None:
    """The root got the last one; a new directory gets none."""
    verdict, before, after = _arm_with(tmp_path, "max_inotify_watches", 1)
    assert (verdict, before) == ("armed", None)
    assert "cannot be watched" in after


@linux_only
def test_exhausted_instances_are_an_error(tmp_path: Path) -> None:
    """Each folder needs one of the 128 of a user."""
    verdict, cause, advice = _arm_with(tmp_path, "max_inotify_instances", 0)
    assert verdict == "refused"
    assert "instance limit" in cause
    assert "max_user_instances" in advice


OPENED = """
import json, os, sys
from cutoutd.intake.rules import Rules
from cutoutd.intake.watch import EventWatch

root = sys.argv[1]
watch = EventWatch(root, Rules(), lambda: None)
watch.start()
before = watch.trouble()
os.chmod(f"{root}/closed", 0o700)
print(json.dumps([before, watch.trouble()]))
watch.stop()
"""


@linux_only
def test_a_directory_that_becomes_readable_asks_to_be_armed_again(tmp_path: Path) -> None:
    """Until then it is no fault of the watch: the scan cannot read it either."""
    for name in ("closed", "closed-too"):
        (tmp_path / name).mkdir(mode=0)
    before, after = json.loads(in_namespace("-U", sys.executable, "-W", "error", "-c", OPENED, str(tmp_path)))
    (tmp_path / "closed-too").chmod(0o700)
    assert before is None
    assert "closed could not be read, and now can" in after


@pytest.mark.parametrize("name", ["missing", "file"])
def test_a_root_that_is_no_directory_is_an_error(tmp_path: Path, name: str) -> None:
    """Watching its parent instead would be worse than nothing."""
    (tmp_path / "file").touch()
    watch = EventWatch(str(tmp_path / name), Rules(), lambda: None)
    with pytest.raises(UnwatchableError):
        watch.start()
    assert watch.trouble() == "not watching"


def _open_descriptors() -> int:
    """Return the number of open descriptors of this process."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@linux_only
def test_stopping_is_quick_and_leaves_nothing(tmp_path: Path) -> None:
    """Neither threads nor descriptors, however often a folder is watched again."""
    for n in range(100):
        (tmp_path / str(n)).mkdir()
    threads, descriptors = threading.active_count(), _open_descriptors()
    for _ in range(5):
        watch = EventWatch(str(tmp_path), Rules(), lambda: None)
        watch.start()
        began_s = time.monotonic()
        watch.stop()
        assert time.monotonic() - began_s < STOP_TIMEOUT_S
    assert (threading.active_count(), _open_descriptors()) == (threads, descriptors)


def test_the_inbox_wakes_once_and_collapses() -> None:
    """One call per batch of hints; beyond the limit it requests a scan."""
    calls: list[int] = []
    inbox = Inbox(lambda: calls.append(1), limit=3)
    for n in range(3):
        inbox.file(str(n))
    assert inbox.take() == Hints(paths=frozenset("012"), scan=False)
    assert len(calls) == 1
    for n in range(4):
        inbox.file(str(n))
    assert inbox.take() == Hints(paths=frozenset(), scan=True)
    assert [inbox.admit() for _ in range(5)] == [True, True, True, False, False]
    assert inbox.take().scan
    assert not inbox.take()
    assert len(calls) == 3
