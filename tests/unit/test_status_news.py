"""The status file is written only when something has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cutoutd.daemon.status_file import FILE_NAME, StatusFile, read
from cutoutd.folder.status import FolderState, FolderStatus

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("first", "then", "written"),
    [
        (FolderStatus(scan_s=0.0), FolderStatus(scan_s=0.1), False),
        (FolderStatus(scan_s=0.4), FolderStatus(scan_s=1.3), False),
        (FolderStatus(scan_s=10.0), FolderStatus(scan_s=15.0), False),
        (FolderStatus(scan_s=0.1), FolderStatus(scan_s=3.0), True),
        (FolderStatus(scan_s=9.0), FolderStatus(scan_s=1.0), True),
        (FolderStatus(scan_s=0.0), FolderStatus(scan_s=0.1, settling=1), True),
        (FolderStatus(scan_s=0.1), FolderStatus(scan_s=0.1, watching=FolderState.POLL), True),
    ],
)
def test_the_file_is_written_when_there_is_news(
    tmp_path: Path, first: FolderStatus, then: FolderStatus, *, written: bool
) -> None:
    """A slightly longer scan does not count: an idle daemon lets its disk sleep."""
    file = StatusFile(tmp_path, "run")
    file.show({"a": first}, workers=1, facts=None, paused=False)
    before = (tmp_path / FILE_NAME).stat().st_ino, (tmp_path / FILE_NAME).stat().st_mtime_ns
    file.show({"a": then}, workers=1, facts=None, paused=False)
    after = (tmp_path / FILE_NAME).stat().st_ino, (tmp_path / FILE_NAME).stat().st_mtime_ns
    assert (before != after) is written
    assert read(tmp_path)["folders"]["a"]["settling"] == then.settling


def test_a_scan_that_grows_slowly_is_recorded_in_the_end(tmp_path: Path) -> None:
    """Durations are compared with the last written one, not with the previous scan's."""
    file = StatusFile(tmp_path, "run")
    for tenth in range(60):
        file.show({"a": FolderStatus(scan_s=tenth / 10)}, workers=1, facts=None, paused=False)
    assert read(tmp_path)["folders"]["a"]["scan_s"] >= 2.9


def test_an_added_or_removed_folder_is_news(tmp_path: Path) -> None:
    """However long its scans take."""
    file = StatusFile(tmp_path, "run")
    file.show({"a": FolderStatus()}, workers=1, facts=None, paused=False)
    file.show({"b": FolderStatus()}, workers=1, facts=None, paused=False)
    assert set(read(tmp_path)["folders"]) == {"b"}
