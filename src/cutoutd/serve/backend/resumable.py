"""Records of resumable uploads: a small file of each in the state directory.

Their bytes are in the folder's directory for that, whose size is how far they have come; what nobody goes on with for a day is
swept there by the daemon, and its record here when it is next asked for.
"""

from __future__ import annotations

import errno
import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from cutoutd.errnos import NO_FILE
from cutoutd.fs.atomic_write import atomic_write
from cutoutd.fs.private_directory import OpenedNames, open_private, read_small
from cutoutd.serve.backend.disk_refusals import state_faults
from cutoutd.serve.keys import DIRECTORY
from cutoutd.webserver.backend.parameters import text, whole

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.webserver.backend.method import Parameters

KEPT_S: Final = 2 * 86_400.0
_UPLOADS: Final = "uploads"
_MAX_BYTES: Final = 1 << 16
_DIGITS: Final = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadRecord:
    """A resumable upload.

    Attributes:
        length: declared length in bytes.
        name: name of the picture.
        options: options of the job, as text.
        id: id of the upload; like the next three, empty until the upload has begun.
        key: id of its key.
        folder: name of its folder.
        spool: name of its file; empty once the upload is complete.
    """

    length: int
    name: str
    options: str
    id: str = ""
    key: str = ""
    folder: str = ""
    spool: str = ""

    def bind(self, number: str, key: str, folder: str, spool: str) -> UploadRecord:
        """Return the record with id, key, folder and file."""
        return replace(self, id=number, key=key, folder=folder, spool=spool)


def parse_record(params: Parameters) -> UploadRecord | None:
    """Parse the parameters of a resumable upload; None for an upload that is not resumable.

    Raises:
        RefusedError: a parameter is invalid.
    """
    if "length" not in params:
        return None
    return UploadRecord(
        length=whole(params, "length"),
        name=text(params, "name", "", longest=1000),
        options=text(params, "options", "", longest=4096),
    )


def write(state_dir: Path, record: UploadRecord) -> None:
    """Write a record.

    Raises:
        RefusedError: the disk of the state directory refuses.
        OSError: too many files are open.
        NotPrivateError: the directory is not safe from others.
    """
    with state_faults():
        atomic_write(_path(state_dir, record.id), [json.dumps(asdict(record)).encode()], synced=True)


def read(state_dir: Path, number: str) -> UploadRecord | None:
    """Read a record; None where there is no valid one.

    Raises:
        OSError: it cannot be read just now.
    """
    if not (len(number) == _DIGITS and number.isascii() and number.isalnum()):
        return None
    try:
        kept: dict[str, Any] = json.loads(read_small(_name(state_dir, number), _MAX_BYTES))
        record = UploadRecord(**kept)
    except OSError as error:
        if error.errno not in NO_FILE | {errno.EINVAL}:  # the last: it is no file
            raise
        return None
    except (ValueError, TypeError):
        return None
    is_valid = all(type(value) is (int if name == "length" else str) for name, value in kept.items())
    return record if is_valid and record.id == number else None


def mark_complete(state_dir: Path, record: UploadRecord) -> None:
    """Mark an upload as complete and keep the record for a day, for a client that did not get the response.

    Raises:
        RefusedError, OSError: as from ``write``.
    """
    write(state_dir, replace(record, spool=""))


def sweep(state_dir: Path) -> None:
    """Remove records of uploads without progress for a day: their files are swept by then."""
    with suppress(OSError):
        for path in (state_dir / DIRECTORY / _UPLOADS).iterdir():
            if time.time() - path.lstat().st_mtime > KEPT_S:
                path.unlink(missing_ok=True)


def remove(state_dir: Path, number: str) -> None:
    """Remove a record."""
    with suppress(OSError):
        _name(state_dir, number).unlink()


def _path(state_dir: Path, number: str) -> Path:
    """Return where a record is to be written; the directory is made."""
    path = _name(state_dir, number)
    for place in (path.parent.parent, path.parent):
        if not place.is_dir():
            os.close(open_private(place, OpenedNames())[0])
    return path


def _name(state_dir: Path, number: str) -> Path:
    return state_dir / DIRECTORY / _UPLOADS / f"{number}.json"
