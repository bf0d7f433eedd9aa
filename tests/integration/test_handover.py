"""Whatever a hostile worker leaves in its staging directory disturbs neither the supervisor nor other jobs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from cutoutd.publish.faults import ResultLostError
from cutoutd.publish.staging import STAGING_NAME
from tests.integration.publishing import OutputFolder
from tests.integration.test_access import failure_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAMES = ("1-0.png", "1.json", "1.error.json", "trial", "2-0.png", "2.json", "a 10_30")


def spoil_by_directories(place: Path) -> None:
    """Make non-empty directories under every name that the supervisor uses."""
    for name in NAMES:
        (place / name).mkdir(exist_ok=True)
        (place / name / "inside").write_bytes(b"x")


def spoil_by_links(place: Path) -> None:
    """Make links to a file and to a directory elsewhere."""
    for number, name in enumerate(NAMES):
        (place / name).unlink(missing_ok=True)
        (place / name).symlink_to(place.parents[2] / ("victim" if number % 2 else "."))


def spoil_by_fifos(place: Path) -> None:
    """Make FIFOs, which block a process that opens them."""
    for name in NAMES:
        (place / name).unlink(missing_ok=True)
        os.mkfifo(place / name)


SPOILS = [spoil_by_directories, spoil_by_links, spoil_by_fifos]


@pytest.mark.parametrize("spoil", SPOILS)
def test_files_staged_by_the_supervisor_are_out_of_a_workers_reach(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    """Records of failures, sidecars, trial files, and accepted results."""
    output_folder = OutputFolder(tmp_path)
    (tmp_path / "victim").write_bytes(b"theirs")
    spoil(output_folder.publisher.staging.directory)
    output_folder.publisher.try_writing()
    assert output_folder.publisher.failures.publish(failure_of("a.jpg", 1)) == "failed/a.jpg.error.json"
    for name in ("1-0.png", "2-0.png"):
        path = output_folder.publisher.staging.path(name)
        if path.is_dir() and not path.is_symlink():
            (path / "inside").unlink()
            path.rmdir()
        else:
            path.unlink()
    assert output_folder.publish("b.jpg", b"cut", job=2) == ("b.png",)
    output_folder.publisher.discard(1)
    output_folder.publisher.discard(2)
    assert output_folder.files() == {
        "b.png": b"cut",
        "failed/a.jpg.error.json": output_folder.everything()["failed/a.jpg.error.json"],
    }
    assert (tmp_path / "victim").read_bytes() == b"theirs"


@pytest.mark.parametrize("spoil", SPOILS)
def test_a_result_that_is_none_is_lost_and_cleared_away(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    """Whatever is in its place; the next attempt finds its names free."""
    output_folder = OutputFolder(tmp_path)
    (tmp_path / "victim").write_bytes(b"theirs")
    results = output_folder.results("a.jpg", [b"one"])
    output_folder.publisher.staging.path("1-0.png").unlink()
    spoil(output_folder.publisher.staging.directory)
    with pytest.raises(ResultLostError):
        output_folder.plan(results)
    output_folder.publisher.discard(1)
    assert not list(output_folder.output.glob(f"{STAGING_NAME}/*/1*"))
    assert output_folder.publish("a.jpg", b"one") == ("a.png",)
    assert (tmp_path / "victim").read_bytes() == b"theirs"


def test_a_result_is_out_of_reach_once_it_was_checked(tmp_path: Path) -> None:
    """What appears under its name in the worker's directory later is not published."""
    output_folder = OutputFolder(tmp_path)
    plan = output_folder.plan(output_folder.results("a.jpg", [b"one"]))
    assert not output_folder.publisher.staging.path("1-0.png").exists()
    output_folder.publisher.staging.path("1-0.png").write_bytes(b"another")
    output_folder.publisher.carry_out(plan)
    assert output_folder.files() == {"a.png": b"one"}


def test_another_name_of_a_result_is_no_result(tmp_path: Path) -> None:
    """Through a second name the file could be changed after its publication."""
    output_folder = OutputFolder(tmp_path)
    results = output_folder.results("a.jpg", [b"one"])
    os.link(output_folder.publisher.staging.path("1-0.png"), tmp_path / "kept")
    with pytest.raises(ResultLostError):
        output_folder.plan(results)


def test_a_result_with_a_hole_is_no_result(tmp_path: Path) -> None:
    """Before, a sparse one of 300 MB took its maker no space, but its copy took 300 MB of the disk."""
    output_folder = OutputFolder(tmp_path)
    results = output_folder.results("a.jpg", [bytes(1 << 20)])
    with output_folder.publisher.staging.path("1-0.png").open("r+b") as file:
        file.truncate(0)
        file.truncate(1 << 20)
        if os.lseek(file.fileno(), 0, os.SEEK_HOLE) == 1 << 20:
            pytest.skip("this file system has no holes")
    with pytest.raises(ResultLostError):
        output_folder.plan(results)
