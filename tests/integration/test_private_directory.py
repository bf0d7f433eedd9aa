"""The staging directory is private: one that somebody else has put in its place is not entered, emptied or used."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from cutoutd.publish import moves
from cutoutd.publish import staging as staging_module
from cutoutd.publish.access import Access
from cutoutd.publish.plan import Move
from cutoutd.publish.staging import STAGING_NAME, Staging, sweep
from cutoutd.publish.writing import Permissions
from tests.integration.parts import digest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    """A directory that everybody can move, with a tree that they cannot remove."""
    path = tmp_path / "share"
    (path / "tree").mkdir(parents=True)
    (path / "tree" / "precious").write_bytes(b"precious")
    (path / "7-0.png").write_bytes(b"precious")
    path.chmod(0o777)
    return path


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """An output that everybody can write in, where somebody has created the staging directory."""
    path = tmp_path / "out"
    (path / STAGING_NAME / "run").mkdir(parents=True)
    for one in (path, path / STAGING_NAME, path / STAGING_NAME / "run"):
        one.chmod(0o777)
    return path


@pytest.mark.parametrize(
    "remove",
    [
        lambda staging: staging.of_job("7-ab").remove_whole(),
        lambda staging: staging.discard(7),
        lambda staging: sweep(staging.tree.root, is_dead=lambda _: True),
    ],
)
def test_a_directory_that_was_moved_into_staging_is_not_removed(
    output: Path, precious: Path, remove: Callable[[Staging], object]
) -> None:
    """The user who moved it there could not have removed its content."""
    there = output / STAGING_NAME / "run" / "7-ab"
    precious.rename(there)
    staging = Staging(output, "run")
    with suppress(NotADirectoryError):
        remove(staging)
    assert (there / "tree" / "precious").read_bytes() == b"precious"
    assert (there / "7-0.png").read_bytes() == b"precious"


def test_in_a_staging_directory_of_ours_one_that_others_can_write_in_stays(
    tmp_path: Path, precious: Path
) -> None:
    """Whatever it is, cutoutd has not created it."""
    staging = Staging(tmp_path, "run")
    staging.open()
    there = staging.directory / "7-ab"
    precious.rename(there)
    staging.of_job("7-ab").remove_whole()
    assert (there / "7-0.png").read_bytes() == b"precious"


def test_a_staging_directory_of_somebody_else_is_not_used(output: Path) -> None:
    """The message names it, with advice."""
    with pytest.raises(NotADirectoryError, match="move it away") as caught:
        Staging(output, "run").open()
    assert caught.value.filename == os.fspath(output / STAGING_NAME)
    assert sorted(path.name for path in output.iterdir()) == [STAGING_NAME]


def test_where_a_disk_keeps_no_modes_every_directory_counts_as_ours(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on FAT, where anybody who can write can remove anything."""
    fat = staging_module._Made(user=0, has_modes=False, seen_s=float("inf"))  # noqa: SLF001 -- mounting takes root
    monkeypatch.setitem(staging_module._made, output, fat)  # noqa: SLF001 -- likewise
    staging = Staging(output, "run")
    staging.open()
    staging.write("7-0.png", b"result")
    staging.discard(7)
    assert list(staging.directory.iterdir()) == []


def test_a_file_that_was_moved_into_staging_gets_no_name_and_no_other_mode(
    output: Path, precious: Path
) -> None:
    """The file may be a private one of this user."""
    (precious / "7-0.png").chmod(0o600)
    precious.rename(output / STAGING_NAME / "run" / "7-ab")
    staged = output / STAGING_NAME / "run" / "7-ab" / "7-0.png"
    move = Move(
        staged=os.fspath(staged),
        target=os.fspath(output / "a.png"),
        root=os.fspath(output),
        bytes=8,
        sha256=digest(b"precious"),
        replaces_sha256=None,
    )
    with pytest.raises(NotADirectoryError):
        moves.carry_out(move, Access(Permissions(mode=0o644), None))
    assert staged.stat().st_mode & 0o777 == 0o600
    assert not (output / "a.png").exists()
