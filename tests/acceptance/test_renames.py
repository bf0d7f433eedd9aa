"""Pictures that are renamed onto names in use: with a running daemon, while none runs, and while it is killed."""

from __future__ import annotations

import signal
from functools import partial
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.acceptance.conftest import Bench, Daemon

pytestmark = pytest.mark.small_model

RENAMES = (("a", "x"), ("b", "a"), ("x", "b"), ("n1", "n2"), ("n0", "n1"))
"""Renames by which two pictures swap their names, and two get the next number."""


def known(bench: Bench) -> dict[str, tuple[str, float]]:
    """Return each cutout's hash and the time that the model took, which differs after a second cut."""
    found = {}
    for name in bench.published("*.png.json"):
        document = bench.sidecar(name)
        found[name.removesuffix(".png.json")] = (
            document["outputs"][0]["sha256"],
            document["timings_ms"]["infer"],
        )
    return found


def is_now(bench: Bench, expected: dict[str, tuple[str, float]]) -> bool:
    """Return whether exactly these files exist; a sidecar may be read while it is replaced."""
    try:
        files = {f"{name}{end}" for name in expected for end in (".png", ".png.json")}
        return known(bench) == expected and set(bench.published()) == files
    except FileNotFoundError:
        return False


def rename(bench: Bench, *, back: bool) -> None:
    """Rename files one after the other."""
    for before, after in reversed([pair[::-1] for pair in RENAMES]) if back else RENAMES:
        (bench.input / f"{before}.jpg").rename(bench.input / f"{after}.jpg")


def test_renames_onto_names_in_use_cut_nothing_again(bench: Bench, start: Callable[..., Daemon]) -> None:
    """Before, all four were cut again, and n0.png stayed: 4 of 4 in each of the three ways."""
    for hue, name in enumerate(("a", "b", "n0", "n1")):
        bench.drop(f"{name}.jpg", hue)
    assert bench.once().returncode == 0
    first = known(bench)
    assert set(first) == {"a", "b", "n0", "n1"}
    there = {"a": first["b"], "b": first["a"], "n1": first["n0"], "n2": first["n1"]}
    rename(bench, back=False)  # while none runs
    assert bench.once().returncode == 0
    assert is_now(bench, there)
    daemon = start()
    bench.wait_for(lambda: "worker.ready" in (bench.root / "log").read_text(), "the daemon")
    rename(bench, back=True)
    bench.wait_for(partial(is_now, bench, first), "the results of what was renamed back")
    rename(bench, back=False)
    bench.wait_for(lambda: known_or_none(bench) not in (None, first), "the first of them")
    daemon.end(signal.SIGKILL)
    assert bench.once().returncode == 0
    assert is_now(bench, there)


def known_or_none(bench: Bench) -> dict[str, tuple[str, float]] | None:
    """Return what `known` does; None while a file is being replaced."""
    try:
        return known(bench)
    except FileNotFoundError:
        return None
