"""A worker reports the SHA-256 of the picture that it has read: it is checked before another picture can get the result."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from cutoutd.intake.verification import has_bytes
from cutoutd.jobs import JobState, Version
from tests.integration.delivery_run import NEW, DeliveryRun
from tests.integration.parts import JPEG, digest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import FakeClock


@pytest.fixture
def delivery_run(tmp_path: Path, clock: FakeClock) -> Iterator[DeliveryRun]:
    """A started delivery."""
    created = DeliveryRun(tmp_path, clock)
    created.delivery.start()
    yield created
    created.end()
    created.journal.close()


def test_a_result_with_the_hash_of_another_picture_is_not_published(delivery_run: DeliveryRun) -> None:
    """Otherwise that other picture would get it later. It is tried with another worker once, and then given up."""
    job = delivery_run.begin("a.jpg")
    lie = delivery_run.cut(job, NEW, source=JPEG + b"another picture")
    delivery_run.delivery.deliver(job, lie)
    delivery_run.settle()
    assert delivery_run.job(job).state is JobState.QUEUED
    assert delivery_run.job(job).sha256 is None
    assert delivery_run.files() == {}
    delivery_run.journal.queue.claim(delivery_run.job(job))
    delivery_run.delivery.deliver(job, delivery_run.cut(job, NEW, source=JPEG + b"another picture"))
    delivery_run.settle()
    assert delivery_run.job(job).state is JobState.FAILED
    assert NEW not in delivery_run.files().values()


def test_a_picture_that_is_taken_away_while_it_is_cut_is_published(delivery_run: DeliveryRun) -> None:
    """Its bytes cannot be read any more; an accepted picture is cut all the same."""
    job = delivery_run.begin("a.jpg")
    cut = delivery_run.cut(job, NEW)
    (delivery_run.folder.input / "a.jpg").unlink()
    delivery_run.delivery.deliver(job, cut)
    delivery_run.settle()
    assert delivery_run.job(job).state is JobState.DONE
    assert delivery_run.files() == {"a.png": NEW}


def test_a_picture_reported_as_larger_than_its_file_states_gets_no_result(delivery_run: DeliveryRun) -> None:
    """The size of a picture limits the size of its result. Before, the limit was that of the largest allowed picture."""
    data = io.BytesIO()
    Image.new("RGB", (4, 2)).save(data, format="JPEG")
    job = delivery_run.begin("a.jpg", data.getvalue())
    delivery_run.delivery.deliver(job, delivery_run.cut(job, NEW, source=data.getvalue()))
    delivery_run.settle()
    assert delivery_run.job(job).state is JobState.QUEUED
    assert delivery_run.files() == {}


@pytest.mark.parametrize(
    ("content", "sha256", "stated"),
    [
        (JPEG, digest(JPEG), True),
        (JPEG, digest(NEW), False),
        (JPEG + b"more", digest(JPEG), None),
        (None, digest(JPEG), None),
    ],
)
def test_a_files_bytes_are_known_only_while_it_is_that_version(
    tmp_path: Path, content: bytes | None, sha256: str, stated: object
) -> None:
    """A file that has grown or is gone is another version."""
    file = tmp_path / "a.jpg"
    file.write_bytes(JPEG)
    version = Version(path="a.jpg", size=len(JPEG), mtime_ns=file.stat().st_mtime_ns)
    if content is None:
        file.unlink()
    elif content != JPEG:
        file.write_bytes(content)
    assert has_bytes(str(tmp_path), version, sha256) is stated
