"""An original that is moved across file systems keeps its mode, times, owner and extended attributes."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cutoutd.fs.tree import Tree
from cutoutd.publish.original_file import CleanupOutcome
from cutoutd.publish.originals import OriginalsFolder
from tests.integration.publishing import digest

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTENT = b"a picture"
WRITTEN_NS = 1_600_000_000_123_456_789


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder for originals on another file system."""
    shm = Path("/dev/shm")  # noqa: S108 - a file system of its own on Linux
    if not os.access(shm, os.W_OK) or shm.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system to write to")
    directory = shm / f"cutoutd-attributes-{os.getpid()}"
    directory.mkdir()
    yield directory
    shutil.rmtree(directory)


def _move(tmp_path: Path, elsewhere: Path) -> Path:
    """Move the original to the other file system; return its new path."""
    result = OriginalsFolder(elsewhere, "run").move(Tree(tmp_path / "in"), "a.jpg", digest(CONTENT), job=1)
    assert result.outcome is CleanupOutcome.MOVED
    assert not (tmp_path / "in" / "a.jpg").exists()
    return elsewhere / "a.jpg"


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """A picture with its own mode and time."""
    path = tmp_path / "in" / "a.jpg"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    path.chmod(0o640)
    os.utime(path, ns=(WRITTEN_NS, WRITTEN_NS))
    return path


def test_mode_and_times_stay(tmp_path: Path, elsewhere: Path, original: Path) -> None:
    """Both are the same for every user."""
    assert original.exists()
    moved = _move(tmp_path, elsewhere).stat()
    assert (stat.S_IMODE(moved.st_mode), moved.st_mtime_ns) == (0o640, WRITTEN_NS)


def test_the_owner_stays(tmp_path: Path, elsewhere: Path, original: Path) -> None:
    """If the daemon runs as root, a photographer's picture must not become root's."""
    if os.geteuid() != 0:
        pytest.skip("only root may give a file to somebody else")
    os.chown(original, 1234, 4321)
    original.chmod(0o640)
    os.utime(original, ns=(WRITTEN_NS, WRITTEN_NS))
    moved = _move(tmp_path, elsewhere).stat()
    assert (moved.st_uid, moved.st_gid, stat.S_IMODE(moved.st_mode)) == (1234, 4321, 0o640)
    assert moved.st_mtime_ns == WRITTEN_NS


def test_extended_attributes_stay(tmp_path: Path, elsewhere: Path, original: Path) -> None:
    """Such as the tags of file managers; one that the other file system refuses is left out."""
    name = "user.xdg.tags" if os.geteuid() != 0 else "trusted.tags"
    try:
        os.setxattr(original, name, b"portrait")
        (elsewhere / "trial").touch()
        os.setxattr(elsewhere / "trial", name, b"x")
    except OSError as error:
        pytest.skip(f"a file system here takes no such attributes: {error.strerror}")
    assert os.getxattr(_move(tmp_path, elsewhere), name) == b"portrait"
