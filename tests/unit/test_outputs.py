"""Tests of the list of an output's files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.outputs import every_file, published

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_staged_is_a_file_and_no_result(tmp_path: Path) -> None:
    """A test that counted it would go on amid a publication."""
    names = ["a.png", "a.png.json", "day/b.png", ".cutoutd-staging/1f/2-0.png", ".cutoutd-folder"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [str(path.relative_to(tmp_path)) for path in every_file(tmp_path)] == sorted(names)
    assert [str(path.relative_to(tmp_path)) for path in published(tmp_path)] == names[:3]
    assert [path.name for path in published(tmp_path, "*.png")] == ["a.png", "b.png"]
