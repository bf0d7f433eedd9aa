"""Which folder that the journal knows a folder of the configuration is."""

from __future__ import annotations

import pytest

from cutoutd.folder.identity import Known, New, identify
from cutoutd.journal.folders import FolderMemory

HERE, THERE = "11111111", "22222222"


def memory(place: str, marker: str = HERE) -> FolderMemory:
    """As it was when it was last healthy."""
    return FolderMemory(input=place, marker=marker, device=1, read_only=False)


CASES = {
    "never seen": ("a", "/a", None, None, {}, {"a": "/a"}, New()),
    "marked by another installation": ("a", "/a", HERE, None, {}, {"a": "/a"}, New()),
    "as before": ("a", "/a", HERE, memory("/a"), {"a": "/a"}, {"a": "/a"}, Known(name="a")),
    "its marker is gone": ("a", "/a", None, memory("/a"), {"a": "/a"}, {"a": "/a"}, Known(name="a")),
    "moved, and its input changed": (
        "a",
        "/b",
        HERE,
        memory("/a"),
        {"a": "/a"},
        {"a": "/b"},
        Known(name="a"),
    ),
    "another name": ("b", "/a", HERE, None, {"a": "/a"}, {"b": "/a"}, Known(name="a")),
    "another name, moved": ("b", "/b", HERE, None, {"a": "/a"}, {"b": "/b"}, Known(name="a")),
    "another name, read-only": ("b", "/a", None, None, {"a": "/a"}, {"b": "/a"}, Known(name="a")),
    "two names swapped": (
        "a",
        "/b",
        THERE,
        memory("/a"),
        {"b": "/b"},
        {"a": "/b", "b": "/a"},
        Known(name="b"),
    ),
    "two read-only ones swapped": (
        "a",
        "/b",
        None,
        memory("/a"),
        {"b": "/b"},
        {"a": "/b", "b": "/a"},
        Known(name="b"),
    ),
    "a copy, marker and all": ("b", "/b", HERE, None, {"a": "/a"}, {"a": "/a", "b": "/b"}, New()),
    "another one in its place": ("a", "/a", THERE, memory("/a"), {}, {"a": "/a"}, Known(name="a")),
    "two directories swapped on the disk": (
        "a",
        "/a",
        THERE,
        memory("/a"),
        {"b": "/b"},
        {"a": "/a", "b": "/b"},
        Known(name="a"),
    ),
    "another directory under its name": (
        "a",
        "/b",
        THERE,
        memory("/a"),
        {},
        {"a": "/b"},
        New(sets_aside=True),
    ),
    "moved without its marker": ("a", "/b", None, memory("/a"), {}, {"a": "/b"}, New()),
    "its name went to a new place, its place has another name": (
        "a",
        "/b",
        None,
        memory("/a"),
        {},
        {"a": "/b", "c": "/a"},
        New(sets_aside=True),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_marker_tells_which_folder_it_is(case: str) -> None:
    """And the place, where there is no marker; the name only says what it is called."""
    name, place, marker, recalled, known, configured, expected = CASES[case]
    found = identify(name, place, marker, recalled=recalled, known=known, configured=configured)
    assert found == expected
