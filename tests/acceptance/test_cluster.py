"""The cluster's route end to end: the real daemon and gateway, and a real scheduler and worker on loopback with TLS."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

from cutoutd.cluster import certificates
from tests.acceptance.conftest import PATIENCE_S
from tests.acceptance.studio import configure, drop, running, sent, sidecar
from tests.acceptance.test_poison import events
from tests.integration.clustering import Cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.acceptance.conftest import Bench, Daemon

pytestmark = pytest.mark.small_model


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, small_models_dir: Path) -> Iterator[Cluster]:
    """One cluster for all tests of this module."""
    yield from running(tmp_path_factory.mktemp("cluster"), small_models_dir)


def test_a_tagged_folder_is_cut_elsewhere_to_the_same_bytes_and_no_other_leaves(
    bench: Bench, cluster: Cluster
) -> None:
    """Sidecar, audit, status and check name the machine that got the picture."""
    config = configure(bench, cluster.table(), "cluster")
    drop(bench, "studio", "a.jpg", "b.jpg")
    drop(bench, "private", "a.jpg", "b.jpg")
    ended = bench.call("run", "--config", config, "--once")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    for name in ("a.png", "b.png"):
        here, there = ((bench.root / f"{folder}-out" / name).read_bytes() for folder in ("private", "studio"))
        assert here == there
        document = sidecar(bench, f"studio-out/{name}")
        assert document["route"] == "cluster"
        egress = document["egress"]
        assert isinstance(egress, dict)
        assert egress["host"] == f"tls://127.0.0.1:{cluster.worker_port}"
        source = document["source"]
        assert isinstance(source, dict)
        assert egress["sha256"] == source["sha256"]
        assert "seccomp-tsync" in str(document["sandbox"])
        private = sidecar(bench, f"private-out/{name}")
        assert (private["route"], private["egress"]) == ("local", None)
    assert {one["folder"] for one in sent(bench)} == {"studio"}
    audit = bench.call("audit", "--config", config)
    assert audit.stdout.count("studio  job") == 2
    assert "2 pictures sent to a cluster" in audit.stdout
    assert len(json.loads(bench.call("audit", "--config", config, "--json").stdout)["cluster"]) == 2
    box = bench.root / "own-state/cluster"
    assert not [*(box / "outbox").glob("*.json"), *(box / "inbox").iterdir()]
    status = bench.call("cluster", "status", "--config", config, "--trial")
    assert status.returncode == 0, status.stdout + status.stderr
    assert "GETS NO PICTURES" not in status.stdout
    assert "trial picture: cut" in status.stdout


def test_a_machine_that_is_lost_costs_no_picture_and_no_attempt(
    bench: Bench, cluster: Cluster, start: Callable[..., Daemon]
) -> None:
    """The machine is killed while it has pictures; the daemon waits for it, and continues by itself."""
    config = configure(bench, cluster.table(), "cluster")
    daemon = start("--config", config)
    drop(bench, "studio", *(f"{number}.jpg" for number in range(4)))
    output = bench.root / "studio-out"
    bench.wait_for(lambda: bool(sent(bench)), "a picture that was sent")
    cluster.kill_worker()
    cluster.start_worker()
    bench.wait_for(lambda: len(list(output.glob("*.png"))) == 4, "all results")
    bench.wait_for(lambda: set(bench.states().values()) == {"done"}, "all ends")
    assert [sidecar(bench, f"studio-out/{number}.png")["attempts"] for number in range(4)] == [1] * 4
    assert daemon.end() == 0


def test_while_the_cluster_is_away_pictures_are_cut_here_where_they_may_be(
    bench: Bench, cluster: Cluster
) -> None:
    """Pictures that only the cluster may cut stay queued, with the reason and without an attempt."""
    nowhere = Cluster(cluster.root, cluster.environment)
    config = configure(bench, nowhere.table(fallback_after_s=1), "cluster-then-local")
    drop(bench, "studio", "a.jpg")
    ended = bench.call("run", "--config", config, "--once")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    document = sidecar(bench, "studio-out/a.png")
    assert (document["route"], document["egress"]) == ("local", None)
    assert sent(bench) == []


def test_a_scheduler_of_another_authority_gets_nothing(bench: Bench, cluster: Cluster) -> None:
    """Whatever the scheduler claims to be."""
    foreign = Cluster(cluster.root, cluster.environment)
    certificates.make(bench.root / "foreign")
    foreign.start_scheduler(bench.root / "foreign")
    try:
        config = configure(bench, foreign.table(fallback_after_s=12), "cluster-then-local")
        drop(bench, "studio", "a.jpg")
        ended = bench.call("run", "--config", config, "--once")
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert sidecar(bench, "studio-out/a.png")["route"] == "local"
        assert "certificate" in ended.stderr.lower()
        assert sent(bench) == []
    finally:
        foreign.stop(foreign.scheduler)


def test_with_local_only_no_gateway_is_started(bench: Bench, cluster: Cluster) -> None:
    """A folder that only the cluster may cut is refused."""
    config = configure(bench, cluster.table(), "cluster")
    refused = bench.call("run", "--config", config, "--once", "--local-only")
    assert refused.returncode == 2
    assert 'the route of "studio" is "cluster"' in refused.stderr
    configure(bench, cluster.table(), "cluster-then-local")
    drop(bench, "studio", "a.jpg")
    assert bench.call("run", "--config", config, "--once", "--local-only").returncode == 0
    assert sidecar(bench, "studio-out/a.png")["egress"] is None
    assert not (bench.root / "own-state/cluster").exists()


def test_a_scheduler_whose_port_is_taken_reports_it_in_a_sentence(bench: Bench, cluster: Cluster) -> None:
    """The scheduler that runs has printed its address before."""
    assert f"port {cluster.scheduler_port}, with TLS" in cluster.log("scheduler")
    certs = cluster.root / "certs"
    second = bench.call(
        *("cluster", "scheduler", "--host", "127.0.0.1", "--port", str(cluster.scheduler_port)),
        *("--tls-ca-file", certs / "ca.pem"),
        *("--tls-cert", certs / "scheduler.pem", "--tls-key", certs / "scheduler.key"),
    )
    assert second.returncode == 2
    assert "cannot listen on 127.0.0.1" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_worker_without_a_scheduler_says_what_it_waits_for_and_ends_when_asked(
    bench: Bench, cluster: Cluster
) -> None:
    """Before, the worker logged nothing and ignored signals for as long as Dask tried to connect."""
    alone = Cluster(bench.root, cluster.environment, scheduler_port=cluster.scheduler_port)
    foreign = certificates.make(bench.root / "certs")
    assert foreign
    alone.start_worker()
    assert alone.worker is not None
    try:
        bench.wait_for(lambda: "cluster.waits" in alone.log("worker"), "a word of it")
        waits = events(alone.log("worker"), "cluster.waits")
        assert "certificate" in str(waits[0]["why"]).lower()
        alone.worker.send_signal(signal.SIGINT)
        assert alone.worker.wait(PATIENCE_S) == 0
        assert len(events(alone.log("worker"), "cluster.waits")) == 1
    finally:
        alone.stop(alone.worker)


def test_once_no_folder_is_tagged_pictures_are_cut_here_and_the_gateway_is_not_missed(
    bench: Bench, cluster: Cluster, start: Callable[..., Daemon]
) -> None:
    """A reload removes the tag while pictures are at a machine that hangs; their sidecars say that they were sent."""
    config = configure(bench, cluster.table(), "cluster")
    daemon = start("--config", config)
    assert cluster.worker is not None
    os.killpg(cluster.worker.pid, signal.SIGSTOP)
    try:
        drop(bench, "studio", "a.jpg", "b.jpg", "c.jpg")
        bench.wait_for(lambda: bool(sent(bench)), "a picture that was sent")
        configure(bench, cluster.table(), "local")
        daemon.process.send_signal(signal.SIGHUP)
        output = bench.root / "studio-out"
        bench.wait_for(lambda: len(list(output.glob("*.png.json"))) == 3, "all results")
    finally:
        os.killpg(cluster.worker.pid, signal.SIGCONT)
    bench.wait_for(lambda: set(bench.states().values()) == {"done"}, "all ends")
    gone = {one["sha256"]: one for one in sent(bench)}
    for name in ("a.png", "b.png", "c.png"):
        document = sidecar(bench, f"studio-out/{name}")
        source = document["source"]
        assert isinstance(source, dict)
        left = gone.get(source["sha256"])
        assert document["route"] == ("local" if left is None else "cluster-then-local")
        egress = document["egress"]
        assert (egress is None) == (left is None)
        if left is not None:
            assert isinstance(egress, dict)
            assert (egress["at"], egress["host"]) == (left["at"], cluster.address)
    log = bench.root / "log"
    bench.wait_for(lambda: "companion.not-needed" in log.read_text(encoding="utf-8"), "the gateway's end")
    assert daemon.end() == 0
    assert "companion.ended" not in log.read_text(encoding="utf-8")
    assert len(sent(bench)) == len(gone)
