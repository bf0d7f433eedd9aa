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
from tests.integration.delivery_run import DeliveryRun, Power
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


def cut(delivery_run: DeliveryRun, *names: str) -> None:
    """Cut pictures under these names."""
    for name in names:
        delivery_run.deliver(f"{name}.jpg", cutout(name), source=picture(name))


def rename(delivery_run: DeliveryRun, *pairs: tuple[str, str], when: str = "running") -> None:
    """Rename pictures one after the other, while the daemon watches or does not run."""
    root = delivery_run.folder.input
    for before, after in pairs:
        (root / f"{before}.jpg").rename(root / f"{after}.jpg")
    known = {f"{name}.jpg" for pair in pairs for name in pair}
    gone = {name for name in known if delivery_run.journal.sources.has(NAME, name)}
    # What took a picture's place while nobody looked is another file; while the daemon looks it is a quick save.
    gone = gone if when == "down" else {name for name in gone if not (root / name).exists()}
    delivery_run.journal.sources.note_places(NAME, dict.fromkeys(gone, delivery_run.clock.now_us()))


def take(delivery_run: DeliveryRun, *names: str) -> list[Job]:
    """Accept the pictures under these names together, in this order for workers."""
    delivery_run.journal.sources.accept(NAME, [version_of(delivery_run, name) for name in names])
    return claimed(delivery_run, names)


def version_of(delivery_run: DeliveryRun, name: str) -> Version:
    """Return a picture as the monitor sees it."""
    status = (delivery_run.folder.input / f"{name}.jpg").stat()
    return Version(path=f"{name}.jpg", size=status.st_size, mtime_ns=status.st_mtime_ns)


def claimed(delivery_run: DeliveryRun, names: Sequence[str]) -> list[Job]:
    """Claim the queued jobs of pictures."""
    found: dict[str, Job] = {}
    while job := delivery_run.journal.queue.next_in(NAME, newest_first=False):
        delivery_run.journal.queue.claim(job)
        found[job.path] = job
    return [found[f"{name}.jpg"] for name in names if f"{name}.jpg" in found]


def follow(delivery_run: DeliveryRun, jobs: Sequence[Job]) -> None:
    """Report as a worker that recognises the bytes; an unknown picture is cut."""
    for job in jobs:
        sha256 = digest((delivery_run.folder.input / job.path).read_bytes())
        assert sha256 in delivery_run.journal.moves.candidates(job).sha256s
        delivery_run.delivery.deliver_moved(job, sha256)
    delivery_run.settle()


def cutouts_by_name(delivery_run: DeliveryRun) -> dict[str, bytes]:
    """Return the cutouts by name, and check that nothing displaced is left."""
    assert not (delivery_run.folder.output / displaced.DIRECTORY).exists()
    assert delivery_run.staged() == []
    for path in delivery_run.folder.output.glob("*.png"):
        document = json.loads(path.with_name(f"{path.name}.json").read_text())
        assert [one["path"] for one in document["outputs"]] == [path.name]
        assert all(one["width"] > 0 for one in document["outputs"])
        there = (delivery_run.folder.input / document["source"]["path"]).read_bytes()
        assert document["source"]["sha256"] == digest(there)
    return delivery_run.files()


SWAP = (("a", "x"), ("b", "a"), ("x", "b"))
SHIFT = (("n3", "n4"), ("n2", "n3"), ("n1", "n2"), ("n0", "n1"))


@pytest.mark.parametrize("when", ["running", "down"])
@pytest.mark.parametrize("order", ["ab", "ba"])
def test_two_pictures_that_swap_their_names_swap_their_results(
    make: Callable[..., DeliveryRun], order: str, when: str
) -> None:
    """Whichever a worker reads first. Before, both were cut again."""
    delivery_run = make()
    cut(delivery_run, "a", "b")
    rename(delivery_run, *SWAP, when=when)
    follow(delivery_run, take(delivery_run, *order))
    assert cutouts_by_name(delivery_run) == {"a.png": cutout("b"), "b.png": cutout("a")}
    assert states_shown(delivery_run) == {"a.jpg": JobState.DONE, "b.jpg": JobState.DONE}
    rename(delivery_run, *SWAP, when="running" if when == "down" else "down")
    follow(delivery_run, take(delivery_run, *order))
    assert cutouts_by_name(delivery_run) == {"a.png": cutout("a"), "b.png": cutout("b")}


@pytest.mark.parametrize("when", ["running", "down"])
@pytest.mark.parametrize("first", ["last", "first"])
def test_the_results_of_renumbered_pictures_follow(
    make: Callable[..., DeliveryRun], first: str, when: str
) -> None:
    """Each gets its new name before its neighbour. Before, all were cut again, and the first result stayed."""
    delivery_run = make()
    cut(delivery_run, "n0", "n1", "n2", "n3")
    rename(delivery_run, *SHIFT, when=when)
    names = ["n1", "n2", "n3", "n4"]
    follow(delivery_run, take(delivery_run, *(names if first == "first" else reversed(names))))
    assert cutouts_by_name(delivery_run) == {
        f"n{number + 1}.png": cutout(f"n{number}") for number in range(4)
    }
    back = tuple((after, before) for before, after in reversed(SHIFT))
    rename(delivery_run, *back, when=when)
    names = ["n0", "n1", "n2", "n3"]
    follow(delivery_run, take(delivery_run, *(names if first == "first" else reversed(names))))
    assert cutouts_by_name(delivery_run) == {f"{name}.png": cutout(name) for name in names}


def test_three_renditions_follow_in_a_circle(make: Callable[..., DeliveryRun]) -> None:
    """Three pictures, each renamed to its neighbour's name."""
    delivery_run = make(rendition=[{}, {"suffix": "_2"}, {"suffix": "_3"}])
    for name in "abc":
        job = delivery_run.begin(f"{name}.jpg", picture(name))
        outputs = [cutout(name) + end for end in (b"", b"2", b"3")]
        delivery_run.delivery.deliver(job, delivery_run.cut(job, *outputs, source=picture(name)))
        delivery_run.settle()
    rename(delivery_run, ("a", "x"), ("c", "a"), ("b", "c"), ("x", "b"))
    follow(delivery_run, take(delivery_run, "a", "b", "c"))
    before = {"a": "c", "b": "a", "c": "b"}
    assert delivery_run.files() == {
        f"{name}{end}.png": cutout(before[name]) + end[1:].encode()
        for name in "abc"
        for end in ("", "_2", "_3")
    }


def test_a_picture_that_is_moved_over_another_takes_the_place_of_its_result(
    make: Callable[..., DeliveryRun], clock: FakeClock
) -> None:
    """It is a later version at that path. Before, it was cut, and its former result stayed as well."""
    delivery_run = make()
    cut(delivery_run, "a", "b")
    rename(delivery_run, ("a", "b"))
    follow(delivery_run, take(delivery_run, "b"))
    assert delivery_run.files() == {"b.png": cutout("a")}
    clock.advance(100.0)
    delivery_run.poke()
    delivery_run.settle()
    assert cutouts_by_name(delivery_run) == {"b.png": cutout("a")}
    assert states_shown(delivery_run) == {"b.jpg": JobState.DONE}


def test_a_picture_moved_over_another_between_runs_leaves_its_result(
    make: Callable[..., DeliveryRun],
) -> None:
    """It cannot be distinguished from one that was removed before: the result of a removed picture stays."""
    delivery_run = make()
    cut(delivery_run, "a", "b")
    rename(delivery_run, ("a", "b"), when="down")
    follow(delivery_run, take(delivery_run, "b"))
    assert delivery_run.files() == {"b.png": cutout("b"), "b-2.png": cutout("a")}


@pytest.mark.parametrize("when", ["running", "down"])
def test_a_retouched_result_is_never_given_to_another_picture(
    make: Callable[..., DeliveryRun], when: str
) -> None:
    """The file keeps its name.

    The other picture's result gets the next one, and the retouched one's picture is cut.
    """
    delivery_run = make()
    cut(delivery_run, "a", "b")
    (delivery_run.folder.output / "a.png").write_bytes(b"retouched")
    rename(delivery_run, *SWAP, when=when)
    jobs = take(delivery_run, "a", "b")
    follow(delivery_run, jobs[:1])
    delivery_run.delivery.deliver_moved(jobs[1], digest(picture("a")))
    delivery_run.settle()
    assert delivery_run.job(jobs[1]).detail == {"moved": False}
    name = "a-2.png" if when == "down" else "a-jpg.png"
    assert delivery_run.files() == {"a.png": b"retouched", name: cutout("b")}


@pytest.mark.parametrize("when", ["running", "down"])
def test_results_that_are_to_stay_belong_to_the_pictures_that_were_swapped(
    make: Callable[..., DeliveryRun], when: str
) -> None:
    """`moves = "keep"`: nothing is renamed, and nothing is cut."""
    delivery_run = make(moves="keep")
    cut(delivery_run, "a", "b")
    rename(delivery_run, *SWAP, when=when)
    jobs = take(delivery_run, "a", "b")
    follow(delivery_run, jobs)
    assert delivery_run.files() == {"a.png": cutout("a"), "b.png": cutout("b")}
    for job, name in zip(jobs, ("b.png", "a.png"), strict=True):
        now = delivery_run.job(job)
        assert now.detail["outputs"] == [str(delivery_run.folder.output / name)]
        assert [
            one.path for one in delivery_run.journal.reservations.earlier(NAME, now.path, now.generation)
        ] == [name]
        assert now.state is JobState.UNCHANGED


@pytest.mark.parametrize("when", ["running", "down"])
def test_a_result_that_is_to_stay_gets_another_name_if_its_own_was_taken(
    make: Callable[..., DeliveryRun], when: str
) -> None:
    """`moves = "keep"`, `mv a b; cp new a`, and the new one is cut first. Before, the result was hidden for ever."""
    delivery_run = make(moves="keep")
    cut(delivery_run, "a")
    (delivery_run.folder.input / "a.jpg").rename(delivery_run.folder.input / "b.jpg")
    if when == "down":
        delivery_run.journal.sources.note_places(NAME, {"a.jpg": delivery_run.clock.now_us()})
    (delivery_run.folder.input / "a.jpg").write_bytes(picture("new"))
    new, old = take(delivery_run, "a", "b")
    delivery_run.delivery.deliver(new, delivery_run.cut(new, cutout("new"), source=picture("new")))
    delivery_run.settle()
    follow(delivery_run, [old])
    if when == "running":
        assert cutouts_by_name(delivery_run) == {"a.png": cutout("new"), "b.png": cutout("a")}
    else:
        assert delivery_run.files() == {"a.png": cutout("a"), "a-2.png": cutout("new")}
    assert delivery_run.staged() == []
    (name,) = (path for path, content in delivery_run.files().items() if content == cutout("a"))
    assert delivery_run.job(old).detail["outputs"] == [str(delivery_run.folder.output / name)]


def test_a_copy_whose_original_is_still_there_is_cut(make: Callable[..., DeliveryRun]) -> None:
    """With its time, as `cp -p` makes it: the original keeps its result."""
    delivery_run = make()
    cut(delivery_run, "a")
    source, copy = delivery_run.folder.input / "a.jpg", delivery_run.folder.input / "b.jpg"
    copy.write_bytes(source.read_bytes())
    os.utime(copy, ns=(source.stat().st_atime_ns, source.stat().st_mtime_ns))
    (job,) = take(delivery_run, "b")
    follow(delivery_run, [job])
    assert delivery_run.job(job).detail == {"moved": False}
    assert cutouts_by_name(delivery_run) == {"a.png": cutout("a")}


def test_a_result_follows_a_picture_whose_name_another_took_at_once(make: Callable[..., DeliveryRun]) -> None:
    """`mv a b; cp new a` without a scan in between: the new one is cut first, and the earlier result still follows."""
    delivery_run = make()
    cut(delivery_run, "a")
    (delivery_run.folder.input / "a.jpg").rename(delivery_run.folder.input / "b.jpg")
    (delivery_run.folder.input / "a.jpg").write_bytes(picture("new"))
    new, old = take(delivery_run, "a", "b")
    delivery_run.delivery.deliver(new, delivery_run.cut(new, cutout("new"), source=picture("new")))
    delivery_run.settle()
    follow(delivery_run, [old])
    assert cutouts_by_name(delivery_run) == {"a.png": cutout("new"), "b.png": cutout("a")}


@pytest.mark.parametrize("run", ["the same", "the next"])
@pytest.mark.parametrize("moves", ["follow", "keep"])
def test_a_picture_that_is_back_before_it_was_missed_has_its_result(
    make: Callable[..., DeliveryRun], run: str, moves: str
) -> None:
    """`mv a b; mv b a` without a scan in between. Before, `a` counted as done for ever, and its result as nobody's."""
    delivery_run = make(moves=moves)
    cut(delivery_run, "a")
    version = version_of(delivery_run, "a")
    (delivery_run.folder.input / "a.jpg").rename(delivery_run.folder.input / "b.jpg")
    follow(delivery_run, take(delivery_run, "b"))
    (delivery_run.folder.input / "b.jpg").rename(delivery_run.folder.input / "a.jpg")
    if run == "the next":
        delivery_run.end()
        delivery_run.journal.close()
        delivery_run = make(run="run-2", moves=moves)
    assert not delivery_run.journal.sources.is_known(NAME, version)
    follow(delivery_run, take(delivery_run, "a"))
    result = "a.png"
    assert delivery_run.files() == {result: cutout("a")}
    assert states_shown(delivery_run)["a.jpg"] in (JobState.DONE, JobState.UNCHANGED)


@pytest.mark.parametrize("asked", range(1, 5))
def test_a_result_that_is_displaced_while_it_is_looked_for_is_found(
    make: Callable[..., DeliveryRun], asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After each of the queries about it: the main loop makes them while the delivery works. Before, it was cut again."""
    delivery_run = make()
    cut(delivery_run, "a", "b")
    rename(delivery_run, *SWAP)
    first, second = take(delivery_run, "a", "b")
    rows, left = delivery_run.journal.store.rows, asked

    def rows_and_then(*given: Any, **more: Any) -> Any:  # noqa: ANN401 -- as it is
        nonlocal left
        found, left = rows(*given, **more), left - 1
        if left == 0:
            follow(delivery_run, [first])
        return found

    with monkeypatch.context() as patch:
        patch.setattr(delivery_run.journal.store, "rows", rows_and_then)
        candidates = delivery_run.journal.moves.candidates(second)
    assert digest(picture("a")) in candidates.sha256s
    follow(delivery_run, [second])
    assert cutouts_by_name(delivery_run) == {"a.png": cutout("b"), "b.png": cutout("a")}


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
    delivery_run = DeliveryRun(tmp_path, clock)
    delivery_run.delivery.start()
    cut(delivery_run, "a", "b")
    rename(delivery_run, *SWAP)
    jobs = take(delivery_run, "a", "b")
    owner, name = STEPS[step]
    real = getattr(owner, name)

    def dies(*given: Any, **more: Any) -> Any:  # noqa: ANN401 -- as it is
        if moment == "after":
            real(*given, **more)
        raise Power

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, dies)
        delivery_run.delivery.deliver_moved(jobs[0], digest(picture("b")))
        until(lambda: delivery_run.delivery.failure, "the power cut")
    delivery_run.journal.close()
    again = DeliveryRun(tmp_path, clock, run="run-2")
    again.delivery.start()
    for one in again.journal.queue.recover():
        again.delivery.repair(one)
    again.delivery.sweep(frozenset({"run-1"}))
    again.settle()
    follow(again, claimed(again, "ba"))
    assert cutouts_by_name(again) == {"a.png": cutout("b"), "b.png": cutout("a")}
    again.end()
    again.journal.close()


def reject(delivery_run: DeliveryRun, *names: str) -> None:
    """Reject the doubtful results of pictures as a person does."""
    for name in names:
        job = delivery_run.deliver(f"{name}.jpg", cutout(name), source=picture(name), review=True)
        decided = delivery_run.journal.review_decisions.decide(job.id, ReviewDecision.REJECT)
        assert decided is not None
        delivery_run.delivery.carry_out_decision(decided)
        delivery_run.settle()


@pytest.mark.parametrize("when", ["running", "down"])
@pytest.mark.parametrize("order", ["ab", "ba"])
@pytest.mark.parametrize("other", ["done", "rejected"])
def test_a_rejection_follows_its_picture_onto_a_name_in_use(
    make: Callable[..., DeliveryRun], order: str, when: str, other: str
) -> None:
    """Before, a rejected picture that was swapped with another was cut again, and waited in `review/` once more."""
    delivery_run = make()
    reject(delivery_run, "a")
    (cut if other == "done" else reject)(delivery_run, "b")
    rename(delivery_run, *SWAP, when=when)
    follow(delivery_run, take(delivery_run, *order))
    a_is = JobState.DONE if other == "done" else JobState.FAILED
    assert states_shown(delivery_run) == {"a.jpg": a_is, "b.jpg": JobState.FAILED}
    assert delivery_run.files() == ({"a.png": cutout("b")} if other == "done" else {})
    rejected = {"b"} if other == "done" else {"a", "b"}
    records = delivery_run.folder.output.glob("failed/*.json")
    assert {path.name for path in records} == {f"{name}.jpg.error.json" for name in rejected}
    # And back.
    rename(delivery_run, *SWAP, when=when)
    follow(delivery_run, take(delivery_run, *order))
    b_is = JobState.DONE if other == "done" else JobState.FAILED
    assert states_shown(delivery_run) == {"a.jpg": JobState.FAILED, "b.jpg": b_is}


def test_a_later_decision_counts_and_not_the_rejection(make: Callable[..., DeliveryRun]) -> None:
    """A rejected picture that returned to its name and was accepted there is not rejected under the next name."""
    delivery_run = make(originals="delete")
    reject(delivery_run, "a")
    cut(delivery_run, "a")
    (delivery_run.folder.input / "a.jpg").unlink(missing_ok=True)
    (delivery_run.folder.input / "b.jpg").write_bytes(picture("a"))
    (job,) = take(delivery_run, "b")
    delivery_run.delivery.deliver_moved(job, digest(picture("a")))
    delivery_run.settle()
    assert delivery_run.job(job).detail == {"moved": False}
