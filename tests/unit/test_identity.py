"""Matching a configured folder with the folders that the journal knows."""

from __future__ import annotations

import pytest

from cutoutd.folder.identity import KnownFolder, NewFolder, identify
from cutoutd.journal.folders import FolderMemory

HERE, THERE = "11111111", "22222222"


def memory(place: str, marker: str = HERE) -> FolderMemory:
    """Return a folder's record from when it was last healthy."""
    return FolderMemory(input=place, marker=marker, device=1, read_only=False)


CASES = {
    "never seen": ("a", "/a", None, None, {}, {"a": "/a"}, NewFolder()),
    "marked by another installation": ("a", "/a", HERE, None, {}, {"a": "/a"}, NewFolder()),
    "as before": ("a", "/a", HERE, memory("/a"), {"a": "/a"}, {"a": "/a"}, KnownFolder(name="a")),
    "its marker is gone": ("a", "/a", None, memory("/a"), {"a": "/a"}, {"a": "/a"}, KnownFolder(name="a")),
    "moved, and its input changed": (
        "a",
        "/b",
        HERE,
        memory("/a"),
        {"a": "/a"},
        {"a": "/b"},
        KnownFolder(name="a"),
    ),
    "another name": ("b", "/a", HERE, None, {"a": "/a"}, {"b": "/a"}, KnownFolder(name="a")),
    "another name, moved": ("b", "/b", HERE, None, {"a": "/a"}, {"b": "/b"}, KnownFolder(name="a")),
    "another name, read-only": ("b", "/a", None, None, {"a": "/a"}, {"b": "/a"}, KnownFolder(name="a")),
    "two names swapped": (
        "a",
        "/b",
        THERE,
        memory("/a"),
        {"b": "/b"},
        {"a": "/b", "b": "/a"},
        KnownFolder(name="b"),
    ),
    "two read-only ones swapped": (
        "a",
        "/b",
        None,
        memory("/a"),
        {"b": "/b"},
        {"a": "/b", "b": "/a"},
        KnownFolder(name="b"),
    ),
    "a copy, marker and all": ("b", "/b", HERE, None, {"a": "/a"}, {"a": "/a", "b": "/b"}, NewFolder()),
    "another one in its place": ("a", "/a", THERE, memory("/a"), {}, {"a": "/a"}, KnownFolder(name="a")),
    "two directories swapped on the disk": (
        "a",
        "/a",
        THERE,
        memory("/a"),
        {"b": "/b"},
        {"a": "/a", "b": "/b"},
        KnownFolder(name="a"),
    ),
    "another directory under its name": (
        "a",
        "/b",
        THERE,
        memory("/a"),
        {},
        {"a": "/b"},
        NewFolder(sets_aside=True),
    ),
    "moved without its marker": ("a", "/b", None, memory("/a"), {}, {"a": "/b"}, NewFolder()),
    "its name went to a new place, its place has another name": (
        "a",
        "/b",
        None,
        memory("/a"),
        {},
        {"a": "/b", "c": "/a"},
        NewFolder(sets_aside=True),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_marker_tells_which_folder_it_is(case: str) -> None:
    """Without a marker the place decides; the name is only a label."""
    name, place, marker, recalled, known, configured, expected = CASES[case]
    found = identify(name, place, marker, recalled=recalled, known=known, configured=configured)
    assert found == expected
