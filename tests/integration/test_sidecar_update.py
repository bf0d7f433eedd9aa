"""If only metadata or time of a picture has changed, its sidecar is updated, so that adoption recognises the picture."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from cutoutd.folder.adoption import Adoption
from cutoutd.intake.rules import rules_of
from cutoutd.jobs import JobState, Unchanged, Version
from cutoutd.journal.store import FILE_NAME
from tests.integration.delivery_run import NEW, DeliveryRun, Power
from tests.integration.parts import JPEG, NAME, digest, states, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cutoutd.jobs import Job
    from tests.conftest import FakeClock

RATED = JPEG + b", three stars"


@pytest.fixture
def make(tmp_path: Path, clock: FakeClock) -> Iterator[Callable[..., DeliveryRun]]:
    """A function that makes started deliveries; they are ended with the test."""
    created: list[DeliveryRun] = []

    def build(**given: Any) -> DeliveryRun:  # noqa: ANN401 -- as of DeliveryRun
        if "sidecar_dir" in given:
            (tmp_path / "notes").mkdir(exist_ok=True)
        created.append(DeliveryRun(tmp_path, clock, **given))
        created[-1].delivery.start()
        return created[-1]

    yield build
    for delivery_run in created:
        delivery_run.end()
        delivery_run.journal.close()


def cut(delivery_run: DeliveryRun, name: str = "a.jpg") -> Job:
    """Publish a cutout of a picture, with the hash of its image data."""
    job = delivery_run.begin(name)
    delivery_run.delivery.deliver(job, delivery_run.cut(job, NEW))
    delivery_run.settle()
    with delivery_run.journal.store.transaction():
        delivery_run.journal.store.write("UPDATE published SET image_sha256 = 'data'")
    return job


def rate(delivery_run: DeliveryRun, name: str = "a.jpg", content: bytes = RATED) -> Job:
    """Write a rating into the picture, and let a worker find its image data unchanged."""
    path = delivery_run.folder.input / name
    later_ns = path.stat().st_mtime_ns + 10**9
    path.write_bytes(content)
    os.utime(path, ns=(later_ns, later_ns))
    size, mtime_ns = path.stat().st_size, path.stat().st_mtime_ns
    delivery_run.journal.sources.accept(NAME, [Version(path=name, size=size, mtime_ns=mtime_ns)])
    job = delivery_run.journal.queue.next_in(NAME, newest_first=False)
    assert job is not None
    delivery_run.journal.queue.claim(job)
    delivery_run.delivery.deliver_known(job, Unchanged(sha256=digest(content), image_sha256="data"))
    return job


def rated(delivery_run: DeliveryRun, name: str = "a.jpg", content: bytes = RATED) -> Job:
    """Do as `rate`, to the end of the job."""
    job = rate(delivery_run, name, content)
    delivery_run.settle()
    assert delivery_run.job(job).state is JobState.UNCHANGED
    return job


def adopted(delivery_run: DeliveryRun, make: Callable[..., DeliveryRun], **given: Any) -> dict[str, JobState]:  # noqa: ANN401 -- as of DeliveryRun
    """Return what a new journal learns from the sidecars about the folder's pictures."""
    delivery_run.end()
    delivery_run.journal.close()
    (delivery_run.root / FILE_NAME).unlink()
    again = make(run="run-2", **given)
    Adoption(again.folder, rules=rules_of(again.folder), sources=again.journal.sources).carry_out(
        lambda: True
    )
    return states(again.journal)


@pytest.mark.parametrize("content", [RATED, JPEG], ids=["rated", "touched"])
@pytest.mark.parametrize("place", ["beside", "notes"])
def test_a_picture_with_a_rating_is_known_after_a_lost_journal(
    make: Callable[..., DeliveryRun], tmp_path: Path, content: bytes, place: str
) -> None:
    """Before, it was cut again, since its sidecar had the hash from before the rating."""
    given = {} if place == "beside" else {"sidecar_dir": str(tmp_path / place)}
    delivery_run = make(**given)
    job = cut(delivery_run)
    now = rated(delivery_run, content=content)
    path = (delivery_run.folder.sidecar_dir or delivery_run.folder.output) / "a.png.json"
    sidecar = json.loads(path.read_bytes())
    assert (sidecar["source"]["bytes"], sidecar["source"]["sha256"]) == (len(content), digest(content))
    assert (sidecar["job"], sidecar["outputs"][0]["sha256"]) == (job.id, digest(NEW))
    assert delivery_run.staged() == []
    assert delivery_run.journal.sources.is_known(NAME, now.version)
    assert adopted(delivery_run, make, **given) == {"a.jpg": JobState.DONE}


def test_a_sidecar_that_is_up_to_date_is_not_written(make: Callable[..., DeliveryRun]) -> None:
    """As after a crash between the sidecar and the journal, after which the picture is read again."""
    delivery_run = make()
    cut(delivery_run)
    crashed = pytest.MonkeyPatch()

    def crash(*_: object, **__: object) -> None:
        raise Power

    crashed.setattr(delivery_run.journal, "leave_unchanged", crash)
    rate(delivery_run)
    until(lambda: delivery_run.delivery.failure is not None, "the crash")
    crashed.undo()
    path = delivery_run.folder.output / "a.png.json"
    assert json.loads(path.read_bytes())["source"]["sha256"] == digest(RATED)
    written = path.stat()
    delivery_run.end()
    delivery_run.journal.close()
    again = make(run="run-2")
    with again.journal.store.transaction():
        again.journal.store.write("UPDATE job SET state = 'queued', session = NULL WHERE state = 'working'")
    job = again.journal.queue.next_in(NAME, newest_first=False)
    assert job is not None
    again.journal.queue.claim(job)
    again.delivery.deliver_known(job, Unchanged(sha256=digest(RATED), image_sha256="data"))
    again.settle()
    assert again.job(job).state is JobState.UNCHANGED
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (written.st_ino, written.st_mtime_ns)


@pytest.mark.parametrize("theirs", ["the result", "the sidecar's outputs", "the sidecar's source", "no JSON"])
def test_a_sidecar_that_others_have_changed_is_not_updated(
    make: Callable[..., DeliveryRun], theirs: str
) -> None:
    """The sidecar of a retouched result, and one that somebody has edited."""
    delivery_run = make()
    cut(delivery_run)
    path = delivery_run.folder.output / "a.png.json"
    document = json.loads(path.read_bytes())
    match theirs:
        case "the result":
            (delivery_run.folder.output / "a.png").write_bytes(b"retouched")
        case "the sidecar's outputs":
            document["outputs"][0]["sha256"] = "0" * 64
            path.write_text(json.dumps(document))
        case "the sidecar's source":
            document["source"]["path"] = "b.jpg"
            path.write_text(json.dumps(document))
        case _:
            path.write_bytes(b"theirs")
    before = path.read_bytes()
    rated(delivery_run)
    assert path.read_bytes() == before
    assert delivery_run.staged() == []


def test_a_sidecar_that_cannot_be_written_affects_nothing_else(make: Callable[..., DeliveryRun]) -> None:
    """The picture is still known to this journal."""
    delivery_run = make()
    cut(delivery_run)
    staging = delivery_run.folder.output / ".cutoutd-staging"
    for directory in staging.iterdir():
        directory.rmdir()
    before = (delivery_run.folder.output / "a.png.json").read_bytes()
    rated(delivery_run)
    assert (delivery_run.folder.output / "a.png.json").read_bytes() == before
