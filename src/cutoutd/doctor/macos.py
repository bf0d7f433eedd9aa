"""What is different on a Mac: consent to read some folders, names in two forms, files that are in iCloud only.

Pure: the platform is passed in, so that it can be tried anywhere.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cutoutd.doctor.finding import note

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cutoutd.doctor.finding import Finding
    from cutoutd.settings.schema import Folder

PLATFORM: Final = "darwin"

_GUARDED: Final = ("Desktop", "Documents", "Downloads", "Pictures/Photos Library.photoslibrary")
_CLOUD: Final = "Library/Mobile Documents"
_CONSENT: Final = (
    "macOS keeps programs out of this place until you allow it: System Settings, Privacy & Security, Full Disk Access, and "
    "there the Python that runs cutoutd (the first path that `cutoutd service show` prints); then restart the service."
)


def guarded(path: Path, home: Path) -> str:
    """Why macOS asks before a program reads a place; empty if it does not."""
    for name in _GUARDED:
        if path.is_relative_to(home / name):
            return f"it lies in {name}"
    if path.is_relative_to(home / _CLOUD):
        return "it lies in iCloud Drive"
    if path.is_relative_to("/Volumes"):
        return "it lies on a removable disk or network volume"
    return ""


def consent(path: Path, number: int, platform: str) -> str:
    """What to do about a refusal that is most probably macOS's own; empty where it is not."""
    refused = number in (errno.EPERM, errno.EACCES)
    return _CONSENT if platform == PLATFORM and refused and guarded(path, Path.home()) else ""


def about(folder: Folder, found: Mapping[str, Any], platform: str) -> Iterator[Finding]:
    """What is worth knowing about a folder that can be read.

    Args:
        folder: its settings.
        found: what was seen of its input.
        platform: as ``sys.platform`` has it.
    """
    if platform != PLATFORM:
        return
    if why := guarded(folder.input, Path.home()):
        yield note(
            "privacy",
            f"macOS asks before a program reads the input: {why}. You may read it; a service may not yet.",
            _CONSENT,
            subject=folder.name,
        )
    if found.get("decomposed"):
        yield note(
            "names",
            f"{found['decomposed']} names are written in decomposed form (an e and an accent for é)",
            "They are kept as they are. On other systems they look the same and are another name.",
            subject=folder.name,
        )
    if found.get("placeholders"):
        yield note(
            "icloud",
            f"{found['placeholders']} files are in iCloud and not on this disk",
            'They are not cut until they are here: choose "Keep Downloaded" for the folder in the Finder.',
            subject=folder.name,
        )
