"""Opening real files to see what they are, and whether they are still being written."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from cutoutd.file_signatures import FileKind
from cutoutd.intake.probe import open_probe
from tests.integration.tools import need

if TYPE_CHECKING:
    from pathlib import Path

JPEG = b"\xff\xd8\xff\xe0" + bytes(96)
TEXT = b"one line of a log that has enough of them to fill all that is looked at"

needs_leases = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has file leases")


def _held(root: Path, name: str) -> bool:
    """Return whether a file counts as open for writing."""
    probe = open_probe(str(root), name)
    assert probe is not None
    return probe.held


def test_a_file_that_nobody_writes_is_recognised_by_its_bytes(tmp_path: Path) -> None:
    """With size and time of the file that was opened."""
    file = tmp_path / "sub" / "x.txt"
    file.parent.mkdir()
    file.write_bytes(JPEG)
    probe = open_probe(str(tmp_path), "sub/x.txt")
    assert probe is not None
    assert (probe.kind, probe.held) == (FileKind.PICTURE, False)


@needs_leases
def test_a_file_open_for_writing_is_held(tmp_path: Path) -> None:
    """Until the writer closes it, however long it pauses; readers do not count."""
    file = tmp_path / "x.jpg"
    with file.open("wb") as writer:
        assert _held(tmp_path, "x.jpg")
        writer.write(JPEG)
        writer.flush()
        assert _held(tmp_path, "x.jpg")
    with file.open("rb"):
        assert not _held(tmp_path, "x.jpg")
    with file.open("ab"):
        assert _held(tmp_path, "x.jpg")


@needs_leases
def test_a_file_that_another_process_writes_is_held_as_well(tmp_path: Path) -> None:
    """This is the usual case, and it ends with that process."""
    file = tmp_path / "x.jpg"
    file.write_bytes(JPEG)
    with file.open("ab") as handle:
        writer = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=handle)
    assert _held(tmp_path, "x.jpg")
    writer.communicate()
    assert not _held(tmp_path, "x.jpg")


@needs_leases
def test_files_that_are_no_pictures_are_not_waited_for(tmp_path: Path) -> None:
    """A log is open all day; only while its first bytes are missing can a file still become a picture."""
    with (tmp_path / "day.log").open("wb") as writer:
        assert _held(tmp_path, "day.log")
        writer.write(TEXT)
        writer.flush()
        assert not _held(tmp_path, "day.log")
        probe = open_probe(str(tmp_path), "day.log")
        assert probe is not None
        assert probe.kind is FileKind.OTHER


@needs_leases
def test_a_file_server_s_lease_counts_as_held(tmp_path: Path) -> None:
    """Opening a file that Samba has leased to a client fails at once instead of waiting."""
    file = tmp_path / "x.jpg"
    file.write_bytes(JPEG)
    with file.open("r+b") as server:
        fcntl.fcntl(server, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(server, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        assert _held(tmp_path, "x.jpg")
        fcntl.fcntl(server, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    assert not _held(tmp_path, "x.jpg")


PROBE = """
import signal, sys
from cutoutd.intake.probe import open_probe
assert signal.getsignal(signal.SIGIO) is signal.SIG_DFL
for _ in range(3):
    open_probe(sys.argv[1], "x.jpg")
"""


@needs_leases
def test_a_writer_that_opens_the_file_during_the_check_does_no_harm(tmp_path: Path) -> None:
    """The kernel signals that the lease must be given back; that must not end this process, and the writer gets its turn."""
    need("strace")
    file = tmp_path / "x.jpg"
    file.write_bytes(JPEG)
    # Each fcntl is made to last so long that writers are certain to come in between.
    strace = [
        "strace",
        "-f",
        "-o",
        str(tmp_path / "trace"),
        "-e",
        "trace=fcntl",
        "-e",
        "inject=fcntl:delay_exit=100000",
    ]
    probing = subprocess.Popen([*strace, sys.executable, "-c", PROBE, str(tmp_path)])
    written = 0
    while probing.poll() is None:
        with file.open("ab"):
            written += 1
        time.sleep(0.005)
    assert probing.returncode == 0
    assert written > 3
    assert "SIGURG" in (tmp_path / "trace").read_text()


def test_entries_that_are_no_files_are_not_opened(tmp_path: Path) -> None:
    """A FIFO without a writer would hang, a link would lead out."""
    root = tmp_path / "root"
    (root / "directory.jpg").mkdir(parents=True)
    (tmp_path / "secret.jpg").write_bytes(JPEG)
    os.mkfifo(root / "fifo.jpg")
    (root / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (root / "way").symlink_to(tmp_path)
    for name in ("directory.jpg", "fifo.jpg", "link.jpg", "way/secret.jpg", "../secret.jpg", "missing.jpg"):
        assert open_probe(str(root), name) is None


def test_an_empty_file_that_is_called_a_picture_is_recognised(tmp_path: Path) -> None:
    """The file becomes a failure that its owner can see."""
    (tmp_path / "x.jpg").touch()
    probe = open_probe(str(tmp_path), "x.jpg")
    assert probe is not None
    assert probe.kind is FileKind.NAMED_LIKE_ONE


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    """A folder is probed for months."""
    (tmp_path / "x.jpg").write_bytes(JPEG)
    os.mkfifo(tmp_path / "fifo.jpg")
    probe = os.open(tmp_path, os.O_RDONLY)
    os.close(probe)
    for _ in range(10):
        for name in ("x.jpg", "fifo.jpg", "missing.jpg", "no/x.jpg"):
            open_probe(str(tmp_path), name)
    again = os.open(tmp_path, os.O_RDONLY)
    os.close(again)
    assert again == probe
