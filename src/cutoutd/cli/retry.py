"""`cutoutd retry`: has pictures cut again, whether the daemon runs or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from cutoutd.cli.instance import ConfigOption, InputOption, OutputOption, find_settings
from cutoutd.cli.printing import printable
from cutoutd.cli.queue import open_journal
from cutoutd.cli.requests import find_jobs, pictures, report_outcome, require_configured
from cutoutd.cli.selection import JobFilter
from cutoutd.clock import Clock
from cutoutd.errors import UsageError
from cutoutd.jobs import JobState
from cutoutd.journal.commands import Commands, Verb
from cutoutd.journal.queue import BY_MODEL, WITH_MODEL
from cutoutd.journal.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cutoutd.jobs import Job
    from cutoutd.settings.schema import Settings

_AT_WORK = (JobState.QUEUED, JobState.WORKING, JobState.UPLOADING, JobState.PUBLISHING)

_LISTS_THEM: Final = (
    "to cut one again, give its name or number: `cutoutd jobs --state failed --reason rejected` lists them."
)


def retry(
    picture: Annotated[
        list[str] | None,
        typer.Argument(help="Names of pictures, or the numbers that `cutoutd jobs` shows."),
    ] = None,
    *,
    failed: Annotated[
        bool, typer.Option("--failed", help="All that failed, except those that you rejected.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option("--model", help="All that this model cut, for example after another one was set."),
    ] = None,
    with_model: Annotated[
        str | None,
        typer.Option("--with", help="The model that is to cut the named pictures, whatever the folder's is."),
    ] = None,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
) -> None:
    """Cut pictures again: failed ones, or any, for example after a setting was changed."""
    if bool(picture) + failed + (model is not None) != 1:
        raise UsageError("say which pictures", advice="Give names or numbers, or --failed, or --model NAME.")
    if with_model is not None and not picture:
        raise UsageError("--with is for pictures that are named", advice="Give names or numbers.")
    chosen = find_settings(config, input_dir, output_dir)
    _refuse_model(with_model, chosen)
    directory = chosen.service.state_dir
    store = open_journal(directory)
    reader, commands = Reader(store), Commands(store, Clock())
    jobs = find_jobs(picture or [], reader, chosen, listed_by="cutoutd jobs", skipped=True)
    require_configured(jobs, chosen)
    _refuse(jobs, reader)
    count = len(jobs)
    if failed and not (count := reader.to_retry()):
        print(_none_failed(reader))
        return
    if model is not None and not (count := _cut_by(model, reader)):
        print(f"No cutout is known to be of the model {model!r}.")
        return
    asked = "failed" if model is None else f"{BY_MODEL}{model}"
    chosen_model = f"{WITH_MODEL}{with_model}" if with_model else ""
    arguments = [f"{job.id}{chosen_model}" for job in jobs] or [asked]
    which = f"{jobs[0].folder}/{printable(jobs[0].path)} is" if len(jobs) == 1 else pictures(count)
    report_outcome(
        [commands.post(Verb.RETRY, argument) for argument in arguments],
        commands,
        directory,
        done=f"{which} being cut again.",
        later=f"{which} cut again.",
    )
    if failed and (rejected := reader.rejected()):
        print(f"What you rejected ({rejected}) is left as it is; {_LISTS_THEM}")


def _none_failed(reader: Reader) -> str:
    """Return the text if there is nothing to retry; rejected pictures have the state failed."""
    if rejected := reader.rejected():
        return f"No picture has failed but those that you rejected ({rejected}); {_LISTS_THEM}"
    return "No picture has failed."


def _refuse_model(model: str | None, chosen: Settings) -> None:
    """Check that workers have a model.

    Raises:
        UsageError: they do not.
    """
    if model is not None and model not in chosen.needed_models:
        raise UsageError(
            f"workers have no model {model!r}",
            advice=f"They have: {', '.join(chosen.needed_models)}. Name another as [model] second or as a folder's.",
        )


def _refuse(jobs: Iterable[Job], reader: Reader) -> None:
    """Check that each job can be cut again.

    Raises:
        UsageError: one cannot.
    """
    for job in jobs:
        name = f"job {job.id} ({job.folder}/{printable(job.path)})"
        if job.state in _AT_WORK:
            raise UsageError(f"{name} is {job.state} already", advice="Wait for it to end.")
        newest = reader.newest(job)
        if newest != job.id:
            raise UsageError(
                f"{name} is about an older version", advice=f"Its newest version is job {newest}."
            )


def _cut_by(model: str, reader: Reader) -> int:
    cut = JobFilter(states=(JobState.DONE, JobState.REVIEW), model=model).of(reader)
    return sum(reader.newest(job) == job.id for job in cut)
