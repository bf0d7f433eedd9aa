"""`cutoutd sheet`: a contact sheet of a folder, before and after, as one HTML file."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cutoutd.cli.instance import ConfigOption, InputOption, OutputOption, find_settings, named_path
from cutoutd.cli.printing import printable, shortest
from cutoutd.cli.queue import DoubtfulOption, SinceOption, SortOption, open_journal
from cutoutd.cli.selection import JobFilter, JobOrder, find_folder, in_order, is_doubtful, since
from cutoutd.cli.terminal import ProgressLine
from cutoutd.clock import Clock
from cutoutd.fs.atomic_write import write_text
from cutoutd.job_detail import JobResult, cause_in
from cutoutd.jobs import JobState
from cutoutd.journal.reader import Reader
from cutoutd.journal.reservations import Reservations
from cutoutd.publish.original_paths import original_paths
from cutoutd.settings.types import Sandbox
from cutoutd.sheet import page
from cutoutd.sheet.thumbnails import ANOTHER, Thumbnails

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.jobs import Job
    from cutoutd.journal.store import Store
    from cutoutd.settings.schema import Folder, Settings

_GONE: Final = "the original is gone"

_SHOWN: Final = (JobState.DONE, JobState.UNCHANGED, JobState.REVIEW, JobState.FAILED)


def sheet(
    folder: Annotated[
        str | None,
        typer.Argument(
            help="The folder's name, as `cutoutd status` shows it; without it, each folder gets a sheet of its own."
        ),
    ] = None,
    *,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to",
            "-t",
            parser=named_path,
            help="The file to write; by default FOLDER.html in the current directory, with --doubtful FOLDER-doubtful.html.",
        ),
    ] = None,
    when: SinceOption = None,
    doubtful: DoubtfulOption = False,
    sort: SortOption = JobOrder.NAME,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
) -> None:
    """Make a contact sheet of a shoot: one HTML file with each picture before and after, for any browser."""
    chosen = find_settings(config, input_dir, output_dir)
    meant = chosen.folder if folder is None and to is None else (find_folder(folder, chosen),)
    since_us = since(when, Clock().now_us()) if when is not None else None
    store = open_journal(chosen.service.state_dir)
    for known in meant:
        path = Path.cwd() / (to or f"{known.name}{'-doubtful' if doubtful else ''}.html")
        asked = JobFilter(states=_SHOWN, folder=known.name, since_us=since_us, doubtful=doubtful)
        _write(path, known, asked, when or "", sort, chosen, store)


def _write(
    path: Path,
    known: Folder,
    meant: JobFilter,
    when: str,
    sort: JobOrder,
    chosen: Settings,
    store: Store,
) -> None:
    """Write the sheet of one folder, and print where it is."""
    folder = known.name
    reader = Reader(store)
    latest = {(job.path, job.generation): job.id for job in reader.jobs(folder=folder)}
    newest = (
        job
        for job in meant.of(reader)
        if latest[job.path, job.generation] == job.id and _has_a_place(job, reader, store)
    )
    jobs = [job.id for job in in_order(newest, sort)]
    if not jobs:
        print(f"No picture of {printable(folder)} matches; no sheet is written.")
        return
    many = f"{len(jobs)} picture{'s' * (len(jobs) != 1)}"
    words = f"{many}{f' since {when}' if when else ''}{' that are doubtful' if meant.doubtful else ''}"
    if sort is JobOrder.SCORE:
        words += ", the least certain first"
    words += f". Score: how likely the cutout is right, 0 to 1; doubtful below {known.doubtful_below:g}, or for the reason given"
    with ProgressLine() as progress:
        shown = progress.count(_entries(jobs, known, chosen, store), len(jobs), "making small pictures")
        count = write_text(path, page.render(folder, words, shown))
    print(f"{printable(shortest(str(path)))}: {many}, {count / 1e6:.1f} MB")


def _has_a_place(job: Job, reader: Reader, store: Store) -> bool:
    """Whether a job is the newest of its name, or an earlier one whose cutout still exists."""
    return reader.newest(job) == job.id or bool(
        Reservations(store).earlier(job.folder, job.path, job.generation)
    )


def _entries(jobs: list[int], folder: Folder, chosen: Settings, store: Store) -> Iterator[page.SheetEntry]:
    reader = Reader(store)
    places = (folder.input, folder.output, folder.originals_dir)
    roots = [os.fspath(place) for place in places if place is not None]
    required = chosen.pool.sandbox is Sandbox.REQUIRED
    with Thumbnails(roots, chosen.pool, required=required) as thumbnails:
        for number in jobs:
            job = reader.job(number)
            if job is not None:
                is_newest = reader.newest(job) == number
                yield _entry(job, folder, Reservations(store), thumbnails, is_newest=is_newest)


def _entry(
    job: Job, folder: Folder, reservations: Reservations, thumbnails: Thumbnails, *, is_newest: bool
) -> page.SheetEntry:
    before, before_note = _before(job, folder, thumbnails, is_newest=is_newest)
    after, after_note = b"", "no cutout"
    held_back = job.state is JobState.REVIEW
    results = [
        one
        for one in reservations.earlier(job.folder, job.path, job.generation)
        if one.review is held_back and not one.is_overlay
    ]
    if results and job.state is not JobState.FAILED:
        first = min(results, key=lambda one: one.rendition)
        after, after_note = _thumbnail(thumbnails, folder.output / first.path, "the cutout is gone")
    result = JobResult.of(job)
    took = "" if result.seconds is None else f"cut in {result.seconds:.1f} s"
    reason = cause_in(job) or result.why
    if (score := result.score) is not None:  # the score is shown separately
        reason = reason.removeprefix(f"doubtful, score {score:.2f}").removeprefix("; ")
    note = reason if reason and job.state in (JobState.FAILED, JobState.REVIEW, JobState.DONE) else took
    return page.SheetEntry(
        name=printable(job.path),
        state="doubtful" if is_doubtful(job) else job.state.value,
        note=printable(note),
        score=score,
        before=before,
        after=after,
        before_note=before_note,
        after_note=after_note,
    )


def _before(job: Job, folder: Folder, thumbnails: Thumbnails, *, is_newest: bool) -> tuple[bytes, str]:
    """Return a small version of the original, or the text that is shown instead.

    Any access may hang, so each has a timeout.
    """
    note = _GONE
    missing = 0
    for place in original_paths(job, folder, is_newest=is_newest):
        picture, why = _thumbnail(thumbnails, place.path, _GONE, place.sha256)
        if picture:
            return picture, ""
        if place.root == folder.originals_dir:
            missing = missing + 1 if why == _GONE else 0
            if missing > 1:
                break
        if why not in (_GONE, ANOTHER):
            note = why
    if job.state is JobState.FAILED and note != _GONE:
        note = "it cannot be shown"  # the reason is shown beside the name
    return b"", note


def _thumbnail(thumbnails: Thumbnails, path: Path, gone: str, sha256: str = "") -> tuple[bytes, str]:
    """Return a small picture, and the text that is shown instead; for a missing file, the given one."""
    picture, note = thumbnails.of(os.fspath(path), sha256)
    return picture, gone if os.strerror(errno.ENOENT) in note else note
