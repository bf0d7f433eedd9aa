"""What would keep a configuration's folders from being worked on as things are, and what to do about it."""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from cutoutd.cli.printing import printable, short
from cutoutd.folder.root_access import ADVICE, refused

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from cutoutd.settings.schema import Settings


def obstacles(chosen: Settings, silent: Collection[str]) -> Iterator[str]:
    """One line for each.

    Args:
        chosen: the configuration.
        silent: names of folders that are on a disk or share that does not answer.
    """
    for folder in chosen.folder:
        if folder.name in silent:
            yield (
                f"{folder.name}: a disk or share does not answer, so it was not seen whether its places are there, or "
                "are others' too. Connect it"
            )
            continue
        for key, place in folder.places.items():
            if why := _missing(key, place):
                yield f"{folder.name}: {key} {printable(short(place))} {why}"
        if why := refused(folder, allow_root=chosen.service.allow_root):
            yield f"{folder.name}: `cutoutd run` is refused as it is: {printable(why)}. {ADVICE}"


def _missing(key: str, place: Path) -> str:
    """Why a place of a folder cannot be used; empty if it can, or if the daemon makes it at its start."""
    try:
        is_directory = stat.S_ISDIR(place.stat().st_mode)
        if key == "input" and is_directory:
            os.scandir(place).close()  # one that cannot be listed is no hot folder
    except FileNotFoundError:
        if key != "input" and os.path.isdir(place.parent):  # noqa: PTH112 -- Path.is_dir raises where it may not look
            return ""
        return f"is not there. Make it (mkdir -p {shlex.quote(printable(os.fspath(place)))}), or connect its disk or share"
    except OSError as error:
        return f"cannot be looked at ({error.strerror}). See to its permissions, or to its disk or share"
    return "" if is_directory else "is a file, and a folder belongs there. Name another place"
