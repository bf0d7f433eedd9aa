"""A machine of the cluster loses its network while pictures are being cut, and gets it back: nothing answers, and nothing is lost."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.conftest import bench_in
from tests.acceptance.studio import configure, drop, sent, sidecar
from tests.acceptance.test_cluster_faults import is_open
from tests.integration.networks import COORDINATOR, FAR, Cut, NetworkedCluster, network_or_skip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.acceptance.conftest import Bench, Daemon

pytestmark = pytest.mark.small_model

FALLBACK_S = 6.0
LOAD_S = 20.0
"""What a busy machine may add to it."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, small_models_dir: Path) -> Iterator[NetworkedCluster]:
    """One cluster for all tests of this module, its scheduler and its worker on machines of their own."""
    root = tmp_path_factory.mktemp("cluster")
    environment = bench_in(root).environment
    environment |= {"XDG_DATA_HOME": str(small_models_dir), "CUTOUTD_MODEL__NAME": "darkness"}
    with (
        network_or_skip() as network,
        NetworkedCluster(root=root, environment=environment, network=network) as made,
    ):
        made.start()
        made.wait_for_worker()
        yield made


# `torture.cluster` tries the other two pairs as well.
@pytest.mark.parametrize(("name", "how"), list(zip(FAR, Cut, strict=True)))
def test_while_a_cable_is_cut_pictures_are_cut_here_and_none_is_lost_or_doubled(
    bench: Bench, cluster: NetworkedCluster, start: Callable[..., Daemon], name: str, how: Cut
) -> None:
    """Within `fallback_after_s` of the last sign of life; later pictures go to the cluster again."""
    config = configure(bench, cluster.table(fallback_after_s=FALLBACK_S), "cluster-then-local")
    daemon = start("--config", config, within=cluster.inside(COORDINATOR))
    output = bench.root / "studio-out"
    bench.wait_for(lambda: is_open(bench, config), "the cluster")
    drop(bench, "studio", "0.jpg")
    bench.wait_for((output / "0.png.json").exists, "a picture that was cut there")
    drop(bench, "studio", *(f"{number}.jpg" for number in range(1, 7)))
    bench.wait_for(lambda: len(sent(bench)) > 1, "a picture that was sent")
    cluster.network.cut(name, how)
    began_s = time.monotonic()
    try:
        away = bench.root / "own-state/cluster/away"
        bench.wait_for(away.exists, "a cluster that has been away for too long")
        noticed_s = time.monotonic() - began_s
        bench.wait_for(lambda: len(list(output.glob("*.png.json"))) == 7, "all results")
    finally:
        cluster.network.mend(name)
    assert noticed_s < FALLBACK_S + LOAD_S
    documents = [sidecar(bench, f"studio-out/{number}.png") for number in range(7)]
    assert [document["attempts"] for document in documents] == [1] * 7
    assert {document["route"] for document in documents} <= {"cluster", "local", "cluster-then-local"}
    bench.wait_for(lambda: is_open(bench, config), "the cluster's return")
    drop(bench, "studio", "last.jpg")
    bench.wait_for((output / "last.png.json").exists, "a picture after it")
    assert sidecar(bench, "studio-out/last.png")["route"] == "cluster"
    bench.wait_for(lambda: set(bench.states().values()) == {"done"}, "all ends")
    assert len(list(output.glob("*.png"))) == 8
    assert daemon.end() == 0


@pytest.mark.parametrize("name", FAR)
def test_pictures_for_the_cluster_alone_wait_for_the_cable_and_continue_by_themselves(
    bench: Bench, cluster: NetworkedCluster, start: Callable[..., Daemon], name: str
) -> None:
    """Meanwhile the journal is not written, and no attempt is counted."""
    config = configure(bench, cluster.table(), "cluster")
    daemon = start("--config", config, within=cluster.inside(COORDINATOR))
    output = bench.root / "studio-out"
    bench.wait_for(lambda: is_open(bench, config), "the cluster")
    drop(bench, "studio", *(f"{number}.jpg" for number in range(6)))
    bench.wait_for(lambda: bool(sent(bench)), "a picture that was sent")
    cluster.network.cut(name, Cut.DROPPED)
    try:
        bench.wait_for(lambda: not is_open(bench, config), "a cluster that is away")
        before = {path.name: path.read_bytes() for path in (bench.root / "own-state").glob("journal.sqlite*")}
        time.sleep(3)
        after = {path.name: path.read_bytes() for path in (bench.root / "own-state").glob("journal.sqlite*")}
        results = len(list(output.glob("*.png")))
    finally:
        cluster.network.mend(name)
    assert (before, results < 6) == (after, True)
    bench.wait_for(lambda: len(list(output.glob("*.png.json"))) == 6, "all results")
    documents = [sidecar(bench, f"studio-out/{number}.png") for number in range(6)]
    assert {(document["route"], document["attempts"]) for document in documents} == {("cluster", 1)}
    bench.wait_for(lambda: set(bench.states().values()) == {"done"}, "all ends")
    assert daemon.end() == 0
