"""Which names a folder takes."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutoutd.intake.rules import Rules

_NAMES = st.text(st.characters(exclude_characters="/\0"), min_size=1, max_size=20)


@pytest.mark.parametrize(
    "path",
    [
        "._IMG_0001.jpg",
        ".hidden.jpg",
        "IMG_0001.jpg.part",
        "IMG_0001.JPG.CRDOWNLOAD",
        "IMG_0001.tmp",
        "~IMG_0001.jpg",
        ".syncthing.IMG_0001.jpg.tmp",
        ".DS_Store",
        "Thumbs.db",
        "thumbs.DB",
        "@eaDir/IMG_0001.jpg/SYNOPHOTO_THUMB_XL.jpg",
        "wedding/#recycle/IMG_0001.jpg",
        ".@__thumb/IMG_0001.jpg",
        "shoot/CaptureOne/Cache/Thumbnails/IMG_0001.jpg",
        "catalog Previews.lrdata/0/IMG_0001.jpg",
        "Library.photoslibrary/originals/IMG_0001.jpg",
        ".cutoutd-folder",
        ".cutoutd-staging/run/1.png",
    ],
)
def test_junk_is_not_taken(path: str) -> None:
    """Unfinished downloads, thumbnails and what programs keep for themselves."""
    assert not Rules().takes_file(path)


@pytest.mark.parametrize(
    "path",
    [
        "IMG_0001.jpg",
        "a/b/c.png",
        "x.tmp.jpg",
        "a~.jpg",
        "CaptureOne",
        "line\nbreak.jpg",
        "\udcff.jpg",
        "🦊.tif",
    ],
)
def test_ordinary_names_are_taken(path: str) -> None:
    """Odd names, and names that only resemble junk, are somebody's pictures."""
    assert Rules().takes_file(path)


@pytest.mark.parametrize("path", ["@eaDir", "a/CaptureOne", "x.lrdata", ".git", "a/.cutoutd-staging"])
def test_junk_directories_are_not_entered(path: str) -> None:
    """Nothing below them is of interest."""
    assert not Rules().enters_directory(path)


def test_sub_directories_are_entered_only_if_recursive() -> None:
    """Without recursion a folder is its own files."""
    flat = Rules(recursive=False)
    assert Rules().enters_directory("a")
    assert not flat.enters_directory("a")
    assert flat.takes_file("x.jpg")
    assert not flat.takes_file("a/x.jpg")


def test_include_narrows_what_is_taken() -> None:
    """A file must match one of the patterns; case does not matter."""
    rules = Rules(include=("*.jpg", "final/*"))
    assert rules.takes_file("a/IMG.JPG")
    assert rules.takes_file("final/x.png")
    assert rules.takes_file("final/deeper/x.png")
    assert not rules.takes_file("x.png")
    assert not rules.takes_file("a/final/x.png")
    assert rules.enters_directory("a")


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("*_web.*", "a/x_WEB.jpg", "x_webs.jpg"),
        ("raw", "raw/x.jpg", "raws/x.jpg"),
        ("raw/", "a/raw/x.jpg", "raw"),
        ("a/raw", "a/raw/x.jpg", "b/a/raw/x.jpg"),
        ("/top.jpg", "top.jpg", "a/top.jpg"),
        ("a/*.jpg", "a/x.jpg", "a/b/x.jpg"),
        ("a/**/x.jpg", "a/b/c/x.jpg", "b/a/x.jpg"),
        ("a/**/x.jpg", "a/x.jpg", "a/xx.jpg"),
        ("a/**", "a/b/c.jpg", "b/c.jpg"),
        ("IMG_????.jpg", "img_0001.jpg", "IMG_00001.jpg"),
        ("x[0-9].jpg", "x7.jpg", "xa.jpg"),
        ("x[!0-9].jpg", "xa.jpg", "x7.jpg"),
        ("x[].jpg", "x[].jpg", "x.jpg"),
        ("x[&&||~~--].jpg", "x~.jpg", "xa.jpg"),
        ("a+b(1).jpg", "a+b(1).jpg", "aab1.jpg"),
    ],
)
def test_patterns_mean_what_globs_mean(pattern: str, matching: str, other: str) -> None:
    """With a slash from the root, without one any part; what is below a match matches."""
    rules = Rules(exclude=(pattern,))
    assert not rules.takes_file(matching)
    assert rules.takes_file(other)


def test_left_out_subtrees_are_taken_literally() -> None:
    """An output inside the input is left out by its exact path, whatever characters it has."""
    rules = Rules(subtrees=("out[1]", "a/done/"))
    assert not rules.enters_directory("out[1]")
    assert not rules.takes_file("out[1]/x.png")
    assert not rules.takes_file("a/done/b/x.png")
    assert rules.takes_file("out1/x.png")
    assert rules.takes_file("done/x.png")


@pytest.mark.parametrize("pattern", ["", "/", "x[z-a]"])
def test_a_pattern_that_means_nothing_is_refused(pattern: str) -> None:
    """Rather than to match nothing, or everything, without a word."""
    with pytest.raises(ValueError, match="pattern"):
        Rules(exclude=(pattern,))


def test_a_subtree_without_a_name_is_refused() -> None:
    """It would be the whole folder."""
    with pytest.raises(ValueError, match="subtree"):
        Rules(subtrees=("/",))


@given(directories=st.lists(_NAMES, max_size=3), name=_NAMES)
def test_a_file_is_taken_only_if_its_directories_are_entered(directories: list[str], name: str) -> None:
    """A hint for a path and a scan that walks down to it agree."""
    rules = Rules(exclude=("b*", "a/c"), subtrees=("d",))
    parents = ["/".join(directories[: n + 1]) for n in range(len(directories))]
    if not all(rules.enters_directory(parent) for parent in parents):
        assert not rules.takes_file("/".join([*directories, name]))


def test_names_cost_next_to_nothing() -> None:
    """100,000 names are a small part of the scan that finds them, even with many patterns."""
    rules = Rules(exclude=tuple(f"*_{n}.jpg" for n in range(20)))
    began = time.process_time()
    taken = sum(rules.takes_file(f"2024/summer/IMG_{n}.jpg") for n in range(20_000))
    assert taken == 20_000 - 20
    assert time.process_time() - began < 1.0
