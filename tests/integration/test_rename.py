"""The rename that never replaces, in each of its implementations, and a publication whose disk refuses."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cutoutd.fs.tree import Entry
from cutoutd.publish import rename
from cutoutd.publish.rename import Strength, probe, rename_new, replace
from tests.integration import strace
from tests.integration.publishing import OutputFolder, digest
from tests.integration.publishing_faulty import CONTENTS

_LINK = ("?link", "linkat")


@pytest.fixture(params=[*Strength])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Strength:
    """Each of the three implementations of the rename, selected by disabling the stronger ones."""
    way: Strength = request.param
    if way is not Strength.KERNEL:
        monkeypatch.setattr(rename, "_by_kernel", lambda _source, _target: False)
    if way is Strength.CHECKED:
        monkeypatch.setattr(rename, "_by_link", lambda _source, _target: False)
    return way


def test_a_file_gets_a_name_that_is_free(tmp_path: Path, way: Strength) -> None:
    """The former name is gone; also if the name is not text."""
    source, target = tmp_path / "source", tmp_path / os.fsdecode(b"caf\xe9\n.png")
    source.write_bytes(b"x")
    assert rename_new(Entry.at(source), Entry.at(target)) is way
    assert target.read_bytes() == b"x"
    assert [path.name for path in tmp_path.iterdir()] == [target.name]


@pytest.mark.parametrize("kind", ["file", "directory", "dangling link", "itself"])
def test_a_name_that_is_taken_is_refused(tmp_path: Path, way: Strength, kind: str) -> None:
    """Whatever has it; both files are unchanged."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"x")
    match kind:
        case "file":
            target.write_bytes(b"theirs")
        case "directory":
            target.mkdir()
        case "dangling link":
            target.symlink_to("nowhere")
        case _:
            target.hardlink_to(source)
    before = target.lstat()
    with pytest.raises(FileExistsError):
        rename_new(Entry.at(source), Entry.at(target))
    assert (target.lstat().st_ino, source.read_bytes()) == (before.st_ino, b"x"), way


def test_a_missing_entry_is_reported_as_missing(tmp_path: Path, way: Strength) -> None:
    """The source, or the target directory."""
    source = tmp_path / "source"
    with pytest.raises(FileNotFoundError):
        rename_new(Entry.at(source), Entry.at(tmp_path / "target"))
    source.write_bytes(b"x")
    with pytest.raises(FileNotFoundError):
        rename_new(Entry.at(source), Entry.at(tmp_path / "missing" / "target"))
    assert source.exists(), way


def test_another_file_system_is_refused_with_the_systems_own_error(tmp_path: Path, way: Strength) -> None:
    """The caller decides whether to copy."""
    shm = Path("/dev/shm")  # noqa: S108 - a file system of its own on Linux
    if not shm.is_dir() or shm.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    source = tmp_path / "source"
    source.write_bytes(b"x")
    with pytest.raises(OSError, match="cross-device"):
        rename_new(Entry.at(source), Entry.at(shm / f"cutoutd-{os.getpid()}"))
    assert source.exists(), way


def test_a_probe_reports_the_way_of_renaming_and_leaves_nothing(tmp_path: Path, way: Strength) -> None:
    """`cutoutd doctor` shows the way."""
    assert probe(tmp_path) is way
    assert list(tmp_path.iterdir()) == []


def test_replacing_takes_the_place_of_a_file(tmp_path: Path) -> None:
    """The replacement is one atomic step."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"new")
    target.write_bytes(b"old")
    replace(Entry.at(source), Entry.at(target))
    assert (target.read_bytes(), source.exists()) == (b"new", False)


@pytest.mark.parametrize(
    ("faults", "failed"),
    [
        # The first two syncs are those of the results, the third is the sidecar's, the fourth the directory's.
        (["fsync:error=EIO:when=1"], []),
        (["fsync:error=EIO:when=3..4"], [("plan", "check its cable")]),
        (["fsync:error=EIO:when=4"], [("carry out", "check its cable")]),
        (["write:error=ENOSPC:when=3"], [("plan", "free some space")]),
        (["renameat2:error=EXDEV:when=1"], []),  # done once more at once
        (["renameat2:error=EXDEV:when=1..2"], [("carry out", "another disk")]),
        (["renameat2:error=EACCES:when=3..4"], [("carry out", "permission was refused")]),
        (["renameat2:error=ENOSYS"], []),
        (["renameat2:error=EINVAL", f"{','.join(_LINK)}:error=EPERM"], []),
    ],
)
def test_a_disk_that_refuses_delays_a_publication_and_no_more(
    tmp_path: Path, faults: list[str], failed: list[tuple[str, str]]
) -> None:
    """The step is reported with advice, and works once the cause is gone; earlier steps are not undone."""
    done = strace.run(
        "tests.integration.publishing_faulty",
        str(tmp_path),
        trace=("fsync", "write", "renameat2", *_LINK),
        inject=faults,
    )
    assert done.returncode == 0, done.stderr
    errors = json.loads(done.stdout)
    assert [step for step, _ in errors] == [step for step, _ in failed]
    assert all(words in message for (_, message), (_, words) in zip(errors, failed, strict=True)), errors
    assert not (tmp_path / "out" / ".cutoutd-staging").exists()
    output_folder = OutputFolder(tmp_path)
    assert output_folder.files() == {"a.png": CONTENTS[0], "a_1.png": CONTENTS[1]}
    assert [output["sha256"] for output in output_folder.sidecar("a.png")["outputs"]] == [
        *map(digest, CONTENTS)
    ]


def test_a_file_whose_sync_failed_is_discarded_and_rewritten(tmp_path: Path) -> None:
    """Never a second sync on the same descriptor, which would succeed without the data."""
    log = tmp_path / "log"
    unlink = ("?unlink", "?unlinkat")
    done = strace.run(
        "tests.integration.publishing_faulty",
        str(tmp_path),
        trace=("fsync", "openat", *unlink),
        inject=["fsync:error=EIO:when=1"],
        log=str(log),
    )
    assert done.returncode == 0, done.stderr
    calls = log.read_text().splitlines()
    at = next(index for index, line in enumerate(calls) if "INJECTED" in line)
    names = [
        "fsync" if "fsync" in line else "unlink" if "unlink" in line else "open"
        for line in calls[at : at + 5]
    ]
    # Thrown away; then the usual way: no leftover, a new file, its sync.
    assert names == ["fsync", "unlink", "unlink", "open", "fsync"]
    assert all("1-0.png" in line for line in calls[at + 1 : at + 4])
