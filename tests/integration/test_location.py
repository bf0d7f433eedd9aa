"""Where directories are: links, mounts, shares; and what is excluded inside an input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.folder.overlaps import Overlaps
from cutoutd.folder.status import FolderState
from cutoutd.intake import location
from cutoutd.intake.rules import Rules
from cutoutd.intake.scan import ApartError, FolderBoundary, Scan, scan_file
from cutoutd.lease import marker
from cutoutd.settings.overlap import Relation
from tests.integration.parts import folder_in, until
from tests.integration.share import Share
from tests.integration.test_folder_monitor import MonitoredFolder
from tests.integration.tools import give_up, need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cutoutd.settings.schema import Folder

_OVERLAY = (
    "mkdir u && mount -t tmpfs none u && mkdir u/u u/w && "
    "mount -t overlay none -o lowerdir=a,upperdir=u/u,workdir=u/w b"
)
OTHER = "22222222-2222-4222-8222-222222222222"


@pytest.fixture
def twice(tmp_path: Path) -> Iterator[tuple[Share, Share]]:
    """One share, mounted twice: two devices, with inodes that the file system invents."""
    one = Share(tmp_path, "one")
    other = Share(tmp_path, "other", far=one.far)
    for share in (one, other):
        share.attach()
    yield one, other
    for share in (one, other):
        share.detach()


def related(one: Path, other: Path) -> Relation | None:
    """Return the relation of two directories."""
    mounts = location.mounts()
    return location.relation(location.locate(one, mounts), location.locate(other, mounts))


def test_links_are_resolved(tmp_path: Path) -> None:
    """Also if their target does not exist yet."""
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "to-a").symlink_to("a")
    (tmp_path / "to-b").symlink_to(tmp_path / "to-a/b")
    assert related(tmp_path / "to-b", tmp_path / "a/b") is Relation.IS
    assert related(tmp_path / "to-a/b", tmp_path / "a") is Relation.INSIDE
    assert related(tmp_path / "a", tmp_path / "to-b/new/../new") is Relation.CONTAINS
    assert related(tmp_path / "to-b/new", tmp_path / "a/c") is None


def test_links_in_a_circle_are_taken_as_they_are_written(tmp_path: Path) -> None:
    """Nothing is there, and nothing hangs."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert related(tmp_path / "a", tmp_path) is Relation.INSIDE


def in_mounts(tmp_path: Path, commands: str, pairs: list[tuple[str, str]]) -> list[str | None]:
    """Return the relations of pairs of directories after some mounts."""
    need("unshare")
    code = (
        "import json, sys; from pathlib import Path; from cutoutd.intake import location as l; m = l.mounts(); "
        "print(json.dumps([l.relation(*(l.locate(Path(p), m) for p in pair)) for pair in json.loads(sys.argv[1])]))"
    )
    command = ["sh", "-ec", f'{commands}\nexec "$@"', "sh", sys.executable, "-c", code, json.dumps(pairs)]
    done = subprocess.run(
        ["unshare", "-m", *command], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    if "unshare failed" in done.stderr or "overlay" in done.stderr:
        give_up("mount namespaces, or overlays in them, are not allowed here")
    assert done.returncode == 0, done.stderr
    found: list[str | None] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        ("mount --bind a b", Relation.IS),
        ("mount --bind a/sub b", Relation.INSIDE),
        ("mkdir b/x && mount --bind a b/x", Relation.SHOWS),
        ("mkdir b/x && mount --bind a/sub b/x", Relation.SHOWS),
        ("mkdir b/x c && mount --bind b/x c && mount --bind a/sub b/x", Relation.SHOWS),
        ("touch a/f b/f && mount --bind a/f b/f", Relation.SHOWS),
        ("mount -t tmpfs none a && mkdir a/sub && mount --bind a/sub b", Relation.INSIDE),
        (_OVERLAY, Relation.IS),
        ("mkdir c && mount --bind c b", None),
        ("mount --bind a b && mount -t tmpfs none b", None),
    ],
)
def test_mounts_are_resolved(tmp_path: Path, commands: str, expected: Relation | None) -> None:
    """Whatever they show of a directory: all, a part, a file; but not what another mount hides."""
    (tmp_path / "a/sub").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    commands = commands.replace("lowerdir=a", f"lowerdir={tmp_path}/a")
    assert in_mounts(tmp_path, commands, [(f"{tmp_path}/b", f"{tmp_path}/a")]) == [expected]


def test_a_share_that_is_mounted_twice_is_known_by_its_marker(twice: tuple[Share, Share]) -> None:
    """Device and inodes differ; a directory inside it is recognised as inside."""
    one, other = twice
    for path in (one.far / "in/sub", one.far / "else"):
        path.mkdir(parents=True)
    marker.create(os.fspath(one.mount / "in"), OTHER)
    assert (one.mount / "in").stat().st_dev != (other.mount / "in").stat().st_dev
    assert related(one.mount / "in", other.mount / "in") is Relation.IS
    assert related(other.mount / "in/sub", one.mount / "in") is Relation.INSIDE
    assert related(other.mount / "else", one.mount / "in") is None


def test_a_share_that_may_not_be_touched_is_taken_as_it_is_written(twice: tuple[Share, Share]) -> None:
    """The share hangs, and no caller waits for it."""
    one, other = twice
    (one.far / "in").mkdir()
    one.hang()
    mounts = location.mounts()
    found = location.locate(one.mount / "in", mounts, reachable=frozenset({os.fspath(other.mount)}))
    assert not found.answered
    assert found.real == os.fspath(one.mount / "in")
    one.heal()


def boundary(**given: Any) -> FolderBoundary:  # noqa: ANN401 -- any of its fields
    """Return a boundary with its own marker."""
    return FolderBoundary(uuid="11111111-1111-4111-8111-111111111111", **given)


def test_a_scan_does_not_enter_what_belongs_to_others(tmp_path: Path) -> None:
    """By identity, path, marker or, on a share, the staging directory of the run; and it reports what it left out."""
    for name in ("by-id", "by-path", "by-marker", "by-sign", "own", "damaged"):
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep/a.jpg").touch()
    (tmp_path / "b.jpg").touch()
    marker.create(os.fspath(tmp_path / "by-marker"), OTHER)
    marker.create(os.fspath(tmp_path / "own"), "11111111-1111-4111-8111-111111111111")
    (tmp_path / "damaged" / marker.NAME).write_text("?")
    (tmp_path / "by-sign/.staging/run").mkdir(parents=True)
    status = (tmp_path / "by-id").stat()
    around = boundary(
        ids={(status.st_dev, status.st_ino): "theirs"},
        paths={"by-path": "theirs", "b.jpg": "theirs"},
        sign=".staging/run",
    )
    scan = Scan(os.fspath(tmp_path), Rules(), around)
    assert [seen.path for seen in scan] == ["own/deep/a.jpg"]
    assert scan.apart.keys() == {"by-id", "by-path", "by-marker", "by-sign", "damaged", "b.jpg"}
    for name in ("by-id", "by-path", "by-marker", "by-sign", "damaged"):
        assert scan_file(os.fspath(tmp_path), f"{name}/deep/a.jpg", around) is None
    assert scan_file(os.fspath(tmp_path), "own/deep/a.jpg", around) is not None


def test_a_root_that_was_exchanged_is_not_scanned(tmp_path: Path) -> None:
    """A directory that was another one a moment ago is not the folder."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.jpg").touch()
    status = (tmp_path / "in").stat()
    around = boundary(root=(status.st_dev, status.st_ino))
    assert scan_file(os.fspath(tmp_path / "in"), "a.jpg", around) is not None
    (tmp_path / "in").rename(tmp_path / "was-in")
    (tmp_path / "other").mkdir()
    (tmp_path / "in").symlink_to("other")
    (tmp_path / "other/a.jpg").touch()
    with pytest.raises(OSError, match="taken the folder's place"):
        scan_file(os.fspath(tmp_path / "in"), "a.jpg", around)
    with pytest.raises(ApartError, match="theirs"):
        boundary(paths={"x": "theirs"}).check_path("x")


def test_an_output_on_a_share_that_is_mounted_twice_is_not_taken_for_pictures(
    twice: tuple[Share, Share], tmp_path: Path
) -> None:
    """Neither device nor inode nor path shows that the results are inside the input: the staging directory does."""
    one, other = twice
    (one.far / "in/out").mkdir(parents=True)
    (one.far / "in/out/a.png").write_bytes(b"\x89PNG\r\n\x1a\n and so on")
    home = tmp_path / "home"
    home.mkdir()
    watched = MonitoredFolder(
        home, input=str(one.mount / "in"), output=str(other.mount / "in/out"), watch="poll"
    )
    try:
        watched.begin()
        until(
            lambda: "not entered: out (results go to it)" in watched.monitor.snapshot.status.note, "the note"
        )
        until(lambda: watched.monitor.snapshot.looks > 3, "some more looks")
        assert watched.watching is FolderState.POLL
        assert watched.heard.count == 0
    finally:
        watched.monitor.stop()
        watched.monitor.thread.join(20.0)
        watched.journal.close()


def test_many_folders_cost_little_time(tmp_path: Path) -> None:
    """Recent findings of other folders are used."""
    folders = []
    for number in range(30):
        (tmp_path / f"{number}/in").mkdir(parents=True)
        folders.append(
            folder_in(tmp_path / f"{number}", name=f"f{number}", input=str(tmp_path / f"{number}/in"))
        )
    overlaps = Overlaps(tmp_path / "state", "run-1")
    overlaps.configure(folders)
    assert not any(overlaps.check(folder) for folder in folders)
    assert all(len(overlaps.boundary(folder.name).ids) >= 29 for folder in folders[1:])


def test_no_folder_gives_way_to_a_removed_folder(tmp_path: Path) -> None:
    """A monitor may be in the middle of a check when the configuration changes.

    Before, the folder was then known for ever.
    """
    (tmp_path / "in").mkdir()
    before = folder_in(tmp_path, name="before", input=str(tmp_path / "in"))
    after = folder_in(tmp_path, name="after", input=str(tmp_path / "in"))
    overlaps = Overlaps(tmp_path / "state", "run-1")
    overlaps.configure([before])
    assert not overlaps.check(before)
    overlaps.configure([after])
    assert not overlaps.check(before)
    assert not overlaps.check(after)
    assert not overlaps.why_closed("before")


def test_a_finding_that_is_withdrawn_while_it_is_read_disturbs_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread of the folder that gives way reads, while that of the finder ends."""
    overlaps = Overlaps(tmp_path / "state", "run-1")
    withdrawing = threading.Thread(target=overlaps.withdraw, args=("finder",))

    class Interrupted(dict[str, str]):
        def values(self) -> Any:  # noqa: ANN401 -- as a dictionary's
            found = iter(super().values())
            withdrawing.start()
            withdrawing.join(0.2)
            return found

    monkeypatch.setattr(overlaps, "_closed", {"reader": Interrupted(finder="it overlaps")})
    assert overlaps.why_closed("reader") == "it overlaps"
    withdrawing.join()
    assert not overlaps.why_closed("reader")


@pytest.mark.parametrize("blind", ["one", "other"])
def test_folders_that_judge_an_overlap_differently_reach_one_decision(
    tmp_path: Path, blind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of them detects it, the same one gives way each time. Before, each check of the one undid that of the other."""
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    folders = {name: folder_in(tmp_path / name, name=name) for name in ("one", "other")}
    inner = tmp_path / "one/in/inner"
    inner.mkdir()
    folders["other"] = folder_in(tmp_path / "other", name="other", input=str(inner))
    reported: list[str] = []
    overlaps = Overlaps(tmp_path / "state", "run-1", reported.append)
    overlaps.configure(folders.values())
    real = overlaps._other  # noqa: SLF001 -- as where a share answers one of them alone
    is_over = False

    def sees(folder: Folder, mounts: Any, reachable: Any, *, fresh: bool) -> Any:  # noqa: ANN401 -- as it is
        if folder.name != blind or is_over:
            return real(folder, mounts, reachable, fresh=fresh)
        unseen = tmp_path / "elsewhere"
        elsewhere = folder.model_copy(update={"input": unseen, "output": unseen / "out"})
        return replace(overlaps._locate(elsewhere, mounts, None), folder=folder)  # noqa: SLF001 -- as above

    monkeypatch.setattr(overlaps, "_other", sees)
    for folder in folders.values():
        overlaps.check(folder)
    reported.clear()
    decisions = []
    for _ in range(4):
        for folder in folders.values():
            overlaps.check(folder)
            decisions.append([bool(overlaps.why_closed(name)) for name in folders])
    assert decisions == [[False, True]] * 8
    # The one that does not see it asks the other at each look, which has no news; they do not wake each other for ever.
    assert reported.count("other") == 0
    assert reported.count("one") <= 4
    # And once it is over, for both.
    folders["other"] = folder_in(tmp_path / "other", name="other")
    overlaps.configure(folders.values())
    is_over = True
    for folder in folders.values():
        overlaps.check(folder)
    assert [overlaps.why_closed(name) for name in folders] == ["", ""]
