"""Finds out which directories are in the places of a hot folder, for its health check and for `cutoutd check`.

It reads the folder's places and the journal, and writes nothing.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from uuid import UUID

from cutoutd.errnos import NO_WAY
from cutoutd.errors import StorageError
from cutoutd.folder.identity import KnownFolder, MarkerAction, NewFolder, decide, identify, is_copy
from cutoutd.intake import filesystems
from cutoutd.intake.scan import scan_file
from cutoutd.intake.verification import sha256_of
from cutoutd.lease import epochs, marker
from cutoutd.publish.places import FolderIdentity
from cutoutd.publish.records import Records

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.journal.folders import Folders
    from cutoutd.publish.records import Record
    from cutoutd.settings.schema import Folder

_SWAPPED: Final = "input and output have probably changed places, or it is watched by another cutoutd"
_PUT_BACK: Final = "Put the directories back, or name the right ones in the configuration; if it is not watched any more, remove that file"


def why_marked(folder: Folder) -> str:
    """Return why a folder must not publish to its output, which is the input of a hot folder; empty: it is none.

    Raises:
        OSError: the output cannot be read.
    """
    try:
        os.lstat(folder.output / marker.NAME)
    except OSError as error:
        if error.errno not in NO_WAY:
            raise
        return ""
    return f"output {folder.output} has a {marker.NAME}, as an input has: {_SWAPPED}. {_PUT_BACK}"


def identify_folder(
    folder: Folder, found: marker.RootState, memory: Folders, configured: Mapping[str, str]
) -> KnownFolder | NewFolder:
    """Return which of the journal's folders a folder is: by its marker, not by its name.

    Args:
        folder: settings of the folder.
        found: what is in the place of its input.
        memory: the folders in the journal.
        configured: all folders of the configuration: input by name.
    """
    root, recalled = os.fspath(folder.input), memory.recall(folder.name)
    return identify(
        folder.name,
        root,
        found.uuid,
        recalled=recalled,
        known=memory.marked(found.uuid) if found.uuid else memory.at(root),
        configured=configured,
        is_other_directory=recalled is not None and is_copy(found, recalled),
    )


def why_another(folder: Folder, memory: Folders, configured: Mapping[str, str]) -> str:
    """Return why a start would find that another directory is in the place of a folder's input; empty: it would not.

    Args:
        folder: settings of the folder.
        memory: the folders in the journal.
        configured: all folders of the configuration: input by name.

    Raises:
        OSError: the input cannot be read.
    """
    root = os.fspath(folder.input)
    try:
        found = marker.find(root, network=filesystems.watch_mode(root).network)
    except StorageError as error:
        return str(error)
    known = identify_folder(folder, found, memory, configured)
    recalled = memory.recall(known.name) if isinstance(known, KnownFolder) else None
    if recalled is None:
        return "" if found.damage is None else str(found.damage)
    with marker.opened(root) as directory:
        claims = epochs.all_claims(directory)
    # Whose claims show that this is the right directory is known to a daemon alone.
    decision = decide(recalled, found, memory.history(folder.name), is_recognised=bool(claims))
    if found.damage is not None and decision.action is not MarkerAction.CREATE:
        return str(found.damage)
    return decision.reason if decision.action in (MarkerAction.STAND_BY, MarkerAction.REFUSE) else ""


def recorded_marker(folder: Folder, memory: Folders) -> str:
    """Return the UUID that an unknown input without a marker had, by the sidecars of its pictures; empty: none tells.

    Marker and journal are lost together where pictures and cutouts are copied without hidden files, or such files are removed before
    another machine, or one that was set up anew, begins to work. With another UUID all pictures would be cut again.

    Args:
        folder: settings of the folder.
        memory: the folders in the journal.

    Raises:
        OSError: the input or the output cannot be read.
    """
    root = os.fspath(folder.input)
    newest: dict[str, Record] = {}
    records = Records(
        FolderIdentity(folder.name),
        output=folder.output,
        sidecar_dir=folder.sidecar_dir,
        renditions=folder.recipe().renditions,
    )
    with suppress(FileNotFoundError):  # no output yet
        for record in records:
            before = newest.get(record.marker)
            is_newer = before is None or record.at_us > before.at_us
            if record.failure is None and is_newer and _is_uuid(record.marker) and _is_there(root, record):
                newest[record.marker] = record
    for uuid, record in sorted(newest.items(), key=lambda item: item[1].at_us, reverse=True):
        # Another folder of this journal that has it is the original, and this one a copy.
        if not memory.marked(uuid) and sha256_of(root, record.path) == record.sha256:
            return uuid
    return ""


def _is_there(root: str, record: Record) -> bool:
    seen = scan_file(root, record.path)
    return seen is not None and (seen.size, seen.mtime_ns) == (record.size, record.mtime_ns)


def _is_uuid(said: str) -> bool:
    """Whether a sidecar, which anybody may have written, has a UUID as markers have it."""
    try:
        return str(UUID(said)) == said
    except ValueError:
        return False
