"""Damaged files of every format get a verdict with a reason; `torture.fuzz` tries many more."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from tests.conformance.encoders import KINDS
from tests.integration import fuzzing
from tests.integration.tools import need

if TYPE_CHECKING:
    from pathlib import Path

FILES = 300


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Intact files of every kind."""
    for tool in {kind.tool for kind in KINDS if kind.tool is not None}:
        need(tool)
    return fuzzing.seeds(tmp_path_factory.mktemp("seeds"))


def test_every_broken_file_has_a_verdict_with_a_reason(seeds: dict[str, bytes], tmp_path: Path) -> None:
    """In workers with their sandbox and limits; none of these files kills its worker."""
    outcome = fuzzing.run(tmp_path, fuzzing.mutants(seeds, FILES, seed=7))
    assert outcome.unexplained == []
    assert outcome.lost == []
    assert sum(outcome.verdicts.values()) == FILES
    assert min(outcome.verdicts["Picture"], outcome.verdicts["decoded"]) > FILES / 10


def test_whole_files_of_every_kind_are_decoded_behind_the_sandbox(
    seeds: dict[str, bytes], tmp_path: Path
) -> None:
    """Decoders that are loaded late find their libraries, and need no refused call."""
    whole = ((name, data) for name, data in seeds.items() if not name.startswith("camera"))
    outcome = fuzzing.run(tmp_path, whole)
    assert outcome.verdicts == {"decoded": len(KINDS) + 7}


def test_the_same_seed_breaks_the_same_way(seeds: dict[str, bytes]) -> None:
    """A finding of a campaign can be reproduced."""
    some = list(fuzzing.mutants(seeds, 60, seed=3))
    assert some == list(fuzzing.mutants(seeds, 60, seed=3))
    assert sum(data != seeds[name[7:]] for name, data in some) > 50
    dice = random.Random(1)  # noqa: S311 -- places to break
    assert all(fuzzing.broken(b"x" * 13, b"y", dice) for _ in range(200))
