"""A daemon without work writes nothing, so that disks can sleep and sync services have nothing to send."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from cutoutd.lease import challenge, marker
from cutoutd.lease.policy import HEARTBEAT_S
from tests.acceptance.conftest import Daemon, small_bench_in
from tests.acceptance.test_shares import POLL_S, SharedFolder
from tests.integration.share import Share
from tests.integration.test_lease import names

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.acceptance.conftest import Bench

pytestmark = pytest.mark.small_model

QUIET_S = 2.5 * HEARTBEAT_S


def written(*roots: Path) -> dict[str, tuple[int, ...]]:
    """Return all files below some directories, with everything that a write would change."""
    paths = [path for root in roots for path in (root, *root.rglob("*"))]
    return {
        str(path): (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        for path in paths
        for status in [path.lstat()]
    }


def test_an_idle_folder_is_not_written_to(bench: Bench, start: Callable[..., Daemon]) -> None:
    """Neither input nor output nor the state directory, through two heartbeats and scans."""
    config = bench.root / "cutoutd.toml"
    config.write_text(
        f'[[folder]]\nname = "a"\ninput = "{bench.input}"\noutput = "{bench.output}"\n'
        'watch = "poll"\npoll_interval_s = 1\n'
    )
    bench.drop("a.jpg")
    daemon = start("--config", config)
    bench.wait_for(lambda: "a.png.json" in bench.results(), "the cutout")
    time.sleep(2.0)  # what follows a cutout is over when nothing was written for so long
    before = written(bench.input, bench.output, bench.root / "state")
    time.sleep(QUIET_S)  # time itself is what is tried
    assert written(bench.input, bench.output, bench.root / "state") == before
    bench.drop("b.jpg", 1)
    bench.wait_for(lambda: "b.png.json" in bench.results(), "the next cutout")
    assert daemon.end() == 0
    assert names(bench.input) == [marker.NAME, "a.jpg", "b.jpg"]


def test_an_owner_that_scans_seldom_answers_a_challenge_soon(
    bench: Bench, start: Callable[..., Daemon], tmp_path: Path, small_models_dir: Path
) -> None:
    """With an hour between two scans of a share, the challenge is answered within a few heartbeats."""
    share = Share(tmp_path)
    share.attach()
    try:
        shared_folder = SharedFolder(bench, share)
        usual = shared_folder.config.read_text()
        shared_folder.config.write_text(
            usual.replace(f"poll_interval_s = {POLL_S}", "poll_interval_s = 3600")
        )
        assert shared_folder.config.read_text() != usual
        shared_folder.put("a.jpg")
        first = start("--config", shared_folder.config)
        bench.wait_for(lambda: "a.png.json" in shared_folder.results(), "the first cutout")
        other = small_bench_in(tmp_path / "other", small_models_dir)
        second = Daemon(other, "--config", shared_folder.config_of(other))
        try:

            def has_answered() -> bool:
                document = json.loads((share.far / "in" / marker.NAME).read_text())
                return bool(document["owner"]["answered"])

            bench.wait_for(has_answered, "the answer")
            assert second.end() == 0
            assert challenge.NAME not in names(share.far / "in")
        finally:
            second.end()
        assert first.end() == 0
    finally:
        share.detach()
