"""`cutoutd desktop`: "Cut out" in the menus of file managers, for this user alone."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cutoutd.cli.inputs import pictures_in
from cutoutd.cli.instance import given_path
from cutoutd.cli.listeners import event_display
from cutoutd.cli.printing import printable
from cutoutd.clock import RunningClock
from cutoutd.desktop import installation, menus
from cutoutd.desktop.menus import FileManager
from cutoutd.errors import CutoutdError, UsageError
from cutoutd.hooks import desktop_notices
from cutoutd.process import child_environment, program
from cutoutd.settings import loader

if TYPE_CHECKING:
    from collections.abc import Iterator

_IS_MAC: Final = sys.platform == "darwin"
_URI: Final = re.compile(r"file://(?:localhost)?(/.*)", re.IGNORECASE | re.DOTALL)
_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_CODED: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_NOTICE_S: Final = 10

ForOption = Annotated[
    list[FileManager] | None,
    typer.Option(
        "--for", help="Only this file manager; may be given several times. By default all that are installed."
    ),
]


def build() -> typer.Typer:
    """Make the sub-commands of `cutoutd desktop`."""
    app = typer.Typer(
        help='Put "Cut out" into the menus of file managers, for this user.', no_args_is_help=True
    )
    app.command("install")(install)
    app.command("remove")(remove)
    app.command("show")(show)
    app.command("cut", hidden=True)(cut)
    return app


def install(*, managers: ForOption = None) -> None:
    """Add "Cut out" to the installed file managers. A file that cutoutd did not make is never replaced."""
    meant = managers or installation.found(mac=_IS_MAC)
    items = list(_items(meant))
    written = installation.install(items)
    for path in written:
        print(f"written: {printable(os.fspath(path))}")
    if not written:
        print("Everything is there already.")
    if FileManager.FINDER in meant:
        workflow = next(item.path for item in items if item.path.suffix == ".wflow").parents[1]
        print(
            f"To add it to Finder's Quick Actions, open this and agree: open {printable(shlex.quote(os.fspath(workflow)))}"
        )
    print('Choose pictures and "Cut out"; cutouts appear in a folder "cutouts" beside them.')


def remove() -> None:
    """Remove "Cut out" from all menus."""
    gone = installation.remove(_items(tuple(FileManager)))
    for path in gone:
        print(f"removed: {printable(os.fspath(path))}")
    if not gone:
        print("There was nothing to remove.")


def show(*, managers: ForOption = None) -> None:
    """Print the files that `install` would write; nothing is written."""
    for item in _items(managers or installation.found(mac=_IS_MAC)):
        print(f"==> {printable(os.fspath(item.path))}")
        print(printable(item.data.decode("utf-8", "replace"), keep="\n\t"))


def cut(files: Annotated[list[str], typer.Argument(help="Pictures, as paths or file:// addresses.")]) -> None:
    """Cut pictures that a file manager names, each into the folder cutouts beside it, and show a notice."""
    try:
        done, review, failed = _cut(list(map(path_of, files)))
    except CutoutdError as error:
        _notice(f"{error.title}: {error}")
        raise
    words = [f"{done} cut"] + [f"{review} to review"] * bool(review) + [f"{failed} failed"] * bool(failed)
    said = f"{', '.join(words)}; see the folder cutouts beside the pictures"
    print(said)
    _notice(said)
    raise typer.Exit(1 if failed else 0)


def _cut(files: list[Path]) -> tuple[int, int, int]:
    from cutoutd.cut import CutoutTarget  # noqa: PLC0415 -- only this command needs it, and it takes 0.1 s
    from cutoutd.cut import cut as cut_files  # noqa: PLC0415 -- likewise

    found = loader.find(None, os.environ)
    settings = loader.load(found, os.environ) if found is not None else loader.defaults(os.environ)
    places: dict[Path, list[Path]] = {}
    for file in files:
        places.setdefault((Path.cwd() / file).parent, []).append(Path.cwd() / file)
    wanted = done = review = 0
    for directory, named in places.items():
        there = pictures_in(named, directory / "cutouts")
        with event_display("finishing", level="info") as emit:
            tally = cut_files(
                there.files,
                CutoutTarget(directory=directory / "cutouts"),
                settings,
                clock=RunningClock(),
                emit=emit,
                shows_queue=sys.stdout.isatty(),
                folders=there.folders,
            )
        wanted += len(there.files)
        done, review = done + tally.done + tally.unchanged, review + tally.review
    return done, review, wanted - done - review


def path_of(written: str) -> Path:
    """Return the file that a file manager names by its path or its URI (RFC 8089), which may hold any bytes.

    Raises:
        UsageError: it is not on this machine, or empty.
    """
    if not _ADDRESS.match(written) or os.path.lexists(written):
        return given_path(written)
    found = _URI.fullmatch(written)
    if found is None:
        raise UsageError(
            f"{printable(written)} is not on this machine", advice="Copy the picture to this machine first."
        )
    path = _CODED.sub(lambda one: bytes.fromhex(one[1].decode()), os.fsencode(found[1]))
    return Path(os.fsdecode(path))


def _items(managers: tuple[FileManager, ...] | list[FileManager]) -> Iterator[menus.MenuFile]:
    home = menus.Home.of(Path.home(), os.environ)
    return menus.items(home, program.command(), tuple(dict.fromkeys(managers)), mac=_IS_MAC)


def _notice(words: str) -> None:
    """Show a notice if possible: a command from a menu has no terminal."""
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(  # noqa: S603 -- no shell, and words as an argument
            desktop_notices.command(words),
            env=child_environment.for_hook(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_NOTICE_S,
            check=False,
        )
