"""The sandboxed proxy of a remote worker with any content in its inbox: only a plausible reply is accepted."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from cutoutd.clock import Clock
from cutoutd.exchange import cluster_spool
from cutoutd.exchange.cluster_spool import ClusterPaths, ClusterReply, ReplyKind
from cutoutd.jobs import Cut, Failure, Quality, Report, SourceFacts, Staged, Task, Unchanged
from cutoutd.models import catalog
from cutoutd.pool import wire
from cutoutd.pool.local import LocalPool
from cutoutd.protocols import Files, Finished, Lost, Withdrawn
from cutoutd.recipe import Format, Metadata, Recipe, Rendition
from cutoutd.task_route import ClusterTask, WorkerKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cutoutd.exchange.cluster_spool import ClusterRequest
    from cutoutd.protocols import PoolEvent

PATIENCE_S = 120.0
PICTURE = b"the picture's bytes"
RESULT = b"the result's bytes"
RECIPE = Recipe(
    renditions=(Rendition(format=Format.PNG, suffix=""),),
    refine=True,
    decontaminate=True,
    metadata=Metadata.NONE,
    review_below=0.0,
)


class Slot:
    """A pool of one proxy, and a gateway that the test plays."""

    def __init__(self, root: Path) -> None:
        self.paths = ClusterPaths(root / "cluster")
        self.paths.make()
        self.root = root
        model = catalog.read()[0]
        setup = wire.Setup(
            parent=os.getpid(),
            models=(model,),
            provider="cpu",
            memory_mb=3072,
            nice=0,
            max_pixels=10_000,
            max_file_bytes=1 << 20,
        )
        self.pool = LocalPool(
            size=1,
            setup=lambda: setup,
            job_timeout_s=PATIENCE_S,
            clock=Clock(),
            command=(sys.executable, "-P", "-m", "cutoutd.pool.cluster_proxy", str(self.paths.root)),
        )
        self.model = model.sha256
        self.jobs = 0

    def ask(self, answer: Callable[[Slot, ClusterRequest], None] | None, **changes: object) -> PoolEvent:
        """Give the proxy a task, answer its request in another thread, and return the event."""
        self.jobs += 1
        source = self.root / f"{self.jobs}.jpg"
        source.write_bytes(PICTURE)
        status = source.stat()
        task = Task(
            job=self.jobs,
            source=str(source),
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
            staging=str(self.root / "staging"),
            published_sha256=None,
            recipe=RECIPE,
            cluster=ClusterTask(folder="studio", falls_back=True),
        )
        results = [self.root / f"{self.jobs}-{number}.png" for number in range(2)]
        created = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        files = Files(
            source=os.open(source, os.O_RDONLY),
            results=tuple(os.open(path, created, 0o600) for path in results),
        )
        end_s = time.monotonic() + PATIENCE_S
        while not self.pool.room(kind=WorkerKind.CLUSTER):
            assert time.monotonic() < end_s
            self.pool.poll(0.1)
        self.pool.submit(replace(task, **changes), files, int)  # type: ignore[arg-type]
        if answer is not None:
            threading.Thread(target=self._play, args=(answer,), daemon=True).start()
        while not (events := self.pool.poll(0.1)):
            assert time.monotonic() < end_s
        for descriptor in files.descriptors:
            os.close(descriptor)
        return events[0]

    def _play(self, answer: Callable[[Slot, ClusterRequest], None]) -> None:
        """Wait for the request, and let the test answer it."""
        while not (found := list(self.paths.outbox.glob("*.json"))):
            time.sleep(0.01)
        answer(self, cluster_spool.read_request(found[0]))

    def reply(
        self, request: ClusterRequest, report: Report | None, *results: bytes, **changes: object
    ) -> None:
        """Put a reply into the inbox."""
        parts = [] if report is None else [wire.encode_report(request.job, report), *results]
        reply = ClusterReply(
            id=request.id,
            kind=ReplyKind.REPORT,
            sizes=tuple(map(len, parts)),
            host="tls://10.0.0.3:8790",
            cutoutd="0.1.0",
            onnxruntime="1",
            python="3.11",
            provider="cpu",
            layers=("landlock",),
            at="2026-01-01T00:00:00.000000Z",
            sent_bytes=sum(request.sizes[1:]),
        )
        cluster_spool.write(self.paths.inbox, replace(reply, **changes), parts)  # type: ignore[arg-type]

    def forge(self, request: ClusterRequest) -> None:
        """Put something into the inbox that is not a message."""
        (self.paths.inbox / f"{request.id}.json").write_bytes(b"{" * 100)


@pytest.fixture(scope="module")
def slot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slot]:
    """One slot for all tests of this module: a proxy that has refused a reply continues with the next."""
    created = Slot(tmp_path_factory.mktemp("proxy"))
    yield created
    created.pool.close()


def cut(request: ClusterRequest, **changes: object) -> Cut:
    """Return an honest report."""
    staged = Staged(
        name=f"{request.job}-0.png",
        rendition=0,
        bytes=len(RESULT),
        sha256=hashlib.sha256(RESULT).hexdigest(),
        width=10,
        height=10,
        format=Format.PNG,
    )
    report = Cut(
        source=SourceFacts(
            bytes=len(PICTURE), sha256=request.sha256, width=10, height=10, format="JPEG", orientation=1
        ),
        staged=(staged,),
        quality=Quality(score=0.9, reasons=()),
        review=False,
        timings_ms={"total": 1.0},
        warnings=(),
    )
    return replace(report, **changes)  # type: ignore[arg-type]


def test_an_honest_reply_becomes_a_result_and_names_its_machine(slot: Slot) -> None:
    """The picture was sent unchanged, with its name and without that of its folder."""
    seen: list[list[bytes]] = []

    def answer(slot: Slot, request: ClusterRequest) -> None:
        seen.append(cluster_spool.read_parts(slot.paths.outbox, request.id, request.sizes))
        assert (request.folder, request.model) == ("studio", slot.model)
        slot.reply(request, cut(request), RESULT)

    event = slot.ask(answer)
    assert isinstance(event, Finished)
    assert isinstance(event.report, Cut)
    assert event.report.remote is not None
    assert event.report.remote.host == "tls://10.0.0.3:8790"
    assert event.report.remote.sha256 == hashlib.sha256(PICTURE).hexdigest()
    assert (slot.root / f"{slot.jobs}-0.png").read_bytes() == RESULT
    ((line, picture),) = seen
    assert picture == PICTURE
    assert str(slot.root).encode() not in line
    assert json.loads(line)["task"]["source"] == f"{slot.jobs}.jpg"
    assert not [*slot.paths.inbox.iterdir(), *slot.paths.outbox.glob("*.json")]


FORGED: dict[str, Callable[[Slot, ClusterRequest], None]] = {
    "another result": lambda slot, one: slot.reply(one, cut(one), RESULT[:-1] + b"!"),
    "a result too many": lambda slot, one: slot.reply(one, cut(one), RESULT, RESULT),
    "no result": lambda slot, one: slot.reply(one, cut(one)),
    "another picture": lambda slot, one: slot.reply(
        one, cut(one, source=replace(cut(one).source, sha256="0" * 64)), RESULT
    ),
    "another size": lambda slot, one: slot.reply(
        one, cut(one, source=replace(cut(one).source, bytes=1)), RESULT
    ),
    "more pixels than there may be": lambda slot, one: slot.reply(
        one, cut(one, source=replace(cut(one).source, width=1000, height=1000)), RESULT
    ),
    "another name": lambda slot, one: slot.reply(
        one, cut(one, staged=(replace(cut(one).staged[0], name="999-0.png"),)), RESULT
    ),
    "torn data": lambda slot, one: slot.reply(one, cut(one), RESULT, sizes=(5, 5)),
    "sizes beyond all bounds": lambda slot, one: slot.reply(one, cut(one), RESULT, sizes=(1 << 62,)),
    "a machine in control characters": lambda slot, one: slot.reply(one, cut(one), RESULT, host="\x1b[2J"),
    "a machine that got less": lambda slot, one: slot.reply(one, cut(one), RESULT, sent_bytes=1),
    "no JSON": lambda slot, one: slot.forge(one),
    "a report of a move": lambda slot, one: slot.reply(one, Unchanged(sha256="not a hash")),
}


@pytest.mark.parametrize("forged", FORGED)
def test_a_forged_reply_never_becomes_a_result(slot: Slot, forged: str) -> None:
    """The picture is not blamed, and nothing of the reply is in the staging directory."""
    event = slot.ask(FORGED[forged])
    assert isinstance(event, Finished)
    assert isinstance(event.report, Failure)
    assert (event.report.code, event.report.permanent) == ("Cluster", False)
    assert (slot.root / f"{slot.jobs}-0.png").read_bytes() == b""


def test_a_picture_that_was_published_already_is_not_sent(slot: Slot) -> None:
    """Its bytes are compared before it is sent."""
    event = slot.ask(None, published_sha256=hashlib.sha256(PICTURE).hexdigest())
    assert isinstance(event, Finished)
    assert isinstance(event.report, Unchanged)
    assert list(slot.paths.outbox.glob("*.json")) == []


def test_a_worker_that_died_there_counts_as_one_that_died_here(slot: Slot) -> None:
    """The pool counts it against the picture."""
    event = slot.ask(lambda slot, one: slot.reply(one, None, kind=ReplyKind.LOST, why="it was killed"))
    assert isinstance(event, Lost)


def test_a_request_that_was_not_sent_is_returned(slot: Slot) -> None:
    """By the gateway; or by the proxy itself, once the supervisor reports that the cluster has been away for too long."""
    event = slot.ask(lambda slot, one: slot.reply(one, None, kind=ReplyKind.RETURNED, why="not tagged"))
    assert isinstance(event, Withdrawn)
    assert event.why == "not tagged"
    slot.paths.away.touch()
    try:
        event = slot.ask(None)
    finally:
        slot.paths.away.unlink()
    assert isinstance(event, Withdrawn)
    assert list(slot.paths.outbox.glob("*.json")) == []
