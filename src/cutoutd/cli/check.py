"""`cutoutd check`: the configuration, what prevents a start, what a start would cut, and what leaves the machine."""

from __future__ import annotations

import os
import shlex
import stat
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cutoutd.cli.egress import describe_egress, require_extra
from cutoutd.cli.instance import ConfigOption, InputOption, OutputOption, as_options, find_settings
from cutoutd.cli.printing import printable, short, wrapped
from cutoutd.cli.registry import Invocation, entries
from cutoutd.clock import Clock
from cutoutd.daemon.assembly import check_backgrounds, permissions_of
from cutoutd.doctor import overlaps
from cutoutd.errors import ConfigurationError, CutoutdError, StorageError, UsageError
from cutoutd.file_signatures import FileKind
from cutoutd.folder import place_mounts, recognition
from cutoutd.folder.root_access import ADVICE, refused
from cutoutd.intake.probe import open_probe
from cutoutd.intake.rules import rules_of
from cutoutd.intake.scan import Scan
from cutoutd.journal import predecessor
from cutoutd.journal.folders import Folders
from cutoutd.journal.state import check_state
from cutoutd.journal.store import FILE_NAME, Store
from cutoutd.lease import marker
from cutoutd.models import catalog
from cutoutd.overview.forecast import forecast
from cutoutd.settings import document, loader, places
from cutoutd.settings.rules import older_score_limits
from cutoutd.settings.types import Originals

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from cutoutd.intake.rules import Rules
    from cutoutd.settings.schema import Folder, Settings


def check(
    *,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Print every setting with its value, as TOML: a valid configuration."),
    ] = False,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
) -> None:
    """Check the configuration and its folders; show what a start would cut and which pictures would leave this machine.

    Exit code 1: the configuration is right, but something else prevents a start, such as a missing folder.
    """
    chosen = find_settings(config, input_dir, output_dir)
    require_extra(chosen)
    for name in chosen.needed_models:
        catalog.find(name)
    for folder in chosen.folder:
        rules_of(folder)
        permissions_of(folder)
        check_backgrounds(folder)
    notes = _check_state(chosen.service.state_dir)
    survey = overlaps.ask(chosen)
    if survey.closed:
        found = [f'[[folder]] "{name}" {why}' for name, why in survey.closed.items()]
        raise ConfigurationError("; and ".join(found))
    hindered = list(obstacles(chosen, survey.silent))
    print(wrapped(f"# {_verdict(len(hindered))}", sys.stdout))
    for line in hindered:
        print(wrapped(printable(f"# {line}"), sys.stdout))
    if hindered:
        print("#")
    notes += [*describe_egress(chosen), *(f"{name}: {word}" for name, word in older_score_limits(chosen))]
    notes += _describe_copies(chosen, survey.silent)
    notes += _describe_work(chosen, survey.silent)
    for note in notes:
        print(wrapped(printable(f"# {note}"), sys.stdout))
    if everything:
        print(document.as_toml(chosen))
    else:
        print("# Every setting with its value: cutoutd check --all")
    raise typer.Exit(1 if hindered else 0)


def _verdict(hindered: int) -> str:
    if not hindered:
        return "The configuration is right."
    return f"The configuration is right, but {'this is' if hindered == 1 else f'{hindered} things are'} to be done first:"


def _check_state(directory: Path) -> list[str]:
    """Check that a start would not refuse the state directory; that of another user is not checked.

    Returns:
        Notes about it.

    Raises:
        NotPrivateError: a start would refuse it.
    """
    try:
        if not directory.exists() or directory.stat().st_uid == os.geteuid():
            check_state(directory)
    except NotADirectoryError as error:
        raise UsageError("a file is in the way of this state directory", path=directory) from error
    except PermissionError:
        return [f"the state directory {printable(os.fspath(directory))} cannot be entered by you"]
    return []


def pictures_in(folder: Folder) -> int:
    """Return how many pictures are in a folder now.

    Raises:
        OSError: it cannot be read.
    """
    root = os.fspath(folder.input)
    return _count(root, Scan(root, rules_of(folder)))


def _describe_copies(chosen: Settings, silent: Collection[str]) -> Iterator[str]:
    """Yield which folders are copies of others, marker included."""
    first: dict[str, str] = {}
    for folder in chosen.folder:
        if folder.name in silent:
            continue
        try:
            uuid = marker.read(os.fspath(folder.input))
        except (OSError, StorageError):
            continue  # reported as an obstacle, or at the start
        if uuid is not None and first.setdefault(uuid, folder.name) != folder.name:
            yield (
                f"{folder.name}: its {marker.NAME} is also in the input of {first[uuid]}: one is a copy of the other. "
                "A copy that was not worked on yet gets one of its own at the start"
            )


def _describe_work(chosen: Settings, silent: Collection[str]) -> Iterator[str]:
    """Yield what a start would cut, except in folders whose scan would never end."""
    directory = chosen.service.state_dir
    for folder in chosen.folder:
        if folder.name not in silent:
            for line in _describe_pictures(folder, rules_of(folder), directory):
                yield f"{folder.name}: {line}"
    if asked := predecessor.asked_again(directory):
        requests = "1 request waits" if asked == 1 else f"{asked} requests wait"
        yield f"{requests} (`cutoutd retry`, `cutoutd fix`): what they name would be cut again as well"


def _describe_pictures(folder: Folder, rules: Rules, state_dir: Path) -> Iterator[str]:
    """Yield how many pictures a start would find, and how many of them it would cut."""
    try:
        seen = forecast(folder, rules, state_dir, _earlier(folder, state_dir))
    except OSError:
        return  # reported as an obstacle
    unreadable = f", {seen.unreadable} places cannot be read" if seen.unreadable else ""
    count = seen.pictures - seen.not_pictures
    there = f"{count} picture{'s' * (count != 1)}"
    if seen.not_pictures:
        others = "file that is not a picture" if seen.not_pictures == 1 else "files that are not pictures"
        there += f" and {seen.not_pictures} {others} that can be read"
    is_or_are = "is" if seen.pictures == 1 else "are"
    left = (
        f'{seen.unknown} would be left alone (existing = "skip")'
        if seen.skips
        else f"{seen.unknown} would be cut"
    )
    yield f"{there} {is_or_are} there, {seen.pictures - seen.unknown} of them known; {left}{unreadable}"
    if seen.skips:
        return
    for said, count in seen.cut_elsewhere.items():
        yield (
            f"{count} of these would be cut AGAIN: they were cut by `cutoutd run {said}`, and no sidecar for them is where "
            'this folder looks. Name that output (or its sidecar_dir) here, or set existing = "skip"'
        )


def _earlier(folder: Folder, state_dir: Path) -> dict[str, Path]:
    """Return other state directories of this user that may know the folder, by the options of their daemons."""
    pair = Invocation(pair=(folder.input, folder.output))
    found = {as_options(pair): loader.pair_state_dir(folder.input, folder.output)}
    found |= {as_options(one.origin): one.state_dir for one in entries(places.registry())}
    return {said: place for said, place in found.items() if place != state_dir}


def _count(root: str, scan: Scan) -> int:
    return sum(
        1 for seen in scan if (probe := open_probe(root, seen.path)) and probe.kind is not FileKind.OTHER
    )


def obstacles(chosen: Settings, silent: Collection[str]) -> Iterator[str]:
    """Yield a line about each obstacle to a start.

    Args:
        chosen: the configuration.
        silent: names of folders on a disk or share that does not answer.
    """
    for folder in chosen.folder:
        if folder.name in silent:
            yield (
                f"{folder.name}: a disk or share does not answer, so its directories could not be checked. "
                "Connect it"
            )
            continue
        for key, place in folder.places.items():
            is_written = key != "input" or folder.originals is not Originals.KEEP
            if why := _missing(key, place) or (_shut(place) if is_written else ""):
                yield f"{folder.name}: {key} {printable(short(place))} {why}"
        yield from _wrong_directories(folder, chosen)
        if why := refused(folder, allow_root=chosen.service.allow_root):
            yield f"{folder.name}: `cutoutd run` would refuse to start: {printable(why)}. {ADVICE}"


def _wrong_directories(folder: Folder, chosen: Settings) -> Iterator[str]:
    """Yield a line about each place of a folder where a start would find a wrong directory, and stand by."""
    with suppress(OSError):
        if why := recognition.why_marked(folder):
            yield f"{folder.name}: {printable(why)}"
            return
    path = chosen.service.state_dir / FILE_NAME
    with suppress(CutoutdError, OSError):  # without a journal nothing is known
        if not path.exists():
            return
        with closing(Store(path)) as store:
            memory = Folders(store, Clock())
            configured = {one.name: os.fspath(one.input) for one in chosen.folder}
            another = recognition.why_another(folder, memory, configured)
            lost = list(place_mounts.lost_places(folder, memory.mounts(folder.name)))
        if another:
            yield f"{folder.name}: a start would stand by, since {printable(another)}"
        for key, place, point in lost:
            said = printable(place_mounts.describe(key, place, point))
            yield f"{folder.name}: {said}. {place_mounts.advice(folder.name)}"


def _missing(key: str, place: Path) -> str:
    """Return why a place of a folder cannot be used; empty if it can, or if the daemon creates it at its start."""
    try:
        is_directory = stat.S_ISDIR(place.stat().st_mode)
        if key == "input" and is_directory:
            os.scandir(place).close()  # a hot folder must be readable
    except FileNotFoundError:
        if key != "input" and os.path.isdir(place.parent):  # noqa: PTH112 -- Path.is_dir raises where access is refused
            return ""
        return f"is not there. Make it (mkdir -p {shlex.quote(printable(os.fspath(place)))}), or connect its disk or share"
    except OSError as error:
        return f"cannot be read ({error.strerror}). Check its permissions, and its disk or share"
    return "" if is_directory else "is a file, and a folder belongs there. Name another place"


def _shut(place: Path) -> str:
    """Return why a place that is there, or that the daemon creates, may not be written in; empty if it may."""
    if os.access(place, os.W_OK | os.X_OK):
        return ""
    if os.path.lexists(place):
        return "may not be written in by you. Change its permissions or its owner, or name another place"
    if os.access(place.parent, os.W_OK | os.X_OK):
        return ""
    return f"is not there, and you may make nothing in {printable(short(place.parent))}. Have it made for you, or name another place"
