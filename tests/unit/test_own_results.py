"""Results of cutoutd that lie in an input: told by their sidecars, skipped once, and never taken for new pictures."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.cli.inputs import pictures_in
from cutoutd.folder import own_results as arrived
from cutoutd.folder.arrivals import Arrivals
from cutoutd.folder.pairing import Pairing
from cutoutd.folder.scope import FolderScope
from cutoutd.folder.skipped_entries import SkippedEntries
from cutoutd.fs.tree import Tree
from cutoutd.intake.rules import Rules
from cutoutd.jobs import JobState
from cutoutd.journal.journal import Journal
from cutoutd.journal.reader import Reader
from cutoutd.publish import own_results
from cutoutd.publish.digest import examine
from cutoutd.publish.own_results import OwnResults
from cutoutd.publish.sidecar import read_sidecar
from cutoutd.settings.types import RawPairs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cutoutd.fs.tree import Entry
    from cutoutd.publish.digest import Found
    from cutoutd.publish.sidecar import SidecarRecord
    from tests.conftest import FakeClock

FOLDER = "f"
PNG = b"\x89PNG\r\n\x1a\n a result"
JPEG = b"\xff\xd8\xff\xe0 a result"
PHOTO = b"\xff\xd8\xff\xe0 a photo"
RAW = b"II\x2a\x00\x10\x00\x00\x00CR\x02\x00 and so on"


def published(output: Path, results: dict[str, bytes]) -> None:
    """Write results with their sidecar, as a publication does."""
    for name, content in results.items():
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).write_bytes(content)
    document: dict[str, Any] = {
        "schema": "cutoutd.sidecar/1",
        "job": 1,
        "folder": FOLDER,
        "source": {"path": "a.jpg", "bytes": 1, "mtime_ns": 1, "sha256": "0" * 64},
        "outputs": [
            {"path": name, "sha256": hashlib.sha256(content).hexdigest()} for name, content in results.items()
        ],
    }
    (output / f"{next(iter(results))}.json").write_text(json.dumps(document), encoding="utf-8")


class Watched:
    """A watched folder, with a monitor's part that takes new files."""

    def __init__(self, root: Path, clock: FakeClock) -> None:
        self.root = root
        self.clock = clock
        self.journal = Journal(None, session="r", clock=clock)
        scope = FolderScope(
            name=FOLDER, root=os.fspath(root), rules=Rules(), sources=self.journal.sources, clock=clock
        )
        self.arrivals = Arrivals(
            scope,
            settle_s=1.0,
            old_is_quiet=False,
            pairing=Pairing(scope, mode=RawPairs.JPEG, wait_s=5.0),
            skipped=SkippedEntries(FOLDER),
        )

    def scan(self, times: int = 1) -> dict[str, JobState]:
        """Scan some times; return the states of the files that were recorded."""
        for _ in range(times):
            self.arrivals.scan()
            self.clock.advance(2.0)
            self.arrivals.scan()
            self.arrivals.accept_quiet()
        return {job.path: job.state for job in Reader(self.journal.store).jobs()}


@pytest.fixture
def watched(tmp_path: Path, clock: FakeClock) -> Iterator[Watched]:
    """A watched folder of the test's own."""
    root = tmp_path / "in"
    root.mkdir()
    created = Watched(root, clock)
    yield created
    created.journal.close()


RESULTS = {
    "sub/a.png": PNG,
    "sub/a-white.jpg": JPEG,
    "web/sub/a.webp": b"RIFF\x20\0\0\0WEBPVP8 a result",
}
REVIEW = {"review/a.png": PNG, "review/a-overlay.png": b"\x89PNG\r\n\x1a\n an overlay"}


@pytest.mark.parametrize("results", [RESULTS, REVIEW, {"a.tif": b"II\x2a\x00\x08\x00\x00\x00 a result"}])
def test_results_of_an_output_that_was_moved_into_the_input_are_skipped(
    watched: Watched, results: dict[str, bytes]
) -> None:
    """All renditions, what is held for review, and the overlay; recorded once, with the reason and what to do."""
    published(watched.root / "old-2025", results)
    (watched.root / "new.jpg").write_bytes(PHOTO)
    states = watched.scan(times=3)
    expected = {f"old-2025/{name}": JobState.SKIPPED for name in results}
    assert states == {"new.jpg": JobState.QUEUED, **expected}
    said = {job.detail["why"] for job in Reader(watched.journal.store).jobs() if job.path in expected}
    assert said == {"it is a cutout that cutoutd made; `cutoutd retry` has it cut all the same"}
    assert watched.arrivals.settling == 0


def test_a_cutout_is_recognised_after_it_was_renamed_or_moved_with_its_sidecar(watched: Watched) -> None:
    """Whatever sub-folder its sidecar names."""
    published(watched.root, RESULTS)
    for before, after in (("sub/a.png", "best.png"), ("sub/a.png.json", "best.png.json")):
        shutil.move(watched.root / before, watched.root / after)
    for name in ("sub", "web"):
        shutil.rmtree(watched.root / name)
    assert watched.scan() == {"best.png": JobState.SKIPPED}


@pytest.mark.parametrize("what", ["retouched", "no sidecar", "another program's", "not to be read"])
def test_a_file_that_no_sidecar_of_ours_tells_of_is_a_picture(watched: Watched, what: str) -> None:
    """A retouched cutout is its owner's work, and other programs write such names too."""
    published(watched.root, {"a.png": PNG})
    sidecar = watched.root / "a.png.json"
    match what:
        case "retouched":
            (watched.root / "a.png").write_bytes(PNG[:-1] + b"!")
        case "no sidecar":
            sidecar.unlink()
        case "another program's":
            sidecar.write_text('{"title": "a.png", "photoTakenTime": {}}', encoding="utf-8")
        case "not to be read":
            sidecar.unlink()
            sidecar.symlink_to(sidecar)
    assert watched.scan() == {"a.png": JobState.QUEUED}


def test_only_files_of_names_that_sidecars_tell_of_are_hashed(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture costs no more than a look for a sidecar of its name."""
    hashed: list[str] = []

    def spy(entry: Entry) -> Found | None:
        hashed.append(entry.name)
        return examine(entry)

    monkeypatch.setattr(own_results, "examine", spy)
    published(watched.root, RESULTS)
    for number in range(3):
        (watched.root / f"{number}.jpg").write_bytes(PHOTO)
        (watched.root / "sub" / f"{number}.jpg").write_bytes(PHOTO)
    watched.scan(times=2)
    assert sorted(hashed) == ["a-white.jpg", "a.png", "a.webp"]


def test_many_results_do_not_hold_up_new_pictures(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limited number of bytes is hashed at once, and the rest later."""
    monkeypatch.setattr(arrived, "HASHED_AT_ONCE", 2 * len(PNG))
    for number in range(6):
        published(watched.root, {f"{number}.png": PNG})
    (watched.root / "new.jpg").write_bytes(PHOTO)
    states = watched.scan()
    assert states.pop("new.jpg") is JobState.QUEUED
    assert len(states) == 2
    states = watched.scan(times=2)
    assert {one for path, one in states.items() if path != "new.jpg"} == {JobState.SKIPPED}
    assert len(states) == 7


def test_a_cutout_is_no_recording_of_a_shot(watched: Watched) -> None:
    """A raw file beside a cutout of its name is cut, and does not wait for it."""
    published(watched.root, {"a.jpg": JPEG})
    assert watched.scan() == {"a.jpg": JobState.SKIPPED}
    (watched.root / "a.cr2").write_bytes(RAW)
    assert watched.scan(times=4) == {"a.jpg": JobState.SKIPPED, "a.cr2": JobState.QUEUED}


@pytest.mark.parametrize("what", ["whole", "retouched", "renamed", "sidecar's renamed"])
def test_the_command_and_the_daemon_tell_alike(watched: Watched, what: str) -> None:
    """Before, `cutoutd cut` left out retouched cutouts, and the daemon took them and all others."""
    (watched.root / "b.jpg").write_bytes(PHOTO)
    published(watched.root / "old", RESULTS)
    if what == "retouched":
        (watched.root / "old" / "sub" / "a-white.jpg").write_bytes(PHOTO)
    if what == "renamed":
        (watched.root / "old" / "web").rename(watched.root / "old" / "web 2")
    if what == "sidecar's renamed":
        (watched.root / "old" / "sub").rename(watched.root / "old" / "sub 2")
    named = pictures_in([watched.root], watched.root.parent / "elsewhere").files
    taken = {path for path, state in watched.scan().items() if state is JobState.QUEUED}
    assert {file.relative_to(watched.root).as_posix() for file in named} == taken
    assert taken == ({"b.jpg", "old/sub/a-white.jpg"} if what == "retouched" else {"b.jpg"})


@pytest.mark.parametrize("first", [True, False], ids=["rendition first", "rendition last"])
def test_a_rendition_is_told_by_a_sidecar_in_another_directory(tmp_path: Path, first: bool) -> None:  # noqa: FBT001 -- a parameter of the test
    """In whichever order the files are asked about; before, the rendition was a picture if it came first."""
    results = OwnResults()
    published(tmp_path, RESULTS)
    (tmp_path / "sub").rename(tmp_path / "sub 2")
    results.note("sub 2/a.png.json")
    asked = ["web/sub/a.webp", "sub 2/a.png", "sub 2/a-white.jpg"]
    for path in asked if first else reversed(asked):
        assert results.has(Tree(tmp_path), path)


def test_a_sidecar_that_fails_holds_up_only_what_is_beside_it_and_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as on a bad sector; it is read once it can be."""
    results, tree = OwnResults(), Tree(tmp_path)
    published(tmp_path, RESULTS)
    results.note("sub/a.png.json")

    def fail(entry: Entry) -> SidecarRecord | None:
        if entry.name == "a.png.json":
            raise OSError(errno.EIO, "bad sector")
        return read_sidecar(entry)

    with monkeypatch.context() as patch:
        patch.setattr(own_results, "read_sidecar", fail)
        for path in ("sub/a-white.jpg", "sub/below/b.jpg"):
            with pytest.raises(OSError, match="bad sector"):
                results.may_be(tree, path)
        assert not results.may_be(tree, "web/sub/a.webp")
        assert not results.may_be(tree, "submarine.jpg")
    assert results.has(tree, "web/sub/a.webp")


def test_sidecars_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    """Else a folder through which many pass would take more and more memory."""
    results = OwnResults()
    for number in range(3):
        results.note(f"sub/{number}.png.json")
    published(tmp_path, {"sub/0.png": PNG, "sub/other.png": PNG})
    results.forget_others(lambda path: path == "sub/1.png.json")
    assert not results.may_be(Tree(tmp_path), "sub/other.png")
    results.note("sub/0.png.json")
    assert results.may_be(Tree(tmp_path), "sub/other.png")
