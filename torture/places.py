"""A site with several hot folders in one configuration; `torture.site` has one."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torture.site import Layout, Site

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Hot:
    """One of several hot folders."""

    name: str
    input: Path
    output: Path
    options: tuple[str, ...] = ()

    def toml(self) -> str:
        """Return its table."""
        places = f"input = {json.dumps(str(self.input))}\noutput = {json.dumps(str(self.output))}"
        return "\n".join(["[[folder]]", f'name = "{self.name}"', places, *self.options, ""])


class Place(Site):
    """Several folders in one configuration, otherwise with defaults."""

    def __init__(self, root: Path, folders: list[Hot], *, workers: int) -> None:
        super().__init__(Layout(root=root))
        for hot in folders:
            hot.input.mkdir(parents=True, exist_ok=True)
            hot.output.mkdir(parents=True, exist_ok=True)
        service = f"[service]\nstate_dir = {json.dumps(str(self.state))}\nmin_free_disk_mb = 0\n"
        pool = f"[pool]\nworkers = {workers}\n"
        self.config.write_text(service + pool + "".join(hot.toml() for hot in folders), encoding="utf-8")

    def states(self) -> dict[str, int]:
        """Return the number of sources by the state of their newest version."""
        path = self.state / "journal.sqlite"
        if not path.exists():
            return {}
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
            rows = connection.execute("SELECT state, COUNT(*) FROM job WHERE newest = 1 GROUP BY state")
            return {str(state): int(count) for state, count in rows}

    def newest(self) -> dict[tuple[str, str], str]:
        """Return the state of each source's newest version."""
        with closing(sqlite3.connect(self.state / "journal.sqlite", timeout=30)) as connection:
            rows = connection.execute("SELECT folder, path, state FROM job WHERE newest = 1")
            return {(folder, os.fsdecode(path)): state for folder, path, state in rows}


def wait_until(condition: Callable[[], bool], what: str, *, timeout_s: float) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: it did not.
    """
    end_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end_s:
            raise TimeoutError(f"waited in vain for {what}")
        time.sleep(0.2)
