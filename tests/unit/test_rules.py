"""The file names that a folder accepts."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutoutd.intake import rules
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
        "$Recycle.Bin/S-1-5-21/$RABCDEF.jpg",
        "System Volume Information/x.jpg",
        "FOUND.000/FILE0000.jpg",
        "a/lost+found/#12345.jpg",
        "Network Trash Folder/x.jpg",
        ".Trash-1000/files/x.jpg",
        "shoot/__MACOSX/x.jpg",
        "#snapshot/GMT+01_2026-01-01/x.jpg",
        ".snapshot/hourly.0/x.jpg",
        "~snapshot/hourly.0/x.jpg",
        ".zfs/snapshot/auto/x.jpg",
        "@Recycle/x.jpg",
        "@recently-snapshot/x.jpg",
        ".Recycle.Bin/x.jpg",
        "x.jpg@SynoEAStream",
        "x.jpg_original",
        "x.jpg_exiftool_tmp",
        "MVI_0001.THM",
        "x.jpg~",
        "x.jpg.bak",
        "x.jpg.filepart",
        "x.jpg.a1b2c3d4.partial",
        "x.jpg.download",
        "Unconfirmed.opdownload",
        "x.jpg.aria2",
        "x.jpg.!UT",
        "x.sync-conflict-20260101-101010-ABCDEFG.jpg",
        "x (Anna's conflicted copy 2026-01-01).jpg",
        "x (conflicted copy 2026-01-01 101010).jpg",
        ".x.jpg.Ab12Cd",
        ".pending-1700000000-x.jpg",
        "mipmaps-0a1b.d/3/1.jpg",
        "M4ROOT/THMBNL/C0001T01.JPG",
    ],
)
def test_junk_is_not_taken(path: str) -> None:
    """Unfinished downloads, thumbnails and private files of programs."""
    assert not Rules().takes_file(path)


@pytest.mark.parametrize(
    "path",
    [
        "IMG_0001.jpg",
        "a/b/c.png",
        "x.tmp.jpg",
        "a~.jpg",
        "CaptureOne",
        "lost+found",
        "photos.bak/x.jpg",
        "backup.old/x.jpg",
        "scans_original/x.jpg",
        "recycle/x.jpg",
        "my original.jpg",
        "x_original.jpg",
        "thm.jpg",
        "conflict.jpg",
        "line\nbreak.jpg",
        "\udcff.jpg",
        "🦊.tif",
    ],
)
def test_ordinary_names_are_taken(path: str) -> None:
    """Odd names, and names that only resemble junk, may be pictures."""
    assert Rules().takes_file(path)


@pytest.mark.parametrize("path", ["@eaDir", "a/CaptureOne", "x.lrdata", ".git", "a/.cutoutd-staging"])
def test_junk_directories_are_not_entered(path: str) -> None:
    """Whatever they contain."""
    assert not Rules().enters_directory(path)


def test_a_wildcard_never_includes_junk() -> None:
    """A pattern that matches everything does not mean the recycle bin."""
    rules = Rules(include=("*", "**", "*.jpg", "*.bak*", "*ecycle*/**", "??M"))
    for path in ("x.jpg.bak", "a/@Recycle/x.jpg", "a.THM", ".x.jpg"):
        assert not rules.takes_file(path), path
    assert not rules.enters_directory("a/@Recycle")


def test_junk_that_is_named_exactly_is_taken() -> None:
    """By the table's own pattern, or by a file's full name; other junk stays out."""
    rules = Rules(include=("*", "*.thm", "CaptureOne/", "poster.bak", "a/cover.jpg~"))
    assert rules.takes_file("b/MVI_0001.THM")
    assert rules.takes_file("CaptureOne/x.jpg")
    assert rules.enters_directory("shoot/captureone")
    assert rules.takes_file("b/Poster.BAK")
    assert rules.takes_file("a/cover.jpg~")
    assert not rules.takes_file("b/cover.jpg~")
    assert not rules.takes_file("b/other.bak")
    assert not rules.takes_file("@Recycle/poster.bak")
    assert not rules.takes_file("CaptureOne/.x.jpg")


@pytest.mark.parametrize("include", [".*", ".cutoutd-staging", ".cutoutd-*", "**"])
def test_our_own_files_cannot_be_included(include: str) -> None:
    """Otherwise staged results would be cut again and again."""
    rules = Rules(include=("*", include))
    assert not rules.enters_directory(".cutoutd-staging")
    assert not rules.takes_file(".cutoutd-staging/run/1-0.png")
    assert not rules.takes_file(".cutoutd-folder")


def test_every_row_of_the_table_works_and_has_a_source() -> None:
    """Each name excludes its kind in any case of letters, and nothing of the other kind."""
    usual = Rules()
    for row in rules.JUNK:
        assert row.whose
        assert row.source
        for name in row.names:
            example = name.replace("*", "x").replace("?", "7")
            for spelled in (example, example.upper(), example.lower()):
                assert usual.enters_directory(f"a/{spelled}") is (row.what is rules.JunkKind.FILE), spelled
                assert usual.takes_file(f"a/{spelled}") is (row.what is rules.JunkKind.DIRECTORY), spelled


def test_the_page_about_it_lists_the_whole_table() -> None:
    """In the same order, so that no row is missing."""
    page = Path("docs/left-out.md").read_text(encoding="utf-8")
    assert page.endswith(junk_page())


def junk_page() -> str:
    """Return the table as the documentation page shows it."""
    kinds = {
        rules.JunkKind.DIRECTORY: "directories",
        rules.JunkKind.FILE: "files",
        rules.JunkKind.EITHER: "both",
    }
    lines = ["| names | what | whose | source |", "| --- | --- | --- | --- |"]
    for row in rules.JUNK:
        names = " ".join(f"`{name}`" for name in row.names).replace("\r", "\\r")
        lines.append(f"| {names} | {kinds[row.what]} | {row.whose} | {row.source} |")
    return "\n".join(lines) + "\n"


def test_sub_directories_are_entered_only_if_recursive() -> None:
    """Without recursion a folder has only its own files."""
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
    """An output inside the input is excluded by its exact path, whatever characters it contains."""
    rules = Rules(subtrees=("out[1]", "a/done/"))
    assert not rules.enters_directory("out[1]")
    assert not rules.takes_file("out[1]/x.png")
    assert not rules.takes_file("a/done/b/x.png")
    assert rules.takes_file("out1/x.png")
    assert rules.takes_file("done/x.png")


@pytest.mark.parametrize("pattern", ["", "/", "x[z-a]"])
def test_a_pattern_that_means_nothing_is_refused(pattern: str) -> None:
    """Instead of silently matching nothing or everything."""
    with pytest.raises(ValueError, match="pattern"):
        Rules(exclude=(pattern,))


def test_a_subtree_without_a_name_is_refused() -> None:
    """Such a rule would exclude the whole folder."""
    with pytest.raises(ValueError, match="subtree"):
        Rules(subtrees=("/",))


@given(directories=st.lists(_NAMES, max_size=3), name=_NAMES)
def test_a_file_is_taken_only_if_its_directories_are_entered(directories: list[str], name: str) -> None:
    """An event for a path and a scan that reaches it agree."""
    rules = Rules(exclude=("b*", "a/c"), subtrees=("d",))
    parents = ["/".join(directories[: n + 1]) for n in range(len(directories))]
    if not all(rules.enters_directory(parent) for parent in parents):
        assert not rules.takes_file("/".join([*directories, name]))


def test_matching_names_costs_little() -> None:
    """100,000 names take a small part of a scan's time, even with many patterns."""
    rules = Rules(exclude=tuple(f"*_{n}.jpg" for n in range(20)))
    began = time.process_time()
    taken = sum(rules.takes_file(f"2024/summer/IMG_{n}.jpg") for n in range(20_000))
    assert taken == 20_000 - 20
    assert time.process_time() - began < 1.0
