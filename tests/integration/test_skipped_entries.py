"""Entries that scans skip are counted, and logged once."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from cutoutd.file_signatures import FileKind
from cutoutd.folder.skipped_entries import SkippedEntries
from cutoutd.intake.probe import open_probe
from cutoutd.intake.rules import Rules
from cutoutd.intake.scan import Scan
from tests.integration.parts import NAME
from tests.integration.share import Share

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Share]:
    """A share with a picture and a directory."""
    created = Share(tmp_path)
    (created.far / "closed").mkdir()
    (created.far / "a.jpg").write_bytes(b"a")
    created.attach()
    yield created
    created.detach()


def test_an_unreadable_entry_is_logged_once_and_not_at_every_scan(share: Share) -> None:
    """Otherwise there would be a line every minute; logged again for another reason, or after it was readable."""
    skipped = SkippedEntries(NAME)

    def scan() -> None:
        walk = Scan(os.fspath(share.mount), Rules())
        assert [seen.path for seen in walk] == ["a.jpg"]
        skipped.scanned(walk)

    with capture_logs() as logs:
        share.fail(errno.EACCES, "readdir,getattr", only="closed")
        for _ in range(3):
            scan()
        assert (len(logs), skipped.unreadable) == (1, 1)
        share.fail(errno.EIO, "readdir,getattr", only="closed")
        scan()
        scan()
        share.heal()
        scan()
        assert skipped.unreadable == 0
        share.fail(errno.EIO, "readdir,getattr", only="closed")
        scan()
    assert [line["why"] for line in logs] == ["Permission denied", "Input/output error", "Input/output error"]


def test_links_are_counted_wherever_they_lead(tmp_path: Path) -> None:
    """To a file, a directory, nowhere, in a ring; not those whose names are ignored anyway."""
    (tmp_path / "elsewhere").mkdir()
    root = tmp_path / "in"
    (root / "sub").mkdir(parents=True)
    (root / "sub" / "a.jpg").symlink_to("/etc/hosts")
    (root / "home").symlink_to(tmp_path / "elsewhere")
    (root / "gone.jpg").symlink_to("nowhere")
    (root / "ring").symlink_to("ring")
    (root / ".hidden").symlink_to("nowhere")
    walk = Scan(os.fspath(root), Rules())
    assert list(walk) == []
    assert walk.links == 4


def test_what_is_neither_a_file_nor_a_directory_is_named_once(tmp_path: Path) -> None:
    """In the log, and in the folder's note as long as it is there; before, nothing told of it."""
    os.mkfifo(tmp_path / "a.jpg")
    skipped = SkippedEntries(NAME)
    with capture_logs() as logs:
        for _ in range(3):
            walk = Scan(os.fspath(tmp_path), Rules())
            assert list(walk) == []
            skipped.scanned(walk)
            skipped.forget_others({})
    assert [(line["event"], line["path"], line["seems"]) for line in logs] == [
        ("file.no-picture", "a.jpg", "a named pipe")
    ]
    assert skipped.note == "left out: a.jpg (a named pipe)"
    (tmp_path / "a.jpg").unlink()
    walk = Scan(os.fspath(tmp_path), Rules())
    assert list(walk) == []
    skipped.scanned(walk)
    skipped.forget_others({})
    assert skipped.note == ""


def test_another_file_is_named_once_with_its_apparent_kind() -> None:
    """In the log, and in the folder's note as long as it exists; text files beside pictures are not."""
    skipped = SkippedEntries(NAME)
    with capture_logs() as logs:
        for _ in range(3):
            skipped.is_none("clip.mp4", "a film")
            skipped.is_none("notes.txt", "a text file")
            skipped.is_none("odd.bin", "")
    assert [(line["event"], line["path"], line["seems"]) for line in logs] == [
        ("file.no-picture", "clip.mp4", "a film")
    ]
    assert skipped.note == "left out: clip.mp4 (a film)"
    skipped.forget_others({"clip.mp4", "odd.bin"})
    for number in range(4):
        skipped.is_none(f"{number}.zip", "a ZIP archive or an office document")
    assert skipped.note.endswith("and 2 more")
    skipped.forget_others(())
    assert skipped.note == ""


def test_a_picture_of_a_format_that_is_not_read_is_named_first_with_what_to_do(tmp_path: Path) -> None:
    """By its first bytes, or else by its name; files of other kinds are named after it."""
    skipped = SkippedEntries(NAME)
    names = ("a.zip", "b.tga", "c.pcx", "d.xpm", "e.txt", "f.bin")
    for name in names:
        (tmp_path / name).write_bytes(b"PK\x03\x04" if name == "a.zip" else b"anything")
    with capture_logs() as logs:
        for name in names:
            probe = open_probe(os.fspath(tmp_path), name)
            assert probe is not None
            assert probe.kind is FileKind.OTHER
            skipped.is_none(name, probe.hint)
    assert skipped.note.startswith(
        "left out: b.tga (a TGA picture), c.pcx (a PCX picture), d.xpm (an XPM picture) and 1 more; export"
    )
    assert [("advice" in line, line["path"]) for line in logs] == [
        (False, "a.zip"),
        (True, "b.tga"),
        (True, "c.pcx"),
        (True, "d.xpm"),
    ]
