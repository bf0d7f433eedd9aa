"""Faults on other machines: a picture that kills its worker, results that are too large, a hanging scheduler, a foreign worker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.acceptance.studio import configure, drop, running, sent, sidecar
from tests.acceptance.test_poison import FAULTY_DECODER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.acceptance.conftest import Bench, Daemon
    from tests.integration.clustering import Cluster

pytestmark = pytest.mark.small_model


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, small_models_dir: Path) -> Iterator[Cluster]:
    """One cluster for all tests of this module."""
    yield from running(tmp_path_factory.mktemp("cluster"), small_models_dir)


def is_open(bench: Bench, config: Path) -> bool:
    """Return whether pictures are sent to the cluster now."""
    asked = bench.call("status", "--config", config, "--json")
    if asked.returncode:  # the daemon has not begun yet
        return False
    document = json.loads(asked.stdout)
    return (document["cluster"] or {}).get("route") == "open" and document["cluster_away"] is None


def test_a_picture_that_kills_its_worker_far_away_fails_after_two_attempts_and_the_others_are_cut(
    bench: Bench, cluster: Cluster
) -> None:
    """As on this machine: the worker is replaced each time, and no other picture is affected."""
    guard = bench.root / "guard"
    guard.mkdir()
    (guard / "sitecustomize.py").write_text(FAULTY_DECODER, encoding="utf-8")
    honest = dict(cluster.environment)
    cluster.environment |= {"PYTHONPATH": os.fspath(guard)}
    cluster.replace_worker()
    try:
        config = configure(bench, cluster.table(), "cluster")
        Image.new("RGB", (61, 60), (20, 30, 30)).save(bench.root / "studio/crash.png")
        drop(bench, "studio", "a.jpg", "b.jpg")
        ended = bench.call("run", "--config", config, "--once")
    finally:
        cluster.environment = honest
        cluster.replace_worker()
    assert ended.returncode == 1
    assert bench.states() == {"crash.png": "failed", "a.jpg": "done", "b.jpg": "done"}
    record = json.loads((bench.root / "studio-out/failed/crash.png.error.json").read_text(encoding="utf-8"))
    assert record["attempts"] == 2
    assert [sidecar(bench, f"studio-out/{name}.png")["attempts"] for name in "ab"] == [1, 1]
    assert (bench.root / "studio/crash.png").exists()


def test_results_over_the_limit_fail_by_a_clear_error_or_are_cut_here(bench: Bench, cluster: Cluster) -> None:
    """The error names the setting, since the picture is not at fault."""
    noise = np.random.default_rng(1).integers(0, 90, (900, 900, 3), dtype=np.uint8)
    config = configure(bench, cluster.table(max_result_mb=1), "cluster")
    Image.fromarray(noise, "RGB").save(bench.root / "studio/a.png")
    assert bench.call("run", "--config", config, "--once").returncode == 1
    record = json.loads((bench.root / "studio-out/failed/a.png.error.json").read_text(encoding="utf-8"))
    assert "max_result_mb" in str(record)
    config = configure(bench, cluster.table(max_result_mb=1), "cluster-then-local")
    (bench.root / "studio/a.png").rename(bench.root / "studio/b.png")
    ended = bench.call("run", "--config", config, "--once")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (path,) = (bench.root / "studio-out").rglob("b.png.json")  # noise may be held back for review
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["route"] == "cluster-then-local"
    egress = document["egress"]
    assert isinstance(egress, dict)
    assert egress["at"] == sent(bench)[-1]["at"]


def test_a_scheduler_that_hangs_is_a_cluster_that_is_away_and_is_used_again(
    bench: Bench, cluster: Cluster, start: Callable[..., Daemon]
) -> None:
    """As with a cable that was cut: nothing reports that the other side is gone."""
    config = configure(bench, cluster.table(fallback_after_s=2), "cluster-then-local")
    daemon = start("--config", config)
    output = bench.root / "studio-out"
    bench.wait_for(lambda: is_open(bench, config), "the cluster")
    drop(bench, "studio", "first.jpg")
    bench.wait_for((output / "first.png.json").exists, "a picture that was cut there")
    assert sidecar(bench, "studio-out/first.png")["route"] == "cluster"
    assert cluster.scheduler is not None
    os.killpg(cluster.scheduler.pid, signal.SIGSTOP)
    try:
        drop(bench, "studio", "a.jpg", "b.jpg", "c.jpg")
        bench.wait_for(lambda: len(list(output.glob("*.png.json"))) == 4, "all results")
        printed = bench.call("status", "--config", config).stdout
        assert "cut here from" in printed
    finally:
        os.killpg(cluster.scheduler.pid, signal.SIGCONT)
    assert {sidecar(bench, f"studio-out/{name}.png")["attempts"] for name in "abc"} == {1}
    assert "cluster" not in {sidecar(bench, f"studio-out/{name}.png")["route"] for name in "abc"}
    bench.wait_for(lambda: is_open(bench, config), "the cluster's return")
    drop(bench, "studio", "last.jpg")
    bench.wait_for((output / "last.png.json").exists, "a picture after it")
    assert sidecar(bench, "studio-out/last.png")["route"] == "cluster"
    assert daemon.end() == 0


def test_a_plain_dask_worker_with_the_preload_cuts_to_the_same_bytes(bench: Bench, cluster: Cluster) -> None:
    """Started like dask-jobqueue and dask-kubernetes do, by the command in docs/cluster.md."""
    cluster.stop(cluster.worker)
    certs = cluster.root / "certs"
    options = [
        *("--preload", "cutoutd.cluster.preload", "--nthreads", "1", "--no-nanny", "--memory-limit", "0"),
        *("--host", "127.0.0.1", "--worker-port", str(cluster.worker_port)),
        *("--no-dashboard", "--dashboard-address", "127.0.0.1:0"),
        *("--tls-ca-file", str(certs / "ca.pem")),
        *("--tls-cert", str(certs / "worker.pem"), "--tls-key", str(certs / "worker.key")),
    ]
    command = [sys.executable, "-P", "-m", "distributed.cli.dask_worker", cluster.address, *options]
    with (bench.root / "dask.log").open("wb") as log:
        plain = subprocess.Popen(
            command, env=cluster.environment, cwd=bench.root, stdout=log, stderr=log, start_new_session=True
        )
    try:
        config = configure(bench, cluster.table(), "cluster")
        drop(bench, "studio", "a.jpg")
        drop(bench, "private", "a.jpg")
        ended = bench.call("run", "--config", config, "--once")
        assert ended.returncode == 0, (bench.root / "dask.log").read_text(encoding="utf-8")
    finally:
        plain.terminate()
        plain.wait(60)
        cluster.start_worker()
        cluster.wait_for_worker()
    here, there = ((bench.root / f"{folder}-out/a.png").read_bytes() for folder in ("private", "studio"))
    assert here == there
    assert sidecar(bench, "studio-out/a.png")["route"] == "cluster"
