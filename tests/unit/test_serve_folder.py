"""What the API accepts for a key's folder."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.daemon.status_file import FILE_NAME
from cutoutd.serve.backend.state import check_present
from cutoutd.webserver.backend.method import RefusedError

if TYPE_CHECKING:
    from pathlib import Path

FOLDER: Any = SimpleNamespace(name="shop")


def backend_with(state_dir: Path, status: object) -> Any:  # noqa: ANN401 -- what is used of it
    """Return a backend beside a daemon that wrote this status."""
    state_dir.chmod(0o700)
    (state_dir / FILE_NAME).write_text(json.dumps(status), encoding="utf-8")
    return SimpleNamespace(state_dir=state_dir)


def test_nothing_is_accepted_for_a_folder_that_stands_by(tmp_path: Path) -> None:
    """A picture written to a bare mount point is hidden once the share is mounted."""
    why = "the folder is empty, so its share or disk is probably not mounted"
    backend = backend_with(tmp_path, {"folders": {"shop": {"watching": "standing by", "why": why}}})
    with pytest.raises(RefusedError, match="not mounted") as refused:
        check_present(backend, FOLDER)
    assert (refused.value.status, refused.value.code) == (503, "folder_away")


@pytest.mark.parametrize(
    "status",
    [
        {"folders": {"shop": {"watching": "inotify", "why": ""}}},
        {"folders": {"shop": {"watching": "starting", "why": ""}, "other": {"watching": "standing by"}}},
        {"folders": {}},
        {"folders": []},
        [],
    ],
)
def test_pictures_are_accepted_for_any_other_folder(tmp_path: Path, status: object) -> None:
    """A folder that is watched, that starts, or that the daemon has not seen yet."""
    check_present(backend_with(tmp_path, status), FOLDER)
