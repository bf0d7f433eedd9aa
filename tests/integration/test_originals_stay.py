"""Originals that stay whatever the setting: no cutout of them is published, or only a doubtful one."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.folder.adoption import Adoption
from cutoutd.intake.rules import rules_of
from cutoutd.jobs import JobState, Quality, Unchanged, Version
from cutoutd.journal.commands import ReviewDecision
from cutoutd.journal.reader import Reader
from cutoutd.journal.store import FILE_NAME
from cutoutd.publish.faults import ResultLostError, storage_faults
from cutoutd.publish.original_file import CleanupResult, delete_original
from tests.integration.delivery_run import NEW, OLD, DeliveryRun
from tests.integration.parts import JPEG, NAME, digest, until
from tests.integration.test_moves import follow
from tests.integration.test_reviews import decide, doubtful

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cutoutd.fs.tree import Tree
    from cutoutd.jobs import Job
    from tests.conftest import FakeClock

UNSURE = Quality(score=0.44, reasons=("a part may be missing",))
TWO = [{"format": "png", "suffix": ""}, {"format": "png", "suffix": "_m"}]


@pytest.fixture
def make(tmp_path: Path, clock: FakeClock) -> Iterator[Callable[..., DeliveryRun]]:
    """A function that makes started deliveries; they are ended with the test."""
    created: list[DeliveryRun] = []

    def build(**given: Any) -> DeliveryRun:  # noqa: ANN401 -- as of DeliveryRun
        if given.get("originals") == "move":
            given["originals_dir"] = str(tmp_path / "kept")
        created.append(DeliveryRun(tmp_path, clock, **given))
        created[-1].delivery.start()
        return created[-1]

    yield build
    for delivery_run in created:
        delivery_run.end()
        delivery_run.journal.close()


def originals(delivery_run: DeliveryRun) -> list[str]:
    """Return the files in the input."""
    return sorted(path.name for path in delivery_run.folder.input.iterdir())


def touched(delivery_run: DeliveryRun, name: str, content: bytes = JPEG) -> Job:
    """Report a known picture with a later time and the same bytes, as a worker finds it."""
    path = delivery_run.folder.input / name
    later_ns = path.stat().st_mtime_ns + 10**9
    path.write_bytes(content)
    os.utime(path, ns=(later_ns, later_ns))
    status = path.stat()
    delivery_run.journal.sources.accept(
        NAME, [Version(path=name, size=status.st_size, mtime_ns=status.st_mtime_ns)]
    )
    job = delivery_run.journal.queue.next_in(NAME, newest_first=False)
    assert job is not None
    delivery_run.journal.queue.claim(job)
    delivery_run.delivery.deliver_known(job, Unchanged(sha256=digest(content)))
    delivery_run.settle()
    return job


def unsure(delivery_run: DeliveryRun, name: str = "a.jpg") -> Job:
    """Publish a doubtful cutout of a picture."""
    job = delivery_run.begin(name)
    delivery_run.delivery.deliver(job, replace(delivery_run.cut(job, NEW), quality=UNSURE))
    delivery_run.settle()
    return job


@pytest.mark.parametrize("way", ["delete", "move"])
def test_an_original_whose_result_is_skipped_stays_and_the_job_has_the_reason(
    make: Callable[..., DeliveryRun], way: str
) -> None:
    """Before, it was moved away without a result, and the job was only reported as done."""
    delivery_run = make(on_conflict="skip", originals=way)
    (delivery_run.folder.output / "a.png").write_bytes(b"theirs")
    job = delivery_run.deliver("a.jpg", NEW)
    assert originals(delivery_run) == ["a.jpg"]
    done = delivery_run.job(job)
    assert (done.state, done.detail["outputs"], done.detail["skipped"]) == (JobState.DONE, [], True)
    assert 'on_conflict = "skip"' in done.detail["why"]
    assert delivery_run.results[0].why == done.detail["why"]
    assert delivery_run.journal.queue.cleanup_pending(NAME) == []
    touched(delivery_run, "a.jpg")
    assert originals(delivery_run) == ["a.jpg"]


@pytest.mark.parametrize("way", ["delete", "move"])
def test_an_original_of_which_one_rendition_is_skipped_stays(
    make: Callable[..., DeliveryRun], way: str
) -> None:
    """The original is needed to make the skipped rendition."""
    delivery_run = make(on_conflict="skip", originals=way, rendition=TWO)
    (delivery_run.folder.output / "a_m.png").write_bytes(b"theirs")
    job = delivery_run.deliver("a.jpg", NEW, OLD)
    assert delivery_run.files() == {"a.png": NEW, "a_m.png": b"theirs"}
    assert originals(delivery_run) == ["a.jpg"]
    assert "a_m.png" in delivery_run.job(job).detail["why"]


def test_a_later_version_that_is_skipped_stays_although_an_earlier_one_was_published(
    make: Callable[..., DeliveryRun],
) -> None:
    """The retouched cutout belongs to the version before."""
    delivery_run = make(on_conflict="skip", originals="delete")
    delivery_run.folder.input.joinpath("a.jpg").write_bytes(JPEG)
    delivery_run.deliver("a.jpg", OLD)
    (delivery_run.folder.output / "a.png").write_bytes(b"retouched")
    (delivery_run.folder.output / "a.png.json").unlink()
    (delivery_run.folder.output / "a-2.png").write_bytes(b"theirs")
    delivery_run.deliver("a.jpg", NEW, source=JPEG * 2)
    assert originals(delivery_run) == ["a.jpg"]


def test_originals_that_may_not_be_removed_hold_up_no_others(
    make: Callable[..., DeliveryRun], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in colleagues' sub-folders; before, each of them kept all others waiting for up to five minutes."""
    tried: list[str] = []
    is_open = False

    def refuse(inputs: Tree, path: str, *rest: Any, **more: Any) -> CleanupResult:  # noqa: ANN401 -- as of delete_original
        tried.append(path)
        if path.startswith("theirs") and not is_open:
            with storage_faults(inputs.root):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return delete_original(inputs, path, *rest, **more)

    monkeypatch.setattr("cutoutd.delivery.originals.delete_original", refuse)
    delivery_run = make(originals="delete")
    names = ["theirs-1/a.jpg", "theirs-1/b.jpg", "theirs-2/a.jpg", "x/a.jpg", "y.jpg"]
    for number, name in enumerate(names, 2):
        delivery_run.deliver(name, NEW, source=JPEG * number)
    del tried[:]
    delivery_run.delivery.retry_now()
    until(lambda: below(delivery_run) == names[:3], "the others to go")
    until(lambda: delivery_run.delivery.is_idle, "the pass to end")
    assert sorted(set(tried)) == [
        "theirs-1/a.jpg",
        "theirs-2/a.jpg",
        "x/a.jpg",
        "y.jpg",
    ]  # one of each sub-folder is read
    is_open = True
    delivery_run.delivery.retry_now()
    until(lambda: below(delivery_run) == [], "the rest to go")
    assert capsys.readouterr().out.count("original.stays") <= len({"theirs-1", "theirs-2"})


def below(delivery_run: DeliveryRun) -> list[str]:
    """Return all files in the input, with their sub-folders."""
    root = delivery_run.folder.input
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_an_original_stays_if_a_crash_comes_between_the_plan_and_its_end(
    make: Callable[..., DeliveryRun],
) -> None:
    """The next start knows from the plan that a result was skipped."""
    delivery_run = make(
        on_conflict="skip", originals="delete", rendition=TWO, faults=[ResultLostError("power")]
    )
    (delivery_run.folder.output / "a_m.png").write_bytes(b"theirs")
    job = delivery_run.deliver("a.jpg", NEW, OLD)
    assert delivery_run.files() == {"a.png": NEW, "a_m.png": b"theirs"}
    assert delivery_run.job(job).detail["skipped"] is True
    assert originals(delivery_run) == ["a.jpg"]


def test_an_earlier_versions_pending_original_is_not_moved_without_a_result(
    make: Callable[..., DeliveryRun],
) -> None:
    """Its journal lists a skipped original among those to be deleted."""
    delivery_run = make(on_conflict="skip")
    (delivery_run.folder.output / "a.png").write_bytes(b"theirs")
    job = delivery_run.deliver("a.jpg", NEW)
    with delivery_run.journal.store.transaction():
        delivery_run.journal.store.write(
            "UPDATE job SET cleanup_pending = 1, detail = json_remove(detail, '$.skipped') WHERE id = ?",
            (job.id,),
        )
    delivery_run.end()
    again = make(on_conflict="skip", originals="delete", run="run-2")
    (owed,) = again.journal.queue.cleanup_pending(NAME)
    again.delivery.clean_up(owed)
    again.settle()
    assert originals(again) == ["a.jpg"]
    assert again.journal.queue.cleanup_pending(NAME) == []


def test_the_original_of_a_doubtful_cutout_is_not_deleted(make: Callable[..., DeliveryRun]) -> None:
    """Before, it was deleted before anybody could look; if the cutout is wrong, it is the only copy of the picture."""
    delivery_run = make(originals="delete")
    job = unsure(delivery_run)
    assert delivery_run.files() == {"a.png": NEW}
    assert originals(delivery_run) == ["a.jpg"]
    assert delivery_run.journal.queue.cleanup_pending(NAME) == []
    touched(delivery_run, "a.jpg")
    assert originals(delivery_run) == ["a.jpg"]
    assert Reader(delivery_run.journal.store).doubtful(NAME) == 1
    assert delivery_run.job(job).state is JobState.DONE


def test_the_original_of_a_doubtful_cutout_is_moved_as_others_are(make: Callable[..., DeliveryRun]) -> None:
    """A move loses nothing."""
    delivery_run = make(originals="move")
    unsure(delivery_run)
    assert originals(delivery_run) == []
    assert (delivery_run.root / "kept" / "a.jpg").read_bytes() == JPEG


def test_after_a_retry_that_is_not_doubtful_the_original_is_removed(make: Callable[..., DeliveryRun]) -> None:
    """The usual rule applies again."""
    delivery_run = make(originals="delete")
    job = unsure(delivery_run)
    delivery_run.journal.queue.retry(job.id)
    delivery_run.deliver("a.jpg", b"better")
    assert delivery_run.files() == {"a.png": b"better"}
    assert originals(delivery_run) == []


def test_an_accepted_cutouts_original_is_removed_and_one_that_waits_in_review_stays(
    make: Callable[..., DeliveryRun],
) -> None:
    """Even if the picture is touched while it waits."""
    delivery_run = make(originals="delete")
    doubtful(delivery_run, "a.jpg")
    touched(delivery_run, "a.jpg")
    assert originals(delivery_run) == ["a.jpg"]
    accepted = doubtful(delivery_run, "b.jpg")
    decide(delivery_run, accepted, ReviewDecision.ACCEPT)
    until(lambda: originals(delivery_run) == ["a.jpg"], "the end of the accepted one's original")


@pytest.mark.parametrize("moves", ["follow", "keep"])
def test_a_doubt_follows_a_picture_that_is_moved(make: Callable[..., DeliveryRun], moves: str) -> None:
    """Before, the move removed the doubt, and the original was deleted."""
    delivery_run = make(originals="delete", moves=moves)
    unsure(delivery_run)
    follow(delivery_run, "a.jpg", "b.jpg")
    assert originals(delivery_run) == ["b.jpg"]
    name = "b" if moves == "follow" else "a"
    sidecar = json.loads((delivery_run.folder.output / f"{name}.png.json").read_bytes())
    assert sidecar["quality"]["doubtful"] is True
    assert Reader(delivery_run.journal.store).doubtful(NAME) == 1


def test_a_doubt_is_adopted_after_a_lost_journal(make: Callable[..., DeliveryRun]) -> None:
    """From its sidecar. Before, the next touch of the picture deleted the original."""
    delivery_run = make(originals="delete")
    unsure(delivery_run)
    delivery_run.end()
    delivery_run.journal.close()
    (delivery_run.root / FILE_NAME).unlink()
    again = make(originals="delete", run="run-2")
    adoption = Adoption(again.folder, rules=rules_of(again.folder), sources=again.journal.sources)
    adoption.carry_out(lambda: True)
    assert Reader(again.journal.store).doubtful(NAME) == 1
    (adopted,) = Reader(again.journal.store).jobs()
    assert str(adopted.detail["why"]).startswith(f"doubtful, score {adopted.detail['score']:.2f}; taken over")
    touched(again, "a.jpg")
    assert originals(again) == ["a.jpg"]
