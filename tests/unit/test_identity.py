"""Matching a configured folder with the folders that the journal knows."""

from __future__ import annotations

import pytest

from cutoutd.folder.identity import KnownFolder, NewFolder, identify, is_copy
from cutoutd.journal.folders import FolderMemory
from cutoutd.lease.marker import RootState

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
    "a copy, marker and all": (
        "b",
        "/b",
        HERE,
        None,
        {"a": "/a"},
        {"a": "/a", "b": "/b"},
        NewFolder(copied_from="a"),
    ),
    "a copy that was known under its own name gets the original's": (
        "a",
        "/b",
        HERE,
        memory("/a"),
        {"a": "/a", "b": "/b"},
        {"a": "/b"},
        KnownFolder(name="b"),
    ),
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


def test_a_copy_with_the_name_of_an_original_that_is_in_use_elsewhere_is_another_folder() -> None:
    """If it is the original itself, which was exchanged for another directory, it keeps its history."""

    def found(name: str, place: str, *, recalled: FolderMemory | None, is_other: bool = False) -> object:
        known, configured = {"a": "/a"}, {"a": "/b", "c": "/a"}
        return identify(
            name,
            place,
            HERE,
            recalled=recalled,
            known=known,
            configured=configured,
            is_other_directory=is_other,
        )

    copy = NewFolder(sets_aside=True, copied_from="a")
    assert found("a", "/b", recalled=memory("/a"), is_other=True) == copy
    assert found("a", "/b", recalled=memory("/a")) == KnownFolder(name="a")
    assert found("c", "/a", recalled=None) == KnownFolder(name="a")


COPIES = {
    "the very directory": ((1, 7, False), (1, 7), False),
    "another one beside it": ((1, 8, False), (1, 7), True),
    "the root of another disk": ((2, 7, False), (1, 7), True),
    "another mount of a share": ((2, 8, True), (1, 7), False),
    "another one on the same mount of a share": ((1, 8, True), (1, 7), True),
    "an earlier version did not record it": ((1, 8, False), (1, None), False),
}


@pytest.mark.parametrize("case", COPIES)
def test_a_copy_is_told_from_the_original_by_device_and_inode(case: str) -> None:
    """On two mounts of shares it cannot be told."""
    (device, inode, network), known, expected = COPIES[case]
    seen = RootState(uuid=HERE, device=device, inode=inode, born_us=None, empty=False, network=network)
    original = FolderMemory(input="/a", marker=HERE, device=known[0], inode=known[1], read_only=False)
    assert is_copy(seen, original) is expected
