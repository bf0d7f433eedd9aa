"""A request for which somebody waits wakes the daemon, and nothing depends on that."""

from __future__ import annotations

import os
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from cutoutd.journal.wake import FILE_NAME, listen, wake

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("before", ["nothing", "file", "link", "fifo"])
def test_a_listener_is_woken_whatever_was_at_its_place(tmp_path: Path, before: str) -> None:
    """Each time; the file belongs to this user alone."""
    path, elsewhere = tmp_path / FILE_NAME, tmp_path / "elsewhere"
    elsewhere.write_bytes(b"kept")
    if before == "file":
        path.write_bytes(b"x")
    elif before == "link":
        path.symlink_to(elsewhere)
    elif before == "fifo":
        os.mkfifo(path)
    woken = threading.Event()
    listen(tmp_path, woken.set)
    for _ in range(2):
        wake(tmp_path)
        assert woken.wait(20)
        woken.clear()
    assert stat.S_ISFIFO(path.lstat().st_mode)
    assert elsewhere.read_bytes() == b"kept"


def test_a_wake_without_a_listener_does_not_wait(tmp_path: Path) -> None:
    """If something else has the name, nothing is written to it."""
    wake(tmp_path)
    os.mkfifo(tmp_path / FILE_NAME)
    wake(tmp_path)
    (tmp_path / FILE_NAME).unlink()
    (tmp_path / FILE_NAME).write_bytes(b"kept")
    wake(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == b"kept"
