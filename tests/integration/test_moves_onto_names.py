"""Pictures that are renamed onto names in use: swapped, renumbered, or moved over another. None is cut again."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.jobs import Job, JobState, Version
from cutoutd.journal.commands import ReviewDecision
from cutoutd.journal.displaced import DisplacedSources
from cutoutd.publish import displaced
from cutoutd.publish.publisher import Publisher
from cutoutd.publish.reviews import Reviews
from tests.integration.desk import Desk, Power
from tests.integration.parts import JPEG, NAME, digest, until
from tests.integration.test_moves import states_shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.conftest import FakeClock


def picture(name: str) -> bytes:
    """Return the bytes of a picture, unique by its name, all of one size."""
    return JPEG + name.encode()


def cutout(name: str) -> bytes:
    """Return the cutout of the picture that had this name at first."""
    return b"cutout of " + name.encode()


def cut(desk: Desk, *names: str) -> None:
    """Cut pictures under these names."""
    for name in names:
        desk.deliver(f"{name}.jpg", cutout(name), source=picture(name))


def rename(desk: Desk, *pairs: tuple[str, str], when: str = "running") -> None:
    """Rename pictures one after the other, while the daemon watches or does not run."""
    root = desk.folder.input
    for before, after in pairs:
        (root / f"{before}.jpg").rename(root / f"{after}.jpg")
    known = {f"{name}.jpg" for pair in pairs for name in pair}
    gone = {name for name in known if desk.journal.sources.has(NAME, name)}
    # What took a picture's place while nobody looked is another file; while the daemon looks it is a quick save.
    gone = gone if when == "down" else {name for name in gone if not (root / name).exists()}
    desk.journal.sources.note_places(NAME, dict.fromkeys(gone, desk.clock.now_us()))


def take(desk: Desk, *names: str) -> list[Job]:
    """Accept the pictures under these names together, in this order for workers."""
    desk.journal.sources.accept(NAME, [version_of(desk, name) for name in names])
    return claimed(desk, names)


def version_of(desk: Desk, name: str) -> Version:
    """Return a picture as the monitor sees it."""
    status = (desk.folder.input / f"{name}.jpg").stat()
    return Version(path=f"{name}.jpg", size=status.st_size, mtime_ns=status.st_mtime_ns)


def claimed(desk: Desk, names: Sequence[str]) -> list[Job]:
    """Claim the queued jobs of pictures."""
    found: dict[str, Job] = {}
    while job := desk.journal.queue.next_in(NAME, newest_first=False):
        desk.journal.queue.claim(job)
        found[job.path] = job
    return [found[f"{name}.jpg"] for name in names if f"{name}.jpg" in found]


def follow(desk: Desk, jobs: Sequence[Job]) -> None:
    """Report as a worker that recognises the bytes; an unknown picture is cut."""
    for job in jobs:
        sha256 = digest((desk.folder.input / job.path).read_bytes())
        assert sha256 in desk.journal.moves.candidates(job).sha256s
        desk.delivery.deliver_moved(job, sha256)
    desk.settle()


def cutouts_by_name(desk: Desk) -> dict[str, bytes]:
    """Return the cutouts by name, and check that nothing displaced is left."""
    assert not (desk.folder.output / displaced.DIRECTORY).exists()
    assert desk.staged() == []
    for path in desk.folder.output.glob("*.png"):
        document = json.loads(path.with_name(f"{path.name}.json").read_text())
        assert [one["path"] for one in document["outputs"]] == [path.name]
        assert all(one["width"] > 0 for one in document["outputs"])
        there = (desk.folder.input / document["source"]["path"]).read_bytes()
        assert document["source"]["sha256"] == digest(there)
    return desk.files()


SWAP = (("a", "x"), ("b", "a"), ("x", "b"))
SHIFT = (("n3", "n4"), ("n2", "n3"), ("n1", "n2"), ("n0", "n1"))


@pytest.mark.parametrize("when", ["running", "down"])
@pytest.mark.parametrize("order", ["ab", "ba"])
def test_two_pictures_that_swap_their_names_swap_their_results(
    make: Callable[..., Desk], order: str, when: str
) -> None:
    """Whichever a worker reads first. Before, both were cut again."""
    desk = make()
    cut(desk, "a", "b")
    rename(desk, *SWAP, when=when)
    follow(desk, take(desk, *order))
    assert cutouts_by_name(desk) == {"a.png": cutout("b"), "b.png": cutout("a")}
    assert states_shown(desk) == {"a.jpg": JobState.DONE, "b.jpg": JobState.DONE}
    rename(desk, *SWAP, when="running" if when == "down" else "down")
    follow(desk, take(desk, *order))
    assert cutouts_by_name(desk) == {"a.png": cutout("a"), "b.png": cutout("b")}


@pytest.mark.parametrize("when", ["running", "down"])
@pytest.mark.parametrize("first", ["last", "first"])
def test_the_results_of_renumbered_pictures_follow(make: Callable[..., Desk], first: str, when: str) -> None:
    """Each gets its new name before its neighbour. Before, all were cut again, and the first result stayed."""
    desk = make()
    cut(desk, "n0", "n1", "n2", "n3")
    rename(desk, *SHIFT, when=when)
    names = ["n1", "n2", "n3", "n4"]
    follow(desk, take(desk, *(names if first == "first" else reversed(names))))
    assert cutouts_by_name(desk) == {f"n{number + 1}.png": cutout(f"n{number}") for number in range(4)}
    back = tuple((after, before) for before, after in reversed(SHIFT))
    rename(desk, *back, when=when)
    names = ["n0", "n1", "n2", "n3"]
    follow(desk, take(desk, *(names if first == "first" else reversed(names))))
    assert cutouts_by_name(desk) == {f"{name}.png": cutout(name) for name in names}


def test_three_renditions_follow_in_a_circle(make: Callable[..., Desk]) -> None:
    """Three pictures, each renamed to its neighbour's name."""
    desk = make(rendition=[{}, {"suffix": "_2"}, {"suffix": "_3"}])
    for name in "abc":
        job = desk.begin(f"{name}.jpg", picture(name))
        outputs = [cutout(name) + end for end in (b"", b"2", b"3")]
        desk.delivery.deliver(job, desk.cut(job, *outputs, source=picture(name)))
        desk.settle()
    rename(desk, ("a", "x"), ("c", "a"), ("b", "c"), ("x", "b"))
    follow(desk, take(desk, "a", "b", "c"))
    before = {"a": "c", "b": "a", "c": "b"}
    assert desk.files() == {
        f"{name}{end}.png": cutout(before[name]) + end[1:].encode()
        for name in "abc"
        for end in ("", "_2", "_3")
    }


def test_a_picture_that_is_moved_over_another_takes_the_place_of_its_result(
    make: Callable[..., Desk], clock: FakeClock
) -> None:
    """It is a later version at that path. Before, it was cut, and its former result stayed as well."""
    desk = make()
    cut(desk, "a", "b")
    rename(desk, ("a", "b"))
    follow(desk, take(desk, "b"))
    assert desk.files() == {"b.png": cutout("a")}
    clock.advance(100.0)
    desk.poke()
    desk.settle()
    assert cutouts_by_name(desk) == {"b.png": cutout("a")}
    assert states_shown(desk) == {"b.jpg": JobState.DONE}


def test_a_picture_moved_over_another_between_runs_leaves_its_result(
    make: Callable[..., Desk],
) -> None:
    """It cannot be distinguished from one that was removed before: the result of a removed picture stays."""
    desk = make()
    cut(desk, "a", "b")
    rename(desk, ("a", "b"), when="down")
    follow(desk, take(desk, "b"))
    assert desk.files() == {"b.png": cutout("b"), "b-2.png": cutout("a")}


@pytest.mark.parametrize("when", ["running", "down"])
def test_a_retouched_result_is_never_given_to_another_picture(make: Callable[..., Desk], when: str) -> None:
    """The file keeps its name.

    The other picture's result gets the next one, and the retouched one's picture is cut.
    """
    desk = make()
    cut(desk, "a", "b")
    (desk.folder.output / "a.png").write_bytes(b"retouched")
    rename(desk, *SWAP, when=when)
    jobs = take(desk, "a", "b")
    follow(desk, jobs[:1])
    desk.delivery.deliver_moved(jobs[1], digest(picture("a")))
    desk.settle()
    assert desk.job(jobs[1]).detail == {"moved": False}
    name = "a-2.png" if when == "down" else "a-jpg.png"
    assert desk.files() == {"a.png": b"retouched", name: cutout("b")}


@pytest.mark.parametrize("when", ["running", "down"])
def test_results_that_are_to_stay_belong_to_the_pictures_that_were_swapped(
    make: Callable[..., Desk], when: str
) -> None:
    """`moves = "keep"`: nothing is renamed, and nothing is cut."""
    desk = make(moves="keep")
    cut(desk, "a", "b")
    rename(desk, *SWAP, when=when)
    jobs = take(desk, "a", "b")
    follow(desk, jobs)
    assert desk.files() == {"a.png": cutout("a"), "b.png": cutout("b")}
    for job, name in zip(jobs, ("b.png", "a.png"), strict=True):
        now = desk.job(job)
        assert now.detail["outputs"] == [str(desk.folder.output / name)]
        assert [one.path for one in desk.journal.reservations.earlier(NAME, now.path, now.generation)] == [
            name
        ]
        assert now.state is JobState.UNCHANGED


@pytest.mark.parametrize("when", ["running", "down"])
def test_a_result_that_is_to_stay_gets_another_name_if_its_own_was_taken(
    make: Callable[..., Desk], when: str
) -> None:
    """`moves = "keep"`, `mv a b; cp new a`, and the new one is cut first. Before, the result was hidden for ever."""
    desk = make(moves="keep")
    cut(desk, "a")
    (desk.folder.input / "a.jpg").rename(desk.folder.input / "b.jpg")
    if when == "down":
        desk.journal.sources.note_places(NAME, {"a.jpg": desk.clock.now_us()})
    (desk.folder.input / "a.jpg").write_bytes(picture("new"))
    new, old = take(desk, "a", "b")
    desk.delivery.deliver(new, desk.cut(new, cutout("new"), source=picture("new")))
    desk.settle()
    follow(desk, [old])
    if when == "running":
        assert cutouts_by_name(desk) == {"a.png": cutout("new"), "b.png": cutout("a")}
    else:
        assert desk.files() == {"a.png": cutout("a"), "a-2.png": cutout("new")}
    assert desk.staged() == []
    (name,) = (path for path, content in desk.files().items() if content == cutout("a"))
    assert desk.job(old).detail["outputs"] == [str(desk.folder.output / name)]


def test_a_copy_whose_original_is_still_there_is_cut(make: Callable[..., Desk]) -> None:
    """With its time, as `cp -p` makes it: the original keeps its result."""
    desk = make()
    cut(desk, "a")
    source, copy = desk.folder.input / "a.jpg", desk.folder.input / "b.jpg"
    copy.write_bytes(source.read_bytes())
    os.utime(copy, ns=(source.stat().st_atime_ns, source.stat().st_mtime_ns))
    (job,) = take(desk, "b")
    follow(desk, [job])
    assert desk.job(job).detail == {"moved": False}
    assert cutouts_by_name(desk) == {"a.png": cutout("a")}


def test_a_result_follows_a_picture_whose_name_another_took_at_once(make: Callable[..., Desk]) -> None:
    """`mv a b; cp new a` without a scan in between: the new one is cut first, and the earlier result still follows."""
    desk = make()
    cut(desk, "a")
    (desk.folder.input / "a.jpg").rename(desk.folder.input / "b.jpg")
    (desk.folder.input / "a.jpg").write_bytes(picture("new"))
    new, old = take(desk, "a", "b")
    desk.delivery.deliver(new, desk.cut(new, cutout("new"), source=picture("new")))
    desk.settle()
    follow(desk, [old])
    assert cutouts_by_name(desk) == {"a.png": cutout("new"), "b.png": cutout("a")}


@pytest.mark.parametrize("run", ["the same", "the next"])
@pytest.mark.parametrize("moves", ["follow", "keep"])
def test_a_picture_that_is_back_before_it_was_missed_has_its_result(
    make: Callable[..., Desk], run: str, moves: str
) -> None:
    """`mv a b; mv b a` without a scan in between. Before, `a` counted as done for ever, and its result as nobody's."""
    desk = make(moves=moves)
    cut(desk, "a")
    version = version_of(desk, "a")
    (desk.folder.input / "a.jpg").rename(desk.folder.input / "b.jpg")
    follow(desk, take(desk, "b"))
    (desk.folder.input / "b.jpg").rename(desk.folder.input / "a.jpg")
    if run == "the next":
        desk.end()
        desk.journal.close()
        desk = make(run="run-2", moves=moves)
    assert not desk.journal.sources.is_known(NAME, version)
    follow(desk, take(desk, "a"))
    result = "a.png"
    assert desk.files() == {result: cutout("a")}
    assert states_shown(desk)["a.jpg"] in (JobState.DONE, JobState.UNCHANGED)


@pytest.mark.parametrize("asked", range(1, 5))
def test_a_result_that_is_displaced_while_it_is_looked_for_is_found(
    make: Callable[..., Desk], asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each of the queries about it: the main loop makes them while the delivery works. Before, it was cut again."""
    desk = make()
    cut(desk, "a", "b")
    rename(desk, *SWAP)
    first, second = take(desk, "a", "b")
    rows, left = desk.journal.store.rows, asked

    def rows_and_then(*given: Any, **more: Any) -> Any:  # noqa: ANN401 -- as it is
        nonlocal left
        found, left = rows(*given, **more), left - 1
        if left == 0:
            follow(desk, [first])
        return found

    with monkeypatch.context() as patch:
        patch.setattr(desk.journal.store, "rows", rows_and_then)
        candidates = desk.journal.moves.candidates(second)
    assert digest(picture("a")) in candidates.sha256s
    follow(desk, [second])
    assert cutouts_by_name(desk) == {"a.png": cutout("b"), "b.png": cutout("a")}


STEPS: dict[str, tuple[Any, str]] = {
    "copied": (displaced, "_copy"),
    "cleared": (Reviews, "_clear"),
    "written down": (DisplacedSources, "displace"),
    "published": (Publisher, "carry_out"),
}


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_swap_that_a_crash_broke_off_is_finished(
    tmp_path: Path, clock: FakeClock, step: str, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before or after each of its steps: nothing is lost, and nothing is cut again."""
    desk = Desk(tmp_path, clock)
    desk.delivery.start()
    cut(desk, "a", "b")
    rename(desk, *SWAP)
    jobs = take(desk, "a", "b")
    owner, name = STEPS[step]
    real = getattr(owner, name)

    def dies(*given: Any, **more: Any) -> Any:  # noqa: ANN401 -- as it is
        if moment == "after":
            real(*given, **more)
        raise Power

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, dies)
        desk.delivery.deliver_moved(jobs[0], digest(picture("b")))
        until(lambda: desk.delivery.failure, "the power cut")
    desk.journal.close()
    again = Desk(tmp_path, clock, run="run-2")
    again.delivery.start()
    for one in again.journal.queue.recover():
        again.delivery.repair(one)
    again.delivery.sweep(frozenset({"run-1"}))
    again.settle()
    follow(again, claimed(again, "ba"))
    assert cutouts_by_name(again) == {"a.png": cutout("b"), "b.png": cutout("a")}
    again.end()
    again.journal.close()


def reject(desk: Desk, *names: str) -> None:
    """Reject the doubtful results of pictures as a person does."""
    for name in names:
        job = desk.deliver(f"{name}.jpg", cutout(name), source=picture(name), review=True)
        decided = desk.journal.review_decisions.decide(job.id, ReviewDecision.REJECT)
        assert decided is not None
        desk.delivery.carry_out_decision(decided)
        desk.settle()


@pytest.mark.parametrize("when", ["running", "down"])
@pytest.mark.parametrize("order", ["ab", "ba"])
@pytest.mark.parametrize("other", ["done", "rejected"])
def test_a_rejection_follows_its_picture_onto_a_name_in_use(
    make: Callable[..., Desk], order: str, when: str, other: str
) -> None:
    """Before, a rejected picture that was swapped with another was cut again, and waited in `review/` once more."""
    desk = make()
    reject(desk, "a")
    (cut if other == "done" else reject)(desk, "b")
    rename(desk, *SWAP, when=when)
    follow(desk, take(desk, *order))
    a_is = JobState.DONE if other == "done" else JobState.FAILED
    assert states_shown(desk) == {"a.jpg": a_is, "b.jpg": JobState.FAILED}
    assert desk.files() == ({"a.png": cutout("b")} if other == "done" else {})
    rejected = {"b"} if other == "done" else {"a", "b"}
    records = desk.folder.output.glob("failed/*.json")
    assert {path.name for path in records} == {f"{name}.jpg.error.json" for name in rejected}
    # And back.
    rename(desk, *SWAP, when=when)
    follow(desk, take(desk, *order))
    b_is = JobState.DONE if other == "done" else JobState.FAILED
    assert states_shown(desk) == {"a.jpg": JobState.FAILED, "b.jpg": b_is}


def test_a_later_decision_counts_and_not_the_rejection(make: Callable[..., Desk]) -> None:
    """A rejected picture that returned to its name and was accepted there is not rejected under the next name."""
    desk = make(originals="delete")
    reject(desk, "a")
    cut(desk, "a")
    (desk.folder.input / "a.jpg").unlink(missing_ok=True)
    (desk.folder.input / "b.jpg").write_bytes(picture("a"))
    (job,) = take(desk, "b")
    desk.delivery.deliver_moved(job, digest(picture("a")))
    desk.settle()
    assert desk.job(job).detail == {"moved": False}
