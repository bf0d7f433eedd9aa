"""A scheduler or a machine that answers nothing, as after a cut cable, is noticed long before TCP or Dask report it."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, Self

import pytest
from distributed.client import FuturesCancelledError
from distributed.comm.core import CommClosedError

from cutoutd.clock import Clock
from cutoutd.cluster import connection, gateway, packing, silence, tls
from cutoutd.cluster.connection import Connection, LostSchedulerError, RemoteOutcome
from cutoutd.cluster.gateway import Gateway
from cutoutd.cluster.gateway_status import GatewayStatus
from cutoutd.cluster.machines import RemoteMachine, machines_of
from cutoutd.cluster.no_http import QuietWorker
from cutoutd.cluster.scheduler import RETURNS_S, ReturningScheduler
from cutoutd.cluster.silence import LEAST_S, MOST_S, Silence, tolerated_s
from cutoutd.exchange import cluster_spool
from cutoutd.exchange.cluster_spool import ClusterPaths
from cutoutd.exchange.sent_log import SentLog
from cutoutd.offload.cluster_route import ClusterRoute
from cutoutd.settings.cluster import ClusterSettings
from cutoutd.settings.schema import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def machine(address: str = "tls://h:1", *, seen: float = 5.0) -> RemoteMachine:
    """Return a machine that the scheduler has heard of at that time."""
    return RemoteMachine(address=address, threads=1, resources=frozenset({"r"}), slots=1, seen=seen)


@pytest.fixture
def paths(tmp_path: Path) -> ClusterPaths:
    """An exchange directory."""
    created = ClusterPaths.under(tmp_path)
    created.make()
    return created


def test_what_counts_as_silence_follows_from_the_setting_within_bounds() -> None:
    """Who wants to cut here soon has it noticed soon, but never within what a busy machine may take."""
    assert [tolerated_s(fallback_s) for fallback_s in (1, 7, 30)] == [LEAST_S, 7, MOST_S]


def test_a_machine_whose_time_stands_still_is_silent_until_it_moves_on() -> None:
    """Only the machine itself: others have reported meanwhile. The scheduler's clock may differ from ours."""
    noticed = Silence(tolerated_s=4.0)
    noticed.answered([machine(seen=1e9), machine("tls://h:2", seen=1e9)], 100.0)
    near = noticed.answered([machine(seen=1e9), machine("tls://h:2", seen=1e9 + 4)], 104.0)
    assert [one.silent_s for one in near] == [0.0, 0.0]
    late = noticed.answered([machine(seen=1e9), machine("tls://h:2", seen=1e9 + 6)], 106.0)
    assert [one.silent_s for one in late] == [6.0, 0.0]
    assert late[0].why_not("r", {}, "") == "it does not answer"
    assert late[1].why_not("r", {}, "") == ""
    again = noticed.answered([machine(seen=1e9 + 6.5), machine("tls://h:2", seen=1e9 + 7)], 107.0)
    assert [one.silent_s for one in again] == [0.0, 0.0]


def test_a_machine_is_silent_since_its_last_sign_of_life_and_not_since_the_question_after_it() -> None:
    """However far the scheduler's clock jumps, it was between two questions."""
    for jump_s, expected_s in ((0.4, 5.6), (1e6, 4.0), (-1e6, 6.0)):
        noticed = Silence(tolerated_s=3.5)
        noticed.answered([machine(seen=50.0)], 100.0)
        noticed.answered([machine(seen=50.0 + jump_s)], 102.0)
        (found,) = noticed.answered([machine(seen=50.0 + jump_s)], 106.0)
        assert found.silent_s == pytest.approx(expected_s)


def test_a_scheduler_is_silent_since_its_last_answer_but_not_while_nothing_was_asked() -> None:
    """An idle daemon asks nothing, so an hour without an answer says nothing."""
    noticed = Silence(tolerated_s=4.0)
    assert noticed.of_scheduler(5.0) == 0.0
    noticed.answered([], 10.0)
    noticed.asked(12.0)
    assert (noticed.of_scheduler(14.0), noticed.is_too_long(14.0)) == (4.0, False)
    assert (noticed.of_scheduler(15.0), noticed.is_too_long(15.0)) == (5.0, True)
    noticed.answered([], 18.0)
    assert (noticed.of_scheduler(100.0), noticed.is_too_long(100.0)) == (0.0, False)
    noticed.asked(3600.0)
    assert noticed.of_scheduler(3606.0) == 8.0


@pytest.mark.parametrize("seen", [None, "now", float("nan"), float("inf"), True, -1, 10**400, [1.0]])
def test_an_odd_time_of_a_machine_causes_no_error(seen: object) -> None:
    """Whatever the scheduler says."""
    (found,) = machines_of({"workers": {"tls://h:1": {"last_seen": seen}}})
    assert Silence(tolerated_s=4.0).answered([found], 1.0)[0].silent_s == 0.0


class SetClock(Clock):
    """A clock whose monotonic time a test sets."""

    now_s = 1000.0

    def monotonic_s(self) -> float:
        """Return the time that the test has set."""
        return self.now_s


@pytest.mark.parametrize("silent", ["scheduler", "machine"])
def test_the_time_until_pictures_are_cut_here_begins_with_the_silence(
    paths: ClusterPaths, silent: str
) -> None:
    """Before, it began when the silence was noticed, which took up to half a minute."""
    clock = SetClock()
    route = ClusterRoute(
        paths,
        clock,
        settings=lambda: ClusterSettings(fallback_after_s=30),
        folders=frozenset,
        in_force=lambda: "n",
        once=False,
    )
    route.open()
    status = GatewayStatus(paths, "tls://s:1", ())
    status.connected([machine()], in_flight=1, waiting=0)
    route.poll()
    assert route.closed == ""
    status = GatewayStatus(paths, "tls://s:1", ())
    if silent == "scheduler":
        status.away("tls://s:1 does not answer", silent_s=9.0)
    else:
        noticed = Silence(tolerated_s=4.0)
        noticed.answered([machine()], 100.0)
        status.connected(noticed.answered([machine()], 109.0), in_flight=1, waiting=0)
    route.poll()
    assert "does not answer" in route.closed
    away = route.away
    assert away is not None
    assert away.cut_here_from_us - clock.now_us() == pytest.approx(21_000_000, abs=1_000_000)
    clock.now_s += 20
    route.poll()
    assert not route.has_been_away
    clock.now_s += 2
    route.poll()
    assert (route.has_been_away, paths.away.exists()) == (True, True)


@pytest.mark.parametrize("written", ["long", None, -5.0, 1e300, 10**400, float("nan"), [1], True])
def test_an_odd_time_in_the_gateways_status_makes_no_route_end_sooner(
    paths: ClusterPaths, written: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway may have been taken over; it can say that the cluster is away, but not since yesterday."""
    said = {"pid": os.getpid(), "route": "open", "why": "w", "silent_s": written}
    monkeypatch.setattr(cluster_spool, "gateway_status", lambda _: said)
    clock = SetClock()
    route = ClusterRoute(
        paths, clock, settings=ClusterSettings, folders=frozenset, in_force=lambda: "n", once=False
    )
    route.poll()
    said["route"] = "away"
    route.poll()
    clock.now_s += 29
    route.poll()
    assert not route.has_been_away
    clock.now_s += 2
    route.poll()
    assert route.has_been_away


class SilentScheduler:
    """A connection whose scheduler never answers."""

    def __init__(self, _: ClusterSettings) -> None:
        self.versions: dict[str, str] = {}
        self.silent: frozenset[str] = frozenset()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def check(self) -> None:
        """Find nothing: no end of a connection was reported."""

    async def machines(self) -> list[RemoteMachine]:
        """Wait for ever."""
        await asyncio.Event().wait()
        return []


def test_a_question_without_an_answer_does_not_hold_up_the_gateway(
    paths: ClusterPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, it listed no requests and wrote no status for as long as it waited."""
    monkeypatch.setattr(silence, "LEAST_S", 0.1)
    monkeypatch.setattr(gateway, "Connection", SilentScheduler)
    one = Gateway(
        Settings(cluster=ClusterSettings(scheduler="tls://s:1", fallback_after_s=1)),
        paths=paths,
        sent=SentLog(paths.sent),
        clock=Clock(),
        announced="",
        parent=None,
        layers=(),
    )

    async def run() -> None:
        running = asyncio.create_task(one.run())
        while cluster_spool.gateway_status(paths).get("route") != "away":  # noqa: ASYNC110 -- a file
            await asyncio.sleep(0.01)
        assert cluster_spool.gateway_status(paths)["why"] == "tls://s:1 does not answer"
        assert not one.has_machines
        one.stopping.set()
        await running

    asyncio.run(asyncio.wait_for(run(), 60))


class Done:
    """A future whose result is there, on a machine."""

    status = "finished"

    def __init__(self) -> None:
        self.is_released = False

    def release(self) -> None:
        """Note that it is not needed any more."""
        self.is_released = True


class Client:
    """A client of Dask whose results never arrive."""

    status = "running"
    future = Done()

    def __init__(self, *_: object, **__: object) -> None:
        """Take what Dask's takes."""

    def __await__(self) -> Iterator[None]:
        yield

    def submit(self, *_: object, **__: object) -> Done:
        """Return the future."""
        return self.future

    async def who_has(self, _: object) -> dict[str, list[str]]:
        """Name the machine."""
        return {"key": ["tls://h:1"]}

    async def gather(self, *_: object, **__: object) -> None:
        """Wait for ever."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Do nothing."""


def carry_out(
    directory: Path, monkeypatch: pytest.MonkeyPatch, silent: frozenset[str] = frozenset()
) -> RemoteOutcome:
    """Have a picture carried out by way of `Client`, while these machines are silent."""
    monkeypatch.setattr(connection, "Client", Client)
    monkeypatch.setattr(tls, "security", lambda *_: None)
    settings = ClusterSettings(
        scheduler="tls://s:1", tls_ca_file=directory, tls_cert=directory, tls_key=directory
    )

    async def run() -> RemoteOutcome:
        async with Connection(settings) as one:
            one.silent = silent
            return await one.carry_out(packing.pack([b"picture"]), "r", 60.0)

    return asyncio.run(run())


def test_a_result_is_not_awaited_from_a_machine_that_became_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The results of all other machines would wait for it."""
    monkeypatch.setattr(connection, "wait", lambda _: asyncio.sleep(0))
    outcome = carry_out(tmp_path, monkeypatch, silent=frozenset({"tls://h:1"}))
    assert (outcome.why, outcome.is_late) == ("tls://h:1 does not answer", True)
    assert Client.future.is_released


@pytest.mark.parametrize("status", ["closed", "running"])
def test_what_a_lost_connection_cancels_has_no_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    """Before, it was reported as an internal error, and the picture failed for a while."""

    async def cancelled(_: object) -> None:
        monkeypatch.setattr(Client, "status", status)
        raise FuturesCancelledError([])

    monkeypatch.setattr(connection, "wait", cancelled)
    if status == "closed":
        with pytest.raises(LostSchedulerError):
            carry_out(tmp_path, monkeypatch)
    else:
        assert carry_out(tmp_path, monkeypatch).why == "it was cancelled"


def test_a_connection_that_breaks_over_a_result_is_no_fault_of_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, the picture failed at once, and the exchange directory was blamed."""

    async def broken(*_: object, **__: object) -> None:
        raise CommClosedError("in <TLS (closed)>: Stream is closed")

    monkeypatch.setattr(Client, "gather", broken)
    monkeypatch.setattr(connection, "wait", lambda _: asyncio.sleep(0))
    outcome = carry_out(tmp_path, monkeypatch)
    assert outcome.is_late
    assert outcome.why == "the connection broke: in <TLS (closed)>: Stream is closed"


def test_a_machine_that_returns_is_registered_at_once() -> None:
    """After a network failure the scheduler has not noticed that it was gone; Dask left it waiting for half a minute, twice."""

    async def join_twice() -> int:
        async with ReturningScheduler(host="127.0.0.1", port=0, protocol="tcp") as scheduler:
            options: dict[str, Any] = {
                "nthreads": 1,
                "host": "127.0.0.1",
                "contact_address": "tcp://127.0.0.1:9",
            }
            async with QuietWorker(scheduler.address, **options) as gone:
                gone.periodic_callbacks["heartbeat"].stop()
                scheduler.workers["tcp://127.0.0.1:9"].last_seen -= 10 * RETURNS_S
                async with QuietWorker(scheduler.address, **options) as back:
                    ids = {one.server_id for one in scheduler.workers.values()} ^ {back.id}
                    await back.close()
                return len(ids)

    assert asyncio.run(asyncio.wait_for(join_twice(), 25)) == 0
