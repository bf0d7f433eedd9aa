"""The manifest: which published file was made from which picture, for which shop.

It is made from the journal on each request. A file beside the results would be another record to keep up to date, after a
crash, a move, or a decision about a doubtful picture.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from typing import TYPE_CHECKING, Any, Final

from cutoutd.cli.printing import path_fields
from cutoutd.clock import rfc3339
from cutoutd.job_detail import JobResult
from cutoutd.jobs import JobState
from cutoutd.journal.reservations import Reservations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cutoutd.jobs import Job
    from cutoutd.journal.reader import Reader
    from cutoutd.journal.store import Store
    from cutoutd.settings.schema import Folder, Settings

STATES: Final = (JobState.DONE, JobState.UNCHANGED, JobState.REVIEW)

COLUMNS: Final = (
    "preset",
    "folder",
    "source",
    "source_sha256",
    "output",
    "output_sha256",
    "state",
    "score",
    "doubtful",
    "published_at",
)


def rows(jobs: Iterable[Job], reader: Reader, store: Store, settings: Settings) -> Iterator[dict[str, Any]]:
    """Yield one row, by `COLUMNS`, for each file that is published now.

    Args:
        jobs: the selected jobs; only the newest of a picture counts.
        reader: reader of the journal.
        store: the journal.
        settings: the configuration, which has the shop of each rendition.
    """
    folders = {folder.name: folder for folder in settings.folder}
    reservations = Reservations(store)
    for job in jobs:
        folder = folders.get(job.folder)
        if folder is not None and job.state in STATES and reader.newest(job) == job.id:
            yield from _of_job(job, folder, reservations)


def _of_job(job: Job, folder: Folder, reservations: Reservations) -> Iterator[dict[str, Any]]:
    for one in reservations.earlier(job.folder, job.path, job.generation):
        if one.is_overlay or one.review is not (job.state is JobState.REVIEW):
            continue
        known = one.rendition < len(folder.rendition)
        yield {
            "preset": folder.rendition[one.rendition].preset if known else "",
            "folder": job.folder,
            "source": job.path,
            "source_sha256": job.sha256 or "",
            "output": os.fspath(folder.output / one.path),
            "output_sha256": one.sha256,
            "state": job.state.value,
            "score": JobResult.of(job).score,
            "doubtful": JobResult.of(job).doubtful or job.state is JobState.REVIEW,
            "published_at": rfc3339(job.finished_us) if job.finished_us is not None else None,
        }


def as_csv(found: Iterable[dict[str, Any]], cell: Callable[[object], object]) -> None:
    """Print rows as CSV for a spreadsheet."""
    writer = csv.writer(sys.stdout)
    writer.writerow(COLUMNS)
    for row in found:
        writer.writerow([cell(row[name]) for name in COLUMNS])


def as_json(found: Iterable[dict[str, Any]]) -> None:
    """Print rows as one JSON document."""
    files = [
        row | path_fields("source", row["source"]) | path_fields("output", row["output"]) for row in found
    ]
    print(json.dumps({"schema": "cutoutd.manifest/1", "files": files}, indent=2))
