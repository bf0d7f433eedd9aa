"""A request of the gateway is retried where a machine dies, and its picture is not blamed."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any, cast

import pytest
from distributed.core import Status
from distributed.scheduler import KilledWorker, WorkerState

from cutoutd.clock import Clock
from cutoutd.cluster import connection, packing, request_job
from cutoutd.cluster.connection import LostSchedulerError, RemoteOutcome
from cutoutd.cluster.gateway import Gateway
from cutoutd.cluster.remote import HEAD_SCHEMA
from cutoutd.cluster.request_job import MAX_TRIES, RequestJob
from cutoutd.exchange import cluster_spool, messages, sent_log
from cutoutd.exchange.cluster_spool import ClusterPaths, ClusterRequest, ReplyKind
from cutoutd.exchange.sent_log import SentLog
from cutoutd.settings.schema import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.cluster.connection import Connection
    from cutoutd.cluster.packing import Packed
    from cutoutd.exchange.cluster_spool import ClusterReply

KILLED = "KilledWorker: the machine died over it"


class Machines:
    """A connection that returns prepared outcomes, one for each call."""

    def __init__(self, *outcomes: RemoteOutcome) -> None:
        self.outcomes = list(outcomes)
        self.sent: list[list[bytes]] = []

    async def carry_out(self, data: Packed, _: str, __: float) -> RemoteOutcome:
        """Record the data, and return the next outcome."""
        self.sent.append([bytes(part) for part in packing.unpack(data)])
        return self.outcomes.pop(0)


def result(**changes: Any) -> RemoteOutcome:  # noqa: ANN401 -- fields of JSON
    """Return what a machine sends back."""
    document = {
        "schema": HEAD_SCHEMA,
        "kind": "report",
        "permanent": False,
        "cutoutd": "1",
        "onnxruntime": "1",
        "python": "3",
        "provider": "cpu",
        "layers": [],
    }
    parts = [] if changes.get("kind") in ("lost", "failed") else [b"report", b"result"]
    return RemoteOutcome(
        why=None, result=packing.pack([json.dumps(document | changes).encode(), *parts]), host="tls://h:1"
    )


@pytest.fixture
def paths(tmp_path: Path) -> ClusterPaths:
    """An exchange directory."""
    created = ClusterPaths.under(tmp_path)
    created.make()
    return created


def answered(paths: ClusterPaths, machines: Machines) -> ClusterReply:
    """Handle one request; return its reply."""
    request = ClusterRequest(
        id=messages.new_id(),
        owner=messages.new_id(),
        folder="studio",
        job=7,
        sizes=(4, 7),
        sha256="0" * 64,
        model="1" * 64,
    )
    cluster_spool.write(paths.outbox, request, [b"task", b"picture"])

    async def run() -> None:
        gateway = Gateway(
            Settings(),
            paths=paths,
            sent=SentLog(paths.sent),
            clock=Clock(),
            announced="",
            parent=os.getppid(),
            layers=(),
        )
        await RequestJob(gateway.job_context, cast("Connection", machines), request, "resource").run()

    asyncio.run(run())
    assert list(paths.outbox.iterdir()) == []
    return cluster_spool.read_reply(paths.inbox / f"{request.id}.json")


def test_a_picture_whose_machines_die_is_tried_on_others_and_is_not_to_blame(paths: ClusterPaths) -> None:
    """Dask's KilledWorker names the task only; the log of sent pictures has each try."""
    reply = answered(paths, Machines(*[RemoteOutcome(why=KILLED)] * MAX_TRIES))
    assert (reply.kind, reply.permanent) == (ReplyKind.FAILED, False)
    assert KILLED in reply.why
    assert len(list(sent_log.entries(paths.sent))) == MAX_TRIES


def test_a_try_that_works_after_others_is_the_answer(paths: ClusterPaths) -> None:
    """The reply names the machine that cut the picture."""
    machines = Machines(RemoteOutcome(why=KILLED), result())
    reply = answered(paths, machines)
    assert (reply.kind, reply.host, reply.sent_bytes) == (ReplyKind.REPORT, "tls://h:1", 7)
    assert cluster_spool.read_parts(paths.inbox, reply.id, reply.sizes) == [b"report", b"result"]
    assert [parts[1:] for parts in machines.sent] == [[b"task", b"picture"]] * 2


def test_a_machine_whose_disk_is_full_is_not_asked_twice_in_a_row_and_the_picture_is_not_to_blame(
    paths: ClusterPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It refuses at once, so it would be given all pictures; before, each of them failed for a while."""
    monkeypatch.setattr(request_job, "LEAVE_S", 0.0)
    full = result(kind="failed", elsewhere=True, why="the machine's disk refuses: No space left on device")
    assert answered(paths, Machines(full, result())).kind is ReplyKind.REPORT
    reply = answered(paths, Machines(*[full] * MAX_TRIES))
    assert (reply.kind, reply.permanent) == (ReplyKind.FAILED, False)
    assert "tls://h:1: the machine's disk refuses" in reply.why


def test_a_request_whose_scheduler_is_lost_stays_where_it_is(paths: ClusterPaths) -> None:
    """It is sent again once there is a scheduler; before, it was answered as a failure."""

    class Lost(Machines):
        async def carry_out(self, data: Packed, _: str, __: float) -> RemoteOutcome:
            raise LostSchedulerError(f"the connection is gone, with {len(data.parts)} parts")

    with pytest.raises(AssertionError, match="json"):
        answered(paths, Lost())
    assert list(paths.inbox.iterdir()) == []


def test_while_no_machine_can_be_reached_a_request_waits_for_however_long_that_takes(
    paths: ClusterPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, a picture failed after three deadlines; where a machine can be reached, it still does."""
    late = RemoteOutcome(why="no machine has answered in 660 s", is_late=True)
    reply = answered(paths, Machines(*[late] * (2 * MAX_TRIES), result()))
    assert reply.kind is ReplyKind.REPORT
    monkeypatch.setattr(Gateway, "has_machines", True)
    reply = answered(paths, Machines(*[late] * MAX_TRIES))
    assert (reply.kind, reply.permanent) == (ReplyKind.FAILED, False)


def test_a_slot_that_died_and_results_that_are_too_large_are_answered_as_such(paths: ClusterPaths) -> None:
    """No other machine is tried, since the outcome would be the same."""
    lost = answered(paths, Machines(result(kind="lost", why="it was killed")))
    assert (lost.kind, lost.why) == (ReplyKind.LOST, "it was killed")
    large = answered(paths, Machines(result(kind="failed", permanent=True, why="more than max_result_mb")))
    assert (large.kind, large.permanent, large.why) == (ReplyKind.FAILED, True, "more than max_result_mb")


@pytest.mark.parametrize(
    "changes", [{"schema": "other"}, {"kind": "returned"}, {"kind": 1}, {"layers": "a"}, {"cutoutd": None}]
)
def test_an_invalid_result_is_answered_as_a_failure(paths: ClusterPaths, changes: dict[str, Any]) -> None:
    """A machine may have been taken over; nothing of its answer is printed unescaped."""
    reply = answered(paths, Machines(result(**changes)))
    if changes == {"cutoutd": None}:
        assert (reply.kind, reply.cutoutd) == (ReplyKind.REPORT, "None")
    else:
        assert (reply.kind, reply.permanent) == (ReplyKind.FAILED, False)
        assert "no result" in reply.why


def test_dask_s_own_error_for_a_machine_that_died_is_a_reason_in_words() -> None:
    """The error is the one that the client's future raises."""

    class Failed:
        async def exception(self) -> KilledWorker:
            last = WorkerState(
                address="tls://h:1",
                status=Status.running,
                pid=1,
                name="h",
                nthreads=1,
                memory_limit=0,
                local_directory="",
                nanny=None,
                server_id="",
            )
            return KilledWorker("cutoutd-1", last, 3)

    why = asyncio.run(connection.reason_of(cast("Any", Failed())))
    assert why.startswith("KilledWorker: ")
    assert "tls://h:1" in why
