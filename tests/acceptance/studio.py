"""A folder tagged for a cluster on loopback, and one that is not: their configuration, and what became of their pictures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.acceptance.conftest import bench_in
from tests.integration.clustering import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.acceptance.conftest import Bench


def running(root: Path, small_models_dir: Path) -> Iterator[Cluster]:
    """A cluster that all tests of a module share: it takes long to start."""
    environment = bench_in(root).environment
    environment |= {"XDG_DATA_HOME": str(small_models_dir), "CUTOUTD_MODEL__NAME": "darkness"}
    with Cluster(root, environment) as made:
        made.start()
        made.wait_for_worker()
        yield made


def configure(bench: Bench, table: str, route: str) -> Path:
    """A tagged folder, and one that is not."""
    root = bench.root
    config = root / "cutoutd.toml"
    config.write_text(
        f'[service]\nstate_dir = "{root}/own-state"\n{table}'
        + "".join(
            f'[[folder]]\nname = "{name}"\ninput = "{root}/{name}"\noutput = "{root}/{name}-out"\n'
            f'route = "{way}"\nsettle_s = 0.2\npoll_interval_s = 0.2\n'
            for name, way in (("studio", route), ("private", "local"))
        ),
        encoding="utf-8",
    )
    for name in ("studio", "private"):
        (root / name).mkdir(exist_ok=True)
    return config


def drop(bench: Bench, folder: str, *names: str) -> None:
    """Pictures, each another."""
    for number, name in enumerate(names):
        path = bench.drop(f"draft-{name}", number)
        path.rename(bench.root / folder / name)


def sidecar(bench: Bench, name: str) -> dict[str, object]:
    """Of a result in one of the outputs."""
    found: dict[str, object] = json.loads((bench.root / f"{name}.json").read_text(encoding="utf-8"))
    return found


def sent(bench: Bench) -> list[dict[str, object]]:
    """What the log of what was sent says."""
    return [
        json.loads(line)
        for path in sorted((bench.root / "own-state/cluster/sent").glob("*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
