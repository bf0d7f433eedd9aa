"""The status file: what only the running daemon knows, for other processes."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from cutoutd.daemon import status_file
from cutoutd.daemon.status_file import StatusFile
from cutoutd.folder.status import FolderState, FolderStatus, PendingFile, standing_by
from cutoutd.folder_trouble import FolderTrouble
from cutoutd.protocols import WorkerFacts

if TYPE_CHECKING:
    from pathlib import Path

FACTS = WorkerFacts(layers=("seccomp",), provider="cpu", onnxruntime="1.20")


def test_a_written_status_is_read_back(tmp_path: Path) -> None:
    """With its session, so that a dead daemon's file is not taken for a living one's."""
    status = FolderStatus(
        watching=FolderState.POLL,
        why="as configured",
        settling=2,
        held_up=(PendingFile(path="a.jpg", why="still being written"),),
    )
    StatusFile(tmp_path, "run-1").show({"f": status}, workers=2, facts=FACTS, paused=True)
    found = status_file.read(tmp_path)
    assert (found["run"], found["pid"]) == ("run-1", os.getpid())
    assert (found["workers"], found["paused"]) == (2, True)
    assert found["worker"]["layers"] == ["seccomp"]
    assert found["folders"]["f"]["watching"] == "poll"
    assert found["folders"]["f"]["held_up"] == [{"path": "a.jpg", "why": "still being written"}]


def test_a_closed_folder_has_the_code_of_its_trouble(tmp_path: Path) -> None:
    """Beside the words; an open one has none."""
    closed = FolderStatus().closed(standing_by("another one works on it", FolderTrouble.OTHER_MACHINE))
    file = StatusFile(tmp_path, "run-1")
    file.show(
        {"a": closed, "b": closed.opened(FolderState.POLL, "as configured")},
        workers=2,
        facts=FACTS,
        paused=False,
    )
    folders = status_file.read(tmp_path)["folders"]
    assert {name: (one["watching"], one["trouble"]) for name, one in folders.items()} == {
        "a": ("standing by", "other_machine"),
        "b": ("poll", None),
    }


def test_before_the_first_worker_is_ready_the_file_has_no_facts_of_workers(tmp_path: Path) -> None:
    """The file exists nevertheless."""
    StatusFile(tmp_path, "r").show({}, workers=0, facts=None, paused=False)
    assert status_file.read(tmp_path)["worker"] is None


def test_a_name_that_is_not_utf8_is_shown(tmp_path: Path) -> None:
    """Escaped in JSON, and unchanged when read."""
    name = os.fsdecode(b"caf\xe9\n.jpg")
    StatusFile(tmp_path, "r").show(
        {"f": FolderStatus(held_up=(PendingFile(path=name, why="x"),))}, workers=1, facts=None, paused=False
    )
    assert (tmp_path / status_file.FILE_NAME).read_bytes().isascii()
    assert status_file.read(tmp_path)["folders"]["f"]["held_up"][0]["path"] == name


def test_the_file_is_written_only_when_something_changed(tmp_path: Path) -> None:
    """Two writes a second would wear the disk."""
    file = StatusFile(tmp_path, "r")
    path = tmp_path / status_file.FILE_NAME

    def shown(status: FolderStatus, *, paused: bool = False) -> int:
        file.show({"f": status}, workers=1, facts=FACTS, paused=paused)
        return path.stat().st_ino

    first = shown(FolderStatus())
    held = path.open(encoding="ascii")  # so that its inode cannot be given out again
    with held:
        assert shown(FolderStatus()) == first
        assert shown(FolderStatus(settling=1)) != first
        assert json.load(held)["folders"]["f"]["settling"] == 0
    assert status_file.read(tmp_path)["folders"]["f"]["settling"] == 1


def test_nothing_but_the_file_is_left(tmp_path: Path) -> None:
    """No draft remains, and the file is complete when it has its name."""
    StatusFile(tmp_path, "r").show({}, workers=1, facts=None, paused=False)
    assert [path.name for path in tmp_path.iterdir()] == [status_file.FILE_NAME]


def test_a_write_that_failed_is_repeated(tmp_path: Path) -> None:
    """The next call writes the same content."""
    away = tmp_path / "state"
    file = StatusFile(away, "r")
    with pytest.raises(FileNotFoundError):
        file.show({}, workers=1, facts=None, paused=False)
    away.mkdir()
    file.show({}, workers=1, facts=None, paused=False)
    assert status_file.read(away)["workers"] == 1


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b'"x"', b"\xff\xfe"])
def test_an_invalid_status_file_counts_as_missing(tmp_path: Path, content: bytes | None) -> None:
    """`cutoutd status` then reports what the journal knows."""
    if content is not None:
        (tmp_path / status_file.FILE_NAME).write_bytes(content)
    assert status_file.read(tmp_path) == {}
