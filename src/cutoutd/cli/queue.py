"""`cutoutd jobs`, `export`, `pause` and `resume`: the queue, whether the daemon runs or not."""

from __future__ import annotations

import csv
import json
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cutoutd.cli import manifest
from cutoutd.cli.instance import ConfigOption, InputOption, OutputOption, find_settings
from cutoutd.cli.job_lines import UNDER_LABELS, UNDER_NAMES, details, line
from cutoutd.cli.printing import path_fields, printable, wrapped
from cutoutd.cli.requests import find_jobs, pictures, report_outcome
from cutoutd.cli.selection import JobFilter, JobOrder, in_order, reason_of, require_folder, since
from cutoutd.clock import Clock, rfc3339
from cutoutd.errors import UsageError
from cutoutd.exchange.spool import SpoolPaths
from cutoutd.fs.durable import sync_directory
from cutoutd.job_detail import JobResult
from cutoutd.jobs import JobState
from cutoutd.journal.commands import Commands, Verb
from cutoutd.journal.reader import Reader
from cutoutd.journal.state import check_state, has_run, unreachable
from cutoutd.journal.store import FILE_NAME, Store
from cutoutd.spreadsheet import cell

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cutoutd.jobs import Job


def _state(text: str) -> JobState:
    """Return a state by its name.

    Raises:
        UsageError: there is none of this name.
    """
    try:
        return JobState(text.strip().lower())
    except ValueError:
        raise UsageError(
            f"there is no state {printable(text)!r}", advice=f"Name one of: {', '.join(JobState)}."
        ) from None


StatesOption = Annotated[
    list[JobState] | None,
    typer.Option(
        "--state",
        parser=_state,
        autocompletion=lambda: list(JobState),
        help="Only pictures in this state; may be given several times.",
    ),
]
SinceOption = Annotated[
    str | None, typer.Option("--since", help="Only what happened since: 30m, 2h, 3d, today, 2026-11-24.")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Only pictures with this text in their reason.")]
SortOption = Annotated[JobOrder, typer.Option(help="Sort by time, by name, or by score (the lowest first).")]
DoubtfulOption = Annotated[bool, typer.Option("--doubtful", help="Only published cutouts that are doubtful.")]
ModelOption = Annotated[str, typer.Option("--model", help="Only pictures that this model cut.")]

_COLUMNS: Final = (
    "job",
    "folder",
    "path",
    "state",
    "reason",
    "accepted_at",
    "finished_at",
    "seconds",
    "score",
    "model",
    "bytes",
    "sha256",
    "attempts",
    "outputs",
)
_SHOWN_DETAILS: Final = frozenset({"failure", "why", "outputs", "score", "doubtful", "warnings", "corrected"})
"""Keys of a job's detail that are part of the JSON document."""


HostedOption = Annotated[bool, typer.Option("--hosted", help="Only the uploads to the hosted service.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs.")]


class NotRunYetError(UsageError):
    """No daemon has run yet, so there is nothing to show."""

    title = "Not started yet"


class JournalGoneError(UsageError):
    """A daemon has run, and its journal is not there any more."""

    title = "The journal is gone"


def open_journal(directory: Path) -> Store:
    """Open the journal of a state directory.

    Raises:
        UsageError: there is none yet or any more, or it is another user's.
    """
    try:
        if directory.exists():
            check_state(directory)
        if not (directory / FILE_NAME).exists() and has_run(directory):
            raise JournalGoneError(
                f"there is no {FILE_NAME}, though cutoutd has run here",
                path=directory,
                advice="Put it back. Without it, the next start makes a new one from the sidecars beside the cutouts.",
            )
        if not (directory / FILE_NAME).exists():
            raise NotRunYetError(
                "cutoutd has not run with this configuration yet",
                path=directory,
                advice="Start it with `cutoutd run`.",
            )
    except PermissionError as error:
        raise unreachable(directory) from error
    return Store(directory / FILE_NAME)


def jobs(  # noqa: PLR0913 -- each option of a command is an argument to Typer
    picture: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names or job numbers of pictures: shows all that is known of each. Without any: a list."
        ),
    ] = None,
    *,
    state: StatesOption = None,
    folder: Annotated[str | None, typer.Option(help="Only jobs of this folder.")] = None,
    when: SinceOption = None,
    reason: ReasonOption = "",
    model: ModelOption = "",
    doubtful: DoubtfulOption = False,
    sort: SortOption = JobOrder.TIME,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
) -> None:
    """List what waits, what was done and what failed, and why: one line for each version of a picture.

    States before the end: queued, retry (it is tried again by itself), working,
    uploading, publishing (its files get their names).

    States at the end: done, failed, review (held back: you accept or reject it),
    unchanged (the same picture as before), gone (removed or replaced before its
    turn), unknown (sent, and never answered), parked (its folder was taken out
    of the configuration), skipped (it was there before, the other file of its
    shot is cut, or it is a cutout itself).
    """
    chosen = find_settings(config, input_dir, output_dir)
    reader = Reader(open_journal(chosen.service.state_dir))
    require_folder(folder, chosen, reader)
    asked = bool(state or folder or when or reason or model or doubtful)
    if picture and asked:
        raise UsageError("pictures are named, or chosen by options", advice="Give names or numbers alone.")
    if picture:
        listed: Iterable[Job] = find_jobs(picture, reader, chosen, listed_by="cutoutd jobs", skipped=True)
    else:
        listed = in_order(_selection(state, folder, when, reason, model, doubtful=doubtful).of(reader), sort)
    if as_json:
        print(json.dumps({"schema": "cutoutd.jobs/1", "jobs": [_as_json(job) for job in listed]}, indent=2))
        return
    count = earlier = 0
    for job in listed:
        count += 1
        newest = reader.newest(job)
        later = reader.job(newest) if newest not in (None, job.id) else None
        is_earlier = later is not None and later.generation == job.generation
        what = "a later version" if is_earlier else "another picture, which got its name later"
        said = line(job) + (f"; job {later.id} is {what}" if later is not None else "")
        print(wrapped(said, sys.stdout, indent=UNDER_NAMES))
        for detail in details(job) if picture else ():
            print(wrapped(detail, sys.stdout, indent=UNDER_LABELS))
        earlier += is_earlier
    if earlier and not picture and sys.stdout.isatty():
        print(f"{count - earlier} pictures; {earlier} lines are about earlier versions of them.")
    if not count:
        print("There is no such picture." if asked else "There are no pictures yet.")


def export(  # noqa: PLR0913 -- each option of a command is an argument to Typer
    *,
    state: StatesOption = None,
    folder: Annotated[str | None, typer.Option(help="Only jobs of this folder.")] = None,
    when: SinceOption = None,
    reason: ReasonOption = "",
    model: ModelOption = "",
    doubtful: DoubtfulOption = False,
    sort: SortOption = JobOrder.TIME,
    files: Annotated[
        bool, typer.Option("--files", help="One row for each published file, with its source and preset.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --files: one JSON document.")] = False,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
) -> None:
    """Print the journal as CSV, for a spreadsheet: one row for each version of a picture."""
    if as_json and not files:
        raise UsageError(
            "--json goes with --files", advice="`cutoutd jobs --json` gives the journal as JSON."
        )
    chosen = find_settings(config, input_dir, output_dir)
    store = open_journal(chosen.service.state_dir)
    reader = Reader(store)
    require_folder(folder, chosen, reader)
    found = in_order(_selection(state, folder, when, reason, model, doubtful=doubtful).of(reader), sort)
    if files:
        published = manifest.rows(found, reader, store, chosen)
        manifest.as_json(published) if as_json else manifest.as_csv(published, _cell)
        return
    writer = csv.writer(sys.stdout)
    writer.writerow(_COLUMNS)
    for job in found:
        writer.writerow([_cell(value) for value in _row(job)])


def pause(
    *,
    hosted: HostedOption = False,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
) -> None:
    """Start no new work until `cutoutd resume`; new pictures still join the queue.

    With --hosted, uploads stop at once, also those in progress.
    """
    directory = find_settings(config, input_dir, output_dir).service.state_dir
    if not hosted:
        store = open_journal(directory)
        already = Commands(store, Clock()).is_paused()
        _post(
            Verb.PAUSE,
            store,
            directory,
            done=f"{'It was paused already' if already else 'Paused'}: no new work starts until `cutoutd resume`"
            f"{_what_waits(store)}.",
            later="it is paused until `cutoutd resume`.",
        )
        return
    places = _places(directory)
    places.paused.touch(mode=0o600)
    sync_directory(places.root)
    print("Uploads are paused until `cutoutd resume --hosted`.")


def resume(
    *,
    hosted: HostedOption = False,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
) -> None:
    """Continue after `cutoutd pause`."""
    directory = find_settings(config, input_dir, output_dir).service.state_dir
    if not hosted:
        store = open_journal(directory)
        commands = Commands(store, Clock())
        paused = commands.is_paused() or any(one.verb == Verb.PAUSE for one in commands.pending())
        left = _what_waits(store)
        _post(
            Verb.RESUME,
            store,
            directory,
            done=f"Work goes on{left}." if paused else f"Nothing was paused; work goes on{left}.",
            later="it works.",
        )
        return
    places = _places(directory)
    places.resumed.touch(mode=0o600)  # also allows another attempt at what the service refused
    places.paused.unlink(missing_ok=True)
    sync_directory(places.root)
    print("Uploads go on.")


def _what_waits(store: Store) -> str:
    """Return the number of waiting pictures, as the end of a sentence; empty if there are none."""
    waiting, resting = Reader(store).waiting_and_resting()
    counts = (f"{pictures(waiting)} waiting", f"{pictures(resting)} to be tried again")
    return "".join(f"; {said}" for count, said in zip((waiting, resting), counts, strict=True) if count)


def _selection(
    states: list[JobState] | None,
    folder: str | None,
    when: str | None,
    reason: str,
    model: str,
    *,
    doubtful: bool,
) -> JobFilter:
    since_us = since(when, Clock().now_us()) if when is not None else None
    return JobFilter(
        states=states or (), folder=folder, since_us=since_us, reason=reason, model=model, doubtful=doubtful
    )


def _row(job: Job) -> tuple[object, ...]:
    result = JobResult.of(job)
    return (
        job.id,
        job.folder,
        job.path,
        job.state.value,
        reason_of(job),
        rfc3339(job.accepted_us),
        rfc3339(job.finished_us) if job.finished_us is not None else "",
        "" if result.seconds is None else result.seconds,
        "" if result.score is None else result.score,
        result.model,
        job.size,
        job.sha256 or "",
        job.starts
        - (job.state in (JobState.QUEUED, JobState.RETRY, JobState.SKIPPED)),  # those wait for the next start
        " ".join(result.outputs),
    )


def _cell(value: object) -> object:
    return cell(printable(value) if isinstance(value, str) else value)


def _places(directory: Path) -> SpoolPaths:
    """Return the hosted directories of a state directory, which are created if they are missing.

    Raises:
        UsageError: they are another user's.
    """
    places = SpoolPaths.under(directory)
    try:
        places.make()
        check_state(directory)
    except PermissionError as error:
        raise unreachable(directory) from error
    return places


def _post(verb: Verb, store: Store, directory: Path, *, done: str, later: str) -> None:
    commands = Commands(store, Clock())
    report_outcome([commands.post(verb)], commands, directory, done=done, later=later)


def _as_json(job: Job) -> dict[str, Any]:
    return {
        "job": job.id,
        "folder": job.folder,
        **path_fields("path", job.path),
        "state": job.state,
        "size": job.size,
        "mtime_ns": job.mtime_ns,
        "sha256": job.sha256,
        "attempts": job.attempts,
        "interrupted": job.interrupted,
        "accepted_at": rfc3339(job.accepted_us),
        "finished_at": rfc3339(job.finished_us) if job.finished_us is not None else None,
        "detail": {key: value for key, value in job.detail.items() if key in _SHOWN_DETAILS},
    }
