"""The marker is written while the system refuses, or kills the process."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from cutoutd.lease import marker
from cutoutd.lease.marker import NAME, create, read, tidy
from cutoutd.lease.policy import Owner
from tests.integration.tools import need

if TYPE_CHECKING:
    from pathlib import Path

OURS = "11111111-1111-4111-8111-111111111111"
OWNER = Owner(host="us", run="run", epoch=1, heartbeats=0, since="now", settled=True, released=False)

CREATE = """
import sys
from cutoutd.lease.marker import create
print(create(*sys.argv[1:]))
"""


def _create_under(root: Path, injection: str) -> subprocess.CompletedProcess[str]:
    """Create a marker in a process whose system calls strace tampers with."""
    need("strace")
    command = ["strace", "-f", "-o", os.devnull, "-e", f"inject={injection}", sys.executable, "-Bc", CREATE]
    return subprocess.run([*command, root, OURS], check=False, capture_output=True, text=True, timeout=60)


def test_a_file_system_without_hard_links_gets_a_marker_too(tmp_path: Path) -> None:
    """Such as FAT, and some of FUSE."""
    run = _create_under(tmp_path, "link,linkat:error=EPERM")
    assert run.stdout.strip() == OURS
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


@pytest.mark.parametrize("call", ["fsync:error=EIO", "write:error=ENOSPC:when=1", "link,linkat:error=EACCES"])
def test_a_refusal_leaves_nothing_behind(tmp_path: Path, call: str) -> None:
    """The error is passed on, and the folder is unchanged."""
    run = _create_under(tmp_path, call)
    assert run.returncode != 0
    assert "OSError" in run.stderr or "PermissionError" in run.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_removal_that_is_refused_costs_no_marker(tmp_path: Path) -> None:
    """Before, the folder was taken for a read-only one; the file is removed later."""
    run = _create_under(tmp_path, "unlink,unlinkat:error=EACCES")
    assert run.stdout.strip() == OURS
    assert len(list(tmp_path.iterdir())) == 2
    assert tidy(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


@pytest.mark.parametrize(
    "call", ["fsync:signal=SIGKILL", "link,linkat:signal=SIGKILL", "unlink,unlinkat:signal=SIGKILL"]
)
def test_a_kill_leaves_a_whole_marker_or_none(tmp_path: Path, call: str) -> None:
    """Other remains are removed, and the next attempt succeeds."""
    assert _create_under(tmp_path, call).returncode != 0
    tidy(str(tmp_path))
    assert read(str(tmp_path)) in {None, OURS}
    assert create(str(tmp_path), OURS) == OURS
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_a_second_name_of_another_file_in_the_markers_place_is_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hard link was put there after the marker was read; the marker is created again in its place."""
    folder, victim = tmp_path / "folder", tmp_path / "victim"
    folder.mkdir()
    create(str(folder), OURS)
    content = b"precious".ljust((folder / NAME).stat().st_size)
    victim.write_bytes(content)
    read_in = marker.read_in

    def read_and_swap(directory: int, root: str) -> marker.Marker | None:
        there = read_in(directory, root)
        (folder / NAME).unlink()
        (folder / NAME).hardlink_to(victim)
        return there

    monkeypatch.setattr(marker, "read_in", read_and_swap)
    with marker.opened(str(folder)) as directory:
        marker.write_owner(directory, str(folder), OURS, OWNER)
    monkeypatch.undo()
    assert victim.read_bytes() == content
    assert read(str(folder)) == OURS
