"""The real daemon with an output that refuses names, as a share of a Windows server does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.integration.share import Share

if TYPE_CHECKING:
    from tests.acceptance.conftest import Bench

pytestmark = pytest.mark.small_model


def test_names_that_the_output_refuses_delay_no_other(bench: Bench) -> None:
    """Each gets a safe form, in sub-folders as well; only the picture whose place is taken by a file fails."""
    share = Share(bench.root, names="windows")
    share.attach()
    try:
        output = share.mount / "out"
        output.mkdir()
        (output / "shoot").write_bytes(b"theirs")
        on_share = replace(bench, output=output)
        for number in range(6):
            on_share.drop(f"{number}: what?.jpg", age_s=120)  # the oldest come first
        on_share.drop("day 10:30/aux.jpg", age_s=110)
        on_share.drop("shoot/a.jpg", age_s=100)
        on_share.drop("review/a.jpg", age_s=90)
        for number in range(4):
            on_share.drop(f"good {number}.jpg")
        run = on_share.once()
        assert run.returncode == 1, run.stderr  # the one in shoot/
        assert "folder.rests" not in run.stderr
        pictures = [name for name in on_share.results() if name.endswith(".png")]
        assert pictures == [
            *(f"{number}_ what_.png" for number in range(6)),
            "day 10_30/aux_.png",
            *(f"good {number}.png" for number in range(4)),
            "review_/a.png",
        ]
        assert "failed/shoot/a.jpg.error.json" in on_share.results()
        assert on_share.sidecar("0_ what_.png.json")["source"]["path"] == "0: what?.jpg"
        again = on_share.once()
        assert again.stdout.startswith("0 cut"), again.stdout
    finally:
        share.detach()
