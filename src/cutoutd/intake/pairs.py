"""Which files may be two recordings of one shot: a raw file and the JPEG or HEIC that the camera wrote beside it.

By their names alone: the same directory, the same stem, extensions of the two kinds. A function of names; it must not
look at files.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator


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
