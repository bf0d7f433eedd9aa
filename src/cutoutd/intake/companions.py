"""Which files belong together by their names: the recordings of one shot, and the companions of a picture.

A shot may be recorded as a raw file and as a JPEG or HEIC with the same stem. A companion holds edits, ratings or settings of a
raw converter, and is kept with its picture. A companion with the picture's whole name (``a.jpg.xmp``) belongs to that picture;
one with its stem (``a.xmp``) may belong to any file of that stem, and belongs to the raw file if there is one. This module must
not look at files.
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
    "arp",  # ART, a fork of RawTherapee
    "dop",  # DxO PhotoLab
)
_BY_STEM: Final = (
    "xmp",  # Lightroom, Bridge, Camera Raw; for raw files
    "acr",  # Camera Raw: masks and the like
    "aae",  # Apple Photos: edits of a JPEG or HEIC
    "on1",  # ON1 Photo RAW
)

CAPTURE_ONE: Final = "CaptureOne"
"""Directory beside the pictures, with a folder of settings for each version of Capture One."""

_NO_OWNER: Final = frozenset({*_BY_NAME, *_BY_STEM, "cos", "txt", "json", "csv", "md", "log", "html", "bak"})
"""Extensions of files that have no companions: companions themselves, notes, lists and backup copies."""

MAX_DUPLICATES: Final = 99
"""The highest number of a duplicate that darktable writes with two digits."""


def _spellings(extension: str) -> tuple[str, ...]:
    """Return the usual spellings of an extension; listing the directory for each picture would take quadratic time."""
    return extension, extension.upper(), extension.capitalize()


def by_name(path: str) -> Iterator[str]:
    """Return the companions that carry a picture's whole name, and so belong to it alone.

    Args:
        path: path of the picture, with ``/`` between parts.
    """
    for extension in _BY_NAME:
        yield from (f"{path}.{written}" for written in _spellings(extension))


def by_stem(path: str) -> Iterator[str]:
    """Return the companions that carry a picture's stem; see `may_be_anothers`."""
    stem, dot, _ = path.rpartition(".")
    for extension in _BY_STEM if dot else ():
        yield from (f"{stem}.{written}" for written in _spellings(extension))


def duplicate(path: str, number: int) -> tuple[str, str]:
    """Return darktable's companion of a duplicate, ``a_01.jpg.xmp``, and the picture whose companion it may be: ``a_01.jpg``."""
    stem, _, extension = path.rpartition(".")
    other = f"{stem}_{number:02}.{extension}"
    return f"{other}.xmp", other


def settings_in(path: str, folder: str) -> str:
    """Return the path of Capture One's settings of a picture, in one of its folders.

    Args:
        path: path of the picture.
        folder: name of a folder in ``CaptureOne`` beside the picture.
    """
    directory, slash, name = path.rpartition("/")
    return f"{directory}{slash}{CAPTURE_ONE}/{folder}/{name}.cos"


def may_be_anothers(path: str, companion: str, names: Iterable[str]) -> bool:
    """Whether a companion with the picture's stem may belong to another file.

    Any program may write companions for any file, such as films and documents, and such a file may still have a temporary name.

    Args:
        path: path of the picture.
        companion: path from `by_stem`.
        names: names of all files in the picture's directory.
    """
    own = path.rpartition("/")[2]
    stem = own.rpartition(".")[0].casefold()
    # Raw converters write companions for the raw file, whatever else is there; Apple writes them for any file.
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
    """Return the name of a file without the mark of a temporary or hidden one, casefolded."""
    return name.casefold().removeprefix(".cutoutd-removing-").lstrip(".~")


def renamed(companion: str, path: str, new: str) -> str:
    """Return the path of a companion after its picture is renamed.

    Args:
        companion: path of the companion.
        path: path of the picture before.
        new: path of the picture after.
    """
    before, after = path, new
    if not companion.startswith(f"{path}."):
        before, after = path.rpartition(".")[0], new.rpartition(".")[0]
    if companion.startswith(before):
        return after + companion.removeprefix(before)
    # Capture One's settings are in a folder beside the picture.
    directory, slash, name = path.rpartition("/")
    new_directory, new_slash, new_name = new.rpartition("/")
    inside = companion.removeprefix(f"{directory}{slash}")
    return f"{new_directory}{new_slash}{inside.removesuffix(f'{name}.cos')}{new_name}.cos"


class Recording(Enum):
    """What a camera recorded a shot as."""

    DEVELOPED = auto()  # a JPEG or HEIC
    RAW = auto()  # the sensor's data


_EXTENSIONS: Final = {
    Recording.DEVELOPED: "jpg jpeg jpe heic heif hif".split(),  # noqa: SIM905 -- a list would have one name a line
    Recording.RAW: (  # noqa: SIM905
        "3fr arw cr2 cr3 crw dcr dng erf fff iiq kdc mef mos mrw nef nrw orf pef raf raw rw2 rwl sr2 srf srw x3f"
    ).split(),
}


def recording(path: str) -> Recording | None:
    """Return the kind of recording that a file's extension stands for; None if it is none."""
    _, dot, extension = path.rpartition(".")
    lower = extension.lower()
    return next((kind for kind, known in _EXTENSIONS.items() if dot and lower in known), None)


def partners(path: str) -> Iterator[str]:
    """Return the paths that the other recording of the same shot may have; none for other files.

    Args:
        path: path of one recording.
    """
    kind = recording(path)
    stem, _, _ = path.rpartition(".")
    for other, extensions in _EXTENSIONS.items():
        if kind is not None and other is not kind:
            for extension in extensions:
                yield f"{stem}.{extension}"
                yield f"{stem}.{extension.upper()}"
