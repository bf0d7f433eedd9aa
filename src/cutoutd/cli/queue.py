"""`cutoutd jobs`, `retry`, `pause` and `resume`: the queue, with the daemon up or down."""

from __future__ import annotations

import base64
import csv
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cutoutd.cli.selection import Selection, reason_of, since
from cutoutd.cli.where import ConfigOption, InputOption, OutputOption, settings
from cutoutd.clock import Clock, rfc3339
from cutoutd.durable import sync_directory
from cutoutd.egress import Places
from cutoutd.errors import UsageError
from cutoutd.jobs import JobState
from cutoutd.journal.commands import Commands, Verb
from cutoutd.journal.queue import BY_MODEL
from cutoutd.journal.reader import Reader
from cutoutd.journal.state import check_owner, running, unreachable
from cutoutd.journal.store import FILE_NAME, Store

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.jobs import Job

StatesOption = Annotated[
    list[JobState] | None, typer.Option("--state", help="Only pictures in this state; may be given again.")
]
SinceOption = Annotated[
    str | None, typer.Option("--since", help="Only what happened since then: 30m, 2h, 3d, today, 2026-11-24.")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Only what has this text in its reason.")]
ModelOption = Annotated[str, typer.Option("--model", help="Only what this model has cut.")]

_COLUMNS: Final = (
    "job",
    "folder",
    "path",
    "state",
    "reason",
    "accepted_at",
    "finished_at",
    "seconds",
    "model",
    "bytes",
    "sha256",
    "attempts",
    "outputs",
)
ANSWER_S: Final = 2.0
"""How long a command waits for a running daemon's answer, which comes within half a second unless a disk is slow."""

_LOOK_S: Final = 0.05
_FORMULA: Final = ("=", "+", "-", "@")

HostedOption = Annotated[
    bool, typer.Option("--hosted", help="Only uploads to the hosted service, at once: also those under way.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="For machines: one JSON document.")]


def open_journal(directory: Path) -> Store:
    """The journal of a state directory.

    Raises:
        UsageError: there is none yet, or it is another user's.
    """
    try:
        if not (directory / FILE_NAME).exists():
            raise UsageError(
                "no daemon has run with this configuration yet",
                path=directory,
                advice="Start it with `cutoutd run`.",
            )
        check_owner(directory)
    except PermissionError as error:
        raise unreachable(directory) from error
    return Store(directory / FILE_NAME)


def jobs(
    *,
    state: StatesOption = None,
    folder: Annotated[str | None, typer.Option(help="Only jobs of this folder.")] = None,
    when: SinceOption = None,
    reason: ReasonOption = "",
    model: ModelOption = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
) -> None:
    """List what waits, what was done and what failed, and why: one line for each picture."""
    reader = Reader(open_journal(settings(config, input_dir, output_dir).service.state_dir))
    found = _selection(state, folder, when, reason, model).of(reader)
    if as_json:
        print(json.dumps({"schema": "cutoutd.jobs/1", "jobs": [_as_json(job) for job in found]}, indent=2))
        return
    for job in found:
        why = job.detail.get("failure", {}).get("cause") or job.detail.get("why", "")
        print(
            f"{job.id:>6}  {job.state:<10}  {job.folder}/{printable(job.path)}{f'  ({printable(why)})' if why else ''}"
        )


def retry(
    job: Annotated[list[int] | None, typer.Argument(help="Jobs, as `cutoutd jobs` numbers them.")] = None,
    *,
    failed: Annotated[
        bool, typer.Option("--failed", help="All that failed, but for those that you rejected.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option("--model", help="All that this model has cut, for example after another one was set."),
    ] = None,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
) -> None:
    """Cut pictures again: failed ones, or any, for example after a setting was changed."""
    if bool(job) + failed + (model is not None) != 1:
        raise UsageError("say which jobs", advice="Give their numbers, or --failed, or --model NAME.")
    directory = settings(config, input_dir, output_dir).service.state_dir
    store = open_journal(directory)
    for number in job or []:
        known = Reader(store).job(number)
        if known is None:
            raise UsageError(f"there is no job {number}", advice="`cutoutd jobs` lists them.")
        if known.state in (JobState.QUEUED, JobState.WORKING, JobState.UPLOADING, JobState.PUBLISHING):
            raise UsageError(f"job {number} is {known.state} already", advice="Wait for it to end.")
        newest = Reader(store).newest(known)
        if newest != number:
            raise UsageError(
                f"job {number} is about an older version of {known.folder}/{printable(known.path)}",
                advice=f"Its newest version is job {newest}.",
            )
    if failed and not any(states.get(JobState.FAILED) for states in Reader(store).counts().values()):
        print("No picture has failed.")
        return
    if model is not None and not any(Selection(model=model).of(Reader(store))):
        print(f"No cutout is known to be of the model {model!r}.")
        return
    commands = Commands(store, Clock())
    asked = "failed" if model is None else f"{BY_MODEL}{model}"
    requests = [
        commands.post(Verb.RETRY, argument) for argument in [str(number) for number in job or []] or [asked]
    ]
    _say_what_came_of(requests, commands, directory)


def export(
    *,
    state: StatesOption = None,
    folder: Annotated[str | None, typer.Option(help="Only jobs of this folder.")] = None,
    when: SinceOption = None,
    reason: ReasonOption = "",
    model: ModelOption = "",
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
) -> None:
    """Print the journal as CSV, for a spreadsheet: one row for each version of a picture."""
    reader = Reader(open_journal(settings(config, input_dir, output_dir).service.state_dir))
    writer = csv.writer(sys.stdout)
    writer.writerow(_COLUMNS)
    for job in _selection(state, folder, when, reason, model).of(reader):
        writer.writerow([_cell(value) for value in _row(job)])


def pause(
    *,
    hosted: HostedOption = False,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
) -> None:
    """Begin no new work until `cutoutd resume`; pictures are still noticed."""
    directory = settings(config, input_dir, output_dir).service.state_dir
    if not hosted:
        _post(Verb.PAUSE, directory)
        return
    places = _places(directory)
    places.paused.touch(mode=0o600)
    sync_directory(places.root)
    print("Nothing leaves this machine until `cutoutd resume --hosted`.")


def resume(
    *,
    hosted: HostedOption = False,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
) -> None:
    """Go on after `cutoutd pause`."""
    directory = settings(config, input_dir, output_dir).service.state_dir
    if not hosted:
        _post(Verb.RESUME, directory)
        return
    places = _places(directory)
    places.resumed.touch(mode=0o600)  # what the service refused is tried again as well
    places.paused.unlink(missing_ok=True)
    sync_directory(places.root)


def printable(path: str, *, keep: str = "") -> str:
    """A path for people: what is not UTF-8 or would break the line is escaped.

    Args:
        path: it, or another text from outside.
        keep: control characters that are left as they are.
    """
    try:
        text = os.fsencode(path).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a character that no file name has
        text = path.encode("utf-8", "backslashreplace").decode()
    return "".join(one if one.isprintable() or one in keep else repr(one)[1:-1] for one in text)


def _selection(
    states: list[JobState] | None, folder: str | None, when: str | None, reason: str, model: str
) -> Selection:
    since_us = since(when, Clock().now_us()) if when is not None else None
    return Selection(states=states or (), folder=folder, since_us=since_us, reason=reason, model=model)


def _row(job: Job) -> tuple[object, ...]:
    return (
        job.id,
        job.folder,
        job.path,
        job.state.value,
        reason_of(job),
        rfc3339(job.accepted_us),
        rfc3339(job.finished_us) if job.finished_us is not None else "",
        job.detail.get("seconds", ""),
        job.detail.get("model", ""),
        job.size,
        job.sha256 or "",
        job.attempts,
        " ".join(map(str, job.detail.get("outputs", []))),
    )


def _cell(value: object) -> str:
    """A text that a spreadsheet takes for text: a name may begin like a formula."""
    text = printable(str(value))
    return f"'{text}" if text.startswith(_FORMULA) else text


def _places(directory: Path) -> Places:
    """The boxes of a state directory, made if they are missing.

    Raises:
        UsageError: it is another user's.
    """
    places = Places.under(directory)
    try:
        places.make()
        check_owner(directory)
    except PermissionError as error:
        raise unreachable(directory) from error
    return places


def _post(verb: Verb, directory: Path) -> None:
    commands = Commands(open_journal(directory), Clock())
    _say_what_came_of([commands.post(verb)], commands, directory)


def _say_what_came_of(requests: list[int], commands: Commands, directory: Path) -> None:
    """Say which requests a running daemon refuses; one that does not answer at once is not waited for.

    Raises:
        UsageError: it has refused one.
    """
    if running(directory) is None:
        print("The daemon does not run; it will obey when it starts.")
        return
    end_s = time.monotonic() + ANSWER_S
    for request in requests:
        while (why := commands.answer(request)) is None and time.monotonic() < end_s:
            time.sleep(_LOOK_S)
        if why:
            raise UsageError(f"the daemon cannot do that: {why}", advice="`cutoutd jobs` lists the jobs.")


def _as_json(job: Job) -> dict[str, Any]:
    lossy = os.fsencode(job.path).decode("utf-8", "replace")
    entry: dict[str, Any] = {
        "job": job.id,
        "folder": job.folder,
        "path": lossy,
        "state": job.state,
        "size": job.size,
        "mtime_ns": job.mtime_ns,
        "sha256": job.sha256,
        "attempts": job.attempts,
        "interrupted": job.interrupted,
        "accepted_at": rfc3339(job.accepted_us),
        "finished_at": rfc3339(job.finished_us) if job.finished_us is not None else None,
        "detail": {key: value for key, value in job.detail.items() if key in ("failure", "why", "outputs")},
    }
    if lossy != job.path:
        entry["path_bytes"] = base64.b64encode(os.fsencode(job.path)).decode("ascii")
    return entry
