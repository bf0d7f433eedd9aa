"""A machine of the cluster whose disk for temporary files is full leaves the cluster, and joins it again once there is room."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.conftest import bench_in
from tests.acceptance.disks import Disks, empty, fill
from tests.acceptance.studio import configure, drop
from tests.integration.clustering import PATIENCE_S, Cluster

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.conftest import Bench

pytestmark = pytest.mark.small_model

SIZE_KB = 96 << 10


def waits_for(cluster: Cluster, text: str, count: int = 1) -> None:
    """Wait until the log of the machine has a text this many times."""
    end_s = time.monotonic() + PATIENCE_S
    while cluster.log("worker").count(text) < count:
        assert time.monotonic() < end_s, cluster.log("worker")
        time.sleep(0.05)


def test_a_machine_whose_disk_is_full_is_away_until_there_is_space(
    bench: Bench, tmp_path: Path, small_models_dir: Path
) -> None:
    """Its log has the reason, and it gets no pictures meanwhile."""
    (tmp_path / "cluster").mkdir()
    environment = bench_in(tmp_path / "cluster").environment
    place = tmp_path / "temporary"
    environment |= {
        "XDG_DATA_HOME": os.fspath(small_models_dir),
        "CUTOUTD_MODEL__NAME": "darkness",
        "TMPDIR": os.fspath(place),
    }
    with Disks() as disks:
        disk = disks.mount(place, SIZE_KB)
        with Cluster(tmp_path / "cluster", environment, within=disks.inside) as cluster:
            cluster.start()
            cluster.wait_for_worker()
            config = configure(bench, cluster.table(), "cluster")
            drop(bench, "studio", "a.jpg")
            assert bench.call("run", "--config", config, "--once").returncode == 0
            fill(disk, leave=4 << 20)
            waits_for(cluster, "cluster.left")
            waits_for(cluster, "are needed: free some space there")
            empty(disk)
            waits_for(cluster, "cluster.joined", 2)
            drop(bench, "studio", "b.jpg")
            assert bench.call("run", "--config", config, "--once").returncode == 0
            assert set(bench.states().values()) == {"done"}
