"""No picture of an untagged folder can get into the outbox: workers serve one kind of folder, and the kernel enforces it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutoutd.exchange.cluster_spool import ClusterPaths
from cutoutd.exchange.spool import SpoolPaths
from cutoutd.jobs import Task
from cutoutd.pool.routed import RoutedPool
from cutoutd.protocols import Files
from cutoutd.recipe import Metadata, Recipe
from cutoutd.task_route import ClusterTask, WorkerKind
from tests.integration.confined import landlock_version

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.pool.local import LocalPool

ROOT = Path(__file__).parents[2]
RECIPE = Recipe(renditions=(), refine=False, decontaminate=False, metadata=Metadata.NONE, review_below=0.0)

# What a worker does once it is confined, and says how it went.
INTRUDER = """
import json, os, sys
from cutoutd.sandbox.confinement import own_code
from cutoutd.sandbox.confinement import confine_worker
calls = json.loads(sys.stdin.read())
confine_worker(read=own_code(), memory_mb=4096, file_bytes=1 << 20)
def tried(*how):
    try:
        if how[-1] == "rename":
            os.rename(*how[:-1])
            return "done"
        with open(*how) as file:
            return "done"
    except OSError as error:
        return type(error).__name__
print(json.dumps({name: tried(*how) for name, how in calls.items()}))
"""


@dataclass
class Recording:
    """Workers of one kind, which record the folders for which they worked."""

    worked_for: list[int] = field(default_factory=list)

    def fileno(self) -> int:
        """Return a descriptor to poll."""
        return os.open(os.devnull, os.O_RDONLY)

    def room(self, *, kind: WorkerKind) -> int:  # noqa: ARG002 -- as the protocol has it
        """Return that there is always room."""
        return 1

    def submit(self, task: Task, files: Files, sent: Callable[[], object]) -> None:  # noqa: ARG002 -- likewise
        """Record the task."""
        self.worked_for.append(task.job)
        sent()


@given(kinds=st.lists(st.sampled_from(WorkerKind), max_size=12))
def test_no_worker_ever_has_pictures_of_two_kinds_of_folders(kinds: list[WorkerKind]) -> None:
    """Its memory survives from one picture to the next: a worker for uploads has never seen an untagged folder's picture."""
    workers = {kind: Recording() for kind in WorkerKind}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("selectors.DefaultSelector.register", lambda *_: None)
        pool = RoutedPool(cast("dict[WorkerKind, LocalPool]", workers), shares=dict)
    for job, kind in enumerate(kinds):
        task = Task(
            job=job,
            source="/in/a.jpg",
            size=1,
            mtime_ns=1,
            staging="/s",
            published_sha256=None,
            recipe=RECIPE,
            tagged=kind is WorkerKind.UPLOADED,
            cluster=ClusterTask(folder="a") if kind is WorkerKind.CLUSTER else None,
        )
        assert pool.room(kind=kind) == 1
        pool.submit(task, Files(source=-1), partial(int))
    for kind, worker in workers.items():
        assert worker.worked_for == [job for job, one in enumerate(kinds) if one is kind]


@pytest.mark.skipif(not landlock_version(), reason="this kernel has no Landlock, or it is off")
def test_the_kernel_keeps_workers_of_both_kinds_from_all_of_it(tmp_path: Path) -> None:
    """A hostile worker tries to reach folders of either kind, and the hosted route."""
    places = SpoolPaths.under(tmp_path / "state")
    places.make()
    box = ClusterPaths.under(tmp_path / "state")
    box.make()
    for place in ("in", "out/.cutoutd-staging/run/7-abc"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "in" / "a.jpg").write_bytes(b"picture")
    (places.inbox / "a.body").write_bytes(b"reply")
    (places.copies / "x.jpg").write_bytes(b"copy")
    attempts = {
        "read a picture": (str(tmp_path / "in/a.jpg"),),
        "read a copy": (str(places.copies / "x.jpg"),),
        "write a copy": (str(places.copies / "y.jpg"), "w"),
        "write outbox": (str(places.outbox / "x.jpg"), "w"),
        "forge a request": (str(places.outbox / f"{'0' * 32}.json"), "w"),
        "rename into the outbox": (str(places.copies / "x.jpg"), str(places.outbox / "y.jpg"), "rename"),
        "send to a cluster": (str(box.outbox / f"{'0' * 32}.json"), "w"),
        "forge a cluster's reply": (str(box.inbox / f"{'0' * 32}.json"), "w"),
        "read inbox": (str(places.inbox / "a.body"),),
        "write inbox": (str(places.inbox / "x.body"), "w"),
        "stage for another job": (str(tmp_path / "out/.cutoutd-staging/run/7-abc/7-0.png"), "w"),
    }
    ended = subprocess.run(
        [sys.executable, "-c", INTRUDER],
        cwd=ROOT,
        input=json.dumps(attempts),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == dict.fromkeys(attempts, "PermissionError")
