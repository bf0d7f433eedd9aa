"""`cutoutd submit`: hands pictures in to a hot folder; with --wait, reports the results."""

from __future__ import annotations

import json
import os
import stat
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cutoutd.cli.instance import ConfigOption, InputOption, OutputOption, find_settings, named_path
from cutoutd.cli.printing import path_fields, paths_fields
from cutoutd.cli.queue import open_journal
from cutoutd.clock import Clock
from cutoutd.errors import StorageError, UsageError
from cutoutd.file_signatures import HEAD_BYTES
from cutoutd.intake import incoming
from cutoutd.intake.rules import rules_of
from cutoutd.job_detail import JobResult, cause_in
from cutoutd.job_options import JobOptions
from cutoutd.jobs import HAS_RESULT, OPEN, JobState
from cutoutd.journal.reader import Reader
from cutoutd.journal.state import running
from cutoutd.journal.submissions import Submission, Submissions
from cutoutd.publish.naming import sidecar_name
from cutoutd.submission_refusals import why_no_picture
from cutoutd.submitted_names import fitting_name, no_name
from cutoutd.submitting import check_place
from cutoutd.submitting import submit as hand_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cutoutd.jobs import Job
    from cutoutd.journal.store import Store
    from cutoutd.settings.schema import Folder, Settings

SCHEMA: Final = "cutoutd.submit/1"

MAX_TIMEOUT_S: Final = 31_536_000.0
_LOOK_S: Final = 0.1
_PIECE: Final = 1 << 20
_WAITS: Final = OPEN | {JobState.PARKED}


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmittedFile:
    """A picture that was handed in, or a file that is none.

    Attributes:
        file: path, as given.
        key: key of the submission.
        refused: why it was not handed in; empty: it was.
    """

    file: Path
    key: str = ""
    refused: str = ""


def submit(
    pictures: Annotated[list[str], typer.Argument(help="Pictures; they stay where they are.")],
    *,
    folder: Annotated[
        str | None, typer.Option("--folder", help="Name of the folder; not needed where there is one.")
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until each has its result, and say which.")
    ] = False,
    timeout: Annotated[
        float | None,
        typer.Option(min=0.0, max=MAX_TIMEOUT_S, help="With --wait: wait no longer than so many seconds."),
    ] = None,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
) -> None:
    """Hand pictures in to a folder, each whole, and print what became of them as JSON.

    Exit code 1: a file is no picture; with --wait, some have no cutout, or not in time.
    """
    if timeout is not None and not wait:
        raise UsageError("--timeout goes with --wait", advice="Give both, or neither.")
    chosen = find_settings(config, input_dir, output_dir)
    into = _folder(folder, chosen)
    files = [named_path(one) for one in pictures]
    rules = rules_of(into)
    for file in files:
        _check(file, chosen.pool.max_file_mb << 20)
        if fitting_name(rules, file.name) is None:
            raise UsageError(
                no_name(file.name),
                path=file,
                advice=f"Change include or exclude of [[folder]] {into.name!r}.",
            )
    store = open_journal(chosen.service.state_dir)
    if wait and running(chosen.service.state_dir) is None:
        raise UsageError("cutoutd does not run, so nothing would come", advice="Start it with `cutoutd run`.")
    handed_in = [_hand_in(file, into, store, _why_no_picture(file)) for file in files]
    end_s = None if timeout is None else time.monotonic() + timeout
    while wait and any(_is_open(one, store) for one in handed_in):
        if end_s is not None and time.monotonic() >= end_s:
            break
        time.sleep(_LOOK_S)
    found = [_document(one, into, store) for one in handed_in]
    print(json.dumps({"schema": SCHEMA, "pictures": found}, indent=2))
    if any(one.refused for one in handed_in) or (
        wait and not all(one["state"] in HAS_RESULT for one in found)
    ):
        raise typer.Exit(1)


def _folder(name: str | None, chosen: Settings) -> Folder:
    names = ", ".join(folder.name for folder in chosen.folder)
    if name is None and len(chosen.folder) != 1:
        raise UsageError("there are several folders", advice=f"Name one with --folder: {names}.")
    found = [folder for folder in chosen.folder if name in (None, folder.name)]
    if not found:
        raise UsageError(f"there is no folder {name!r}", advice=f"Name one of: {names}.")
    return found[0]


def _check(file: Path, most_bytes: int) -> None:
    try:
        status = file.stat()
    except OSError as error:
        raise UsageError(f"it cannot be read ({error.strerror})", path=file) from error
    if not stat.S_ISREG(status.st_mode):
        raise UsageError("this is not a file", path=file, advice="Name pictures.")
    if status.st_size > most_bytes:
        raise UsageError("it is larger than [pool] max_file_mb allows", path=file)


def _why_no_picture(file: Path) -> str:
    """Return why a file is no picture, as the folder would say it."""
    try:
        with file.open("rb") as opened:
            return why_no_picture(opened.read(HEAD_BYTES), file.name)
    except OSError as error:
        raise UsageError(f"it cannot be read ({error.strerror})", path=file) from error


def _hand_in(file: Path, folder: Folder, store: Store, refused: str) -> SubmittedFile:
    """Copy a picture into the folder and record the submission, which then survives a crash."""
    if refused:
        return SubmittedFile(file=file, refused=refused)
    key = f"submit {uuid.uuid4().hex}"
    try:
        check_place(store, Clock(), folder.input, folder.name)
        with file.open("rb") as source, incoming.new_file(folder.input) as spool:
            while piece := memoryview(source.read(_PIECE)):
                while piece:
                    piece = piece[os.write(spool.descriptor, piece) :]
            wanted = Submission(
                key=key, folder=folder.name, spool=spool.name, name=file.name, options=JobOptions()
            )
            hand_in(store, Clock(), folder.input, spool, wanted)
    except OSError as error:
        raise StorageError(
            f"{file} cannot be handed in: {error.strerror}",
            path=folder.input,
            advice="Check that the folder is there and can be written, and its disk has room.",
        ) from error
    return SubmittedFile(file=file, key=key)


def _job_of(one: SubmittedFile, store: Store) -> Job | None:
    if one.refused:
        return None
    submission = Submissions(store, Clock()).find(one.key)
    if submission is None or submission.job is None:
        return None
    return Reader(store).job(submission.job)


def _is_open(one: SubmittedFile, store: Store) -> bool:
    if one.refused:
        return False
    submission = Submissions(store, Clock()).find(one.key)
    if submission is None or submission.refused is not None:
        return False
    job = _job_of(one, store)
    return job is None or job.state in _WAITS


def _document(one: SubmittedFile, folder: Folder, store: Store) -> dict[str, Any]:
    job = _job_of(one, store)
    common = {**path_fields("file", os.fspath(one.file)), "folder": folder.name}
    if job is None:
        refused = one.refused or _refusal(one, store)
        state = "refused" if refused else "submitted"
        return {**common, "job": None, "state": state, "why": refused, "outputs": [], "sidecar": None}
    result = JobResult.of(job)
    sidecar = _sidecar(folder, result.outputs)
    return {
        **common,
        **path_fields("path", job.path),
        "job": job.id,
        "state": job.state.value,
        "doubtful": result.doubtful,
        "why": cause_in(job) or result.why,
        **paths_fields("outputs", result.outputs),
        **({"sidecar": None} if sidecar is None else path_fields("sidecar", sidecar)),
    }


def _refusal(one: SubmittedFile, store: Store) -> str:
    submission = Submissions(store, Clock()).find(one.key)
    return "" if submission is None else submission.refused or ""


def _sidecar(folder: Folder, outputs: Sequence[str]) -> str | None:
    """Return the path of the sidecar of these results."""
    if not outputs or not Path(outputs[0]).is_relative_to(folder.output):
        return None
    first = Path(outputs[0]).relative_to(folder.output).as_posix()
    return os.fspath((folder.sidecar_dir or folder.output) / sidecar_name(first))
