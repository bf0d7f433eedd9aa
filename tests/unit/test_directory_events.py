"""Changes of the files in a directory, as the kernel tells them."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from cutoutd.fs.directory_events import DirectoryEvents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


@pytest.fixture
def events(tmp_path: Path) -> Iterator[DirectoryEvents]:
    """Those of an empty directory."""
    made = DirectoryEvents(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize(
    "change",
    [
        lambda path: (path / "new").write_bytes(b"a"),
        lambda path: (path / "there").unlink(),
        lambda path: (path / "there").rename(path / "other"),
    ],
    ids=["written", "removed", "renamed"],
)
def test_a_change_is_told_once(tmp_path: Path, change: Callable[[Path], object]) -> None:
    """Until the next one."""
    (tmp_path / "there").write_bytes(b"a")
    events = DirectoryEvents(tmp_path)
    change(tmp_path)
    assert (events.wait(10.0), events.wait(0.0)) == (True, False)
    events.close()


def test_who_reads_changes_nothing(tmp_path: Path) -> None:
    """Else reading the journal would lead to reading it again."""
    (tmp_path / "there").write_bytes(b"a")
    events = DirectoryEvents(tmp_path)
    (tmp_path / "there").read_bytes()
    began_s = time.monotonic()
    assert not events.wait(0.05)
    assert time.monotonic() >= began_s + 0.04
    events.close()


def test_more_changes_than_are_read_at_a_time_are_told_as_one(
    tmp_path: Path, events: DirectoryEvents
) -> None:
    """As after a second in which nobody waited."""
    for number in range(3000):
        (tmp_path / f"{number:0100}").write_bytes(b"")
    assert (events.wait(10.0), events.wait(0.0)) == (True, False)


def test_the_end_of_a_process_that_had_a_file_open_for_writing_is_told(
    tmp_path: Path, events: DirectoryEvents
) -> None:
    """By it a daemon that is killed is noticed: it has its lock file open."""
    dies = "import os, sys; os.open(sys.argv[1], os.O_RDWR); os.write(1, b'.'); os.kill(os.getpid(), 9)"
    (tmp_path / "lock").touch()
    while events.wait(0.1):
        pass
    subprocess.run([sys.executable, "-c", dies, tmp_path / "lock"], check=False, stdout=subprocess.DEVNULL)
    assert events.wait(10.0)


def test_a_directory_that_is_removed_is_over(tmp_path: Path) -> None:
    """Whoever listens has to begin anew."""
    (tmp_path / "state").mkdir()
    events = DirectoryEvents(tmp_path / "state")
    (tmp_path / "state").rmdir()
    assert events.wait(10.0)
    assert events.is_over
    events.close()
    with pytest.raises(FileNotFoundError):
        DirectoryEvents(tmp_path / "state")
