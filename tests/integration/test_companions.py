"""Files that other programs write beside an original move with it, unless they belong to another file."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.delivery import companion_files
from cutoutd.fs.tree import Entry
from cutoutd.intake import companions
from cutoutd.publish.original_file import current_sha256
from tests.integration.delivery_run import NEW, DeliveryRun
from tests.integration.parts import JPEG, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cutoutd.fs.tree import Tree
    from tests.conftest import FakeClock


@pytest.fixture
def make(tmp_path: Path, clock: FakeClock) -> Iterator[Callable[..., DeliveryRun]]:
    """A function that runs the daemon over one folder whose originals are moved or deleted."""
    desks: list[DeliveryRun] = []

    def run(**given: Any) -> DeliveryRun:  # noqa: ANN401 -- any key of a folder
        if given.get("originals", "move") == "move":
            given |= {"originals": "move", "originals_dir": str(tmp_path / "kept")}
        delivery_run = DeliveryRun(tmp_path, clock, **given)
        delivery_run.delivery.start()
        desks.append(delivery_run)
        return delivery_run

    yield run
    for delivery_run in desks:
        delivery_run.end()


def put(root: Path, *names: str) -> None:
    """Make files that contain their own names."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def below(root: Path) -> list[str]:
    """Return all files in a directory."""
    return sorted(os.fspath(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


WRITTEN = (
    "sub/a.jpg.xmp",
    "sub/a_01.jpg.xmp",
    "sub/a.jpg.pp3",
    "sub/a.jpg.arp",
    "sub/a.jpg.DOP",
    "sub/a.xmp",
    "sub/a.AAE",
    "sub/a.acr",
    "sub/a.on1",
    "sub/CaptureOne/Settings131/a.jpg.cos",
)
OTHERS = (
    "sub/b.jpg.xmp",
    "sub/a-b.xmp",
    "sub/a.txt",
    "sub/a.json",
    "a.xmp",
    "sub/a.jpg.bak",
    "sub/CaptureOne/Settings131/b.jpg.cos",
    "sub/CaptureOne/Cache/a.jpg.cot",
)


def test_companions_move_with_their_original(make: Callable[..., DeliveryRun], tmp_path: Path) -> None:
    """Into its mirrored folder, with their bytes; before, they stayed behind."""
    delivery_run = make()
    put(delivery_run.folder.input, *WRITTEN, *OTHERS)
    delivery_run.deliver("sub/a.jpg", NEW)
    until(lambda: below(tmp_path / "kept") == sorted(["sub/a.jpg", *WRITTEN]), "the companions")
    until(lambda: below(delivery_run.folder.input) == sorted(OTHERS), "their end in the input")
    assert (tmp_path / "kept/sub/a.AAE").read_text() == "sub/a.AAE"


def test_a_name_that_is_too_long_for_a_companion_has_none(
    make: Callable[..., DeliveryRun], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No file can be called so; before, every later original waited behind this one, for ever."""
    delivery_run = make()
    name = f"{'n' * 251}.jpg"
    delivery_run.deliver(name, NEW)
    delivery_run.deliver("b.jpg", NEW, source=JPEG * 2)
    until(lambda: below(tmp_path / "kept") == ["b.jpg", name], "both originals")
    assert "original.stays" not in capsys.readouterr().out


def test_companions_keep_to_an_original_that_gets_another_name(
    make: Callable[..., DeliveryRun], tmp_path: Path
) -> None:
    """Nothing in the target folder is replaced."""
    delivery_run = make()
    put(tmp_path / "kept", "a.jpg", "a-2.xmp")
    put(delivery_run.folder.input, "a.jpg.xmp", "a.xmp", "CaptureOne/Settings/a.jpg.cos")
    delivery_run.deliver("a.jpg", NEW)
    wanted = ["CaptureOne/Settings/a-2.jpg.cos", "a-2-2.xmp", "a-2.jpg", "a-2.jpg.xmp", "a-2.xmp", "a.jpg"]
    until(lambda: below(tmp_path / "kept") == wanted, "the companions under its name")
    assert (tmp_path / "kept/a-2.xmp").read_text() == "a-2.xmp"
    assert (tmp_path / "kept/a-2-2.xmp").read_text() == "a.xmp"
    until(lambda: below(delivery_run.folder.input) == [], "their end in the input")


@pytest.mark.parametrize(
    "rival",
    [
        *("a.nef", "a.NEF", "a.Nef", "a.png", "a.dng", "a.heic", "a.JPG", "A.NEF", "A.jpg"),
        *("a.mp4", "a.MOV", "a.psd", "a.tif.part", "a.nef.part", ".a.nef", ".a.nef.x7Qw", "~a.nef"),
    ],
)
def test_a_companion_of_another_file_that_is_there_stays(
    make: Callable[..., DeliveryRun], tmp_path: Path, rival: str
) -> None:
    """If it has only the stem in its name; one with the picture's complete name belongs to the picture."""
    delivery_run = make()
    put(delivery_run.folder.input, rival, "a.xmp", "a.aae", "a.jpg.xmp")
    delivery_run.deliver("a.jpg", NEW)
    until(lambda: below(tmp_path / "kept") == ["a.jpg", "a.jpg.xmp"], "its own companion")
    until(lambda: below(delivery_run.folder.input) == sorted([rival, "a.aae", "a.xmp"]), "what stays")


def test_a_raw_files_companion_follows_it_though_its_jpeg_is_there(
    make: Callable[..., DeliveryRun], tmp_path: Path
) -> None:
    """Raw converters write it for the raw file."""
    delivery_run = make(raw_pairs="both")
    put(delivery_run.folder.input, "a.jpg", "a.xmp")
    delivery_run.deliver("a.nef", NEW)
    until(lambda: below(tmp_path / "kept") == ["a.nef", "a.xmp"], "the raw file's companion")


@pytest.mark.parametrize(
    ("path", "companion", "name", "may"),
    [
        ("a.nef", "a.xmp", "a.jpg", False),
        ("a.nef", "a.xmp", "a.jpg.part", False),
        ("a.nef", "a.xmp", "a.mp4", True),
        ("a.nef", "a.xmp", "a.cr2", True),
        ("a.nef", "a.AAE", "a.jpg", True),
        ("a.b.jpg", "a.b.xmp", "A.B.mov", True),
        ("a.b.jpg", "a.b.xmp", "a.mov", False),
        ("a.jpg", "a.xmp", "a.b.mov", True),
        ("a.jpg", "a.xmp", "ba.mov", False),
        ("a.jpg", "a.xmp", "a", False),
        ("a.jpg", "a.xmp", "a_01.jpg", False),
        ("s/a.jpg", "s/a.xmp", ".cutoutd-removing-a.psd", True),
    ],
)
def test_the_owner_of_a_companion_is_recognised_by_names(
    path: str, companion: str, name: str, *, may: bool
) -> None:
    """In any case, and under the names that files have while they are copied."""
    assert companions.may_be_anothers(path, companion, [path.rpartition("/")[2], companion, name]) is may


@pytest.mark.parametrize(("wish", "left"), [("auto", ["a.jpg.xmp"]), ("keep", ["a.jpg.xmp"]), ("follow", [])])
def test_companions_of_deleted_originals_stay_or_are_deleted_by_setting(
    make: Callable[..., DeliveryRun], wish: str, left: list[str]
) -> None:
    """By default companions stay: they are work that exists nowhere else."""
    delivery_run = make(originals="delete", companions=wish)
    put(delivery_run.folder.input, "a.jpg.xmp")
    delivery_run.deliver("a.jpg", NEW)
    until(lambda: below(delivery_run.folder.input) == left, "the companion's fate")


def test_companions_stay_by_setting_where_originals_are_moved(
    make: Callable[..., DeliveryRun], tmp_path: Path
) -> None:
    """`keep` applies to both."""
    delivery_run = make(companions="keep")
    put(delivery_run.folder.input, "a.xmp")
    delivery_run.deliver("a.jpg", NEW)
    until(lambda: below(tmp_path / "kept") == ["a.jpg"], "the original")
    assert below(delivery_run.folder.input) == ["a.xmp"]


def test_no_companion_moves_with_an_original_that_stays(
    make: Callable[..., DeliveryRun], tmp_path: Path
) -> None:
    """Such as one that was changed after it was cut."""
    delivery_run = make()
    put(delivery_run.folder.input, "a.xmp")
    job = delivery_run.begin("a.jpg")
    cut = delivery_run.cut(job, NEW)
    (delivery_run.folder.input / "a.jpg").write_bytes(b"later")
    delivery_run.delivery.deliver(job, cut)
    delivery_run.settle()
    assert below(delivery_run.folder.input) == ["a.jpg", "a.xmp"]
    assert below(tmp_path / "kept") == []


def test_links_and_directories_are_no_companions(make: Callable[..., DeliveryRun], tmp_path: Path) -> None:
    """A link's target belongs to something else."""
    delivery_run = make(companions="follow")
    put(tmp_path, "elsewhere.xmp")
    delivery_run.folder.input.mkdir(exist_ok=True)
    (delivery_run.folder.input / "a.xmp").symlink_to(tmp_path / "elsewhere.xmp")
    (delivery_run.folder.input / "a.jpg.xmp").mkdir()
    (delivery_run.folder.input / "CaptureOne").symlink_to(tmp_path)
    delivery_run.deliver("a.jpg", NEW)
    until(lambda: below(tmp_path / "kept") == ["a.jpg"], "the original")
    assert (delivery_run.folder.input / "a.xmp").is_symlink()
    assert (tmp_path / "elsewhere.xmp").read_text() == "elsewhere.xmp"


def test_a_companion_that_is_being_written_waits_and_moves_as_it_is(
    make: Callable[..., DeliveryRun], tmp_path: Path
) -> None:
    """Its original has been moved by then; a new file at that path is another picture with its own companions."""
    delivery_run = make()
    put(delivery_run.folder.input, "a.xmp")
    with (delivery_run.folder.input / "a.xmp").open("a", encoding="utf-8") as editor:
        delivery_run.deliver("a.jpg", NEW)
        until(lambda: below(tmp_path / "kept") == ["a.jpg"], "the original")
        delivery_run.settle()
        editor.write(" and more")
    delivery_run.delivery.retry_now()
    until(lambda: below(tmp_path / "kept") == ["a.jpg", "a.xmp"], "the companion")
    assert (tmp_path / "kept/a.xmp").read_text() == "a.xmp and more"


def test_a_crash_between_original_and_companion_is_repaired(
    make: Callable[..., DeliveryRun], tmp_path: Path
) -> None:
    """The next start finds the original where it was moved, and moves the companion after it."""
    delivery_run = make()
    put(delivery_run.folder.input, "a.xmp")
    with (delivery_run.folder.input / "a.xmp").open("a", encoding="utf-8"):
        job = delivery_run.deliver("a.jpg", NEW)
        until(lambda: below(tmp_path / "kept") == ["a.jpg"], "the original")
        delivery_run.settle()
        delivery_run.end()
    again = make(run="run-2")
    (owed,) = again.journal.queue.cleanup_pending(job.folder)
    again.delivery.clean_up(owed)
    until(lambda: below(tmp_path / "kept") == ["a.jpg", "a.xmp"], "the companion")
    until(lambda: below(delivery_run.folder.input) == [], "its end in the input")


def test_a_companion_of_the_next_picture_of_that_name_is_not_taken(
    make: Callable[..., DeliveryRun], tmp_path: Path
) -> None:
    """A camera restarted its counter while the first picture's companion could not be moved."""
    delivery_run = make()
    put(delivery_run.folder.input, "a.jpg.xmp")
    with (delivery_run.folder.input / "a.jpg.xmp").open("a", encoding="utf-8"):
        delivery_run.deliver("a.jpg", NEW)
        until(lambda: below(tmp_path / "kept") == ["a.jpg"], "the original")
        delivery_run.settle()
        put(delivery_run.folder.input, "a.jpg")
    delivery_run.delivery.retry_now()
    delivery_run.settle()
    assert below(delivery_run.folder.input) == ["a.jpg", "a.jpg.xmp"]


@pytest.mark.parametrize("way", ["move", "delete"])
def test_a_companion_that_is_saved_while_it_is_checked_moves_as_it_is_then(
    make: Callable[..., DeliveryRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """A companion is never cut, so no particular version is expected."""
    delivery_run = make(originals=way, companions="follow")
    put(delivery_run.folder.input, "a.xmp")
    saved: list[str] = []

    def save_after(inputs: Tree, path: str) -> str | None:
        found = current_sha256(inputs, path)
        if not saved:
            (tmp_path / "draft").write_text("saved", encoding="utf-8")
            (tmp_path / "draft").rename(delivery_run.folder.input / "a.xmp")
            saved.append(path)
        return found

    monkeypatch.setattr(companion_files, "current_sha256", save_after)
    delivery_run.deliver("a.jpg", NEW)
    until(lambda: below(delivery_run.folder.input) == [], "its end in the input")
    assert saved == ["a.xmp"]
    if way == "move":
        assert (tmp_path / "kept/a.xmp").read_text() == "saved"


def test_a_companion_that_is_saved_again_and_again_is_left_for_later(
    make: Callable[..., DeliveryRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its original has been moved; it is tried again by itself, and nothing of it is lost."""
    delivery_run = make()
    put(delivery_run.folder.input, "a.xmp")
    saves: list[str] = []

    def save_after(inputs: Tree, path: str) -> str | None:
        found = current_sha256(inputs, path)
        saves.append(path)
        (delivery_run.folder.input / "a.xmp").write_text(str(len(saves)), encoding="utf-8")
        return found

    monkeypatch.setattr(companion_files, "current_sha256", save_after)
    delivery_run.deliver("a.jpg", NEW)
    delivery_run.settle()
    assert below(tmp_path / "kept") == ["a.jpg"]
    assert (delivery_run.folder.input / "a.xmp").read_text() == str(len(saves))
    monkeypatch.undo()
    delivery_run.delivery.retry_now()
    until(lambda: below(tmp_path / "kept") == ["a.jpg", "a.xmp"], "the companion")


@pytest.mark.parametrize("way", ["move", "delete"])
def test_a_share_that_is_away_right_after_its_original_went_keeps_no_companion_back(
    make: Callable[..., DeliveryRun], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """The daemon still knows that it moved the original."""
    delivery_run = make(originals=way, companions="follow")
    put(delivery_run.folder.input, "a.xmp")
    looks: list[str] = []
    usual = companion_files._is_there  # noqa: SLF001 -- the share answers it with an error

    def away_once(inputs: Tree, path: str) -> bool:
        looks.append(path)
        if len(looks) == 1:
            raise OSError(errno.EIO, "away")
        return usual(inputs, path)

    monkeypatch.setattr(companion_files, "_is_there", away_once)
    missed: list[int] = []
    monkeypatch.setattr(delivery_run.journal, "missed_original", lambda job: missed.append(job.id))
    delivery_run.deliver("a.jpg", NEW)
    delivery_run.settle()
    assert (len(looks), below(delivery_run.folder.input)) == (1, ["a.xmp"])
    delivery_run.delivery.retry_now()
    until(lambda: below(delivery_run.folder.input) == [], "the companion's end in the input")
    delivery_run.settle()
    assert missed == []


def test_a_deletion_that_cannot_be_synced_keeps_no_companion_back(
    make: Callable[..., DeliveryRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The original is gone in the next attempt, and it was cutoutd that deleted it."""
    delivery_run = make(originals="delete", companions="follow")
    put(delivery_run.folder.input, "a.xmp")
    usual, refused = Entry.sync_directory, list[str]()

    def refused_once(entry: Entry) -> None:
        if entry.name == "a.jpg" and not refused:
            refused.append(entry.name)
            raise OSError(errno.EIO, "away")
        usual(entry)

    monkeypatch.setattr(Entry, "sync_directory", refused_once)
    delivery_run.deliver("a.jpg", NEW)
    delivery_run.settle()
    assert (refused, below(delivery_run.folder.input)) == (["a.jpg"], ["a.xmp"])
    delivery_run.delivery.retry_now()
    delivery_run.settle()
    assert below(delivery_run.folder.input) == []


def test_names_follow_their_pictures() -> None:
    """Whichever part of the name a companion has."""
    for companion, wanted in (
        ("s/a.jpg.xmp", "s/a-2.jpg.xmp"),
        ("s/a.xmp", "s/a-2.xmp"),
        ("s/a_01.jpg.xmp", "s/a-2_01.jpg.xmp"),
        ("s/CaptureOne/S/a.jpg.cos", "s/CaptureOne/S/a-2.jpg.cos"),
    ):
        assert companions.renamed(companion, "s/a.jpg", "s/a-2.jpg") == wanted
    assert companions.renamed("CaptureOne/S/a.jpg.cos", "a.jpg", "b.jpg") == "CaptureOne/S/b.jpg.cos"
