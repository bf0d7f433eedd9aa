"""A folder's opener closes and removes what it has opened, also if the folder was removed meanwhile."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from cutoutd.clock import Clock
from cutoutd.folder.file_opener import Opener
from cutoutd.pool.one_task import task_for
from cutoutd.protocols import Files
from cutoutd.publish.staging import Staging
from cutoutd.recipe import Format, Metadata, Recipe, Rendition
from tests.integration.parts import until

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.jobs import Failure

RECIPE = Recipe(
    renditions=(Rendition(format=Format.PNG, suffix=""),),
    refine=False,
    decontaminate=False,
    metadata=Metadata.NONE,
    review_below=0.0,
)


@pytest.mark.parametrize("has_ended", [False, True])
def test_files_that_a_share_opens_late_are_closed_though_their_folder_was_removed(
    tmp_path: Path, *, has_ended: bool
) -> None:
    """Before, descriptors and a directory stayed for as long as the daemon ran if the opener was asked to end while it waited."""
    (tmp_path / "a.jpg").write_bytes(b"picture")
    task, staging = task_for(tmp_path / "a.jpg", tmp_path, RECIPE)
    answers = threading.Event()

    def wait() -> None:
        answers.wait()

    opener = Opener(
        "a",
        root=tmp_path,
        staging=Staging(tmp_path, staging.directory.parent.name),
        clock=Clock(),
        wake=lambda: None,
        boundary=wait,
    )
    reported: list[Files | Failure | None] = []

    def tell(opened: Files | Failure | None) -> None:
        reported.append(opened)
        if not has_ended:
            give_back(opened)

    def give_back(opened: Files | Failure | None) -> None:
        assert isinstance(opened, Files)
        opener.close(opened)
        opener.discard(task)

    opener.thread.start()
    opener.open(task, tell, lambda: True)
    opener.stop()
    answers.set()
    opener.thread.join(10.0)
    assert opener.thread.has_ended
    (opened,) = reported
    assert isinstance(opened, Files)
    if has_ended:
        assert staging.directory.is_dir()
        give_back(opened)
    until(lambda: not staging.directory.exists(), "the end of the job's directory")
    until(lambda: not any(map(_is_open, opened.descriptors)), "the end of its files")


def _is_open(descriptor: int) -> bool:
    """Return whether a descriptor is open in this process."""
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
