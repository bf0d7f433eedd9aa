"""The data of an earlier version (`earlier/VERSION.tar.xz`): its configuration, journal, marker and cutouts are taken over."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.acceptance.conftest import Bench

EARLIER = sorted((Path(__file__).parent / "earlier").glob("*.tar.xz"))


def contents(place: Path) -> dict[str, str]:
    """Return the hash of each picture below a directory; sidecars contain the place of their source, which differs here."""
    return {
        str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in place.rglob("*")
        if path.suffix in {".jpg", ".png"}
    }


def waiting(bench: Bench, config: Path) -> set[str]:
    """Return the pictures that the review lists."""
    listed = bench.call("review", "list", "--json", "--config", config)
    assert listed.returncode == 0, listed.stderr
    return {one["path"] for one in json.loads(listed.stdout)["jobs"]}


@pytest.mark.small_model
@pytest.mark.parametrize("archive", EARLIER, ids=lambda path: path.name.removesuffix(".tar.xz"))
def test_an_earlier_version_is_taken_over_and_nothing_is_cut_again(bench: Bench, archive: Path) -> None:
    """Three were cut, two are decided about after the upgrade, one waits, one failed: as the earlier version left them."""
    place = bench.root / "earlier"
    place.mkdir()
    with tarfile.open(archive) as packed:
        packed.extractall(place, filter="data")
    config = place / "cutoutd.toml"
    before, originals = contents(place / "out"), contents(place / "in")
    assert bench.call("check", "--config", config).returncode == 0
    first = bench.call("run", "--once", "--config", config)
    assert first.returncode in {0, 1}, first.stderr  # 1: one failed, as it had
    assert contents(place / "out") == before
    assert waiting(bench, config) == {"accepted.jpg", "rejected.jpg", "undecided.jpg"}
    failed = bench.call("jobs", "--state", "failed", "--config", config)
    assert "broken.jpg" in failed.stdout

    for decision in ("accept", "reject"):
        decided = bench.call("review", decision, f"{decision}ed.jpg", "--config", config)
        assert decided.returncode == 0, decided.stderr
    last = bench.call("run", "--once", "--config", config)
    assert last.returncode in {0, 1}, last.stderr
    after = contents(place / "out")
    assert after["accepted.png"] == before["review/accepted.png"]
    assert after["accepted-white.jpg"] == before["review/accepted-white.jpg"]
    assert not {name for name in after if "rejected" in name}
    untouched = {
        name: it for name, it in before.items() if not name.startswith(("review/accepted", "review/rejected"))
    }
    assert untouched.items() <= after.items()
    assert contents(place / "in") == originals
