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
from tests.integration.desk import NEW, Desk, Power
from tests.integration.parts import JPEG, NAME, digest, states, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cutoutd.jobs import Job
    from tests.conftest import FakeClock

RATED = JPEG + b", three stars"


@pytest.fixture
def make(tmp_path: Path, clock: FakeClock) -> Iterator[Callable[..., Desk]]:
    """A function that makes started deliveries; they are ended with the test."""
    created: list[Desk] = []

    def build(**given: Any) -> Desk:  # noqa: ANN401 -- as of Desk
        if "sidecar_dir" in given:
            (tmp_path / "notes").mkdir(exist_ok=True)
        created.append(Desk(tmp_path, clock, **given))
        created[-1].delivery.start()
        return created[-1]

    yield build
    for desk in created:
        desk.end()
        desk.journal.close()


def cut(desk: Desk, name: str = "a.jpg") -> Job:
    """Publish a cutout of a picture, with the hash of its image data."""
    job = desk.begin(name)
    desk.delivery.deliver(job, desk.cut(job, NEW))
    desk.settle()
    with desk.journal.store.transaction():
        desk.journal.store.write("UPDATE published SET image_sha256 = 'data'")
    return job


def rate(desk: Desk, name: str = "a.jpg", content: bytes = RATED) -> Job:
    """Write a rating into the picture, and let a worker find its image data unchanged."""
    path = desk.folder.input / name
    later_ns = path.stat().st_mtime_ns + 10**9
    path.write_bytes(content)
    os.utime(path, ns=(later_ns, later_ns))
    size, mtime_ns = path.stat().st_size, path.stat().st_mtime_ns
    desk.journal.sources.accept(NAME, [Version(path=name, size=size, mtime_ns=mtime_ns)])
    job = desk.journal.queue.next_in(NAME, newest_first=False)
    assert job is not None
    desk.journal.queue.claim(job)
    desk.delivery.deliver_known(job, Unchanged(sha256=digest(content), image_sha256="data"))
    return job


def rated(desk: Desk, name: str = "a.jpg", content: bytes = RATED) -> Job:
    """Do as `rate`, to the end of the job."""
    job = rate(desk, name, content)
    desk.settle()
    assert desk.job(job).state is JobState.UNCHANGED
    return job


def adopted(desk: Desk, make: Callable[..., Desk], **given: Any) -> dict[str, JobState]:  # noqa: ANN401 -- as of Desk
    """Return what a new journal learns from the sidecars about the folder's pictures."""
    desk.end()
    desk.journal.close()
    (desk.root / FILE_NAME).unlink()
    again = make(run="run-2", **given)
    Adoption(again.folder, rules=rules_of(again.folder), sources=again.journal.sources).carry_out(
        lambda: True
    )
    return states(again.journal)


@pytest.mark.parametrize("content", [RATED, JPEG], ids=["rated", "touched"])
@pytest.mark.parametrize("place", ["beside", "notes"])
def test_a_picture_with_a_rating_is_known_after_a_lost_journal(
    make: Callable[..., Desk], tmp_path: Path, content: bytes, place: str
) -> None:
    """Before, it was cut again, since its sidecar had the hash from before the rating."""
    given = {} if place == "beside" else {"sidecar_dir": str(tmp_path / place)}
    desk = make(**given)
    job = cut(desk)
    now = rated(desk, content=content)
    path = (desk.folder.sidecar_dir or desk.folder.output) / "a.png.json"
    sidecar = json.loads(path.read_bytes())
    assert (sidecar["source"]["bytes"], sidecar["source"]["sha256"]) == (len(content), digest(content))
    assert (sidecar["job"], sidecar["outputs"][0]["sha256"]) == (job.id, digest(NEW))
    assert desk.staged() == []
    assert desk.journal.sources.is_known(NAME, now.version)
    assert adopted(desk, make, **given) == {"a.jpg": JobState.DONE}


def test_a_sidecar_that_is_up_to_date_is_not_written(make: Callable[..., Desk]) -> None:
    """As after a crash between the sidecar and the journal, after which the picture is read again."""
    desk = make()
    cut(desk)
    crashed = pytest.MonkeyPatch()

    def crash(*_: object, **__: object) -> None:
        raise Power

    crashed.setattr(desk.journal, "leave_unchanged", crash)
    rate(desk)
    until(lambda: desk.delivery.failure is not None, "the crash")
    crashed.undo()
    path = desk.folder.output / "a.png.json"
    assert json.loads(path.read_bytes())["source"]["sha256"] == digest(RATED)
    written = path.stat()
    desk.end()
    desk.journal.close()
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
def test_a_sidecar_that_others_have_changed_is_not_updated(make: Callable[..., Desk], theirs: str) -> None:
    """The sidecar of a retouched result, and one that somebody has edited."""
    desk = make()
    cut(desk)
    path = desk.folder.output / "a.png.json"
    document = json.loads(path.read_bytes())
    match theirs:
        case "the result":
            (desk.folder.output / "a.png").write_bytes(b"retouched")
        case "the sidecar's outputs":
            document["outputs"][0]["sha256"] = "0" * 64
            path.write_text(json.dumps(document))
        case "the sidecar's source":
            document["source"]["path"] = "b.jpg"
            path.write_text(json.dumps(document))
        case _:
            path.write_bytes(b"theirs")
    before = path.read_bytes()
    rated(desk)
    assert path.read_bytes() == before
    assert desk.staged() == []


def test_a_sidecar_that_cannot_be_written_affects_nothing_else(make: Callable[..., Desk]) -> None:
    """The picture is still known to this journal."""
    desk = make()
    cut(desk)
    staging = desk.folder.output / ".cutoutd-staging"
    for directory in staging.iterdir():
        directory.rmdir()
    before = (desk.folder.output / "a.png.json").read_bytes()
    rated(desk)
    assert (desk.folder.output / "a.png.json").read_bytes() == before
