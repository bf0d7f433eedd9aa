"""What a start would cut: the pictures in a folder that neither the journal nor a sidecar knows.

It walks through the input and, if the journal does not know the folder, through the records in its output, as the first start
would. It changes nothing.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cutoutd.errors import StorageError
from cutoutd.file_signatures import FileKind
from cutoutd.intake.probe import open_probe
from cutoutd.intake.scan import Scan
from cutoutd.journal import predecessor
from cutoutd.lease import marker
from cutoutd.publish.places import FolderIdentity
from cutoutd.publish.records import Records
from cutoutd.settings.types import Existing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cutoutd.intake.rules import Rules
    from cutoutd.journal.predecessor import Finished
    from cutoutd.settings.schema import Folder


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """What a start would find in a folder.

    Attributes:
        pictures: number of files that are pictures, have a picture's extension, or are a designer's documents.
        not_pictures: how many of the pictures do not begin like a picture of any format that is cut.
        unknown: how many of the pictures are not known yet.
        skips: whether the unknown ones would be left alone, by the folder's setting for its first start.
        cut_elsewhere: how many of the unknown ones were cut with another state directory, by what it was started with.
        unreadable: number of places that could not be read.
    """

    pictures: int
    not_pictures: int
    unknown: int
    skips: bool
    cut_elsewhere: Mapping[str, int]
    unreadable: int


def forecast(folder: Folder, rules: Rules, state_dir: Path, earlier: Mapping[str, Path]) -> Forecast:
    """Look at a folder.

    Args:
        folder: settings of the folder.
        rules: rules for which names it takes.
        state_dir: the state directory of the configuration.
        earlier: other state directories of this user, by what they were started with, in words.

    Raises:
        OSError: the input cannot be read.
    """
    root = os.fspath(folder.input)
    uuid = _marker(root)
    names = predecessor.names(state_dir, root, uuid)
    is_first = not names
    known = predecessor.known(state_dir, names | {folder.name})
    if is_first:
        kept = next(filter(None, (predecessor.kept_marker(one, root) for one in earlier.values())), "")
        known |= _adopted_versions(folder, uuid or kept)
    scan = Scan(root, rules)
    pictures, not_pictures, unknown = 0, 0, set()
    for seen in scan:
        probe = open_probe(root, seen.path)
        if probe is not None and probe.kind is not FileKind.OTHER:
            pictures += 1
            not_pictures += probe.kind is not FileKind.PICTURE
            version = (seen.path, seen.size, seen.mtime_ns)
            if version not in known:
                unknown.add(version)
    cut_elsewhere = {words: len(unknown & predecessor.finished(one, root)) for words, one in earlier.items()}
    return Forecast(
        pictures=pictures,
        not_pictures=not_pictures,
        unknown=len(unknown),
        skips=is_first and folder.existing is Existing.SKIP,
        cut_elsewhere={words: count for words, count in cut_elsewhere.items() if count},
        unreadable=len(scan.errors),
    )


def _marker(root: str) -> str | None:
    with suppress(StorageError):
        return marker.read(root)
    return None


def _adopted_versions(folder: Folder, uuid: str) -> Finished:
    """Return the versions in the folder's sidecars, which its first start adopts."""
    identity = FolderIdentity(folder.name)
    identity.found(uuid, frozenset())
    records = Records(
        identity,
        output=folder.output,
        sidecar_dir=folder.sidecar_dir,
        renditions=folder.recipe().renditions,
    )
    found: set[tuple[str, int, int]] = set()
    with suppress(OSError):  # no output yet
        found.update((one.path, one.size, one.mtime_ns) for one in records if one.failure is None)
    return frozenset(found)
