"""How a folder is distinguished from its absence and from another folder."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from cutoutd.errors import StorageError
from cutoutd.folder.identity import MarkerAction, decide
from cutoutd.journal.folders import FolderHistory, FolderMemory
from cutoutd.lease.marker import (
    NAME,
    RootState,
    create,
    find,
    read,
    text,
    tidy,
)

if TYPE_CHECKING:
    from pathlib import Path

OURS = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"


def _listing(root: Path) -> list[str]:
    """Return the names in a directory."""
    return sorted(path.name for path in root.iterdir())


def _found(
    *,
    uuid: str | None = None,
    device: int = 1,
    inode: int = 2,
    born_us: int | None = None,
    empty: bool = False,
    network: bool = False,
) -> RootState:
    """Return the state of a folder's root."""
    return RootState(uuid=uuid, device=device, inode=inode, born_us=born_us, empty=empty, network=network)


KNOWN = FolderMemory(input="/in", marker=OURS, device=1, inode=2, read_only=False)
READ_ONLY = replace(KNOWN, read_only=True)
NEW = None
IDLE = FolderHistory(name="my shop", first_run_us=100_000_000)
BUSY = replace(IDLE, outstanding=3)


@pytest.mark.parametrize(
    ("known", "found", "action"),
    [
        pytest.param(NEW, _found(), MarkerAction.CREATE, id="first start"),
        pytest.param(
            NEW, _found(network=True, empty=True), MarkerAction.CREATE, id="first start on an empty share"
        ),
        pytest.param(NEW, _found(uuid=OTHER), MarkerAction.CARRY_ON, id="marked by an earlier installation"),
        pytest.param(KNOWN, _found(uuid=OURS), MarkerAction.CARRY_ON, id="as it was"),
        pytest.param(
            KNOWN, _found(uuid=OURS, device=7, network=True), MarkerAction.CARRY_ON, id="mounted anew"
        ),
        pytest.param(KNOWN, _found(uuid=OTHER), MarkerAction.REFUSE, id="another volume"),
        pytest.param(KNOWN, _found(uuid=OTHER, network=True), MarkerAction.REFUSE, id="another share"),
        pytest.param(KNOWN, _found(empty=True), MarkerAction.CREATE, id="emptied, its marker as well"),
        pytest.param(KNOWN, _found(), MarkerAction.CREATE, id="only the marker deleted"),
        pytest.param(KNOWN, _found(device=7, empty=True), MarkerAction.STAND_BY, id="mount point of a share"),
        pytest.param(KNOWN, _found(device=7), MarkerAction.STAND_BY, id="another disk without a marker"),
        pytest.param(KNOWN, _found(network=True, empty=True), MarkerAction.STAND_BY, id="share looks empty"),
        pytest.param(KNOWN, _found(network=True), MarkerAction.STAND_BY, id="share without a marker"),
        pytest.param(READ_ONLY, _found(), MarkerAction.CARRY_ON, id="read-only disk"),
        pytest.param(READ_ONLY, _found(empty=True), MarkerAction.CARRY_ON, id="read-only disk, empty"),
        pytest.param(READ_ONLY, _found(device=7), MarkerAction.STAND_BY, id="read-only disk not mounted"),
        pytest.param(READ_ONLY, _found(device=7, network=True), MarkerAction.CARRY_ON, id="read-only share"),
        pytest.param(
            READ_ONLY,
            _found(network=True, empty=True),
            MarkerAction.STAND_BY,
            id="read-only share looks empty",
        ),
        pytest.param(READ_ONLY, _found(uuid=OTHER), MarkerAction.REFUSE, id="read-only, and another volume"),
    ],
)
def test_a_folder_is_used_marked_closed_or_refused(
    known: FolderMemory | None, found: RootState, action: MarkerAction
) -> None:
    """Continue, write a marker, stand by or refuse; while work is outstanding, as in the very same directory."""
    judged = decide(known, found, BUSY)
    assert judged.action is action
    assert bool(judged.reason) == (action in {MarkerAction.STAND_BY, MarkerAction.REFUSE})


ANOTHER = _found(inode=3, born_us=200_000_000)
"""A directory that was made on the same disk after the folder was first healthy."""


@pytest.mark.parametrize(
    ("found", "history", "action"),
    [
        pytest.param(ANOTHER, IDLE, MarkerAction.CREATE_ANEW, id="made anew by its owner"),
        pytest.param(ANOTHER, BUSY, MarkerAction.STAND_BY, id="made anew, with pictures in the former one"),
        pytest.param(
            replace(ANOTHER, born_us=99_990_000),
            IDLE,
            MarkerAction.CREATE_ANEW,
            id="made in the tick of the first run",
        ),
        pytest.param(
            replace(ANOTHER, born_us=50_000_000), IDLE, MarkerAction.STAND_BY, id="a bare mount point"
        ),
        pytest.param(replace(ANOTHER, born_us=None), IDLE, MarkerAction.CREATE_ANEW, id="age unknown"),
        pytest.param(
            replace(ANOTHER, born_us=None), BUSY, MarkerAction.STAND_BY, id="age unknown, work left"
        ),
        pytest.param(
            ANOTHER, replace(BUSY, adopted=(1, 3)), MarkerAction.CREATE_ANEW, id="its owner says so"
        ),
        pytest.param(ANOTHER, replace(BUSY, adopted=(1, 4)), MarkerAction.STAND_BY, id="said of another"),
        pytest.param(
            replace(ANOTHER, network=True), IDLE, MarkerAction.STAND_BY, id="a share is never made anew"
        ),
        pytest.param(
            replace(ANOTHER, network=True, device=9),
            replace(IDLE, adopted=(9, 3)),
            MarkerAction.CREATE_ANEW,
            id="a new share, its owner says so",
        ),
        pytest.param(
            replace(ANOTHER, uuid=OTHER),
            replace(IDLE, former=frozenset({OTHER})),
            MarkerAction.CARRY_ON,
            id="the former one is back",
        ),
        pytest.param(
            replace(ANOTHER, uuid=OTHER),
            replace(BUSY, former=frozenset({OTHER})),
            MarkerAction.REFUSE,
            id="the former one is back, with pictures in the new one",
        ),
        pytest.param(
            replace(ANOTHER, uuid=OTHER),
            replace(BUSY, adopted=(1, 3)),
            MarkerAction.CARRY_ON,
            id="another folder, its owner says so",
        ),
    ],
)
def test_another_directory_takes_a_folders_place_only_if_nothing_is_lost(
    found: RootState, history: FolderHistory, action: MarkerAction
) -> None:
    """Not while pictures wait, even on the same disk."""
    assert decide(KNOWN, found, history).action is action


@pytest.mark.parametrize("found", [_found(network=True), ANOTHER, replace(ANOTHER, uuid=OTHER)])
def test_standing_by_gives_advice(found: RootState) -> None:
    """The message counts what waits, and has a command for the owner."""
    reason = decide(KNOWN, found, BUSY).reason
    assert "3 accepted pictures are not finished" in reason
    assert "cutoutd adopt 'my shop'" in reason


def test_a_marker_is_read_back(tmp_path: Path) -> None:
    """The marker is JSON with a schema, and no draft is left in the folder."""
    assert read(str(tmp_path)) is None
    assert create(str(tmp_path), OURS) == OURS
    assert read(str(tmp_path)) == OURS
    assert _listing(tmp_path) == [NAME]
    assert json.loads((tmp_path / NAME).read_text()) == {"schema": "cutoutd.folder/1", "uuid": OURS}


def test_marker_device_and_content_are_found(tmp_path: Path) -> None:
    """The marker, the device, and whether anything is listed at all."""
    status = tmp_path.stat()
    found = find(str(tmp_path), network=True)
    device, inode = status.st_dev, status.st_ino
    assert found == _found(device=device, inode=inode, born_us=found.born_us, empty=True, network=True)
    assert found.born_us is None or abs(time.time() * 1e6 - found.born_us) < 600e6
    create(str(tmp_path), OURS)
    assert find(str(tmp_path), network=False) == _found(uuid=OURS, device=device, inode=inode)


def test_the_first_marker_stays(tmp_path: Path) -> None:
    """Two processes that start at once agree on one marker."""
    create(str(tmp_path), OURS)
    assert create(str(tmp_path), OTHER) == OURS
    assert _listing(tmp_path) == [NAME]


def test_leftovers_of_a_crash_are_removed(tmp_path: Path) -> None:
    """By the next attempt or by tidying; the user's files stay."""
    (tmp_path / f"{NAME}.{OTHER}.new").write_text("{")
    (tmp_path / "IMG.jpg").touch()
    create(str(tmp_path), OURS)
    (tmp_path / f"{NAME}.{OTHER}.new").write_text("{")
    tidy(str(tmp_path))
    assert _listing(tmp_path) == [NAME, "IMG.jpg"]


@pytest.mark.parametrize(
    "held",
    [
        b"",
        b"{",
        b"[]",
        b'{"schema": "other/1", "uuid": "x"}',
        b'{"schema": "cutoutd.folder/1"}',
        b"\xff",
        b"[" * 60_000,
    ],
)
def test_a_damaged_marker_is_no_marker_and_no_absence(tmp_path: Path, held: bytes) -> None:
    """The damage is reported, and nothing is concluded from it."""
    (tmp_path / NAME).write_bytes(held)
    with pytest.raises(StorageError, match="damaged"):
        read(str(tmp_path))
    with pytest.raises(StorageError, match="damaged"):
        create(str(tmp_path), OURS)
    assert (tmp_path / NAME).read_bytes() == held


def test_a_fifo_or_a_link_is_not_read(tmp_path: Path) -> None:
    """A FIFO does not block, and a link does not lead out of the folder."""
    os.mkfifo(tmp_path / NAME)
    with pytest.raises(StorageError):
        read(str(tmp_path))
    (tmp_path / NAME).unlink()
    (tmp_path / "elsewhere").write_text(text(OTHER))
    (tmp_path / NAME).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        read(str(tmp_path))


def test_a_missing_root_is_not_a_folder_without_a_marker(tmp_path: Path) -> None:
    """Otherwise a missing share's marker would be written to the wrong place."""
    with pytest.raises(FileNotFoundError):
        read(str(tmp_path / "missing"))
    with pytest.raises(FileNotFoundError):
        find(str(tmp_path / "missing"), network=True)
    with pytest.raises(FileNotFoundError):
        create(str(tmp_path / "missing"), OURS)
