"""Odd files, records, markers, commands and configurations affect only themselves; `torture.oddities` tries thousands."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from torture import batches, odd_cases

CASES = 80
SEED = 7


@pytest.mark.timeout(600)
def test_odd_inputs_affect_only_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """The daemon goes on, cuts what follows, ends in order and starts again; there is no unforeseen error."""
    memory = Path("/dev/shm")  # noqa: S108 -- a file system that holds every date
    root = Path(tempfile.mkdtemp(prefix="cutoutd-odd-", dir=memory if memory.is_dir() else None))
    monkeypatch.setenv("XDG_DATA_HOME", str(root / "data"))
    try:
        batches.add_small_model(root)
        outcome = batches.Batch(root / "batch", odd_cases.drawn(CASES, SEED), SEED).run()
    finally:
        shutil.rmtree(root)
    assert outcome.violations == []
    assert outcome.faults == []
    assert sum(outcome.cases.values()) == CASES
