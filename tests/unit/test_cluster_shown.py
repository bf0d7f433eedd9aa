"""What people see of the cluster: terminal status, doctor, page, sidecars, and companions without work."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cutoutd.cli import board
from cutoutd.clock import Clock, rfc3339
from cutoutd.cluster.gateway_status import GatewayStatus
from cutoutd.cluster.machines import RemoteMachine
from cutoutd.cluster.worker import _finishes_before
from cutoutd.daemon.companion_watch import MISSED
from cutoutd.doctor import trial
from cutoutd.errors import NotNeededError, UsageError
from cutoutd.exchange import sent_log
from cutoutd.exchange.cluster_spool import ClusterPaths
from cutoutd.exchange.messages import announce, announcement, without_anything_to_send
from cutoutd.offload.cluster_route import ClusterRoute
from cutoutd.page.backend.privacy import _where_it_runs
from cutoutd.settings import document
from cutoutd.settings.cluster import ClusterSettings
from cutoutd.settings.schema import Folder, Settings
from cutoutd.settings.types import Route
from tests.unit.test_doctor import GOOD

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEDULER = "tls://10.0.0.2:8786"


@pytest.fixture
def paths(tmp_path: Path) -> ClusterPaths:
    """An exchange directory."""
    created = ClusterPaths.under(tmp_path)
    created.make()
    return created


def clustered() -> Settings:
    """Return settings with a folder for the cluster alone, one with fallback, and a local one."""
    folders = tuple(
        Folder(name=name, input=Path(f"/in/{name}"), output=Path(f"/out/{name}"), route=route)
        for name, route in (
            ("studio", Route.CLUSTER),
            ("shop", Route.CLUSTER_THEN_LOCAL),
            ("private", Route.LOCAL),
        )
    )
    return Settings(cluster=ClusterSettings(enabled=True, scheduler=SCHEDULER), folder=folders)


def status_lines(status: Mapping[str, object], away: dict[str, int] | None = None, at_us: int = 0) -> str:
    """Return the status lines of a cluster."""
    return "\n".join(map(board.plain, board.cluster(status, away, ["shop"] if away else [], at_us)))


def test_one_machine_is_reported_in_the_singular() -> None:
    """In the singular, with its slot."""
    one = {"route": "open", "machines": [{"address": "a", "slots": 1}]}
    assert "1 machine with 1 slot when" in status_lines(one)
    two = {"route": "open", "machines": [{"address": "a", "slots": 1}, {"address": "b", "slots": 2}]}
    assert "2 machines with 3 slots when" in status_lines(two)


def test_the_time_from_which_pictures_are_cut_here_is_shown() -> None:
    """Also where no gateway runs any more."""
    from_us = 1_700_000_000_000_000
    hour = f"{datetime.fromtimestamp(from_us / 1e6).astimezone():%H:%M}"
    away = {"since_us": from_us - 30_000_000, "cut_here_from_us": from_us}
    assert f"pictures of shop will be cut here from {hour}" in status_lines({}, away, from_us - 1)
    assert f"pictures of shop are cut here from {hour}" in status_lines({"route": "away"}, away, from_us)


def test_the_route_knows_since_when_it_is_away(paths: ClusterPaths) -> None:
    """The time is the same at each check: an idle daemon writes nothing."""
    route = ClusterRoute(
        paths,
        Clock(),
        settings=lambda: ClusterSettings(fallback_after_s=30),
        folders=frozenset,
        in_force=lambda: "n",
        once=False,
    )
    away = route.away
    assert away is not None
    assert away.cut_here_from_us == away.since_us + 30_000_000
    route.poll()
    assert route.away == away


def test_a_picture_sent_to_a_machine_that_died_is_not_in_progress(paths: ClusterPaths) -> None:
    """It waits at the scheduler for another machine, and the route is closed."""
    status = GatewayStatus(paths, SCHEDULER, ())
    status.connected(
        [RemoteMachine(address="a", threads=1, resources=frozenset(), slots=1)], in_flight=3, waiting=1
    )
    status = GatewayStatus(paths, SCHEDULER, ())
    status.connected([], in_flight=3, waiting=1)
    document = json.loads(paths.status.read_text(encoding="utf-8"))
    assert (document["route"], document["in_flight"], document["waiting"]) == ("no-machines", 0, 4)
    assert document["why"] == "no machine has joined the scheduler"


def test_the_last_time_a_picture_was_sent_is_found(paths: ClusterPaths) -> None:
    """By folder and number, and not before its arrival: an earlier journal may have used the number."""
    log = sent_log.SentLog(paths.sent)
    for at_us, folder, job in (
        (1_000_000, "a", 7),
        (2_000_000, "a", 7),
        (3_000_000, "b", 7),
        (4_000_000, "a", 77),
    ):
        log.append(
            {"at": rfc3339(at_us), "folder": folder, "job": job, "bytes": 5, "sha256": "0", "scheduler": "s"}
        )
    found = sent_log.last_of(paths.sent, "a", 7, rfc3339(500_000))
    assert found is not None
    assert found["at"] == rfc3339(2_000_000)
    assert sent_log.last_of(paths.sent, "a", 7, rfc3339(2_500_000)) is None
    assert sent_log.last_of(paths.sent, "a", 8, rfc3339(0)) is None
    assert sent_log.last_of(paths.root / "nowhere", "a", 7, rfc3339(0)) is None


def test_doctor_and_page_list_the_folders_whose_model_runs_elsewhere() -> None:
    """And are silent about it where no folder is tagged."""
    (finding,) = (one.seen for one in trial.judge(GOOD, clustered()) if one.check == "provider")
    assert f"on the machines of the cluster at {SCHEDULER} for the pictures of studio, first for" in finding
    assert "private" not in finding
    page = _where_it_runs(clustered())
    assert (
        f"the pictures of studio, shop on the machines of the cluster at {SCHEDULER}, and those of shop here"
        in page
    )
    assert "cluster" not in "".join(
        [*(one.seen for one in trial.judge(GOOD, Settings())), _where_it_runs(None)]
    )


def test_one_port_is_written_as_a_number() -> None:
    """As the loader reads it and the reference configuration shows it."""
    assert "worker_port = 18790\n" in document.as_toml(
        Settings(cluster=ClusterSettings(worker_port=(18790,)))
    )
    assert "worker_port = [1, 2]\n" in document.as_toml(Settings(cluster=ClusterSettings(worker_port=(1, 2))))


def test_a_companion_without_anything_to_send_reports_whether_a_restart_helps(
    paths: ClusterPaths,
) -> None:
    """No restart where the supervisor uses that configuration; one where the file is being edited."""
    announce(paths.announced, "number")
    former = announcement(paths.announced)
    assert without_anything_to_send(former, "number", parent=os.getpid()) is NotNeededError
    assert without_anything_to_send(former, "another", parent=os.getpid()) is UsageError
    assert without_anything_to_send(former, "number", parent=None) is UsageError


def test_each_companion_that_can_end_is_known() -> None:
    """The supervisor looks up what stops working when a companion ends."""
    assert set(MISSED) == {"uploader", "cluster", "page", "serve"}


def test_a_signal_ends_any_wait_of_a_worker() -> None:
    """And errors of the awaited task are raised."""

    async def fail() -> None:
        raise OSError("refused")

    async def tried() -> tuple[bool, bool]:
        stopping = asyncio.Event()
        came = await _finishes_before(stopping, asyncio.sleep(0))
        asyncio.get_running_loop().call_soon(stopping.set)
        ended = await _finishes_before(stopping, asyncio.Event().wait())
        with pytest.raises(OSError, match="refused"):
            await _finishes_before(asyncio.Event(), fail())
        return came, ended

    assert asyncio.run(tried()) == (True, False)
