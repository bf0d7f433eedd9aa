"""`cutoutd fix`: corrects a cutout by strokes, as with the page's brush, whether the daemon runs or not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from cutoutd import strokes
from cutoutd.cli.instance import ConfigOption, InputOption, OutputOption, find_settings
from cutoutd.cli.printing import printable
from cutoutd.cli.queue import open_journal
from cutoutd.cli.requests import find_jobs, report_outcome, require_configured
from cutoutd.clock import Clock
from cutoutd.corrections import MAX_SUGGESTIONS
from cutoutd.errors import UsageError
from cutoutd.job_detail import JobResult
from cutoutd.jobs import HAS_RESULT, JobState
from cutoutd.journal.commands import Commands, Verb
from cutoutd.journal.corrections import Corrections
from cutoutd.journal.fix_request import FixAction, FixRequest
from cutoutd.journal.reader import Reader
from cutoutd.strokes import MAX_RADIUS, Stroke, StrokeKind, StrokesError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cutoutd.jobs import Job

_RADIUS_SHARE: Final = 0.01
_RADIUS: Final = 10.0
"""Radius as a share of the picture's longer side, and in pixels where its size is unknown."""

_HOLD_OUT: Final = HAS_RESULT | {
    JobState.QUEUED,
    JobState.RETRY,
    JobState.FAILED,
    JobState.WORKING,
    JobState.PUBLISHING,
}

KeepOption = Annotated[
    list[str] | None,
    typer.Option(
        "--keep", help="x,y or x,y,x,y...: what this stroke touches belongs to the subject. May be repeated."
    ),
]
RemoveOption = Annotated[
    list[str] | None,
    typer.Option("--remove", help="Likewise: what it touches is background."),
]
RadiusOption = Annotated[
    float | None,
    typer.Option(
        "--radius",
        help="Radius of the brush, in pixels of the picture; by default a hundredth of its longer side.",
    ),
]


def fix(  # noqa: PLR0913 -- the command's options
    picture: Annotated[
        str, typer.Argument(help="Name of a picture, or the number that `cutoutd jobs` shows.")
    ],
    *,
    keep: KeepOption = None,
    remove: RemoveOption = None,
    radius: RadiusOption = None,
    suggestion: Annotated[
        int | None,
        typer.Option("--suggestion", help="Which result to take: 1, or 2 for the second suggestion."),
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Restore the previous version.")] = False,
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove all strokes and cut it again; --undo restores them.")
    ] = False,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
) -> None:
    """Correct a cutout by strokes; coordinates are pixels of the picture as it is shown, from its top left corner."""
    _check_options(keep or remove, undo=undo, clear=clear, suggestion=suggestion, radius=radius)
    chosen = find_settings(config, input_dir, output_dir)
    directory = chosen.service.state_dir
    store = open_journal(directory)
    reader, commands = Reader(store), Commands(store, Clock())
    (job,) = find_jobs([picture], reader, chosen, listed_by="cutoutd jobs")
    require_configured([job], chosen)
    _refuse(job, reader)
    corrections = Corrections(store, Clock())
    correction = corrections.expected(job, commands.fixes(job.id))
    if undo or clear:
        if correction is None or (clear and not correction.strokes):
            raise UsageError(
                "there are no strokes on this cutout",
                advice="Draw with --keep or --remove; --undo takes that back.",
            )
        request = FixRequest(job=job.id, action=FixAction.UNDO if undo else FixAction.CLEAR)
    else:
        before = () if correction is None else correction.strokes
        width = _radius(job, radius)
        made = [*_strokes(StrokeKind.KEEP, keep, width), *_strokes(StrokeKind.REMOVE, remove, width)]
        _check_inside(job, made)
        request = FixRequest(
            job=job.id,
            strokes=_check((*before, *made)),
            suggestion=_suggestion(suggestion, 0 if correction is None else correction.suggestion),
        )
    name = f"{job.folder}/{printable(job.path)}"
    how = "as the model does" if clear else "as it was before" if undo else "with what you drew"
    said = f"{name} is cut again {how}."
    report_outcome(
        [commands.post(Verb.FIX, request.to_argument())], commands, directory, done=said, later=said
    )


def _check_options(
    drawn: list[str] | None, *, undo: bool, clear: bool, suggestion: int | None, radius: float | None
) -> None:
    asked = (bool(drawn) or suggestion is not None) + undo + clear
    if asked != 1:
        what = "these do not go together" if asked else "say what to do"
        raise UsageError(what, advice="Give --keep or --remove, or --undo, or --clear.")
    if radius is not None and not 0 < radius <= MAX_RADIUS:  # nor is "nan"
        raise UsageError(
            f"--radius {radius:g} is not possible", advice=f"It is above 0, and at most {MAX_RADIUS:g}."
        )


def _refuse(job: Job, reader: Reader) -> None:
    """Check that there is a cutout to correct.

    Raises:
        UsageError: there is none.
    """
    name = f"job {job.id} ({job.folder}/{printable(job.path)})"
    newest = reader.newest(job)
    if newest != job.id:
        raise UsageError(f"{name} is about an older version", advice=f"Its newest version is job {newest}.")
    if job.sha256 is None or job.state not in _HOLD_OUT:
        raise UsageError(f"{name} is {job.state}, and has no cutout that could be corrected")


def _radius(job: Job, asked: float | None) -> float:
    if asked is not None:
        return asked
    result = JobResult.of(job)
    return round(max(result.width or 0, result.height or 0) * _RADIUS_SHARE, 2) or _RADIUS


def _check_inside(job: Job, made: Iterable[Stroke]) -> None:
    """Check that every point is on the picture or reaches it: one that is far away is a slip, and its stroke would cross the picture.

    Raises:
        UsageError: one is not.
    """
    result = JobResult.of(job)
    width, height = result.width, result.height
    if not width or not height:  # unknown: an earlier version cut it
        return
    for one in made:
        for x, y in one.points:
            if -one.radius <= x <= width + one.radius and -one.radius <= y <= height + one.radius:
                continue
            raise UsageError(
                f"--{one.kind} {x:g},{y:g} lies outside of the picture",
                advice=f"It is {width} by {height} pixels, counted from its top left corner.",
            )


def _suggestion(asked: int | None, before: int) -> int:
    if asked is None:
        return before
    if not 1 <= asked <= MAX_SUGGESTIONS:
        raise UsageError(
            f"there is no suggestion {asked}", advice=f"They are numbered from 1 to {MAX_SUGGESTIONS}."
        )
    return asked - 1


def _strokes(kind: StrokeKind, lines: Iterable[str] | None, radius: float) -> list[Stroke]:
    return [Stroke(kind=kind, points=_points(kind, line), radius=radius) for line in lines or ()]


def _points(kind: StrokeKind, line: str) -> tuple[tuple[float, float], ...]:
    try:
        numbers = [float(one) for one in line.split(",")]
    except ValueError:
        numbers = []
    if not numbers or len(numbers) % 2:
        raise UsageError(
            f"--{kind} {printable(line)} is not a stroke",
            advice="Give pairs of numbers: 120,340 or 120,340,150,360.",
        )
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))


def _check(made: tuple[Stroke, ...]) -> tuple[Stroke, ...]:
    """Check strokes by the rules of the daemon.

    Raises:
        UsageError: they exceed its limits.
    """
    try:
        checked = strokes.parse(strokes.dump(made))
    except StrokesError as error:
        raise UsageError(str(error).rstrip(".")) from error
    if not checked:
        raise UsageError("there are no strokes on this cutout", advice="Give --keep or --remove.")
    return checked
