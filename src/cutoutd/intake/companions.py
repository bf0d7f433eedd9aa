"""Which files belong together by their names: the recordings of one shot, and what programs write beside a picture.

A shot is recorded as a raw file and as a JPEG or HEIC beside it, with the same stem. A companion, such as edits, ratings or
settings of a raw converter, is kept with its picture. One that carries the picture's whole name (``a.jpg.xmp``) is that
picture's; one that carries its stem (``a.xmp``) may be any file's of that stem, and is the raw file's where there is one.
This module must not look at files.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from cutoutd.file_signatures import PICTURE_EXTENSIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


_BY_NAME: Final = (
    "xmp",  # darktable, digiKam
    "pp3",  # RawTherapee
    "arp",  # ART, which came of it
    "dop",  # DxO PhotoLab
)
_BY_STEM: Final = (
    "xmp",  # Lightroom, Bridge, Camera Raw; for raw files
    "acr",  # Camera Raw: masks and the like
    "aae",  # Apple Photos: edits of a JPEG or HEIC
    "on1",  # ON1 Photo RAW
)

CAPTURE_ONE: Final = "CaptureOne"
"""Beside the pictures, with a folder of settings for each version of the program in it."""

_NO_OWNER: Final = frozenset({*_BY_NAME, *_BY_STEM, "cos", "txt", "json", "csv", "md", "log", "html", "bak"})
"""Files that nobody writes companions for: those themselves, notes, lists and copies of such."""

MAX_DUPLICATES: Final = 99
"""As many further edits of one picture darktable numbers with two digits."""


def _spellings(extension: str) -> tuple[str, ...]:
    """As programs and people write it; to list the directory for each picture would cost the square of their number."""
    return extension, extension.upper(), extension.capitalize()


def by_name(path: str) -> Iterator[str]:
    """Companions that carry a picture's whole name, so that they are no other's.

    Args:
        path: of the picture, with ``/`` between parts.
    """
    for extension in _BY_NAME:
        yield from (f"{path}.{written}" for written in _spellings(extension))


def by_stem(path: str) -> Iterator[str]:
    """Companions that carry a picture's stem; see `may_be_anothers`."""
    stem, dot, _ = path.rpartition(".")
    for extension in _BY_STEM if dot else ():
        yield from (f"{stem}.{written}" for written in _spellings(extension))


def duplicate(path: str, number: int) -> tuple[str, str]:
    """A further edit by darktable, ``a_01.jpg.xmp``, and the picture that it would be the first of: ``a_01.jpg``."""
    stem, _, extension = path.rpartition(".")
    other = f"{stem}_{number:02}.{extension}"
    return f"{other}.xmp", other


def settings_in(path: str, folder: str) -> str:
    """Capture One's settings of a picture, in one of its folders.

    Args:
        path: of the picture.
        folder: a name in the folder ``CaptureOne`` beside it.
    """
    directory, slash, name = path.rpartition("/")
    return f"{directory}{slash}{CAPTURE_ONE}/{folder}/{name}.cos"


def may_be_anothers(path: str, companion: str, names: Iterable[str]) -> bool:
    """Whether a companion that carries the stem may belong to another file rather than to this picture, or as much as to it.

    Any program may write beside any file, films and documents among them, and one may be on its way here under another name.

    Args:
        path: of the picture.
        companion: from `by_stem`.
        names: of all that lies in the picture's directory.
    """
    own = path.rpartition("/")[2]
    stem = own.rpartition(".")[0].casefold()
    # Raw converters write theirs for the raw file, whatever else is there; Apple writes its own for any.
    is_raws = recording(path) is Recording.RAW and not companion.lower().endswith(".aae")
    for name in names:
        begun, dot, rest = _plain(name).partition(f"{stem}.")
        extensions = rest.split(".")
        if name == own or begun or not dot or extensions[-1] in _NO_OWNER:
            continue
        is_other_picture = (
            extensions[0] in PICTURE_EXTENSIONS and recording(f"a.{extensions[0]}") is not Recording.RAW
        )
        if not (is_raws and is_other_picture):
            return True
    return False


def _plain(name: str) -> str:
    """What a file is called that is on its way, in or out: in small letters, and without what marks it as hidden."""
    return name.casefold().removeprefix(".cutoutd-removing-").lstrip(".~")


def renamed(companion: str, path: str, new: str) -> str:
    """The name of a companion once its picture has another.

    Args:
        companion: path of it.
        path: of the picture as it was.
        new: of the picture as it is.
    """
    before, after = path, new
    if not companion.startswith(f"{path}."):
        before, after = path.rpartition(".")[0], new.rpartition(".")[0]
    if companion.startswith(before):
        return after + companion.removeprefix(before)
    # Capture One's: in a folder beside the picture.
    directory, slash, name = path.rpartition("/")
    new_directory, new_slash, new_name = new.rpartition("/")
    inside = companion.removeprefix(f"{directory}{slash}")
    return f"{new_directory}{new_slash}{inside.removesuffix(f'{name}.cos')}{new_name}.cos"


class Recording(Enum):
    """What a camera may have recorded a shot as."""

    DEVELOPED = auto()  # a JPEG or HEIC
    RAW = auto()  # what the sensor saw


_EXTENSIONS: Final = {
    Recording.DEVELOPED: "jpg jpeg jpe heic heif hif".split(),  # noqa: SIM905 -- a list would have one name a line
    Recording.RAW: (  # noqa: SIM905
        "3fr arw cr2 cr3 crw dcr dng erf fff iiq kdc mef mos mrw nef nrw orf pef raf raw rw2 rwl sr2 srf srw x3f"
    ).split(),
}


def recording(path: str) -> Recording | None:
    """What a file is by its extension; None if it is neither."""
    _, dot, extension = path.rpartition(".")
    lower = extension.lower()
    return next((kind for kind, known in _EXTENSIONS.items() if dot and lower in known), None)


def partners(path: str) -> Iterator[str]:
    """The paths that the other recording of the same shot may have; none if it can have none.

    Args:
        path: of one recording.
    """
    kind = recording(path)
    stem, _, _ = path.rpartition(".")
    for other, extensions in _EXTENSIONS.items():
        if kind is not None and other is not kind:
            for extension in extensions:
                yield f"{stem}.{extension}"
                yield f"{stem}.{extension.upper()}"
