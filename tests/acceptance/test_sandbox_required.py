"""A system that lacks a layer of the sandbox, here because a filter hides it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cutoutd.sandbox import survey
from tests import integration

if TYPE_CHECKING:
    import subprocess

    from tests.acceptance.conftest import Bench

pytestmark = [
    pytest.mark.new_interpreters,
    pytest.mark.skipif(sys.platform != "linux", reason="these layers are Linux's"),
    pytest.mark.skipif(bool(survey.gaps()), reason="this system lacks a layer by itself"),
    pytest.mark.small_model,
]
OLDER_KERNEL = Path(integration.__file__).with_name("older_kernel.py")
WHOLE = ["rlimits", "dies-with-parent", "no-dump", "capabilities", "landlock-abi", "seccomp-tsync"]


def once_without(layers: str, bench: Bench) -> subprocess.CompletedProcess[str]:
    """Cut what is there on a system without some layers."""
    command = bench.command("run", *bench.pair(), "--once")
    return bench.call_any([sys.executable, str(OLDER_KERNEL), layers, *command])


@pytest.mark.parametrize(
    ("lacking", "named", "remedy"),
    [
        ("landlock", ["landlock"], "lsm="),
        ("seccomp", ["seccomp-tsync", "seccomp-network-tsync"], "CONFIG_SECCOMP_FILTER"),
    ],
)
def test_a_required_layer_that_is_missing_keeps_the_daemon_from_starting(
    lacking: str, named: list[str], remedy: str, bench: Bench
) -> None:
    """With a message that names it and gives advice, before any folder is touched."""
    bench.environment["CUTOUTD_POOL__SANDBOX"] = "required"
    bench.drop("a.jpg")
    refused = once_without(lacking, bench)
    assert refused.returncode == 2, refused.stderr
    for words in (*named, remedy, 'sandbox = "auto"'):
        assert words in refused.stderr
    assert bench.results() == []
    assert [path.name for path in bench.input.iterdir()] == ["a.jpg"]


def test_cutting_named_files_insists_on_it_too(bench: Bench) -> None:
    """The workers and the pictures are of the same kind."""
    bench.environment["CUTOUTD_POOL__SANDBOX"] = "required"
    picture = bench.drop("a.jpg")
    command = bench.command("cut", picture, "-o", bench.output)
    refused = bench.call_any([sys.executable, str(OLDER_KERNEL), "landlock", *command])
    assert refused.returncode == 2, refused.stderr
    assert "lacks landlock" in refused.stderr
    assert bench.results() == []


def test_by_default_work_goes_on_behind_the_available_layers(bench: Bench) -> None:
    """Log and sidecar name the layers."""
    bench.drop("a.jpg")
    done = once_without("landlock,seccomp", bench)
    assert done.returncode == 0, done.stderr
    assert bench.sidecar("a.png.json")["sandbox"] == WHOLE[:4]
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    missing = [line["missing"] for line in lines if line["event"] == "sandbox.incomplete"]
    assert missing == ["landlock", "seccomp-tsync", "seccomp-network-tsync"]


def test_where_nothing_is_missing_required_changes_nothing(bench: Bench) -> None:
    """The same picture is cut behind all layers."""
    bench.environment["CUTOUTD_POOL__SANDBOX"] = "required"
    bench.drop("a.jpg")
    done = bench.once()
    assert done.returncode == 0, done.stderr
    layers = bench.sidecar("a.png.json")["sandbox"]
    assert [layer.rstrip("0123456789") for layer in layers] == WHOLE
    assert "sandbox.incomplete" not in done.stderr
