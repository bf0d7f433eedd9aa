"""The number of workers that the machine has resources for."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

import pytest

from cutoutd.pool import capacity
from cutoutd.pool.capacity import MEMORY_PER_WORKER, _cpu_quota, _memory_limit, worker_count

if TYPE_CHECKING:
    from pathlib import Path

GIB = 1 << 30


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A control group and its parent, on a machine with eight cores and 64 GiB."""
    inner = tmp_path / "outer" / "inner"
    inner.mkdir(parents=True)
    monkeypatch.setattr(capacity, "_cores", lambda: 8)
    monkeypatch.setattr(capacity, "_physical_memory", lambda: 64 * GIB)
    monkeypatch.setattr(capacity, "_groups", lambda: [inner, inner.parent])
    return inner


@pytest.mark.parametrize("wanted", [1, 3, 200])
def test_a_configured_number_is_used(wanted: int) -> None:
    """The configured number has priority over what the machine reports."""
    assert worker_count(wanted) == wanted


def test_this_machine_gets_at_least_one_and_no_more_than_it_has_cores() -> None:
    """Whatever its kernel reports."""
    assert 1 <= worker_count(0) <= (os.cpu_count() or 1)


def test_without_limits_every_core_gets_a_worker(group: Path) -> None:
    """The group's files state no limit, or do not exist."""
    assert worker_count(0) == 8
    (group / "cpu.max").write_text("max 100000\n", encoding="ascii")
    (group / "memory.max").write_text("max\n", encoding="ascii")
    assert worker_count(0) == 8


def test_memory_limits_the_workers(group: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's or the group's memory, whichever is less."""
    monkeypatch.setattr(capacity, "_physical_memory", lambda: int(4 * MEMORY_PER_WORKER))
    assert worker_count(0) == 4
    (group / "memory.max").write_text(f"{int(2.9 * MEMORY_PER_WORKER)}\n", encoding="ascii")
    assert worker_count(0) == 2


def test_the_tightest_of_all_groups_counts(group: Path) -> None:
    """A limit set above this process's own group binds it as well."""
    (group / "cpu.max").write_text("600000 100000\n", encoding="ascii")
    (group.parent / "cpu.max").write_text("250000 100000\n", encoding="ascii")
    assert worker_count(0) == 2


def test_less_than_one_core_still_feeds_one_worker(group: Path) -> None:
    """That worker is slow."""
    (group / "cpu.max").write_text("20000 100000\n", encoding="ascii")
    (group / "memory.max").write_text("1000000\n", encoding="ascii")
    assert worker_count(0) == 1


@pytest.mark.parametrize(
    ("cpu_max", "cores"),
    [
        ("max 100000\n", math.inf),
        ("200000 100000\n", 2.0),
        ("50000 100000", 0.5),
        ("", math.inf),
        ("garbage", math.inf),
        ("100000", math.inf),
        ("-1 100000", math.inf),
    ],
)
def test_a_cpu_quota_is_read_as_cores(cpu_max: str, cores: float) -> None:
    """An unreadable quota limits nothing."""
    assert _cpu_quota(cpu_max) == cores


@pytest.mark.parametrize(
    ("memory_max", "limit"), [("max\n", math.inf), ("1073741824\n", GIB), ("", math.inf), ("-5", math.inf)]
)
def test_a_memory_limit_is_read_as_bytes(memory_max: str, limit: float) -> None:
    """An unreadable limit limits nothing."""
    assert _memory_limit(memory_max) == limit
