"""The copy that a worker makes for an upload is opened once and checked, and its request is written where no worker can."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cutoutd.exchange import spool
from cutoutd.jobs import Exported
from cutoutd.offload import spool_files
from cutoutd.offload.outbox import MAX_COPY_BYTES
from cutoutd.offload.routing import RoutePlan
from tests.integration.offloading import FACTS, coordinator_of, outbox_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.supervisor_run import SupervisorRun

CONTENT = b"\xff\xd8 a copy \xff\xd9"


def reported(
    content: bytes = CONTENT, *, size: int | None = None, width: int = 64, height: int = 48
) -> Exported:
    """Return a worker's report about the copy."""
    return Exported(
        source=FACTS,
        bytes=len(content) if size is None else size,
        sha256=hashlib.sha256(content).hexdigest(),
        width=width,
        height=height,
    )


def a_link(path: Path) -> None:
    """Make a link to a file that the supervisor could read."""
    other = path.with_name("other")
    other.write_bytes(CONTENT)
    path.symlink_to(other)


def a_second_name(path: Path) -> None:
    """Make a second name for a file that could be changed later."""
    other = path.with_name("other")
    other.write_bytes(CONTENT)
    path.hardlink_to(other)


def a_hole(path: Path) -> None:
    """Make a sparse file that is larger than any disk."""
    with path.open("wb") as file:
        file.truncate(1 << 40)


PUT: dict[str, Callable[[Path], object]] = {
    "nothing": lambda _: None,
    "a link": a_link,
    "a second name": a_second_name,
    "a directory": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "a hole": a_hole,
    "other bytes": lambda path: path.write_bytes(b"x" * len(CONTENT)),
    "more bytes": lambda path: path.write_bytes(CONTENT + b"x"),
    "an empty file": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("what", PUT)
def test_another_file_than_the_reported_copy_is_not_sent(supervisor_run: SupervisorRun, what: str) -> None:
    """Whatever is there: no request is made, the job is not uploaded, and the directory is clean again."""
    (number,) = supervisor_run.accept("a.jpg")
    outbox = outbox_of(supervisor_run)
    coordinator = coordinator_of(supervisor_run, outbox)
    coordinator.begin({})
    job = supervisor_run.job(number)
    PUT[what](Path(outbox.export(job).file))
    assert coordinator.exported(job, reported()) is False
    coordinator.worker_done(job)
    assert list(spool.requests(outbox.paths)) == []
    assert list(outbox.paths.outbox.iterdir()) == []
    assert [path.name for path in outbox.paths.copies.iterdir() if path.name != "other"] == []


@pytest.mark.parametrize(("width", "height"), [(0, 48), (64, 0), (-1, 48), (1001, 10), (10**6, 10**6)])
def test_a_size_that_was_not_requested_is_not_trusted(
    supervisor_run: SupervisorRun, width: int, height: int
) -> None:
    """The size determines the price, and the check of the reply."""
    (number,) = supervisor_run.accept("a.jpg")
    outbox = outbox_of(supervisor_run, max_upload_px=1000)
    job = supervisor_run.job(number)
    Path(outbox.export(job).file).write_bytes(CONTENT)
    with pytest.raises(spool_files.CopyError):
        outbox.send(job, reported(width=width, height=height), plan())
    assert list(outbox.paths.outbox.iterdir()) == []


def test_an_honest_copy_is_another_file_in_the_outbox(supervisor_run: SupervisorRun) -> None:
    """A worker that keeps its file open cannot change what is sent."""
    (number,) = supervisor_run.accept("a.jpg")
    outbox = outbox_of(supervisor_run)
    job = supervisor_run.job(number)
    with Path(outbox.export(job).file).open("wb", buffering=0) as kept:
        kept.write(CONTENT)
        outbox.send(job, reported(), plan())
        kept.write(b"and more")
    (request,) = list(spool.requests(outbox.paths))
    sent = outbox.paths.outbox / request.file
    assert (sent.read_bytes(), sent.stat().st_mode & 0o777) == (CONTENT, 0o600)
    assert list(outbox.paths.copies.iterdir()) == []
    assert (request.width, request.height) == (64, 48)


def test_a_copy_that_is_too_large_is_not_read(supervisor_run: SupervisorRun) -> None:
    """Even if its size is reported correctly."""
    (number,) = supervisor_run.accept("a.jpg")
    outbox = outbox_of(supervisor_run)
    job = supervisor_run.job(number)
    path = Path(outbox.export(job).file)
    a_hole(path)
    os.truncate(path, MAX_COPY_BYTES + 1)
    with pytest.raises(spool_files.CopyError, match="may be"):
        outbox.send(job, reported(size=MAX_COPY_BYTES + 1), plan())


def plan() -> RoutePlan:
    """Return the plan for a picture of a tagged folder."""
    return RoutePlan(why="the folder's route is hosted")
