"""Publishing on a real file system: names, conflicts, replacement, records of failures, originals."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import stat
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cutoutd.errors import StorageError
from cutoutd.fs.tree import Entry, Tree
from cutoutd.publish import originals as originals_module
from cutoutd.publish.digest import Found, examine
from cutoutd.publish.faults import NameRefusedError, ResultLostError, TargetHeldError, TargetTakenError
from cutoutd.publish.original_file import CleanupOutcome, delete_original
from cutoutd.publish.originals import OriginalsFolder
from cutoutd.publish.places import Directories
from cutoutd.publish.staging import STAGING_NAME, Staging, sweep
from cutoutd.publish.writing import Permissions, Sink, write_whole
from cutoutd.recipe import Format, Rendition
from cutoutd.settings.types import OnConflict
from tests.integration.publishing import OutputFolder, digest, failure
from tests.integration.tools import give_up

if TYPE_CHECKING:
    from collections.abc import Iterator

OLD, NEW, THEIRS = b"old cutout", b"new cutout", b"a stranger's"


@pytest.fixture
def output_folder(tmp_path: Path) -> OutputFolder:
    """A folder that avoids names of other files."""
    return OutputFolder(tmp_path)


def test_a_result_gets_its_name_and_a_sidecar_that_matches(output_folder: OutputFolder) -> None:
    """Sub-folders are mirrored, and nothing stays staged."""
    assert output_folder.publish("sub/deep/a.jpg", NEW) == ("sub/deep/a.png",)
    assert output_folder.files() == {"sub/deep/a.png": NEW}
    sidecar = output_folder.sidecar("sub/deep/a.png")
    assert sidecar["outputs"][0]["path"] == "sub/deep/a.png"
    assert sidecar["outputs"][0]["sha256"] == digest(NEW)
    assert output_folder.staged() == []
    output_folder.publisher.close()
    assert not (output_folder.output / STAGING_NAME).exists()


def test_sidecars_go_to_a_folder_of_their_own(tmp_path: Path) -> None:
    """Mirrored there too, and staged there, since it may be another file system."""
    output_folder = OutputFolder(tmp_path, sidecars=True)
    plan = output_folder.plan(output_folder.results("sub/a.jpg", [NEW]))
    assert plan.moves[-1].staged.startswith(str(output_folder.sidecars))
    output_folder.publisher.carry_out(plan)
    assert sorted(path.name for path in output_folder.output.rglob("*.*") if path.is_file()) == ["a.png"]
    assert output_folder.sidecar("sub/a.png")["outputs"][0]["sha256"] == digest(NEW)


def test_two_sources_of_one_name_get_two_results_and_two_sidecars(output_folder: OutputFolder) -> None:
    """`a.jpg` and `a.tif` and `A.JPG`, also on a file system that would confuse them."""
    names = [
        output_folder.publish(source, NEW, job=job) for job, source in enumerate(["a.jpg", "a.tif", "A.JPG"])
    ]
    assert names == [("a.png",), ("a-tif.png",), ("A-jpg.png",)]
    assert all(
        output_folder.sidecar(name)["source"]["path"] == source
        for (name,), source in zip(names, ["a.jpg", "a.tif", "A.JPG"], strict=True)
    )


def test_two_renditions_of_one_source_never_get_one_name(output_folder: OutputFolder) -> None:
    """If `a.png` belongs to another picture, the first result of `a.jpg` gets the same name that the second's suffix makes."""
    output_folder.publish("a.tif", OLD)
    publication = output_folder.results("a.jpg", (NEW, b"second"), job=2)
    renditions = (Rendition(format=Format.PNG, suffix=""), Rendition(format=Format.PNG, suffix="-jpg"))
    plan = output_folder.plan(replace(publication, renditions=renditions))
    output_folder.publisher.carry_out(plan)
    assert output_folder.files() == {"a.png": OLD, "a-jpg.png": NEW, "a-jpg-jpg.png": b"second"}


def test_a_new_version_replaces_our_own_result(output_folder: OutputFolder) -> None:
    """One name for all versions of a source."""
    output_folder.publish("a.jpg", OLD)
    assert output_folder.publish("a.jpg", NEW, job=2) == ("a.png",)
    assert output_folder.files() == {"a.png": NEW}
    assert output_folder.sidecar("a.png")["job"] == 2


def test_a_new_version_is_published_where_the_old_result_was_deleted(output_folder: OutputFolder) -> None:
    """Deleting an output does not mean that the next one is not wanted."""
    output_folder.publish("a.jpg", OLD)
    (output_folder.output / "a.png").unlink()
    assert output_folder.publish("a.jpg", NEW, job=2) == ("a.png",)
    assert output_folder.files() == {"a.png": NEW}


def test_a_result_is_known_by_its_sidecar_when_the_journal_was_lost(output_folder: OutputFolder) -> None:
    """Without any memory of earlier publications."""
    output_folder.publish("a.jpg", OLD)
    output_folder.published.clear()
    assert output_folder.publish("a.jpg", NEW, job=2) == ("a.png",)


def test_a_retouched_result_is_never_replaced(output_folder: OutputFolder) -> None:
    """Its sidecar is not replaced either; a third version replaces the result of the second."""
    output_folder.publish("a.jpg", OLD)
    before = (output_folder.output / "a.png.json").read_bytes()
    (output_folder.output / "a.png").write_bytes(THEIRS)
    assert output_folder.publish("a.jpg", NEW, job=2) == ("a-jpg.png",)
    assert output_folder.publish("a.jpg", b"newer", job=3) == ("a-jpg.png",)
    assert output_folder.files() == {"a.png": THEIRS, "a-jpg.png": b"newer"}
    assert (output_folder.output / "a.png.json").read_bytes() == before


@pytest.mark.parametrize("name", ["a.png", "a.png.json"])
def test_a_strangers_file_keeps_its_name(output_folder: OutputFolder, name: str) -> None:
    """Whether it has the name of the output or of the sidecar."""
    (output_folder.output / name).write_bytes(THEIRS)
    assert output_folder.publish("a.jpg", NEW) == ("a-jpg.png",)
    assert output_folder.files() == {name: THEIRS, "a-jpg.png": NEW}


@pytest.mark.parametrize("name", ["a.png", "a.png.json"])
def test_a_strangers_file_is_replaced_if_the_folder_says_so(tmp_path: Path, name: str) -> None:
    """`on_conflict = "overwrite"`."""
    output_folder = OutputFolder(tmp_path, on_conflict=OnConflict.OVERWRITE)
    (output_folder.output / name).write_bytes(THEIRS)
    assert output_folder.publish("a.jpg", NEW) == ("a.png",)
    assert output_folder.files() == {"a.png": NEW}


def test_another_sources_result_is_not_overwritten_even_then(tmp_path: Path) -> None:
    """The setting is about files that cutoutd has not made."""
    output_folder = OutputFolder(tmp_path, on_conflict=OnConflict.OVERWRITE)
    output_folder.publish("a.jpg", OLD)
    assert output_folder.publish("a.tif", NEW, job=2) == ("a-tif.png",)


def test_a_result_is_not_published_if_the_folder_says_skip(tmp_path: Path) -> None:
    """`on_conflict = "skip"`: with a warning, and nothing left staged."""
    output_folder = OutputFolder(tmp_path, on_conflict=OnConflict.SKIP)
    (output_folder.output / "a.png").write_bytes(THEIRS)
    plan = output_folder.plan(output_folder.results("a.jpg", [NEW]))
    output_folder.publisher.carry_out(plan)
    assert plan.published == ()
    assert "a.png" in plan.warnings[0]
    assert output_folder.files() == {"a.png": THEIRS}
    assert output_folder.staged() == []


def test_the_other_results_are_published_when_one_is_skipped(tmp_path: Path) -> None:
    """The sidecar is beside the first published one, and repeats the warning."""
    output_folder = OutputFolder(tmp_path, on_conflict=OnConflict.SKIP)
    (output_folder.output / "a.png").write_bytes(THEIRS)
    assert output_folder.publish("a.jpg", OLD, NEW) == ("a_1.png",)
    assert output_folder.files() == {"a.png": THEIRS, "a_1.png": NEW}
    assert "a.png" in output_folder.sidecar("a_1.png")["warnings"][0]
    assert output_folder.staged() == []


@pytest.mark.parametrize("on_conflict", [OnConflict.SUFFIX, OnConflict.OVERWRITE])
@pytest.mark.parametrize("kind", ["directory", "fifo", "link", "dangling link"])
def test_an_entry_that_is_no_file_is_not_touched(tmp_path: Path, kind: str, on_conflict: OnConflict) -> None:
    """A FIFO does not block, and nothing is written through a link."""
    output_folder = OutputFolder(tmp_path, on_conflict=on_conflict)
    taken, precious = output_folder.output / "a.png", tmp_path / "precious"
    precious.write_bytes(THEIRS)
    match kind:
        case "directory":
            taken.mkdir()
        case "fifo":
            os.mkfifo(taken)
        case "link":
            taken.symlink_to(precious)
        case _:
            taken.symlink_to("nowhere")
    assert output_folder.publish("a.jpg", NEW) == ("a-jpg.png",)
    assert precious.read_bytes() == THEIRS
    assert os.path.lexists(taken)


def test_a_doubtful_result_is_in_review_with_its_overlay(output_folder: OutputFolder) -> None:
    """The good result of an earlier version stays."""
    output_folder.publish("sub/a.jpg", OLD)
    plan = output_folder.plan(
        output_folder.results("sub/a.jpg", [NEW, b"overlay"], job=2, review=True, overlay=True)
    )
    output_folder.publisher.carry_out(plan)
    assert [one.path for one in plan.published] == ["review/sub/a.png", "review/sub/a-overlay.png"]
    assert output_folder.files() == {
        "sub/a.png": OLD,
        "review/sub/a.png": NEW,
        "review/sub/a-overlay.png": b"overlay",
    }
    assert len(output_folder.sidecar("review/sub/a.png")["outputs"]) == 2


def test_two_folders_with_one_output_do_not_meet(tmp_path: Path) -> None:
    """Not even if one of them reaches it through a link."""
    output_folder = OutputFolder(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "out").symlink_to(output_folder.output)
    other = OutputFolder(tmp_path / "other", run="run-2")
    other.ledger = output_folder.ledger
    first = output_folder.plan(output_folder.results("a.jpg", [OLD]))
    second = other.plan(other.results("A.tif", [NEW]))
    assert not {*first.claims} & {*second.claims}
    assert [one.path for one in second.published] == ["A-tif.png"]


@pytest.mark.parametrize(
    "raw",
    [
        b"two words.jpg",
        "🙂.jpg".encode(),
        b"new\nline.jpg",
        b"caf\xe9.jpg",
        b"x" * 251 + b".jpg",
        b"a.",
        b"-rf",
    ],
)
def test_any_name_is_published_with_a_valid_sidecar(output_folder: OutputFolder, raw: bytes) -> None:
    """Spaces, emoji, newlines, bytes that are not text, 255 bytes."""
    source = os.fsdecode(raw)
    (output,) = output_folder.publish(source, NEW)
    assert (output_folder.output / output).read_bytes() == NEW
    (sidecar,) = output_folder.everything().keys() - {output}
    assert json.loads((output_folder.output / sidecar).read_bytes())["outputs"][0]["sha256"] == digest(NEW)
    assert output_folder.publish(source, b"newer", job=2) == (output,)
    assert output_folder.everything().keys() == {output, sidecar}


def test_a_file_that_appears_in_between_causes_another_plan(output_folder: OutputFolder) -> None:
    """Results that have their names keep them; nothing is published twice."""
    publication = output_folder.results("a.jpg", [OLD, NEW])
    plan = output_folder.plan(publication)
    (output_folder.output / "a_1.png").write_bytes(THEIRS)
    with pytest.raises(TargetTakenError):
        output_folder.publisher.carry_out(plan)
    plan = output_folder.plan(publication)
    output_folder.publisher.carry_out(plan)
    assert output_folder.files() == {"a.png": OLD, "a_1.png": THEIRS, "a-jpg_1.png": NEW}
    assert [one["path"] for one in output_folder.sidecar("a.png")["outputs"]] == ["a.png", "a-jpg_1.png"]
    assert output_folder.staged() == []


def test_a_result_retouched_in_between_is_not_replaced(output_folder: OutputFolder) -> None:
    """Its hash is checked again right before the rename."""
    output_folder.publish("a.jpg", OLD)
    publication = output_folder.results("a.jpg", [NEW], job=2)
    plan = output_folder.plan(publication)
    (output_folder.output / "a.png").write_bytes(THEIRS)
    with pytest.raises(TargetTakenError):
        output_folder.publisher.carry_out(plan)
    output_folder.publisher.carry_out(output_folder.plan(publication))
    assert output_folder.files() == {"a.png": THEIRS, "a-jpg.png": NEW}


def test_a_sidecars_name_taken_in_between_does_not_publish_twice(output_folder: OutputFolder) -> None:
    """The result stays, and the job's warnings say that its sidecar is missing."""
    publication = output_folder.results("a.jpg", [NEW])
    plan = output_folder.plan(publication)
    (output_folder.output / "a.png.json").write_bytes(THEIRS)
    with pytest.raises(TargetTakenError):
        output_folder.publisher.carry_out(plan)
    plan = output_folder.plan(publication)
    output_folder.publisher.carry_out(plan)
    assert output_folder.everything() == {"a.png": NEW, "a.png.json": THEIRS}
    assert "sidecar" in plan.warnings[0]
    output_folder.publisher.discard(1)
    assert output_folder.staged() == []


def test_a_result_deleted_in_between_is_published_all_the_same(output_folder: OutputFolder) -> None:
    """The name is free then."""
    output_folder.publish("a.jpg", OLD)
    plan = output_folder.plan(output_folder.results("a.jpg", [NEW], job=2))
    (output_folder.output / "a.png").unlink()
    output_folder.publisher.carry_out(plan)
    assert output_folder.files() == {"a.png": NEW}


def test_the_same_bytes_once_more_leave_one_result(output_folder: OutputFolder) -> None:
    """`cutoutd retry` of an unchanged picture."""
    output_folder.publish("a.jpg", NEW)
    assert output_folder.publish("a.jpg", NEW, job=2) == ("a.png",)
    assert output_folder.files() == {"a.png": NEW}
    assert output_folder.sidecar("a.png")["job"] == 2
    assert output_folder.staged() == []


def test_a_staged_result_that_is_gone_or_torn_is_not_planned(output_folder: OutputFolder) -> None:
    """The result is computed again instead."""
    publication = output_folder.results("a.jpg", [NEW])
    staged = output_folder.publisher.staging.path("1-0.png")
    for spoil in (lambda: staged.write_bytes(NEW[:-1]), staged.unlink):
        spoil()
        with pytest.raises(ResultLostError):
            output_folder.plan(publication)


def test_a_result_that_is_lost_after_planning_is_reported(output_folder: OutputFolder) -> None:
    """The file is neither staged nor under its name."""
    plan = output_folder.plan(output_folder.results("a.jpg", [NEW]))
    output_folder.publisher.discard(1)
    with pytest.raises(ResultLostError):
        output_folder.publisher.carry_out(plan)


def test_an_output_folder_that_is_not_there_is_not_made(output_folder: OutputFolder) -> None:
    """The output may be a share that is not mounted: the disk below must not fill up."""
    plan = output_folder.plan(output_folder.results("a.jpg", [NEW]))
    shutil.rmtree(output_folder.output)
    with pytest.raises(StorageError, match="output folder"):
        output_folder.publisher.carry_out(plan)
    with pytest.raises(StorageError):
        output_folder.publisher.open()
    assert not output_folder.output.exists()


def test_a_file_in_place_of_a_sub_folder_is_reported(output_folder: OutputFolder) -> None:
    """With the advice to remove it; work goes on when it is gone."""
    plan = output_folder.plan(output_folder.results("sub/a.jpg", [NEW]))
    (output_folder.output / "sub").write_bytes(THEIRS)
    with pytest.raises(NameRefusedError, match="sub-folder"):
        output_folder.publisher.carry_out(plan)
    (output_folder.output / "sub").unlink()
    output_folder.publisher.carry_out(plan)
    assert output_folder.files() == {"sub/a.png": NEW}


def test_results_belong_to_whom_the_folder_says(tmp_path: Path) -> None:
    """Default: everybody whom the umask allows; never the 0600 of a temporary file."""
    umask = os.umask(0o022)
    try:
        plain = OutputFolder(tmp_path / "plain")
        plain.publish("a.jpg", NEW)
    finally:
        os.umask(umask)
    assert stat.S_IMODE((plain.output / "a.png").stat().st_mode) == 0o644
    group = os.getgid()
    shared = OutputFolder(tmp_path / "shared", permissions=Permissions(mode=0o660, group=group))
    shared.publish("a.jpg", NEW)
    sidecar = (shared.output / "a.png.json").stat()
    assert (stat.S_IMODE(sidecar.st_mode), sidecar.st_gid) == (0o660, group)
    assert stat.S_IMODE(shared.publisher.staging.directory.stat().st_mode) == 0o700


def test_a_failure_leaves_a_record_until_it_is_over(output_folder: OutputFolder) -> None:
    """A later one replaces it; clearing it twice does no harm."""
    failures = output_folder.publisher.failures
    assert failures.publish(failure("sub/a.jpg")) == "failed/sub/a.jpg.error.json"
    assert failures.publish(failure("sub/a.jpg", "no picture")) == "failed/sub/a.jpg.error.json"
    ((name, content),) = output_folder.everything().items()
    assert (name, json.loads(content)["cause"]) == ("failed/sub/a.jpg.error.json", "no picture")
    assert (failures.clear("sub/a.jpg"), failures.clear("sub/a.jpg")) == (True, False)
    assert output_folder.everything() == {}
    assert output_folder.staged() == []


def test_a_record_spares_files_that_are_not_its_own(output_folder: OutputFolder) -> None:
    """The record gets a further name, or is refused if all are in use."""
    target = output_folder.output / "failed" / "a.jpg.error.json"
    target.parent.mkdir()
    target.write_bytes(THEIRS)
    failures = output_folder.publisher.failures
    own = failures.publish(failure("a.jpg"))
    assert own.startswith("failed/a.jpg~")
    assert failures.publish(failure("a.jpg")) == own
    assert failures.clear("a.jpg")
    (output_folder.output / own).write_bytes(THEIRS)
    last = failures.publish(failure("a.jpg"))
    assert failures.clear("a.jpg")
    (output_folder.output / last).write_bytes(THEIRS)
    with pytest.raises(NameRefusedError, match="all of them"):
        failures.publish(failure("a.jpg"))
    assert not failures.clear("a.jpg")
    assert output_folder.everything() == {"failed/a.jpg.error.json": THEIRS, own: THEIRS, last: THEIRS}
    assert output_folder.staged() == []


@pytest.mark.parametrize("name", ["a.png", "a.png.json"])
def test_a_result_that_a_file_server_has_a_lease_on_is_waited_for(
    output_folder: OutputFolder, name: str
) -> None:
    """The client is asked to give the lease back, and has 45 s for that; the picture does not fail."""
    output_folder.publish("a.jpg", b"old")
    with (output_folder.output / name).open("rb") as file:
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        try:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        except OSError:
            give_up("this file system has no leases")
        with pytest.raises(TargetHeldError, match="lease"):
            output_folder.publish("a.jpg", b"new", job=2)
    output_folder.publish("a.jpg", b"new", job=3)
    assert output_folder.files() == {"a.png": b"new"}


def test_a_sweep_takes_only_what_dead_runs_left(tmp_path: Path) -> None:
    """A living run, on this machine or another, keeps all of its files."""
    dead, alive = Staging(tmp_path, "dead"), Staging(tmp_path, "alive")
    for staging in (dead, alive):
        staging.open()
        for name in ("1-0.png", "2-0.png", "2.json"):
            staging.write(name, NEW)
    removed = sweep(tmp_path, is_dead=lambda run: run == "dead")
    assert [path.name for path in removed] == ["1-0.png", "2-0.png", "2.json"]
    assert not dead.directory.exists()
    assert len(list(alive.directory.iterdir())) == 3
    sweep(tmp_path, is_dead=lambda _: True)
    assert list(tmp_path.iterdir()) == []
    assert sweep(tmp_path, is_dead=lambda _: True) == ()


def test_discarding_one_job_keeps_those_with_a_longer_number(tmp_path: Path) -> None:
    """1 is not 11."""
    staging = Staging(tmp_path, "run")
    staging.open()
    for name in ("1-0.png", "1-1.png", "1.json", "11-0.png", "11.json"):
        staging.write(name, NEW)
    staging.discard(1)
    assert sorted(path.name for path in staging.directory.iterdir()) == ["11-0.png", "11.json"]


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """One that succeeds returns the size and hash of its file, over any leftover."""

    def fail(sink: Sink) -> None:
        sink.write(b"half")
        raise MemoryError

    path = tmp_path / "1-0.png"
    with pytest.raises(MemoryError):
        write_whole(Entry.at(path), fail)
    assert not path.exists()
    path.write_bytes(b"leftover of a dead worker")
    written = write_whole(
        Entry.at(path),
        lambda sink: [sink.write(part) for part in (b"ne", bytearray(b"w "), memoryview(b"cutout"))],
    )
    assert (written.bytes, written.sha256) == (len(NEW), digest(NEW))
    assert path.read_bytes() == NEW


def test_sub_folders_are_synced_up_to_their_folder_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After they are removed and created again, they are synced again; the folder itself is never created."""
    synced: list[str] = []
    monkeypatch.setattr(Tree, "sync", lambda _tree, directory: synced.append(directory))
    directories, tree = Directories(), Tree(tmp_path)
    for expected in (["a/b", "a", ""], ["a/b"]):
        directories.make(tree, "a/b")
        directories.sync([(tree, "a/b"), (tree, "a/b")])
        assert synced == expected
        synced.clear()
    shutil.rmtree(tmp_path / "a")
    directories.make(tree, "a/b")
    directories.sync([(tree, "a/b")])
    assert synced == ["a/b", "a", ""]
    with pytest.raises(FileNotFoundError):
        directories.make(Tree(tmp_path / "gone"), "a")


def _original(tmp_path: Path, content: bytes = NEW) -> Path:
    """Write an original; return its path."""
    source = tmp_path / "in" / "sub" / "a.tif"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_bytes(content)
    return source


def test_an_original_is_deleted_only_if_it_is_what_was_cut(tmp_path: Path) -> None:
    """A newer version that arrived meanwhile waits for its own turn."""
    source, inputs = _original(tmp_path, THEIRS), Tree(tmp_path / "in")
    assert delete_original(inputs, "sub/a.tif", digest(NEW)).outcome is CleanupOutcome.CHANGED
    assert source.read_bytes() == THEIRS
    assert delete_original(inputs, "sub/a.tif", digest(THEIRS)).outcome is CleanupOutcome.DELETED
    assert not source.exists()
    assert delete_original(inputs, "sub/a.tif", digest(THEIRS)).outcome is CleanupOutcome.GONE


@pytest.fixture(params=["same file system", "another"])
def originals(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder for originals, on the same file system and on another."""
    where = tmp_path
    if request.param == "another":
        where = Path("/dev/shm")  # noqa: S108 - a file system of its own on Linux
        if not os.access(where, os.W_OK) or where.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("there is no second file system to write to")
    directory = where / f"cutoutd-originals-{os.getpid()}"
    directory.mkdir()
    yield directory
    shutil.rmtree(directory)


def test_originals_are_moved_without_replacing_any(tmp_path: Path, originals: Path) -> None:
    """Mirrored, with their time, and under the next name if theirs is taken."""
    put_away = OriginalsFolder(originals, "run")
    for number, content in enumerate((OLD, NEW)):
        source = _original(tmp_path, content)
        os.utime(source, ns=(1, 10**18 + number))
        result = put_away.move(Tree(tmp_path / "in"), "sub/a.tif", digest(content), job=number)
        assert result.outcome is CleanupOutcome.MOVED
        assert not source.exists()
    assert (originals / "sub" / "a.tif").read_bytes() == OLD
    assert (originals / "sub" / "a-2.tif").read_bytes() == NEW
    assert (originals / "sub" / "a-2.tif").stat().st_mtime_ns == 10**18 + 1
    put_away.sweep(frozenset({"run"}))
    assert [path.name for path in originals.iterdir()] == ["sub"]


def test_an_original_moved_before_a_crash_is_not_moved_twice(tmp_path: Path, originals: Path) -> None:
    """The copy is there, and the source was not removed yet."""
    source = _original(tmp_path)
    (originals / "sub").mkdir()
    (originals / "sub" / "a.tif").write_bytes(NEW)
    result = OriginalsFolder(originals, "run").move(Tree(tmp_path / "in"), "sub/a.tif", digest(NEW), job=1)
    assert (result.outcome, result.to) == (CleanupOutcome.MOVED, originals / "sub" / "a.tif")
    assert not source.exists()
    assert len(list((originals / "sub").iterdir())) == 1


def test_a_file_that_stands_for_an_original_is_on_the_disk_first(
    tmp_path: Path, originals: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program may have copied it there a moment ago: a power failure must not leave an empty one alone."""
    source = _original(tmp_path)
    (originals / "sub").mkdir()
    (copy := originals / "sub" / "a.tif").write_bytes(NEW)
    synced: list[tuple[int, bool]] = []

    def watch(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_ino, source.exists()))

    monkeypatch.setattr(originals_module, "sync", watch)
    OriginalsFolder(originals, "run").move(Tree(tmp_path / "in"), "sub/a.tif", digest(NEW), job=1)
    assert synced == [(copy.stat().st_ino, True)]


def test_an_original_is_not_compared_with_all_others_of_its_name_again(
    tmp_path: Path, originals: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A camera may give every picture the same name, and raw files the same size; each would cost more than the one before."""
    read: list[str] = []

    def watch(entry: Entry) -> Found | None:
        found = examine(entry)
        if found is not None:
            read.append(entry.name)
        return found

    monkeypatch.setattr(originals_module, "examine", watch)
    put_away = OriginalsFolder(originals, "run")
    for number in range(10):
        for content in (b"%d" % number, b"x" * (number + 10)):
            _original(tmp_path, content)
            result = put_away.move(Tree(tmp_path / "in"), "sub/a.tif", digest(content), job=number)
            assert result.outcome is CleanupOutcome.MOVED
    assert len({path.read_bytes() for path in (originals / "sub").iterdir()}) == 20
    assert len(read) == len(set(read)) == 9
    (originals / "sub" / "a.tif").write_bytes(b"7")
    _original(tmp_path, b"7")
    assert (
        put_away.move(Tree(tmp_path / "in"), "sub/a.tif", digest(b"7"), job=1).to
        == originals / "sub" / "a.tif"
    )


def test_an_original_has_its_new_name_on_the_disk_before_it_loses_the_old(
    tmp_path: Path, originals: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power failure at any moment leaves at least one of the names."""
    source = _original(tmp_path)
    synced: list[tuple[Path, bool]] = []

    def watch(directory: Path) -> None:
        synced.append((directory, source.exists()))

    monkeypatch.setattr(Tree, "sync", lambda tree, directory: watch(tree.root / directory))
    monkeypatch.setattr(Entry, "sync_directory", lambda entry: watch(entry.path.parent))
    OriginalsFolder(originals, "run").move(Tree(tmp_path / "in"), "sub/a.tif", digest(NEW), job=1)
    assert synced == [(originals / "sub", True), (originals, True), (source.parent, False)]


def test_a_copy_of_an_original_that_a_run_died_over_is_swept(tmp_path: Path, originals: Path) -> None:
    """The copy is in a staging directory of the folder for originals."""
    del tmp_path
    staging = Staging(originals, "dead")
    staging.open()
    staging.write("1.original", NEW)
    swept = OriginalsFolder(originals, "run").sweep(frozenset({"dead"}))
    assert [path.name for path in swept] == ["1.original"]
    assert list(originals.iterdir()) == []


def test_a_sidecar_elsewhere_is_named_after_its_results_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder of its own it could otherwise outlive them in a power failure."""
    output_folder = OutputFolder(tmp_path, sidecars=True)
    plan = output_folder.plan(output_folder.results("a.jpg", [NEW]))
    synced: list[tuple[Path, bool]] = []
    monkeypatch.setattr(
        Tree,
        "sync",
        lambda tree, below: synced.append(
            (tree.root / below, (output_folder.sidecars / "a.png.json").exists())
        ),
    )
    output_folder.publisher.carry_out(plan)
    assert synced == [(output_folder.output, False), (output_folder.sidecars, True)]


def test_an_original_that_changed_is_not_moved(tmp_path: Path, originals: Path) -> None:
    """The changed file waits to be cut itself."""
    source = _original(tmp_path, THEIRS)
    result = OriginalsFolder(originals, "run").move(Tree(tmp_path / "in"), "sub/a.tif", digest(NEW), job=1)
    assert result.outcome is CleanupOutcome.CHANGED
    assert source.read_bytes() == THEIRS
    assert list(originals.iterdir()) == []
