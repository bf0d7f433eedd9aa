"""A picture of any date that a file system can hold is cut like any other, and recognised later."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.conftest import small_bench_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.conftest import Bench

pytestmark = pytest.mark.small_model

SECOND_NS = 1_000_000_000
DATES = {
    "year-0001": -62_135_596_800,
    "ntfs-zero-1601": -11_644_473_600,
    "before-1677": -9_300_000_000,
    "before-1970": -1,
    "after-2262": 9_300_000_000,
    "year-2300": 10_413_792_000,
    "year-9999": 253_402_300_799,
    "year-60000": 1_831_000_000_000,
    "farthest": (1 << 62),
}


@pytest.fixture
def timeless(small_models_dir: Path) -> Iterator[Bench]:
    """Folders on a file system in memory, which can store every date."""
    place = Path("/dev/shm")  # noqa: S108 -- the one place that is such a file system
    if not place.is_dir():
        pytest.skip("this system has no /dev/shm")
    with tempfile.TemporaryDirectory(prefix="cutoutd-dates-", dir=place) as root:
        yield small_bench_in(Path(root), small_models_dir)


def drop_dated(bench: Bench) -> dict[str, int]:
    """Add one picture of each date. Returns the nanoseconds that the file system has stored."""
    kept = {}
    for number, (name, seconds) in enumerate(DATES.items()):
        path = bench.drop(f"{name}.jpg", number)
        moment_ns = seconds * SECOND_NS + (123_456_789 if abs(seconds) < 1 << 61 else 0)
        os.utime(path, ns=(moment_ns, moment_ns))
        kept[path.name] = path.stat().st_mtime_ns
    return kept


def test_pictures_of_any_date_are_cut_once_and_known_again(timeless: Bench) -> None:
    """Also after the journal was rebuilt: the sidecar has the true time."""
    kept = drop_dated(timeless)
    assert kept["ntfs-zero-1601.jpg"] < -(1 << 63)
    assert kept["year-60000.jpg"] > 1 << 63
    done = timeless.once()
    assert done.returncode == 0, done.stderr
    assert f"{len(DATES)} cut" in done.stdout
    assert "fault" not in done.stderr
    jobs = {job["path"]: job for job in timeless.jobs()}
    assert {name: job["mtime_ns"] for name, job in jobs.items()} == kept
    again = timeless.once()
    assert (again.returncode, "0 cut" in again.stdout) == (0, True)
    (journal,) = (timeless.root / "state").rglob("journal.sqlite")
    journal.unlink()
    adopted = timeless.once()
    assert (adopted.returncode, "0 cut" in adopted.stdout) == (0, True)
    assert len(timeless.jobs()) == len(DATES)


def test_a_later_date_outside_the_calendar_is_another_version(timeless: Bench) -> None:
    """Two such dates are distinguished."""
    path = timeless.drop("a.jpg")
    for year_ns in (10_413_792_000 * SECOND_NS, 10_413_792_001 * SECOND_NS):
        os.utime(path, ns=(year_ns, year_ns))
        assert timeless.once().returncode == 0
    assert len(timeless.jobs()) == 2


def test_a_picture_that_fails_has_its_record_whatever_its_date(timeless: Bench) -> None:
    """The record is written, and read back."""
    path = timeless.input / "broken.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0 begins like a picture")
    then_ns = 10_413_792_000 * SECOND_NS
    os.utime(path, ns=(then_ns, then_ns))
    assert timeless.once().returncode == 1
    record = timeless.sidecar("failed/broken.jpg.error.json")
    assert record["source"]["mtime"] == "2300-01-01T00:00:00.000000000Z"


def test_named_files_of_any_date_are_cut_without_a_traceback(timeless: Bench) -> None:
    """With `cutoutd cut`."""
    drop_dated(timeless)
    names = sorted(path for path in timeless.input.iterdir() if path.suffix == ".jpg")
    done = timeless.call("cut", *names, "-o", timeless.root / "elsewhere")
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert f"{len(DATES)} cut" in done.stdout
