"""Scans of real directories."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cutoutd.intake.rules import Rules
from cutoutd.intake.scan import Scan, scan_file
from tests.integration.namespaces import in_namespace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def _paths(root: Path, rules: Rules | None = None) -> list[str]:
    """Return the paths that a scan finds, after checking that it has no errors."""
    scan = Scan(str(root), rules or Rules())
    paths = sorted(seen.path for seen in scan)
    assert scan.errors == []
    return paths


def test_files_are_found_with_what_they_look_like(tmp_path: Path) -> None:
    """Path, size, modification time and inode, as stat returns them."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    file = tmp_path / "a" / "b" / "x.jpg"
    file.write_bytes(b"12345")
    (seen,) = Scan(str(tmp_path), Rules())
    status = file.stat()
    assert (seen.path, seen.size, seen.mtime_ns) == ("a/b/x.jpg", 5, status.st_mtime_ns)
    assert scan_file(str(tmp_path), "a/b/x.jpg") == seen


def test_the_rules_are_followed(tmp_path: Path) -> None:
    """Junk is not listed, excluded directories are not entered."""
    for name in ("x.jpg", ".hidden.jpg", "@eaDir/x.jpg", "out/x.jpg", "a/x.part", "a/y.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert _paths(tmp_path, Rules(subtrees=("out",))) == ["a/y.jpg", "x.jpg"]
    assert _paths(tmp_path, Rules(recursive=False)) == ["x.jpg"]


def test_links_are_not_followed(tmp_path: Path) -> None:
    """Neither to files nor to directories, nor in the path of a file; only the root may be one."""
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    root.mkdir()
    (outside / "secret.jpg").write_bytes(b"1")
    (root / "file.jpg").symlink_to(outside / "secret.jpg")
    (root / "directory").symlink_to(outside)
    (root / "loop").symlink_to(root)
    (root / "real.jpg").touch()
    (tmp_path / "link-to-root").symlink_to(root)
    assert _paths(root) == ["real.jpg"]
    assert _paths(tmp_path / "link-to-root") == ["real.jpg"]
    assert scan_file(str(tmp_path / "link-to-root"), "real.jpg") is not None
    for path in ("file.jpg", "directory/secret.jpg", "loop/real.jpg"):
        assert scan_file(str(root), path) is None


@pytest.mark.parametrize(
    "path", ["../outside.jpg", "a/../../outside.jpg", "/etc/passwd", "", ".", "a//x.jpg", "a/./x.jpg"]
)
def test_a_path_that_leads_elsewhere_is_no_file_of_the_folder(tmp_path: Path, path: str) -> None:
    """A hint may lead out of the folder."""
    (tmp_path / "root" / "a").mkdir(parents=True)
    (tmp_path / "root" / "a" / "x.jpg").touch()
    (tmp_path / "outside.jpg").touch()
    assert scan_file(str(tmp_path / "root"), path) is None


def test_entries_that_are_no_files_are_skipped(tmp_path: Path) -> None:
    """A FIFO, a socket and a directory named .jpg; nothing hangs."""
    os.mkfifo(tmp_path / "fifo.jpg")
    (tmp_path / "directory.jpg").mkdir()
    (tmp_path / "directory.jpg" / "inside.jpg").touch()
    os.mknod(tmp_path / "s.jpg", stat.S_IFSOCK | 0o600)
    assert _paths(tmp_path) == ["directory.jpg/inside.jpg"]
    for name in ("fifo.jpg", "s.jpg", "directory.jpg"):
        assert scan_file(str(tmp_path), name) is None


def test_odd_names_survive(tmp_path: Path) -> None:
    """Newline, emoji, bytes that are not UTF-8, 255 bytes."""
    names = [b"line\nbreak.jpg", "🦊.jpg".encode(), b"\xff\xfe.jpg", b"n" * 251 + b".jpg"]
    for name in names:
        (tmp_path / os.fsdecode(name)).touch()
    assert {os.fsencode(path) for path in _paths(tmp_path)} == set(names)
    for name in names:
        assert scan_file(str(tmp_path), os.fsdecode(name)) is not None


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Callable[[str, int], Path]]:
    """A function that makes nested directories, which only rm can remove again."""
    root = tmp_path / "deep"

    def make(name: str, levels: int) -> Path:
        root.mkdir()
        here = os.open(root, os.O_RDONLY)
        for _ in range(levels):
            os.mkdir(name, dir_fd=here)
            below = os.open(name, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(os.open("x.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=here))
        os.close(here)
        return root

    yield make
    subprocess.run(["rm", "-rf", root], check=True)


def test_a_tree_deeper_than_python_recurses_is_walked(deep: Callable[[str, int], Path]) -> None:
    """The walk uses a list instead of recursion."""
    root = deep("d", 300)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(250)
    try:
        assert _paths(root) == ["d/" * 300 + "x.jpg"]
    finally:
        sys.setrecursionlimit(limit)


def test_a_tree_without_end_is_given_up(deep: Callable[[str, int], Path]) -> None:
    """A share may show a directory that contains itself; no program could open a path that long."""
    scan = Scan(str(deep("n" * 250, 20)), Rules())
    assert list(scan) == []
    assert [error.errno for _, error in scan.errors] == [errno.ENAMETOOLONG]


def test_a_directory_that_vanishes_meanwhile_is_no_error(tmp_path: Path) -> None:
    """The directory was listed, then removed before its turn."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.jpg").touch()
    scan = Scan(str(tmp_path), Rules())
    walk = iter(scan)
    first = next(walk).path
    other = "b" if first.startswith("a") else "a"
    (tmp_path / other / "x.jpg").unlink()
    (tmp_path / other).rmdir()
    assert list(walk) == []
    assert scan.errors == []


def test_a_directory_that_becomes_a_link_meanwhile_is_not_entered(tmp_path: Path) -> None:
    """The directory was listed, then replaced by a link before its turn."""
    outside = tmp_path / "outside"
    root = tmp_path / "root"
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        (root / name / "x.jpg").touch()
    outside.mkdir()
    (outside / "secret.jpg").touch()
    walk = iter(Scan(str(root), Rules()))
    first = next(walk).path
    other = "b" if first.startswith("a") else "a"
    (root / other).rename(tmp_path / "moved")
    (root / other).symlink_to(outside)
    assert list(walk) == []


def test_a_root_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    """An unreadable root must not look like an empty folder."""
    (tmp_path / "file").touch()
    for name in ("missing", "file"):
        with pytest.raises(OSError, match=name):
            list(Scan(str(tmp_path / name), Rules()))


def test_a_sub_directory_that_cannot_be_read_is_reported(tmp_path: Path) -> None:
    """The rest is found all the same."""
    (tmp_path / "x.jpg").touch()
    for name in ("open", "closed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.jpg").touch()
    (tmp_path / "closed").chmod(0)
    script = """
import json, sys
from cutoutd.intake.rules import Rules
from cutoutd.intake.scan import Scan
scan = Scan(sys.argv[1], Rules())
print(json.dumps([sorted(seen.path for seen in scan), [(path, error.errno) for path, error in scan.errors]]))
"""
    # In a user namespace of its own even root has to keep to the permissions.
    run = in_namespace("-U", sys.executable, "-c", script, str(tmp_path))
    (tmp_path / "closed").chmod(0o700)
    assert json.loads(run) == [["open/x.jpg", "x.jpg"], [["closed", errno.EACCES]]]


def test_a_sub_directory_that_may_be_listed_and_not_entered_is_unreadable(tmp_path: Path) -> None:
    """Whether it holds a marker is not known, so no advice is given to remove one."""
    (tmp_path / "listed").mkdir()
    (tmp_path / "listed" / "x.jpg").touch()
    (tmp_path / "listed").chmod(0o444)
    script = """
import json, sys
from cutoutd.intake.rules import Rules
from cutoutd.intake.scan import FolderBoundary, Scan
scan = Scan(sys.argv[1], Rules(), FolderBoundary(uuid="11111111-1111-4111-8111-111111111111"))
found = [seen.path for seen in scan]
print(json.dumps([found, [(path, error.errno) for path, error in scan.errors], scan.apart]))
"""
    # In a user namespace of its own even root has to keep to the permissions.
    run = in_namespace("-U", sys.executable, "-c", script, str(tmp_path))
    (tmp_path / "listed").chmod(0o700)
    assert json.loads(run) == [[], [["listed", errno.EACCES]], {}]


def test_a_scan_costs_little(tmp_path: Path) -> None:
    """10,000 files in far less than a second, and only linear growth."""
    root = str(tmp_path)
    for n in range(10_000):
        os.close(os.open(f"{root}/{n}.jpg", os.O_CREAT | os.O_WRONLY))
    began = time.process_time()
    assert len(_paths(tmp_path)) == 10_000
    assert time.process_time() - began < 1.0


def test_a_path_that_cannot_be_leaves_no_descriptor_open(tmp_path: Path) -> None:
    """Records beside results may contain any path."""
    (tmp_path / "a").mkdir()
    descriptors = Path("/dev/fd")
    before = len(list(descriptors.iterdir()))
    for _ in range(20):
        with pytest.raises(ValueError, match="null"):
            scan_file(os.fspath(tmp_path), "a/\0/b.jpg")
    assert len(list(descriptors.iterdir())) == before
