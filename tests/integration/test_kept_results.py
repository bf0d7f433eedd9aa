"""Displaced results are kept for their own picture: if that never reappears they get a name again, and none is lost."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.fs.tree import Tree
from cutoutd.journal.displaced import DisplacedSources
from cutoutd.journal.reader import Reader
from cutoutd.journal.store import FILE_NAME
from cutoutd.publish import displaced
from cutoutd.publish.restoring import ResultRestorer
from cutoutd.publish.reviews import Reviews
from cutoutd.publish.staging import STAGING_NAME
from tests.integration.delivery_run import DeliveryRun, Power
from tests.integration.parts import NAME, digest, until
from tests.integration.test_moves_onto_names import (
    SWAP,
    claimed,
    cut,
    cutout,
    cutouts_by_name,
    follow,
    picture,
    rename,
    take,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cutoutd.jobs import Job
    from tests.conftest import FakeClock

LONG_S = 200.0
"""Longer than the time for which results are kept."""


def set_aside(delivery_run: DeliveryRun) -> Job:
    """Displace the result of `a`, kept for its picture, which is expected as `x`; `b` is now named `a`."""
    cut(delivery_run, "a", "b")
    rename(delivery_run, ("a", "x"), ("b", "a"), when="down")
    now, own = take(delivery_run, "a", "x")
    follow(delivery_run, [now])
    assert delivery_run.files() == {"a.png": cutout("b")}
    assert len(kept_files(delivery_run)) == 2
    return own


def vanish(delivery_run: DeliveryRun, job: Job) -> None:
    """Remove a picture before it was read."""
    (delivery_run.folder.input / job.path).unlink()
    delivery_run.journal.gone(job, "it vanished")


def wait(delivery_run: DeliveryRun) -> None:
    """Advance the time beyond the limit for kept results."""
    delivery_run.clock.advance(LONG_S)
    delivery_run.poke()
    delivery_run.settle()


def kept_files(delivery_run: DeliveryRun) -> list[Path]:
    """Return the files under private names."""
    return sorted((delivery_run.folder.output / displaced.DIRECTORY).glob("*"))


def sidecar(delivery_run: DeliveryRun, name: str) -> dict[str, Any]:
    """Return the sidecar of a result, checked to name that result."""
    found: dict[str, Any] = json.loads((delivery_run.folder.output / f"{name}.json").read_text())
    assert [one["path"] for one in found["outputs"]] == [name]
    return found


def lose_journal(delivery_run: DeliveryRun) -> None:
    """End a run, and remove its journal."""
    delivery_run.end()
    delivery_run.journal.close()
    for path in delivery_run.root.glob(f"{FILE_NAME}*"):
        path.unlink()


@pytest.mark.parametrize("own", ["taken", "free"])
def test_a_result_whose_picture_turns_up_nowhere_gets_a_name_again(
    make: Callable[..., DeliveryRun], own: str
) -> None:
    """Its own, or the next free one. Before, it stayed under its private name for ever."""
    delivery_run = make()
    vanish(delivery_run, set_aside(delivery_run))
    if own == "free":
        rename(delivery_run, ("a", "c"))
        follow(delivery_run, take(delivery_run, "c"))
    wait(delivery_run)
    name, others = ("a.png", {"c.png": cutout("b")}) if own == "free" else ("a-2.png", {"a.png": cutout("b")})
    assert delivery_run.files() == {name: cutout("a"), **others}
    assert sidecar(delivery_run, name)["source"]["sha256"] == digest(picture("a"))
    assert delivery_run.staged() == []
    # Its picture may still turn up, and another one does not get its name.
    (delivery_run.folder.input / "y.jpg").write_bytes(picture("a"))
    follow(delivery_run, take(delivery_run, "y"))
    assert cutouts_by_name(delivery_run) == {"y.png": cutout("a"), **others}


def test_a_result_whose_path_was_forgotten_gets_a_name_again(make: Callable[..., DeliveryRun]) -> None:
    """Before, all rows of its path were removed, and nothing led to the file any more."""
    delivery_run = make()
    vanish(delivery_run, set_aside(delivery_run))
    delivery_run.journal.history.forget(NAME, ["a.jpg"])
    wait(delivery_run)
    assert delivery_run.files() == {"a.png": cutout("b"), "a-2.png": cutout("a")}
    assert delivery_run.staged() == []
    delivery_run.journal.history.forget(NAME, ["a.jpg"])
    assert delivery_run.journal.store.row("SELECT 1 FROM output") is None


@pytest.mark.parametrize("on_conflict", ["overwrite", "skip"])
def test_a_result_that_gets_a_name_again_overwrites_nothing(
    make: Callable[..., DeliveryRun], on_conflict: str
) -> None:
    """Neither another file nor its sidecar, whatever `on_conflict` says; and it is never skipped."""
    delivery_run = make(on_conflict=on_conflict)
    vanish(delivery_run, set_aside(delivery_run))
    (delivery_run.folder.output / "a-2.png").write_bytes(b"theirs")
    (delivery_run.folder.output / "a-3.png.json").write_bytes(b"{}")
    wait(delivery_run)
    assert delivery_run.files() == {"a.png": cutout("b"), "a-2.png": b"theirs", "a-4.png": cutout("a")}
    assert (delivery_run.folder.output / "a-3.png.json").read_bytes() == b"{}"


STEPS: dict[str, tuple[Any, str]] = {
    "renamed": (ResultRestorer, "_give_name"),
    "its sidecar": (ResultRestorer, "_write_sidecar"),
    "written down": (DisplacedSources, "give_back"),
    "tidied": (ResultRestorer, "forget"),
}


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_return_that_a_crash_broke_off_is_finished(
    tmp_path: Path, clock: FakeClock, step: str, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before or after each of its steps, with and without the journal: one result under one name, with its sidecar."""
    delivery_run = DeliveryRun(tmp_path, clock)
    delivery_run.delivery.start()
    vanish(delivery_run, set_aside(delivery_run))
    owner, name = STEPS[step]
    real = getattr(owner, name)

    def dies(*given: Any, **more: Any) -> Any:  # noqa: ANN401 -- as it is
        if moment == "after":
            real(*given, **more)
        raise Power

    clock.advance(LONG_S)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, dies)
        delivery_run.poke()
        until(lambda: delivery_run.delivery.failure, "the power cut")
    delivery_run.journal.close()
    again = DeliveryRun(tmp_path, clock, run="run-2")
    again.delivery.start()
    again.delivery.sweep(frozenset({"run-1"}))
    again.settle()
    wait(again)
    assert again.files() == {"a.png": cutout("b"), "a-2.png": cutout("a")}
    assert sidecar(again, "a-2.png")["source"]["path"] == "a.jpg"
    assert again.staged() == []
    again.end()
    again.journal.close()


def test_a_result_is_kept_until_the_next_run_knows_its_pictures(tmp_path: Path, clock: FakeClock) -> None:
    """However long no daemon ran: its picture was renamed, and not read yet. Before, it was removed at once, and cut again."""
    delivery_run = DeliveryRun(tmp_path, clock)
    delivery_run.delivery.start()
    cut(delivery_run, "a", "b")
    rename(delivery_run, ("a", "x"), ("b", "a"))
    follow(delivery_run, take(delivery_run, "a"))
    assert delivery_run.files() == {"a.png": cutout("b")}
    delivery_run.journal.close()
    clock.advance(LONG_S)
    again = DeliveryRun(tmp_path, clock, run="run-2")
    again.delivery.start()
    again.delivery.sweep(frozenset({"run-1"}))
    again.settle()
    assert again.files() == {"a.png": cutout("b")}
    own = take(again, "x")
    again.delivery.expire_displaced()
    again.settle()
    follow(again, own)
    assert cutouts_by_name(again) == {"a.png": cutout("b"), "x.png": cutout("a")}
    again.end()
    again.journal.close()


def test_results_get_names_again_when_their_folder_is_removed(make: Callable[..., DeliveryRun]) -> None:
    """Nothing would look for them any more. Before, they stayed under private names in the output."""
    delivery_run = make()
    set_aside(delivery_run)
    delivery_run.delivery.stop(for_good=True)
    assert delivery_run.delivery.join(20.0)
    assert delivery_run.files() == {"a.png": cutout("b"), "a-2.png": cutout("a")}
    assert not (delivery_run.folder.output / STAGING_NAME).exists()


def test_a_result_gets_a_name_again_although_the_journal_was_lost(make: Callable[..., DeliveryRun]) -> None:
    """Its sidecar has its name. Before, the files and the staging directory stayed."""
    delivery_run = make()
    vanish(delivery_run, set_aside(delivery_run))
    lose_journal(delivery_run)
    again = make(run="run-2")
    again.poke()
    again.settle()
    wait(again)
    assert again.files() == {"a.png": cutout("b"), "a-2.png": cutout("a")}
    assert sidecar(again, "a-2.png")["source"]["sha256"] == digest(picture("a"))
    assert again.staged() == []
    assert not (again.folder.output / displaced.DIRECTORY).exists()


def test_a_result_follows_its_picture_although_the_journal_was_lost(make: Callable[..., DeliveryRun]) -> None:
    """Before, the picture was cut once more."""
    delivery_run = make()
    set_aside(delivery_run)
    lose_journal(delivery_run)
    again = make(run="run-2")
    again.poke()
    again.settle()
    follow(again, take(again, "x"))
    assert again.files() == {"a.png": cutout("b"), "x.png": cutout("a")}
    assert not (again.folder.output / displaced.DIRECTORY).exists()


def test_files_that_others_could_have_put_among_the_kept_ones_get_no_name(
    make: Callable[..., DeliveryRun],
) -> None:
    """After a lost journal, a directory in which others can write proves nothing, and nothing in it is removed."""
    delivery_run = make()
    vanish(delivery_run, set_aside(delivery_run))
    lose_journal(delivery_run)
    (delivery_run.folder.output / displaced.DIRECTORY).chmod(0o777)
    there = kept_files(delivery_run)
    again = make(run="run-2")
    again.poke()
    again.settle()
    wait(again)
    assert again.files() == {"a.png": cutout("b")}
    assert kept_files(again) == there


@pytest.mark.parametrize("broken_off", ["copied", "cleared"])
@pytest.mark.parametrize("journal", ["there", "lost"])
def test_a_result_is_there_once_if_setting_it_aside_was_broken_off(
    tmp_path: Path, clock: FakeClock, broken_off: str, journal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And if the renames were undone meanwhile: the copy is removed if the result has its name, otherwise the result gets its name back."""
    delivery_run = DeliveryRun(tmp_path, clock)
    delivery_run.delivery.start()
    cut(delivery_run, "a", "b")
    rename(delivery_run, *SWAP)
    (job, _) = take(delivery_run, "a", "b")
    owner, name = {"copied": (Reviews, "_clear"), "cleared": (DisplacedSources, "displace")}[broken_off]

    def dies(*_: Any, **__: Any) -> Any:  # noqa: ANN401 -- as it is
        raise Power

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, dies)
        delivery_run.delivery.deliver_moved(job, digest(picture("b")))
        until(lambda: delivery_run.delivery.failure, "the power cut")
    if journal == "lost":
        lose_journal(delivery_run)
    else:
        delivery_run.journal.close()
    again = DeliveryRun(tmp_path, clock, run="run-2")
    again.delivery.start()
    again.delivery.sweep(frozenset({"run-1"}))
    again.settle()
    wait(again)
    assert again.files() == {"a.png": cutout("a"), "b.png": cutout("b")}
    assert sidecar(again, "a.png")["source"]["path"] == "a.jpg"
    assert again.staged() == []
    again.end()
    again.journal.close()


@pytest.mark.parametrize("swept", [True, False])
def test_a_kept_result_follows_although_a_stranger_took_its_name_after_a_crash(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, *, swept: bool
) -> None:
    """Before, the sidecar of another file was copied over the kept one, so that the picture was cut again, and files were left over."""
    delivery_run = DeliveryRun(tmp_path, clock)
    delivery_run.delivery.start()
    cut(delivery_run, "a", "b")
    rename(delivery_run, *SWAP)
    (job, _) = take(delivery_run, "a", "b")

    def dies(*_: Any, **__: Any) -> Any:  # noqa: ANN401 -- as it is
        raise Power

    with monkeypatch.context() as patch:
        patch.setattr(DisplacedSources, "displace", dies)
        delivery_run.delivery.deliver_moved(job, digest(picture("b")))
        until(lambda: delivery_run.delivery.failure, "the power cut")
    delivery_run.journal.close()
    theirs = {name: delivery_run.folder.output / name for name in ("a.png", "a.png.json")}
    for path in theirs.values():
        path.write_bytes(b"theirs")
    again = DeliveryRun(tmp_path, clock, run="run-2")
    again.delivery.start()
    again.journal.queue.recover()
    if swept:
        again.delivery.sweep(frozenset({"run-1"}))
        again.settle()
    follow(again, claimed(again, "ab"))
    wait(again)
    assert [path.read_bytes() for path in theirs.values()] == [b"theirs", b"theirs"]
    assert sorted(again.files().values()) == [cutout("a"), cutout("b"), b"theirs"]
    assert again.files()["b.png"] == cutout("a")
    assert kept_files(again) == []
    assert {job.detail.get("moved") for job in Reader(again.journal.store).jobs()} == {None}
    again.end()
    again.journal.close()


def test_a_kept_file_without_a_record_is_not_touched(make: Callable[..., DeliveryRun]) -> None:
    """The file may be the only copy, or incomplete: it is neither removed nor published."""
    delivery_run = make()
    vanish(delivery_run, set_aside(delivery_run))
    lose_journal(delivery_run)
    result, beside = kept_files(delivery_run)
    beside.unlink()
    again = make(run="run-2")
    again.poke()
    wait(again)
    assert kept_files(again) == [result]
    assert again.files() == {"a.png": cutout("b")}


def test_a_power_cut_cannot_take_the_directory_of_kept_results(
    make: Callable[..., DeliveryRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own name and its parents' are on the disk before any result loses its name. Before, only the names in it were."""
    delivery_run = make()
    done: list[str] = []
    sync, clear = Tree.sync, Reviews._clear  # noqa: SLF001 -- watched

    def synced(tree: Tree, directory: str) -> None:
        done.append(directory)
        sync(tree, directory)

    def cleared(*given: Any, **more: Any) -> Any:  # noqa: ANN401 -- as it is
        done.append("cleared")
        return clear(*given, **more)

    cut(delivery_run, "a", "b")
    for _ in range(2):  # the directory is made anew for the second
        rename(delivery_run, *SWAP)
        jobs = take(delivery_run, "a", "b")
        done.clear()
        with monkeypatch.context() as patch:
            patch.setattr(Tree, "sync", synced)
            patch.setattr(Reviews, "_clear", cleared)
            follow(delivery_run, jobs)
        before = done[: done.index("cleared")]
        assert {displaced.DIRECTORY, STAGING_NAME, ""} <= set(before)


def test_a_private_result_stays_private_while_it_is_kept(make: Callable[..., DeliveryRun]) -> None:
    """A result that only its owner could read returns with that mode."""
    delivery_run = make()
    cut(delivery_run, "a", "b")
    (delivery_run.folder.output / "a.png").chmod(0o600)
    rename(delivery_run, ("a", "x"), ("b", "a"), when="down")
    now, own = take(delivery_run, "a", "x")
    follow(delivery_run, [now])
    vanish(delivery_run, own)
    wait(delivery_run)
    assert (delivery_run.folder.output / "a-2.png").read_bytes() == cutout("a")
    assert os.stat(delivery_run.folder.output / "a-2.png").st_mode & 0o777 == 0o600  # noqa: PTH116 -- bits
