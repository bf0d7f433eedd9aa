"""A result is not published over what a person drew, accepted or rejected, even if the journal does not know of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cutoutd.corrections import Correction
from cutoutd.errors import FailureCode
from cutoutd.jobs import JobState
from cutoutd.strokes import Stroke, StrokeKind
from tests.integration.delivery_run import NEW, DeliveryRun
from tests.integration.parts import JPEG, NAME, digest
from tests.integration.test_adoption import EarlierInstallation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import FakeClock

DRAWN = Correction(
    number=2, sha256=digest(JPEG), strokes=(Stroke(kind=StrokeKind.KEEP, points=((1.0, 2.0),), radius=5.0),)
)


@pytest.fixture
def earlier(tmp_path: Path) -> Iterator[EarlierInstallation]:
    """The folder, as a journal left it that is not there any more."""
    created = EarlierInstallation(tmp_path)
    yield created
    created.journal.close()


@pytest.fixture
def delivery_run(tmp_path: Path, clock: FakeClock) -> Iterator[DeliveryRun]:
    """A delivery with a journal that did not adopt anything, as one that does not show that it is older."""
    created = DeliveryRun(tmp_path, clock)
    created.delivery.start()
    yield created
    created.delivery.stop()
    assert created.delivery.join(20.0)
    created.journal.close()


def contents(delivery_run: DeliveryRun) -> dict[str, bytes]:
    """Return the files of the output that a user sees."""
    output = delivery_run.folder.output
    return {
        path.relative_to(output).as_posix(): path.read_bytes()
        for path in output.rglob("*")
        if path.is_file() and "staging" not in str(path)
    }


def test_a_corrected_cutout_is_not_overwritten(
    delivery_run: DeliveryRun, earlier: EarlierInstallation
) -> None:
    """The correction is in the journal then, and can be undone; before, the plain cutout replaced it without a word."""
    earlier.cut("a.jpg", correction=DRAWN)
    before = contents(delivery_run)
    job = delivery_run.deliver("a.jpg", NEW)
    assert contents(delivery_run) == before
    assert delivery_run.job(job).state is JobState.DONE
    assert delivery_run.journal.corrections.last(NAME, "a.jpg", 0) == DRAWN
    assert [one.state for one in delivery_run.results] == [JobState.DONE]
    assert list(delivery_run.publisher.staging.directory.glob(f"{job.id}-*")) == []


def test_a_rejection_holds(delivery_run: DeliveryRun, earlier: EarlierInstallation) -> None:
    """The record stays, and nothing is published; the same record of another failure is removed by a success."""
    earlier.fail("a.jpg", FailureCode.REJECTED, digest(b"broken"))
    earlier.fail("b.jpg", FailureCode.PICTURE, digest(b"broken"))
    job = delivery_run.deliver("a.jpg", NEW, source=b"broken")
    assert delivery_run.job(job).state is JobState.FAILED
    assert set(contents(delivery_run)) == {"failed/a.jpg.error.json", "failed/b.jpg.error.json"}
    delivery_run.deliver("b.jpg", NEW, source=b"broken")
    assert set(contents(delivery_run)) == {"failed/a.jpg.error.json", "b.png", "b.png.json"}


def test_an_accepted_cutout_does_not_go_back_into_review(
    delivery_run: DeliveryRun, earlier: EarlierInstallation
) -> None:
    """Its result is published and not doubtful, and the new one would be."""
    earlier.cut("a.jpg")
    before = contents(delivery_run)
    job = delivery_run.deliver("a.jpg", NEW, review=True)
    assert contents(delivery_run) == before
    assert delivery_run.job(job).state is JobState.DONE


def test_what_holds_no_decision_is_replaced(delivery_run: DeliveryRun, earlier: EarlierInstallation) -> None:
    """A plain cutout, other bytes of the source, a result that was deleted, and a cut that a person asked for."""
    earlier.cut("plain.jpg")
    earlier.cut("other.jpg", correction=DRAWN)
    earlier.cut("deleted.jpg", correction=DRAWN)
    earlier.cut("asked.jpg", correction=DRAWN)
    (delivery_run.folder.output / "deleted.png").unlink()
    delivery_run.deliver("plain.jpg", NEW)
    delivery_run.deliver("other.jpg", NEW, source=JPEG + b"changed")
    delivery_run.deliver("deleted.jpg", NEW)
    first = delivery_run.deliver("asked.jpg", NEW)
    after = contents(delivery_run)
    assert [name for name, content in after.items() if content == NEW] != []
    assert after["plain.png"] == after["deleted.png"] == NEW
    assert after["asked.png"] != NEW
    assert delivery_run.journal.queue.retry(first.id) == 1
    delivery_run.deliver("asked.jpg", NEW)
    assert contents(delivery_run)["asked.png"] == NEW


def test_a_picture_that_a_person_names_is_cut_whatever_its_sidecar_says(
    delivery_run: DeliveryRun, earlier: EarlierInstallation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`cutoutd cut` keeps no journal, so no decision is missing from it."""
    monkeypatch.setattr(delivery_run.journal.store, "path", None)
    earlier.cut("a.jpg", correction=DRAWN)
    delivery_run.deliver("a.jpg", NEW)
    assert contents(delivery_run)["a.png"] == NEW
