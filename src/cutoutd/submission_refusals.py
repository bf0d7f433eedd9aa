"""Why a picture that a program hands in is not taken, and what the program can do. Values only."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from cutoutd import file_signatures

NO_PICTURE: Final = "it is not a picture"
GONE: Final = "its file is not there any more"
UNUSABLE: Final = "its file cannot be used"
INVALID: Final = "its file has an invalid name"
NAME: Final = "the folder takes no file with a name such as"


def why_no_picture(head: bytes, name: str) -> str:
    """Return why a file that is handed in is not to be taken; empty: it may be a picture.

    Args:
        head: the first `file_signatures.HEAD_BYTES` of the file, or all if it has fewer.
        name: its name. It alone proves nothing, since the program chose it.
    """
    kind, seems = file_signatures.kind(head, name), file_signatures.seems_to_be(head, name)
    is_none = kind is file_signatures.FileKind.OTHER or (
        kind is not file_signatures.FileKind.PICTURE and seems is not None
    )
    if not is_none:
        return ""
    return f"{NO_PICTURE}, but {seems}" if seems else NO_PICTURE


class SubmissionRefusal(StrEnum):
    """A kind of refusal, by a code that stays."""

    NO_PICTURE = "NoPicture"
    GONE = "FileGone"
    UNUSABLE = "FileUnusable"
    NAME = "Name"
    INTERNAL = "Internal"

    @property
    def advice(self) -> str:
        """What to do."""
        return _ADVICE[self]


_ADVICE: Final = {
    SubmissionRefusal.NO_PICTURE: "Send a picture: JPEG, PNG, WebP, TIFF, HEIC, AVIF, or a camera's raw file.",
    SubmissionRefusal.GONE: "Somebody removed it from the folder before it was taken. Hand the picture in again.",
    SubmissionRefusal.UNUSABLE: "Something else has its place in the folder. Hand the picture in again.",
    SubmissionRefusal.NAME: "Hand it in with a name that the folder's include and exclude allow.",
    SubmissionRefusal.INTERNAL: "Please report it, with the line of the log that has the event `fault`. Hand the picture in again.",
}
