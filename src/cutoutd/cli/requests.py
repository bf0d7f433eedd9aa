"""Requests to the daemon: finds the pictures that a person names, and prints the outcome."""

from __future__ import annotations

import os
import time
import unicodedata
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

from cutoutd.cli.printing import printable
from cutoutd.errors import UsageError
from cutoutd.job_detail import JobResult
from cutoutd.jobs import JobState
from cutoutd.journal.state import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from cutoutd.jobs import Job
    from cutoutd.journal.commands import Commands
    from cutoutd.journal.reader import Reader
    from cutoutd.settings.schema import Settings

    _Matcher = Callable[[Job], bool]

_MOST_DIGITS: Final = 18
"""Digits of a job number: longer ones do not fit into the journal."""

_NAMED: Final = 5
"""Pictures that are listed if a name matches several."""


def find_jobs(
    words: Iterable[str],
    reader: Reader,
    chosen: Settings,
    *,
    listed_by: str,
    skipped: bool = False,
    first: JobState | None = None,
) -> list[Job]:
    """Return the jobs that words name, in their order, without duplicates.

    A name is a path as `cutoutd jobs` shows it, with or without its folder, a path of a picture or a cutout on this machine,
    or the bare name of a picture or a cutout, with or without its extension.

    Args:
        words: numbers and names.
        reader: reader of the journal.
        chosen: settings, with the folders.
        listed_by: command that lists the pictures, for messages.
        first: state that is preferred if a name matches several jobs.
        skipped: whether a name may match a picture that was not to be cut, if it matches no other.

    Raises:
        UsageError: a word matches no job, or several.
    """
    found: dict[int, Job] = {}
    newest: list[Job] | None = None
    cut: list[Job] = []
    for word in words:
        job = _find_numbered(word, reader)
        if job is None:
            if newest is None:
                newest = list(reader.newest_jobs())
                cut = [job for job in newest if job.state is not JobState.SKIPPED]
            matchers = list(_matchers(word, chosen, reader))
            job = _find_named(word, cut, matchers, first) or (
                _find_named(word, newest, matchers) if skipped else None
            )
            if job is None:
                what = f"job {word}" if word.isascii() and word.isdigit() else f"picture {printable(word)!r}"
                raise UsageError(f"there is no {what}", advice=f"`{listed_by}` lists them.")
        found[job.id] = job
    return list(found.values())


def is_configured(job: Job, chosen: Settings) -> bool:
    """Whether the folder of a job is in the configuration; nothing is done about a job's picture while it is not."""
    return any(folder.name == job.folder for folder in chosen.folder)


def require_configured(jobs: Iterable[Job], chosen: Settings) -> None:
    """Check that the folder of each job is in the configuration.

    Raises:
        UsageError: one is not.
    """
    for job in jobs:
        if not is_configured(job, chosen):
            raise UsageError(
                f"job {job.id} ({_label(job)}) is of a folder that is not in the configuration",
                advice=f"Put the folder {job.folder!r} back into it or, if it has another name there now, start cutoutd once. "
                "Until then nothing happens to its pictures.",
            )


def _find_numbered(word: str, reader: Reader) -> Job | None:
    if not (word.isascii() and word.isdigit()) or len(word) > _MOST_DIGITS:
        return None
    return reader.job(int(word))


def _find_named(
    word: str, jobs: Sequence[Job], matchers: Iterable[_Matcher], first: JobState | None = None
) -> Job | None:
    for matches in matchers:
        found = [job for job in jobs if matches(job)]
        there = [job for job in found if job.state is not JobState.GONE] or found
        there = [job for job in there if job.state is first] or there
        if len(there) > 1:
            names = [f"{job.id}  {_label(job)}" for job in there[:_NAMED]]
            more = [f"and {len(there) - _NAMED} more"] if len(there) > _NAMED else []
            raise UsageError(
                f"{len(there)} pictures can be meant by {printable(word)!r}",
                advice="\n  ".join(
                    ("Give the number of one, or its name with the folders it lies in:", *names, *more)
                ),
            )
        if there:
            return there[0]
    return None


def _matchers(word: str, chosen: Settings, reader: Reader) -> Iterator[_Matcher]:
    """Yield the ways to match a word, the most specific first."""
    inputs = {folder.name: os.fspath(folder.input) for folder in chosen.folder}
    absolute = os.path.abspath(word)  # noqa: PTH100 -- must not resolve links, nor access the file
    plain = _plain(word)
    # A job that cuts its picture again has no outputs, while the cutout is there.
    published = {
        (folder.name, *source)
        for folder in chosen.folder
        if absolute.startswith(f"{folder.output}/")
        for source in reader.sources_of(folder.name, absolute.removeprefix(f"{folder.output}/"))
    }

    def at_path(job: Job) -> bool:
        here = (job.path, f"{job.folder}/{job.path}")
        return word in here or word in map(printable, here)

    def on_disk(job: Job) -> bool:
        root = inputs.get(job.folder)
        return root is not None and absolute == f"{root}/{job.path}"

    def result_on_disk(job: Job) -> bool:
        return (job.folder, job.path, job.generation) in published or absolute in JobResult.of(job).outputs

    yield at_path
    yield on_disk
    yield result_on_disk
    yield lambda job: job.path.rpartition("/")[2] == word
    yield lambda job: plain in (_plain(job.path), _plain(job.path.rpartition("/")[2]))
    yield lambda job: any(_plain(one.rpartition("/")[2]) == plain for one in JobResult.of(job).outputs)
    yield lambda job: _plain(PurePosixPath(job.path).stem) == plain


def _plain(name: str) -> str:
    """Return a key that is equal for names that look the same: ignores case and composition of accents."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def _label(job: Job) -> str:
    return f"{job.folder}/{printable(job.path)}"


ANSWER_S: Final = 2.0
"""Time for the answer of a running daemon, which comes within half a second unless a disk is slow."""

_LOOK_S: Final = 0.05


def pictures(count: int) -> str:
    """Return a number of pictures, with the verb that follows: ``1 picture is``, ``3 pictures are``."""
    return f"{count} picture is" if count == 1 else f"{count} pictures are"


def report_outcome(
    requests: Sequence[int], commands: Commands, directory: Path, *, done: str, later: str
) -> None:
    """Print the outcome of requests. It waits for a running daemon only for `ANSWER_S`.

    Args:
        requests: ids of the requests.
        commands: commands of the journal.
        directory: the state directory.
        done: text if a running daemon has carried them out.
        later: text if none runs, after "cutoutd is not running; when it starts, ".

    Raises:
        UsageError: a running daemon has refused one.
    """
    if running(directory) is None:
        print(f"cutoutd is not running; when it starts, {later}")
        return
    end_s = time.monotonic() + ANSWER_S
    answered = True
    for request in requests:
        while (why := commands.answer(request)) is None and time.monotonic() < end_s:
            time.sleep(_LOOK_S)
        if why:
            raise UsageError(f"cutoutd cannot do that: {why}", advice="`cutoutd jobs` lists the jobs.")
        answered = answered and why is not None
    print(done if answered else "cutoutd is busy; this is done as soon as it can.")
