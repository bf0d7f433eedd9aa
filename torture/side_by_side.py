"""Runs a campaign on several sites in parallel, each in its own thread."""

from __future__ import annotations

import argparse
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

SEED = 20261124


def run(
    campaign: str, strikes: str, usual: int, torture: Callable[[int, int, int, Path], None], **of: str
) -> int:
    """Read the command line, and distribute the strikes over the sites.

    Args:
        campaign: name of the campaign.
        strikes: name of the option for their total number.
        usual: default of that option.
        torture: function of the number of a site, its share of the strikes, the seed, and a temporary directory.
        of: texts for ``--help``: what the option counts, and what depends on the seed.

    Returns:
        The seed.
    """
    parser = argparse.ArgumentParser(prog=f"python -m torture.{campaign}")
    parser.add_argument(f"--{strikes}", dest="strikes", type=int, default=usual, help=of["counts"])
    parser.add_argument("--seed", type=int, default=SEED, help=of["draws"])
    parser.add_argument("--jobs", type=int, default=2, help="sites beside each other")
    chosen = parser.parse_args()
    share = -(-chosen.strikes // chosen.jobs)
    with (
        tempfile.TemporaryDirectory(prefix=f"cutoutd-{campaign}-") as directory,
        ThreadPoolExecutor(chosen.jobs) as pool,
    ):
        done = [
            pool.submit(torture, number, share, chosen.seed, Path(directory)) for number in range(chosen.jobs)
        ]
        for one in done:
            one.result()
    return int(chosen.seed)
