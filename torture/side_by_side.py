"""A campaign on several sites beside each other, each in a thread of its own."""

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
    """Read the command line, and share the strikes out to the sites.

    Args:
        campaign: its name.
        strikes: the option that says how many there are in all.
        usual: so many, where it is not given.
        torture: gets the number of a site, its share of the strikes, the seed, and a directory that goes afterwards.
        of: for ``--help``: what the option counts, and what is drawn by the seed.

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
