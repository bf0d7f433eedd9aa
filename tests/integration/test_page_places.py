"""The page's folder picker: it lists a directory inside its roots, in limited time."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cutoutd.page.backend import directory_listing, places
from cutoutd.process import probe
from cutoutd.webserver.backend.method import RefusedError
from tests.unit.page_backend import backend_at


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory with folders of all kinds."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("Pictures/in/deeper", "Pictures/Out", "Pictures/.hidden", "empty", "x" * 255):
        (tmp_path / name).mkdir(parents=True)
    os.mkdir(os.fsencode(tmp_path / "Pictures") + b"/caf\xe9")  # noqa: PTH102 -- bytes
    (tmp_path / "Pictures" / "away").symlink_to("/usr")
    for name in ("a.jpg", "b.NEF", "notes.txt", "in/c.png", "in/deeper/d.tif", ".hidden/e.jpg", ".f.jpg"):
        (tmp_path / "Pictures" / name).touch()
    return tmp_path


def listing(home: Path, path: str = "") -> dict[str, Any]:
    """Return the answer of the folder picker."""
    data: dict[str, Any] = (
        places.ENDPOINTS["places"].run(backend_at(home / "c.toml", None), {"path": path}).data
    )
    return data


def test_a_place_shows_its_folders_and_how_many_pictures_there_are(home: Path) -> None:
    """Without hidden ones and links; a folder whose name no configuration can hold is counted."""
    found = listing(home, str(home / "Pictures"))
    status = (home / "Pictures").stat()
    assert found == {
        "identity": f"{status.st_dev}-{status.st_ino}",
        "path": str(home / "Pictures"),
        "parent": str(home),
        "roots": [str(home)],
        "readable": True,
        "writable": True,
        "pictures": 4,
        "pictures_more": False,
        "folders": [
            {"name": "in", "path": f"{home}/Pictures/in"},
            {"name": "Out", "path": f"{home}/Pictures/Out"},
        ],
        "folders_more": False,
        "unnamed": 1,
    }


def test_the_first_root_is_where_it_begins(home: Path) -> None:
    """There is nothing above it; a name of 255 bytes is valid."""
    found = listing(home)
    assert (found["path"], found["parent"]) == (str(home), None)
    assert {one["name"] for one in found["folders"]} == {"Pictures", "empty", "x" * 255}
    assert listing(home, f"~/{'x' * 255}")["pictures"] == 0


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 403),
        ("/etc", 403),
        ("~/..", 403),
        ("~/Pictures/.hidden", 403),
        ("~/Pictures/../..", 403),
        ("~/Pictures/away/lib", 200),
        ("~/none-such", 404),
        ("relative", 404),
        ("~/a\0b", 404),
        ("~/\ud800", 404),
        (f"~/{'x' * 256}", 200),
        (f"~/{'x/' * 3000}", 400),
    ],
)
def test_nothing_outside_of_the_roots_is_shown(home: Path, path: str, status: int) -> None:
    """In no spelling, and through no link."""
    if status == 200:
        found = listing(home, path)
        assert (found["readable"], found["folders"], found["pictures"]) == (False, [], 0)
        return
    with pytest.raises(RefusedError) as refused:
        listing(home, path)
    assert refused.value.status == status


def test_counting_ends_in_time_and_reports_that_there_may_be_more(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A person who chooses a folder does not wait for a million pictures."""
    monkeypatch.setattr(directory_listing, "MOST_ENTRIES", 3)
    directory = os.open(home / "Pictures", os.O_RDONLY)
    found = directory_listing.pictures_in(directory)
    assert found["pictures_more"]
    assert found["pictures"] <= 3


def test_a_place_that_gives_no_answer_is_reported_in_time(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hanging process is left behind, and the method returns."""
    monkeypatch.setattr(places, "TIMEOUT_S", 1.0)
    monkeypatch.setattr(places, "_LISTING", "tests.integration.says_one_thing_and_hangs")
    run, found = probe.run, {**os.environ, "PYTHONPATH": os.fspath(Path(__file__).parents[2])}
    monkeypatch.setattr(probe, "run", lambda *given, **named: run(*given, **named, environment=found))
    started_s = time.monotonic()
    with pytest.raises(RefusedError) as refused:
        listing(home)
    assert refused.value.code == "place_hangs"
    assert 1 <= time.monotonic() - started_s < 10


def test_what_lies_on_a_mount_point_without_its_disk_is_told(tmp_path: Path) -> None:
    """As fstab names mount points; comments, other places and what is mounted are no reason."""
    fstab = tmp_path / "fstab"
    away = tmp_path / "my nas"
    away.mkdir()
    text = (
        f"# //nas/a {tmp_path}/other cifs\n\n/dev/sda1 / ext4\nnone none swap\n//nas/b {away}/ cifs noauto\n"
    )
    fstab.write_text(text.replace(str(away), str(away).replace(" ", "\\040")), encoding="utf-8")
    assert directory_listing.unmounted_above(f"{away}/shoot", fstab) == str(away)
    assert directory_listing.unmounted_above(str(away), fstab) == str(away)
    for path in (f"{tmp_path}/other/shoot", f"{away}-2/shoot", "/"):
        assert directory_listing.unmounted_above(path, fstab) == ""
    assert directory_listing.unmounted_above(str(away), tmp_path / "none") == ""


def test_nothing_is_made_on_a_mount_point_without_its_disk(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pictures that went there would be hidden as soon as the disk is mounted."""
    monkeypatch.setattr(directory_listing, "unmounted_above", lambda _: "/mnt/nas")
    monkeypatch.setattr(sys, "argv", ["listing", "make", str(home), "empty/new", ""])
    assert directory_listing.main() == 0
    assert json.loads(capsys.readouterr().out) == {"unmounted": "/mnt/nas"}
    assert not (home / "empty" / "new").exists()
    said = SimpleNamespace(merged={"unmounted": "/mnt/nas"})
    monkeypatch.setattr(probe, "run", lambda *_, **__: said)
    place = places.place_of(backend_at(home / "c.toml", None), str(home / "empty" / "new"))
    with pytest.raises(RefusedError, match="not mounted now") as refused:
        places.inspect(place, make=True)
    assert (refused.value.status, refused.value.code) == (503, "place_unmounted")
