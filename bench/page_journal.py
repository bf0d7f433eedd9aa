"""A journal of many generated jobs, for the measurements of the page."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any, Final

from cutoutd.clock import Clock
from cutoutd.jobs import Reason
from cutoutd.journal.store import make

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator
    from pathlib import Path

FOLDERS: Final = ("shop", "studio", "archive")
SEED: Final = 7
STEP_US: Final = 300_000

_INSERT_JOB: Final = (
    "INSERT INTO job (id, folder, path, size, mtime_ns, state, accepted_us, finished_us, sha256, detail) "
    "VALUES (:id, :folder, :path, 2000000, :id, :state, :at_us, :ended_us, :sha256, :detail)"
)
_INSERT_OUTPUT: Final = (
    "INSERT INTO output (folder, path, generation, rendition, review, target, sha256) "
    "VALUES (:folder, :path, 0, 0, :review, :path, :result)"
)


def rows(count: int, now_us: int) -> Iterator[dict[str, Any]]:
    """Yield generated jobs: of each hundred 3 are held back, 7 published and doubtful, 1 failed, and 4 wait."""
    chance = random.Random(SEED)  # noqa: S311 -- the same journal each time
    for number in range(1, count + 1):
        score, reasons = round(chance.betavariate(5, 1.2), 4), chance.sample(list(Reason), 2)
        state, detail = (
            "done",
            {"score": score, "seconds": 1.2, "model": "m", "reasons": reasons, "width": 4000, "height": 3000},
        )
        match number % 100:
            case 0 | 1 | 2:
                state, detail = "review", detail | {"why": "; ".join(reasons)}
            case 3 | 4 | 5 | 6 | 7 | 8 | 9:
                detail = detail | {
                    "doubtful": True,
                    "why": f"doubtful, score {score:.2f}; {'; '.join(reasons)}",
                }
            case 10:
                state, detail = (
                    "failed",
                    {"failure": {"code": "Picture", "title": "t", "cause": "it is cut short", "advice": "a"}},
                )
            case 11 | 12 | 13 | 14:
                state, detail = "queued", {}
        at_us = now_us - (count - number) * STEP_US
        yield {
            "id": number,
            "folder": FOLDERS[number % len(FOLDERS)],
            "path": f"2026/{number // 1000:03}/IMG_{number:06}.jpg".encode(),
            "state": state,
            "review": state == "review",
            "at_us": at_us - 60_000_000,
            "ended_us": None if state == "queued" else at_us,
            "sha256": f"{number:064x}",
            "result": f"{number + (1 << 32):064x}",
            "detail": json.dumps(detail),
        }


def build(path: Path, count: int) -> None:
    """Make a journal of so many jobs."""

    def fill(connection: sqlite3.Connection) -> None:
        made = list(rows(count, Clock().now_us()))
        connection.execute("BEGIN")
        connection.executemany(_INSERT_JOB, made)
        connection.executemany(_INSERT_OUTPUT, [one for one in made if one["state"] in ("done", "review")])
        connection.execute("COMMIT")

    make(path, fill=fill)
