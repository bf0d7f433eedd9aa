"""The inputs and outputs that a person names: pictures, folders, standard input, and the target of the cutouts."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.cli.printing import printable
from cutoutd.errors import UsageError
from cutoutd.file_signatures import FileKind, has_picture_extension, is_unread_picture
from cutoutd.fs.tree import Tree
from cutoutd.intake.probe import open_probe
from cutoutd.intake.rules import Rules
from cutoutd.intake.scan import Scan
from cutoutd.publish.own_results import OwnResults
from cutoutd.recipe import Format

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

STREAM: Final = Path("-")
"""Standard input or standard output."""

_NAMED: Final = 3
"""The most files that are left out that a message names."""

EXTENSIONS: Final = {**{one.extension: one for one in Format}, "jpeg": Format.JPEG, "tiff": Format.TIFF}
"""Extensions that a cutout may have."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InputPictures:
    """The pictures to cut.

    Attributes:
        files: absolute paths, without duplicates.
        folders: absolute paths; cutouts of pictures below them keep their sub-folders.
        cutouts: number of our own cutouts below them, which are not cut.
        unread: pictures below them of formats that are not read, and what each seems to be.
        special: what lies below them and is neither a file nor a folder, and what each is.
    """

    files: tuple[Path, ...]
    folders: tuple[Path, ...] = ()
    cutouts: int = 0
    unread: Mapping[Path, str] = field(default_factory=dict)
    special: Mapping[Path, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """Where cutouts go.

    Attributes:
        directory: absolute path.
        name: name of the only cutout in it; empty: named after its picture.
        format: format that the name implies; None if there is no name.
    """

    directory: Path
    name: str = ""
    format: Format | None = None


def pictures_in(named: Sequence[Path], output: Path) -> InputPictures:
    """Return the named files, and those in the named folders.

    Args:
        named: files and folders.
        output: where the cutouts go, absolute and without links; if it is inside a named folder, its files are not cut.

    Raises:
        UsageError: a path does not exist, cannot be read, is neither, or a folder has no picture.
    """
    files: list[Path] = []
    folders: list[Path] = []
    cutouts: set[Path] = set()
    unread: dict[Path, str] = {}
    special: dict[Path, str] = {}
    for one in named:
        if os.path.isdir(one):  # noqa: PTH112 -- Path.is_dir raises where access is refused
            root = Path(os.path.realpath(one))
            found = _pictures_below(root, output)
            there, others, own = found.pictures, found.unread, found.own
            unread |= others
            special |= found.special
            cutouts |= own
            below = [file for file in there if file not in own]
            if own and not below:
                raise UsageError(
                    "there are only cutouts of cutoutd's own in this folder",
                    path=one,
                    advice="Name them one by one, if they are to be cut again.",
                )
            if not below:
                left = others | found.special
                only = f" that can be cut, but {in_words(left)}" if left else ""
                raise UsageError(
                    f"there is no picture in this folder{only}",
                    path=one,
                    advice="Export those as JPEG, PNG or TIFF." if others else "Name one that has some.",
                )
            folders.append(root)
            files += below
        else:
            files += named_files([one])
    return InputPictures(
        files=tuple(dict.fromkeys(files)),
        folders=tuple(dict.fromkeys(folders)),
        cutouts=len(cutouts.difference(files)),
        unread=unread,
        special=special,
    )


def in_words(left_out: Mapping[Path, str]) -> str:
    """Return the names of some files that are left out, with what each is, and the number of the rest."""
    named = [f"{printable(path.name)} ({what})" for path, what in list(left_out.items())[:_NAMED]]
    more = f" and {len(left_out) - _NAMED} more" if len(left_out) > _NAMED else ""
    return f"{', '.join(named)}{more}"


def named_files(files: Iterable[Path]) -> list[Path]:
    """Return the named files, absolute and without duplicates.

    Raises:
        UsageError: one does not exist, cannot be read, or is not a regular file.
    """
    found = []
    for file in files:
        try:
            mode = file.stat().st_mode
        except FileNotFoundError:
            raise UsageError(
                "there is no such file or folder",
                path=file,
                advice="Name pictures or folders that are there.",
            ) from None
        except OSError as error:
            raise UsageError(
                f"it cannot be read ({error.strerror})", path=file, advice="Name pictures that you may read."
            ) from error
        if stat.S_ISDIR(mode):
            raise UsageError("this is a folder", path=file, advice="Name the pictures in it.")
        if not stat.S_ISREG(mode):
            raise UsageError("this is not an ordinary file", path=file, advice="Name pictures.")
        found.append(Path(os.path.realpath(file)))
    return list(dict.fromkeys(found))


def target_of(written: str, count: int) -> Target:
    """Interpret ``-o``: a folder, or the name of the only cutout.

    A name with the extension of a picture is that of a file, unless a folder of that name exists.

    Args:
        written: text from the command line, with ``~`` expanded.
        count: number of pictures to cut.

    Raises:
        UsageError: it names a file for several cutouts, or has an extension that no cutout has.
    """
    path = Path.cwd() / written
    is_folder = written.endswith("/") or os.path.isdir(path)  # noqa: PTH112 -- as above
    if is_folder or not has_picture_extension(path.name):
        return Target(directory=path)
    extension = path.suffix[1:].lower()
    if extension not in EXTENSIONS:
        raise UsageError(
            f"a cutout is never a {extension.upper()} file",
            path=path,
            advice=f"Write a name that ends in {', '.join(EXTENSIONS)}.",
        )
    if count > 1:
        raise UsageError(
            f"this is the name of one file, and there are {count} pictures",
            path=path,
            advice=f"Name a folder: -o {printable(path.stem)}",
        )
    return Target(directory=path.parent, name=path.name, format=EXTENSIONS[extension])


def refuse_originals(target: Target, pictures: InputPictures, *, overwrite: bool) -> None:
    """Check that no picture is replaced by its own cutout.

    Raises:
        UsageError: the name is that of a picture, or files may be replaced in the directory of the pictures.
    """
    directory = Path(os.path.realpath(target.directory))
    if target.name and directory / target.name in pictures.files:
        raise UsageError(
            "this is the picture itself", path=directory / target.name, advice="Give the cutout another name."
        )
    if overwrite and not target.name and any(file.is_relative_to(directory) for file in pictures.files):
        raise UsageError(
            "the pictures lie there themselves, and --overwrite could replace them",
            path=directory,
            advice="Give another folder with -o.",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Below:
    """What lies below a folder.

    Attributes:
        pictures: the pictures, in order.
        own: our own cutouts among them.
        unread: pictures of formats that are not read, with what they seem to be, in order.
        special: what is neither a file nor a directory, with what it is, in order.
    """

    pictures: list[Path]
    own: set[Path]
    unread: dict[Path, str]
    special: dict[Path, str]


def _pictures_below(root: Path, output: Path) -> _Below:
    inside = [output.relative_to(root).as_posix()] if output.is_relative_to(root) and output != root else []
    scan = Scan(os.fspath(root), Rules(include=("*",), exclude=(), recursive=True, subtrees=tuple(inside)))
    found: list[Path] = []
    unread: dict[Path, str] = {}
    results, tree = OwnResults(), Tree(root)
    try:
        for seen in scan:
            results.note(seen.path)
            probe = open_probe(os.fspath(root), seen.path)
            if probe is not None and probe.kind is not FileKind.OTHER:
                found.append(root / seen.path)
            elif probe is not None and is_unread_picture(probe.hint):
                unread[root / seen.path] = probe.hint
        own = {file for file in found if results.has(tree, file.relative_to(root).as_posix())}
    except OSError as error:
        raise UsageError(
            f"it cannot be read ({error.strerror})", path=root, advice="Name one that you may read."
        ) from error
    special = {root / path: what for path, what in sorted(scan.special.items())}
    return _Below(pictures=sorted(found), own=own, unread=dict(sorted(unread.items())), special=special)


_CHUNK: Final = 1 << 20


@contextmanager
def private_directory() -> Iterator[Path]:
    """Make a private directory, which is removed with its content at the end.

    Raises:
        UsageError: there is no place for temporary files.
    """
    try:
        directory = tempfile.mkdtemp(prefix="cutoutd-")
    except OSError as error:
        raise UsageError(
            f"there is no place for temporary files ({error.strerror})",
            advice="Set TMPDIR to a directory that you may write to.",
        ) from error
    try:
        yield Path(os.path.realpath(directory))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def picture_from_input(directory: Path, most_bytes: int) -> Path:
    """Copy standard input into a file.

    Args:
        directory: directory of the file.
        most_bytes: limit; anything larger would be refused, and is not read to the end.

    Raises:
        UsageError: it is a terminal, empty, or cannot be written.
    """
    if sys.stdin.isatty():
        raise UsageError("standard input is a terminal", advice="Write `cutoutd cut - < a.jpg > a.png`.")
    path, left = directory / "stdin", most_bytes + 1
    try:
        with path.open("xb") as file:
            while left > 0 and (some := sys.stdin.buffer.read(min(left, _CHUNK))):
                file.write(some)
                left -= len(some)
    except OSError as error:
        raise UsageError(
            f"standard input cannot be read, or not be kept in {directory} ({error.strerror})",
            advice="Name a file.",
        ) from error
    if left > most_bytes:
        raise UsageError("standard input is empty", advice="Write `cutoutd cut - < a.jpg > a.png`.")
    return path


def refuse_terminal() -> None:
    """Check that standard output is not a terminal, since the bytes of a picture would garble it.

    Raises:
        UsageError: it is one.
    """
    if sys.stdout.isatty():
        raise UsageError(
            "the cutout would be written to the terminal",
            advice="Write `> a.png` at the end, or name a file: -o a.png.",
        )


def cutout_to_output(path: Path) -> None:
    """Copy a file to standard output.

    Raises:
        BrokenPipeError: the reader has gone.
    """
    with path.open("rb") as file:
        shutil.copyfileobj(file, sys.stdout.buffer, _CHUNK)
    sys.stdout.buffer.flush()
