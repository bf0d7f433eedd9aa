"""`cutoutd adopt`: says that the directory which is there now is the new place of a hot folder."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from cutoutd.cli.instance import ConfigOption, InputOption, OutputOption, find_settings
from cutoutd.cli.printing import printable
from cutoutd.cli.queue import open_journal
from cutoutd.cli.requests import pictures, report_outcome
from cutoutd.cli.selection import find_folder
from cutoutd.clock import Clock
from cutoutd.errors import UsageError
from cutoutd.folder.place_mounts import lost_places
from cutoutd.journal.commands import Commands, Verb
from cutoutd.journal.folders import Folders, NewPlace
from cutoutd.lease import marker

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def adopt(
    folder: Annotated[
        str | None, typer.Argument(help="Name of the folder; not needed where there is one.")
    ] = None,
    *,
    config: ConfigOption = None,
    input_dir: InputOption = None,
    output_dir: OutputOption = None,
) -> None:
    """Say that the directory which is there now is the new place of a folder that stands by.

    A folder stands by if its input is not the directory that it was. Pictures that were accepted in the former one and are not in
    this one are not cut; if the former one comes back, adopt that.

    It also stands by if the disk or share of its output, sidecar_dir or originals_dir is not mounted any more. Once its input is right,
    this says that the place is to be without it from now on.
    """
    chosen = find_settings(config, input_dir, output_dir)
    found = find_folder(folder, chosen)
    root, name = found.input, found.name
    store = open_journal(chosen.service.state_dir)
    folders = Folders(store, Clock())
    known = folders.recall(name)
    if known is not None and known.input != os.fspath(root):
        known = None
    if known is None and not _is_marked_as_another(folders, root, name):
        raise UsageError(
            f"cutoutd has not worked on the folder {printable(name)} yet, so any directory will do",
            path=root,
            advice="Start it with `cutoutd run`; if it runs and stands by, end it and start it again.",
        )
    try:
        status = root.stat()
        uuid = marker.read(os.fspath(root))
        lost = list(lost_places(found, folders.mounts(name)))
    except OSError as error:
        raise UsageError(
            f"the directory cannot be looked at: {error.strerror}",
            path=root,
            advice="Make it, or connect its disk or share.",
        ) from error
    commands = Commands(store, Clock())
    place = NewPlace(folder=name, device=status.st_dev, inode=status.st_ino)
    if known is not None and lost and (uuid == known.marker or (uuid is None and known.read_only)):
        _adopt_places(place, lost, commands, chosen.service.state_dir)
        return
    if known is not None and uuid == known.marker:
        print(f"This is the directory that cutoutd knows as {printable(name)}; nothing is to be done.")
        return
    count = folders.count_outstanding(name)
    left = f" {pictures(count)} not finished; what is not in this directory is not cut." if count else ""
    report_outcome(
        [commands.post(Verb.ADOPT, place.argument())],
        commands,
        chosen.service.state_dir,
        done=f"{printable(os.fspath(root))} is the place of {printable(name)} from now on.{left}",
        later=f"{printable(os.fspath(root))} is the place of {printable(name)}.{left}",
    )


def _is_marked_as_another(folders: Folders, root: Path, name: str) -> bool:
    """Whether a directory has the marker of another folder, and so may be a copy of it."""
    try:
        uuid = marker.read(os.fspath(root))
    except OSError:
        return False
    return uuid is not None and bool(folders.marked(uuid).keys() - {name})


def _adopt_places(
    folder: NewPlace, lost: Sequence[tuple[str, Path, str]], commands: Commands, state_dir: Path
) -> None:
    """Say that places of a folder are to be without what was mounted there: key, path and mount point of each."""
    place = replace(folder, places=tuple(os.fspath(path) for _, path, _ in lost))
    without = " and ".join(f"{key} {path} without what was mounted at {point}" for key, path, point in lost)
    said = printable(f"{folder.folder} works on with {without}")
    report_outcome(
        [commands.post(Verb.ADOPT, place.argument())],
        commands,
        state_dir,
        done=f"{said} from now on.",
        later=f"{said}.",
    )
