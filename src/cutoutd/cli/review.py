"""`cutoutd review`: the cutouts that are held back, and decisions about them, whether the daemon runs or not."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cutoutd.cli.instance import ConfigOption, InputOption, OutputOption, find_settings
from cutoutd.cli.printing import path_fields, paths_fields, printable, say
from cutoutd.cli.queue import JsonOption, open_journal
from cutoutd.cli.requests import find_jobs, is_configured, pictures, report_outcome, require_configured
from cutoutd.cli.selection import require_folder
from cutoutd.clock import Clock, rfc3339
from cutoutd.daemon import status_file
from cutoutd.errors import UsageError
from cutoutd.folder.status import FolderState
from cutoutd.job_detail import JobResult, is_rejected
from cutoutd.jobs import HAS_RESULT, RELEASED, JobState
from cutoutd.journal.batches import Batches
from cutoutd.journal.commands import Commands, Verb
from cutoutd.journal.decisions import Decision
from cutoutd.journal.reader import Reader
from cutoutd.journal.reservations import Reservations
from cutoutd.journal.state import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cutoutd.jobs import Job
    from cutoutd.journal.store import Store
    from cutoutd.settings.schema import Settings

SCHEMA: Final = "cutoutd.review/1"

ANSWER_S: Final = 20.0
"""Time for a running daemon to carry a decision out; it may be waiting for a share."""

PAUSED_S: Final = 2.0
"""The same if its folder is paused."""

_LOOK_S: Final = 0.1

_BECOMES: Final = {
    Verb.HOLD: "put back into review",
    Verb.DOUBT: "doubtful again",
    Verb.REPUBLISH: "published again, as before",
    Verb.REPUBLISH_DOUBTFUL: "published again, as before",
}
"""What becomes of a picture, by the last command about it."""

PicturesArgument = Annotated[
    list[str] | None,
    typer.Argument(help="Names of pictures, or the numbers that `cutoutd review list` shows."),
]
AnyPicturesArgument = Annotated[
    list[str], typer.Argument(help="Names of pictures, or the numbers that `cutoutd jobs` shows.")
]
AllOption = Annotated[
    bool, typer.Option("--all", help="All that are held back; with --folder, all of that folder.")
]
FolderOption = Annotated[str | None, typer.Option("--folder", help="Only this folder's.")]


def build() -> typer.Typer:
    """Make the sub-commands of `cutoutd review`."""
    app = typer.Typer(
        help="List cutouts that are held back for review; accept (publish) or reject them.",
        no_args_is_help=True,
    )
    app.command("list")(list_held_back)
    app.command("accept")(accept)
    app.command("reject")(reject)
    app.command("undo")(undo)
    app.command("hold")(hold)
    return app


def list_held_back(
    *,
    folder: FolderOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
) -> None:
    """List cutouts that are held back: why, where they are, and a picture that shows what was cut away."""
    chosen = find_settings(config, input_dir, output_dir)
    store = open_journal(chosen.service.state_dir)
    require_folder(folder, chosen, Reader(store))
    asked = {
        command.argument: command.verb
        for command in Commands(store, Clock()).pending()
        if command.verb in (Verb.ACCEPT, Verb.REJECT)
    }
    entries = [_entry(job, chosen, store, asked) for job in _jobs_in_review(store, folder)]
    if as_json:
        print(json.dumps({"schema": SCHEMA, "jobs": entries}, indent=2))
        return
    for entry in entries:
        say(f"{entry['job']:>6}  {entry['folder']}/{entry['path']}  ({entry['why'] or 'held back'})")
        for label, paths in (("cutout", entry["outputs"]), ("overlay", entry["overlay"])):
            for path in paths:
                say(f"        {label:<8} {path}")
        if entry["decision"]:
            say(f"        decided: {entry['decision']}; this takes effect when cutoutd starts")
        if entry["refused"]:
            say(f"        could not be accepted: {entry['refused']}")
    if not entries:
        print("Nothing waits for a decision.")


def accept(
    picture: PicturesArgument = None,
    *,
    everything: AllOption = False,
    folder: FolderOption = None,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
) -> None:
    """Publish cutouts that are held back, exactly as they are in review/; nothing is cut again."""
    _decide(
        Verb.ACCEPT,
        picture,
        everything=everything,
        folder=folder,
        chosen=find_settings(config, input_dir, output_dir),
    )


def reject(
    picture: PicturesArgument = None,
    *,
    everything: AllOption = False,
    folder: FolderOption = None,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
) -> None:
    """Remove cutouts that are held back; their pictures count as failed, and the originals stay untouched."""
    _decide(
        Verb.REJECT,
        picture,
        everything=everything,
        folder=folder,
        chosen=find_settings(config, input_dir, output_dir),
    )


def undo(
    picture: AnyPicturesArgument,
    *,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
) -> None:
    """Take decisions back: cutouts are as they were before, in review or published.

    Rejected ones are cut again for that. Accepted ones come back into review without their overlay, which was removed then.
    """
    _put_back(picture, find_settings(config, input_dir, output_dir), _undoing)


def hold(
    picture: AnyPicturesArgument,
    *,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
) -> None:
    """Put cutouts into review, whatever was decided: published ones leave the output, rejected ones are cut again."""
    _put_back(picture, find_settings(config, input_dir, output_dir), lambda *_: [Verb.HOLD])


def _undoing(store: Store, job: Job) -> list[Verb]:
    """Return the commands that undo the decision about a job; none if there is no decision."""
    result = JobResult.of(job)
    if is_rejected(job):
        return Batches(store).undoing(job.id)
    if job.state not in RELEASED or result.accepted or result.decision:
        return [Verb.HOLD]
    holding = [one.verb for one in Batches(store).about(job.id) if not one.is_undone]
    is_confirmed = holding[:1] == [Decision.ACCEPT] and not result.doubtful
    return [Verb.DOUBT] if is_confirmed else []


def _put_back(picture: list[str], chosen: Settings, verbs_for: Callable[[Store, Job], list[Verb]]) -> None:
    directory = chosen.service.state_dir
    store = open_journal(directory)
    reader, commands = Reader(store), Commands(store, Clock())
    jobs = find_jobs(picture, reader, chosen, listed_by="cutoutd jobs")
    require_configured(jobs, chosen)
    asked: list[tuple[Verb, Job]] = []
    for job in jobs:
        has_any = job.state in HAS_RESULT or is_rejected(job)
        verbs = verbs_for(store, job) if has_any else []
        if not verbs:
            name = f"job {job.id} ({job.folder}/{printable(job.path)})"
            is_published = job.state in RELEASED
            raise UsageError(
                f"{name} is {'published' if is_published else job.state}, and the journal knows no decision about it",
                advice="`cutoutd review hold` takes it out of the output and into review." * is_published,
            )
        asked += [(verb, job) for verb in verbs]
    last = {_BECOMES[verb] for verb in {job.id: verb for verb, job in asked}.values()}
    becomes = last.pop() if len(last) == 1 else "put back as before"
    which = f"{jobs[0].folder}/{printable(jobs[0].path)} is" if len(jobs) == 1 else pictures(len(jobs))
    report_outcome(
        [commands.post(verb, str(job.id)) for verb, job in asked],
        commands,
        directory,
        done=f"{which} {'being ' * (becomes != _BECOMES[Verb.DOUBT])}{becomes}.",
        later=f"{which} {becomes}.",
    )


def _decide(
    verb: Verb, names: list[str] | None, *, everything: bool, folder: str | None, chosen: Settings
) -> None:
    if bool(names) == everything:
        raise UsageError("no picture is named", advice="Give names or numbers, or --all.")
    directory = chosen.service.state_dir
    store = open_journal(directory)
    if everything:
        require_folder(folder, chosen, Reader(store))
        held = list(_jobs_in_review(store, folder))
        numbers = [job.id for job in held if is_configured(job, chosen)]
        if left := len(held) - len(numbers):
            print(f"{pictures(left)} of folders that are not in the configuration, and left as before.")
    else:
        jobs = find_jobs(
            names or [], Reader(store), chosen, listed_by="cutoutd review list", first=JobState.REVIEW
        )
        require_configured(jobs, chosen)
        numbers = [_in_review(store, job) for job in jobs]
    if not numbers:
        print("Nothing waits for a decision.")
        return
    commands = Commands(store, Clock())
    requests = {number: commands.post(verb, str(number)) for number in numbers}
    if running(directory) is None:
        becomes = "published" if verb is Verb.ACCEPT else "rejected"
        print(f"cutoutd is not running; when it starts, {pictures(len(numbers))} {becomes}:")
        for number in numbers:
            job = Reader(store).job(number)
            print(f"  {job.folder}/{printable(job.path)}" if job is not None else f"  {number}")
        return
    raise typer.Exit(0 if _print_outcomes(store, requests, directory) else 1)


def _print_outcomes(store: Store, requests: Mapping[int, int], directory: Path) -> bool:
    """Print the outcome of each decision. Returns whether all were carried out."""
    done = True
    reader, commands = Reader(store), Commands(store, Clock())
    started_s = time.monotonic()
    for number, request in requests.items():
        job = reader.job(number)
        while not _is_over(job, commands.answer(request)):
            waited_s = time.monotonic() - started_s
            paused = commands.answer(request) is not None and _why_paused(job, directory)
            if waited_s > ANSWER_S or (paused and waited_s > PAUSED_S):
                break
            time.sleep(_LOOK_S)
            job = reader.job(number)
        if job is None:
            continue
        name = f"{job.folder}/{printable(job.path)}"
        if why := commands.answer(request):
            print(f"{name}: not done: {printable(why)}")
            done = False
        elif job.state is JobState.DONE:
            outputs = ", ".join(printable(path) for path in JobResult.of(job).outputs)
            print(f"{name}: published as {outputs}")
        elif job.state is JobState.FAILED:
            print(f"{name}: rejected; what lay in review/ is removed, the original is untouched")
        elif refused := JobResult.of(job).refused:
            print(f"{name}: not accepted: {printable(refused)}")
            done = False
        elif why := _why_paused(job, directory):
            print(f"{name}: not yet: {printable(why)} It is done by itself as soon as the folder goes on.")
            done = False
        else:
            print(f"{name}: cutoutd is busy; this is done as soon as it can")
    return done


def _why_paused(job: Job | None, directory: Path) -> str:
    """Return why nothing can be published in a job's folder now, from the running daemon; empty if it can."""
    if job is None:
        return ""
    status = status_file.read(directory).get("folders", {}).get(job.folder, {})
    return str(status.get("why", "")) if status.get("watching") == FolderState.PAUSED else ""


def _is_over(job: Job | None, answer: str | None) -> bool:
    if job is None or answer or job.state in (JobState.DONE, JobState.FAILED):
        return True
    # Before the command was processed, a refusal belongs to an earlier decision.
    return answer is not None and bool(JobResult.of(job).refused)


def _jobs_in_review(store: Store, folder: str | None) -> Iterator[Job]:
    """Yield the jobs in review that are the newest version of their picture."""
    reader = Reader(store)
    for job in reader.jobs(state=JobState.REVIEW, folder=folder):
        if reader.newest(job) == job.id:
            yield job


def _in_review(store: Store, job: Job) -> int:
    number = job.id
    name = f"{job.folder}/{printable(job.path)}"
    if job.state is not JobState.REVIEW:
        raise UsageError(
            f"job {number} ({name}) is {job.state}, and waits for no decision",
            advice="`cutoutd review list` lists those that do.",
        )
    newest = Reader(store).newest(job)
    if newest != number:
        raise UsageError(
            f"job {number} is about an older version of {name}", advice=f"Its newest version is job {newest}."
        )
    return number


def _entry(job: Job, chosen: Settings, store: Store, asked: Mapping[str, str]) -> dict[str, Any]:
    output = next((folder.output for folder in chosen.folder if folder.name == job.folder), Path())
    shown = [one for one in Reservations(store).earlier(job.folder, job.path, job.generation) if one.review]
    result = JobResult.of(job)
    return {
        "job": job.id,
        "folder": job.folder,
        **path_fields("path", job.path),
        "why": printable(result.why),
        **paths_fields("outputs", (str(output / one.path) for one in shown if not one.is_overlay)),
        **paths_fields("overlay", (str(output / one.path) for one in shown if one.is_overlay)),
        "decision": asked.get(str(job.id)) or result.decision,
        "refused": printable(result.refused),
        "at": rfc3339(job.finished_us or job.accepted_us),
    }
