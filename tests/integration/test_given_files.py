"""The files that a worker was given are useless to it once its job is over."""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cutoutd.clock import Clock
from cutoutd.fs import writers
from cutoutd.jobs import Cut, Task
from cutoutd.pool import wire
from cutoutd.pool.local import LocalPool
from cutoutd.pool.task_files import open_files
from cutoutd.process import channel
from cutoutd.protocols import Finished
from cutoutd.publish import handover
from cutoutd.publish.faults import ResultLostError
from cutoutd.publish.plan import Publication
from cutoutd.publish.staging import job_directory
from cutoutd.recipe import Format, Metadata, Recipe, Rendition
from tests.integration.keeping_worker import FORGED, HONEST
from tests.integration.parts import MODEL, until
from tests.integration.publishing import OutputFolder, facts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.jobs import Report

KEEPING = (sys.executable, "-P", str(Path(__file__).with_name("keeping_worker.py")))
PATIENCE_S = 60.0
RECIPE = Recipe(
    renditions=(Rendition(format=Format.PNG, suffix=""),),
    refine=False,
    decontaminate=False,
    metadata=Metadata.NONE,
    review_below=0.0,
)


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalPool]:
    """A pool of one worker that keeps its files open."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    setup = wire.Setup(
        parent=os.getpid(),
        models=(MODEL,),
        provider="auto",
        memory_mb=1024,
        nice=0,
        max_pixels=100,
        max_file_bytes=100,
    )
    created = LocalPool(size=1, setup=lambda: setup, job_timeout_s=20.0, clock=Clock(), command=KEEPING)
    until(lambda: created.poll(0.05) == [] and created.idle, "a worker")
    yield created
    created.close()


def report_of(pool: LocalPool, output_folder: OutputFolder, source: Path, job: int) -> tuple[Report, str]:
    """Return the report of a job, and the directory of its results."""
    directory = job_directory(job)
    staging = output_folder.publisher.staging.of_job(directory)
    status = source.stat()
    task = Task(
        job=job,
        source=str(source),
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        staging=str(staging.directory),
        published_sha256=None,
        recipe=RECIPE,
    )
    files = open_files(task, source.parent, staging)
    pool.submit(task, files, partial(channel.close, files.descriptors))
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        for event in pool.poll(0.05):
            assert isinstance(event, Finished), event
            return event.report, directory
    pytest.fail("the worker says nothing")


def know_leases(directory: Path) -> bool:
    """Return whether the file system tells who has a file open for writing."""
    with (directory / "probe").open("wb"), (directory / "probe").open("rb") as probe:
        return writers.writers_of(probe.fileno()) is writers.Writers.SOME


@pytest.mark.parametrize("leases", ["as they are", "unknown"])
def test_a_result_does_not_change_once_it_is_published(
    pool: LocalPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leases: str
) -> None:
    """Although the worker still has the file open for writing; also on a file system that cannot tell."""
    if leases == "unknown":
        monkeypatch.setattr(handover, "writers_of", lambda _: writers.Writers.UNKNOWN)
        monkeypatch.setattr(handover, "is_open_for_writing", lambda _: False)
    output_folder = OutputFolder(tmp_path)
    source = tmp_path / "a.jpg"
    source.write_bytes(b"picture")
    report, directory = report_of(pool, output_folder, source, 1)
    assert isinstance(report, Cut)
    staged = output_folder.publisher.staging.of_job(directory)
    kept = staged.path("1-0.png").stat().st_ino
    plan = output_folder.plan(
        Publication(
            facts=facts("a.jpg"),
            staged=report.staged,
            renditions=RECIPE.renditions,
            review=False,
            earlier=(),
            directory=directory,
        )
    )
    assert not staged.directory.exists()
    assert output_folder.publisher.was_file_kept_open is (leases == "as they are" and know_leases(tmp_path))
    output_folder.publisher.carry_out(plan)
    report_of(pool, output_folder, source, 2)
    assert output_folder.files() == {"a.png": HONEST}
    assert (output_folder.output / "a.png").stat().st_ino != kept


def test_a_result_that_nobody_has_open_is_moved_and_not_copied(tmp_path: Path) -> None:
    """Its bytes are written once."""
    if not know_leases(tmp_path):
        pytest.skip("this file system knows no leases")
    output_folder = OutputFolder(tmp_path)
    results = output_folder.results("a.jpg", [HONEST])
    inode = output_folder.publisher.staging.path("1-0.png").stat().st_ino
    output_folder.publisher.carry_out(output_folder.plan(results))
    assert (output_folder.output / "a.png").stat().st_ino == inode


def test_a_copy_that_changes_under_way_is_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hashed bytes are those that are kept: the worker may write between any two reads."""
    output_folder = OutputFolder(tmp_path)
    results = output_folder.results("a.jpg", [HONEST])
    staged = output_folder.publisher.staging.path("1-0.png")
    with staged.open("r+b", buffering=0) as kept:
        pread = os.pread

        def changing(descriptor: int, count: int, at: int) -> bytes:
            kept.seek(0)
            kept.write(FORGED)
            return pread(descriptor, count, at)

        monkeypatch.setattr(os, "pread", changing)
        with pytest.raises(ResultLostError):
            output_folder.plan(results)
    assert output_folder.files() == {}
    assert not list((output_folder.output / ".cutoutd-staging/run-1.own").iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="leases are Linux's")
def test_a_descriptor_on_its_way_counts_as_open(tmp_path: Path) -> None:
    """No process has received the descriptor yet, and whichever does can write."""
    path = tmp_path / "result"
    writer = os.open(path, os.O_WRONLY | os.O_CREAT)
    sender, theirs = channel.pair()
    with path.open("rb") as file:
        if writers.writers_of(file.fileno()) is not writers.Writers.SOME:
            pytest.skip("this file system knows no leases")
        sender.send(b"task\n", (writer,), partial(os.close, writer))
        on_its_way = writers.writers_of(file.fileno())
        sender.close()
        os.close(theirs)
        gone = writers.writers_of(file.fileno())
    assert (on_its_way, gone) == (writers.Writers.SOME, writers.Writers.NONE)
