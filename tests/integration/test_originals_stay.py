"""Originals that stay whatever the setting: no cutout of them is published, or only a doubtful one."""

from __future__ import annotations

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
from cutoutd.publish.faults import ResultLostError
from tests.integration.desk import NEW, OLD, Desk
from tests.integration.parts import JPEG, NAME, digest, until
from tests.integration.test_moves import follow
from tests.integration.test_reviews import decide, doubtful

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cutoutd.jobs import Job
    from tests.conftest import FakeClock

UNSURE = Quality(score=0.44, reasons=("a part may be missing",))
TWO = [{"format": "png", "suffix": ""}, {"format": "png", "suffix": "_m"}]


@pytest.fixture
def make(tmp_path: Path, clock: FakeClock) -> Iterator[Callable[..., Desk]]:
    """A function that makes started deliveries; they are ended with the test."""
    created: list[Desk] = []

    def build(**given: Any) -> Desk:  # noqa: ANN401 -- as of Desk
        if given.get("originals") == "move":
            given["originals_dir"] = str(tmp_path / "kept")
        created.append(Desk(tmp_path, clock, **given))
        created[-1].delivery.start()
        return created[-1]

    yield build
    for desk in created:
        desk.end()
        desk.journal.close()


def originals(desk: Desk) -> list[str]:
    """Return the files in the input."""
    return sorted(path.name for path in desk.folder.input.iterdir())


def touched(desk: Desk, name: str, content: bytes = JPEG) -> Job:
    """Report a known picture with a later time and the same bytes, as a worker finds it."""
    path = desk.folder.input / name
    later_ns = path.stat().st_mtime_ns + 10**9
    path.write_bytes(content)
    os.utime(path, ns=(later_ns, later_ns))
    status = path.stat()
    desk.journal.sources.accept(NAME, [Version(path=name, size=status.st_size, mtime_ns=status.st_mtime_ns)])
    job = desk.journal.queue.next_in(NAME, newest_first=False)
    assert job is not None
    desk.journal.queue.claim(job)
    desk.delivery.deliver_known(job, Unchanged(sha256=digest(content)))
    desk.settle()
    return job


def unsure(desk: Desk, name: str = "a.jpg") -> Job:
    """Publish a doubtful cutout of a picture."""
    job = desk.begin(name)
    desk.delivery.deliver(job, replace(desk.cut(job, NEW), quality=UNSURE))
    desk.settle()
    return job


@pytest.mark.parametrize("way", ["delete", "move"])
def test_an_original_whose_result_is_skipped_stays_and_the_job_has_the_reason(
    make: Callable[..., Desk], way: str
) -> None:
    """Before, it was moved away without a result, and the job was only reported as done."""
    desk = make(on_conflict="skip", originals=way)
    (desk.folder.output / "a.png").write_bytes(b"theirs")
    job = desk.deliver("a.jpg", NEW)
    assert originals(desk) == ["a.jpg"]
    done = desk.job(job)
    assert (done.state, done.detail["outputs"], done.detail["skipped"]) == (JobState.DONE, [], True)
    assert 'on_conflict = "skip"' in done.detail["why"]
    assert desk.results[0].why == done.detail["why"]
    assert desk.journal.queue.cleanup_pending(NAME) == []
    touched(desk, "a.jpg")
    assert originals(desk) == ["a.jpg"]


@pytest.mark.parametrize("way", ["delete", "move"])
def test_an_original_of_which_one_rendition_is_skipped_stays(make: Callable[..., Desk], way: str) -> None:
    """The original is needed to make the skipped rendition."""
    desk = make(on_conflict="skip", originals=way, rendition=TWO)
    (desk.folder.output / "a_m.png").write_bytes(b"theirs")
    job = desk.deliver("a.jpg", NEW, OLD)
    assert desk.files() == {"a.png": NEW, "a_m.png": b"theirs"}
    assert originals(desk) == ["a.jpg"]
    assert "a_m.png" in desk.job(job).detail["why"]


def test_a_later_version_that_is_skipped_stays_although_an_earlier_one_was_published(
    make: Callable[..., Desk],
) -> None:
    """The retouched cutout belongs to the version before."""
    desk = make(on_conflict="skip", originals="delete")
    desk.folder.input.joinpath("a.jpg").write_bytes(JPEG)
    desk.deliver("a.jpg", OLD)
    (desk.folder.output / "a.png").write_bytes(b"retouched")
    (desk.folder.output / "a.png.json").unlink()
    (desk.folder.output / "a-2.png").write_bytes(b"theirs")
    desk.deliver("a.jpg", NEW, source=JPEG * 2)
    assert originals(desk) == ["a.jpg"]


def test_an_original_stays_if_a_crash_comes_between_the_plan_and_its_end(make: Callable[..., Desk]) -> None:
    """The next start knows from the plan that a result was skipped."""
    desk = make(on_conflict="skip", originals="delete", rendition=TWO, faults=[ResultLostError("power")])
    (desk.folder.output / "a_m.png").write_bytes(b"theirs")
    job = desk.deliver("a.jpg", NEW, OLD)
    assert desk.files() == {"a.png": NEW, "a_m.png": b"theirs"}
    assert desk.job(job).detail["skipped"] is True
    assert originals(desk) == ["a.jpg"]


def test_an_earlier_versions_pending_original_is_not_moved_without_a_result(
    make: Callable[..., Desk],
) -> None:
    """Its journal lists a skipped original among those to be deleted."""
    desk = make(on_conflict="skip")
    (desk.folder.output / "a.png").write_bytes(b"theirs")
    job = desk.deliver("a.jpg", NEW)
    with desk.journal.store.transaction():
        desk.journal.store.write(
            "UPDATE job SET cleanup_pending = 1, detail = json_remove(detail, '$.skipped') WHERE id = ?",
            (job.id,),
        )
    desk.end()
    again = make(on_conflict="skip", originals="delete", run="run-2")
    (owed,) = again.journal.queue.cleanup_pending(NAME)
    again.delivery.clean_up(owed)
    again.settle()
    assert originals(again) == ["a.jpg"]
    assert again.journal.queue.cleanup_pending(NAME) == []


def test_the_original_of_a_doubtful_cutout_is_not_deleted(make: Callable[..., Desk]) -> None:
    """Before, it was deleted before anybody could look; if the cutout is wrong, it is the only copy of the picture."""
    desk = make(originals="delete")
    job = unsure(desk)
    assert desk.files() == {"a.png": NEW}
    assert originals(desk) == ["a.jpg"]
    assert desk.journal.queue.cleanup_pending(NAME) == []
    touched(desk, "a.jpg")
    assert originals(desk) == ["a.jpg"]
    assert Reader(desk.journal.store).doubtful(NAME) == 1
    assert desk.job(job).state is JobState.DONE


def test_the_original_of_a_doubtful_cutout_is_moved_as_others_are(make: Callable[..., Desk]) -> None:
    """A move loses nothing."""
    desk = make(originals="move")
    unsure(desk)
    assert originals(desk) == []
    assert (desk.root / "kept" / "a.jpg").read_bytes() == JPEG


def test_after_a_retry_that_is_not_doubtful_the_original_is_removed(make: Callable[..., Desk]) -> None:
    """The usual rule applies again."""
    desk = make(originals="delete")
    job = unsure(desk)
    desk.journal.queue.retry(job.id)
    desk.deliver("a.jpg", b"better")
    assert desk.files() == {"a.png": b"better"}
    assert originals(desk) == []


def test_an_accepted_cutouts_original_is_removed_and_one_that_waits_in_review_stays(
    make: Callable[..., Desk],
) -> None:
    """Even if the picture is touched while it waits."""
    desk = make(originals="delete")
    doubtful(desk, "a.jpg")
    touched(desk, "a.jpg")
    assert originals(desk) == ["a.jpg"]
    accepted = doubtful(desk, "b.jpg")
    decide(desk, accepted, ReviewDecision.ACCEPT)
    until(lambda: originals(desk) == ["a.jpg"], "the end of the accepted one's original")


@pytest.mark.parametrize("moves", ["follow", "keep"])
def test_a_doubt_follows_a_picture_that_is_moved(make: Callable[..., Desk], moves: str) -> None:
    """Before, the move removed the doubt, and the original was deleted."""
    desk = make(originals="delete", moves=moves)
    unsure(desk)
    follow(desk, "a.jpg", "b.jpg")
    assert originals(desk) == ["b.jpg"]
    name = "b" if moves == "follow" else "a"
    sidecar = json.loads((desk.folder.output / f"{name}.png.json").read_bytes())
    assert sidecar["quality"]["doubtful"] is True
    assert Reader(desk.journal.store).doubtful(NAME) == 1


def test_a_doubt_is_adopted_after_a_lost_journal(make: Callable[..., Desk]) -> None:
    """From its sidecar. Before, the next touch of the picture deleted the original."""
    desk = make(originals="delete")
    unsure(desk)
    desk.end()
    desk.journal.close()
    (desk.root / FILE_NAME).unlink()
    again = make(originals="delete", run="run-2")
    adoption = Adoption(again.folder, rules=rules_of(again.folder), sources=again.journal.sources)
    adoption.carry_out(lambda: True)
    assert Reader(again.journal.store).doubtful(NAME) == 1
    (adopted,) = Reader(again.journal.store).jobs()
    assert str(adopted.detail["why"]).startswith(f"doubtful, score {adopted.detail['score']:.2f}; taken over")
    touched(again, "a.jpg")
    assert originals(again) == ["a.jpg"]
