"""The directory for temporary files of a machine of the cluster goes with its process, however that ends; before, it stayed empty."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.integration.parts import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "cutoutd-worker-1-2"
PROCESS = """
import sys, tempfile
from cutoutd.cluster import temporary_directory
own = temporary_directory.make(sys.argv[1])
tempfile.tempdir = str(own)
(own / "dask-scratch-space").mkdir(exist_ok=True)
(own / "dask-scratch-space/purge.lock").touch()
file = tempfile.TemporaryFile()
file.write(b"a picture")
file.flush()
print("ready", flush=True)
sys.stdin.read()
"""


@contextmanager
def process(place: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a process that has the directory and a temporary file in it."""
    one = subprocess.Popen(
        [sys.executable, "-P", "-c", PROCESS, NAME],
        env=os.environ | {"TMPDIR": os.fspath(place)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
        yield one
    finally:
        one.kill()
        one.communicate()


@pytest.mark.parametrize("number", [None, signal.SIGTERM, signal.SIGKILL])
def test_it_goes_with_its_process(tmp_path: Path, number: signal.Signals | None) -> None:
    """Also where all of the process group is ended; nothing else in its place is touched."""
    (tmp_path / "other").mkdir()
    with process(tmp_path) as one:
        assert (tmp_path / NAME).is_dir()
        if number is None:
            one.communicate("")
        else:
            os.killpg(one.pid, number)
            one.wait()
        until(lambda: not (tmp_path / NAME).exists(), "the removal")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_it_stays_as_long_as_another_process_has_it(tmp_path: Path) -> None:
    """Such as the next one, which was started before the first had ended."""
    with process(tmp_path) as first, process(tmp_path) as second:
        inode = (tmp_path / NAME).stat().st_ino
        first.communicate("")
        with process(tmp_path) as third:  # started after the end of the first was seen
            assert (tmp_path / NAME).stat().st_ino == inode
            third.communicate("")
        assert (tmp_path / NAME).stat().st_ino == inode
        second.communicate("")
        until(lambda: not (tmp_path / NAME).exists(), "the removal")
