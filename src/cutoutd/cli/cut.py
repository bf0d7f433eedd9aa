"""`cutoutd cut`: cuts named pictures at once."""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from pydantic import ValidationError

from cutoutd.cli import closing
from cutoutd.cli.inputs import (
    EXTENSIONS,
    STREAM,
    InputPictures,
    Target,
    cutout_to_output,
    in_words,
    picture_from_input,
    pictures_in,
    private_directory,
    refuse_originals,
    refuse_terminal,
    target_of,
)
from cutoutd.cli.instance import ConfigOption, given_path, named_path
from cutoutd.cli.listeners import event_display
from cutoutd.cli.printing import printable
from cutoutd.cli.terminal import ignoring_broken_pipe
from cutoutd.clock import RunningClock
from cutoutd.daemon.assembly import check_backgrounds
from cutoutd.errors import ConfigurationError, UsageError
from cutoutd.events import JobEnded
from cutoutd.jobs import HAS_RESULT, JobState
from cutoutd.recipe import Format
from cutoutd.settings import loader, rules
from cutoutd.settings.messages import problems_of
from cutoutd.settings.renditions import RenditionSettings
from cutoutd.settings.schema import Folder

if TYPE_CHECKING:
    from cutoutd.cli.inputs import Target
    from cutoutd.events import Event
    from cutoutd.settings.renditions import RenditionSettings
    from cutoutd.settings.schema import Settings


_CUTOUTS: Final = "cutouts"

FormatOption = Annotated[
    str | None,
    typer.Option(
        "--format", help="png, webp, tiff, avif or jpeg; by default the ending of FILE decides, else png."
    ),
]
TargetOption = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        help="A folder (default: cutouts); for one picture also a file such as out.png, or - for standard output.",
    ),
]
WhiteOption = Annotated[
    bool,
    typer.Option(
        "--white", help="Put the subject on white, as a JPEG always is that has no other background."
    ),
]
BackgroundOption = Annotated[
    str | None,
    typer.Option("--background", help="Put the subject on a colour such as #f5f5f5, or on a picture."),
]
CropOption = Annotated[bool, typer.Option("--crop", help="Crop to the subject.")]
CanvasOption = Annotated[
    str | None, typer.Option("--canvas", help="Width and height of the result in pixels, such as 2000x2000.")
]
QualityOption = Annotated[
    int | None,
    typer.Option("--quality", help="Quality of a JPEG, WebP or AVIF, 1 to 100; less makes a smaller file."),
]
PresetOption = Annotated[
    str | None,
    typer.Option("--preset", help="Size, background and format that a shop asks for: see `cutoutd presets`."),
]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="Use another model: see `cutoutd models list`.")
]
SecondOption = Annotated[
    str | None,
    typer.Option("--second", help="A second model for doubtful cutouts; an empty name means none."),
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace files that cutoutd did not make.")
]


def cut(  # noqa: PLR0913 -- each option of a command is an argument to Typer
    pictures: Annotated[
        list[str], typer.Argument(help="Pictures, folders of pictures, or - for standard input.")
    ],
    *,
    output: TargetOption = None,
    output_format: FormatOption = None,
    white: WhiteOption = False,
    background: BackgroundOption = None,
    crop: CropOption = False,
    canvas: CanvasOption = None,
    quality: QualityOption = None,
    preset: PresetOption = None,
    model: ModelOption = None,
    second: SecondOption = None,
    overwrite: OverwriteOption = False,
    config: ConfigOption = None,
) -> None:
    """Cut the named pictures at once; no daemon is needed."""
    given = {
        "format": output_format,
        "background": background_of(background, white=white),
        "crop": crop or None,
        "canvas": canvas,
        "quality": quality,
        "preset": preset,
    }
    chosen = _settings(config, model, second)
    to_stdout = output == "-" or (output is None and "-" in pictures)
    if to_stdout:
        refuse_terminal()
    with ExitStack() as stack:
        place = _CUTOUTS if output is None else output
        there = _pictures(pictures, place, chosen, stack)
        target = _target(None if to_stdout else place, len(there.files), stack)
        form = form_of(given, target, chosen)
        refuse_originals(target, there, overwrite=overwrite)
        done = _cut(there, target, form, chosen, overwrite=overwrite, to_stdout=to_stdout)
    raise typer.Exit(0 if done else 1)


def _settings(config: Path | None, model: str | None, second: str | None) -> Settings:
    found = loader.find(config, os.environ)
    chosen = loader.load(found, os.environ) if found is not None else loader.defaults(os.environ)
    given = {key: value for key, value in (("name", model), ("second", second)) if value is not None}
    return chosen.model_copy(update={"model": chosen.model.model_copy(update=given)})


def _target(output: str | None, count: int, stack: ExitStack) -> Target:
    """Return where the cutouts go; without a name, a private directory on the way to standard output.

    Raises:
        UsageError: there are several pictures for standard output.
    """
    if output is not None:
        ends = "/" if output.endswith("/") else ""
        return target_of(f"{named_path(output)}{ends}", count)
    if count > 1:
        raise UsageError(
            f"there are {count} pictures, and standard output takes one cutout",
            advice="Name a folder with -o.",
        )
    return Target(directory=stack.enter_context(private_directory()))


def _pictures(named: list[str], output: str, chosen: Settings, stack: ExitStack) -> InputPictures:
    paths = [given_path(one) for one in named]
    from_input = [
        picture_from_input(stack.enter_context(private_directory()), chosen.pool.max_file_mb << 20)
        for one in dict.fromkeys(paths)
        if one == STREAM
    ]
    found = pictures_in([one for one in paths if one != STREAM], Path(os.path.realpath(named_path(output))))
    if found.cutouts:
        many = "1 cutout" if found.cutouts == 1 else f"{found.cutouts} cutouts"
        print(f"cutoutd: left out {many} that cutoutd made", file=sys.stderr)
    if found.special:
        print(f"cutoutd: left out {in_words(found.special)}", file=sys.stderr)
    if found.unread:
        print(
            f"cutoutd: left out {in_words(found.unread)}; export pictures of formats that are not read as JPEG, PNG or TIFF",
            file=sys.stderr,
        )
    return InputPictures(files=(*from_input, *found.files), folders=found.folders)


def _cut(
    there: InputPictures,
    target: Target,
    form: RenditionSettings,
    chosen: Settings,
    *,
    overwrite: bool,
    to_stdout: bool,
) -> bool:
    """Cut the pictures and print a summary. Returns whether every picture has its cutout."""
    from cutoutd.cut import CutoutTarget  # noqa: PLC0415 -- only this command needs it, and it takes 0.1 s
    from cutoutd.cut import cut as cut_files  # noqa: PLC0415 -- likewise

    started_s = time.monotonic()
    ended: list[JobEnded] = []
    with event_display("finishing", level="error" if to_stdout else "info") as emit:

        def keep(event: Event) -> None:
            if isinstance(event, JobEnded):
                ended.append(event)
            emit(event)

        place = CutoutTarget(
            directory=target.directory, name=target.name, rendition=form, overwrite=overwrite
        )
        tally = cut_files(
            there.files,
            place,
            chosen,
            clock=RunningClock(),
            emit=keep,
            shows_queue=sys.stdout.isatty(),
            folders=there.folders,
        )
    if to_stdout:
        return _to_stdout(ended)
    nameless = [one for one in ended if one.state == "done" and not one.outputs]
    outputs = [output for one in ended for output in one.outputs]
    tally.done -= len(nameless)
    with ignoring_broken_pipe():
        print(closing.line(tally, time.monotonic() - started_s))
        if where := closing.where(
            tally, [Path(outputs[0]) if len(outputs) == len(ended) == 1 else target.directory]
        ):
            print(where)
    for one in _unfinished(ended):
        print(
            f"cutoutd: {printable(one.path)} was not cut: {printable(one.why or one.state.value)}",
            file=sys.stderr,
        )
    for one in nameless:
        what = printable(target.name) if target.name else "a file of its name"
        print(
            f"cutoutd: {printable(one.path)} has no cutout: {what} is there already, and was not made by cutoutd, or was "
            "changed since; give another name, or --overwrite",
            file=sys.stderr,
        )
    return tally.done + tally.review + tally.unchanged == len(there.files)


def _unfinished(ended: list[JobEnded]) -> list[JobEnded]:
    """Return the last that is known of each picture that was neither cut nor given up, such as one on a disk that fails."""
    last = {(one.folder, one.path): one for one in ended}
    return [one for one in last.values() if one.state not in HAS_RESULT | {JobState.FAILED}]


def _to_stdout(results: list[JobEnded]) -> bool:
    """Write the cutout to standard output, or print why there is none. Returns whether there was one."""
    for one in results:
        if one.state == "done" and one.outputs:
            with ignoring_broken_pipe():
                cutout_to_output(Path(one.outputs[0]))
            return True
    why = "; ".join(one.why for one in results if one.why) or "no cutout was made"
    print(f"cutoutd: nothing is written to standard output: {printable(why)}", file=sys.stderr)
    return False


_WHITE = "white"


def form_of(given: dict[str, Any], target: Target, chosen: Settings) -> RenditionSettings:
    """Return the rendition that the options describe.

    Args:
        given: option values by key; None: not given.
        target: the target, whose name may imply a format.
        chosen: settings with the limits.

    Raises:
        UsageError: an option is wrong, or contradicts another one or the name of the file.
    """
    keys = {key: value for key, value in given.items() if value is not None}
    asked = keys.get("format")
    if asked is not None:
        asked = keys["format"] = EXTENSIONS.get(asked.lower(), asked)
    if target.format is not None:
        if asked not in (None, target.format):
            raise UsageError(
                f"--format {asked} does not go with the name {target.name}", advice="Give one of them."
            )
        keys["format"] = target.format
    if "preset" not in keys and keys.get("format") == Format.JPEG:
        keys.setdefault("background", _WHITE)  # JPEG has no transparency
    try:
        form = RenditionSettings.model_validate(keys, context=Path.cwd())
    except ValidationError as error:
        wrong = [f"--{one.key}: {one.text}" for one in problems_of(error, "", RenditionSettings)]
        raise _refusal(wrong) from error
    anywhere = Path("/")
    folder = Folder(name="cut", input=anywhere, output=anywhere, rendition=(form,))
    if wrong := [
        f"--{one.key}: {one.text}" for one in rules.rendition_problems(folder, chosen.pool.max_pixels)
    ]:
        raise _refusal(wrong)
    try:
        check_backgrounds(folder)
    except ConfigurationError as error:
        _, _, what = error.cause.rpartition("background: ")
        raise UsageError(f"--background: {what}", advice=error.advice) from error
    return form


def background_of(background: str | None, *, white: bool) -> str | None:
    """Return the background of the options.

    Raises:
        UsageError: two options contradict each other.
    """
    if white and background not in (None, _WHITE):
        raise UsageError("--white and --background cannot be used together", advice="Give one of them.")
    return _WHITE if white else background


def _refusal(wrong: list[str]) -> UsageError:
    return UsageError("; and ".join(wrong), advice="See `cutoutd cut --help`.")
