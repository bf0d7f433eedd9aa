"""A folder that is tagged for a cluster on loopback, and one that is not: their configuration and results."""

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
    """Start a cluster for all tests of a module, since its start takes long; end it afterwards."""
    environment = bench_in(root).environment
    environment |= {"XDG_DATA_HOME": str(small_models_dir), "CUTOUTD_MODEL__NAME": "darkness"}
    with Cluster(root, environment) as made:
        made.start()
        made.wait_for_worker()
        yield made


def configure(bench: Bench, table: str, route: str) -> Path:
    """Write a configuration with a tagged and an untagged folder."""
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
    """Add pictures, each different."""
    for number, name in enumerate(names):
        path = bench.drop(f"draft-{name}", number)
        path.rename(bench.root / folder / name)


def sidecar(bench: Bench, name: str) -> dict[str, object]:
    """Return the sidecar of a result in one of the outputs."""
    found: dict[str, object] = json.loads((bench.root / f"{name}.json").read_text(encoding="utf-8"))
    return found


def sent(bench: Bench) -> list[dict[str, object]]:
    """Return the entries in the log of what was sent."""
    return [
        json.loads(line)
        for path in sorted((bench.root / "own-state/cluster/sent").glob("*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
