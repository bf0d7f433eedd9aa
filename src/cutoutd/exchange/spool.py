"""The messages between supervisor and uploader: requests in the outbox, replies in the inbox.

The two processes trust each other little, and share only these directories. A message is a JSON file, with a picture beside
it that is complete and synced before the message has its name. It must not touch the network, a picture or the journal.

    STATE/hosted/copies/ID.jpg              written by workers of tagged folders; copied and removed by the supervisor
    STATE/hosted/outbox/ID.json, ID.jpg     written by the supervisor, for tagged folders only; removed by the uploader with its reply
    STATE/hosted/inbox/ID.json, ID.body     written by the uploader; removed by the supervisor when it is done
    STATE/hosted/paused                     while it exists, nothing is sent
    STATE/hosted/resumed                    a person asks for another attempt; removed by the uploader
    STATE/hosted/announced                  configuration of the supervisor; an uploader with another one restarts
    STATE/hosted/uploaded.json              what the journal knows of uploads, for comparison with the ledger
    STATE/hosted/accepted.json              which of them the ledger lacks, as a person has accepted
    STATE/hosted/replies/, in-hand/, ledger.sqlite, ledger.json, status.json    the uploader's own

Removing a request withdraws it: its upload stops before the next byte.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from cutoutd.errnos import OF_THE_DISK_NOT_A_SOCKET
from cutoutd.exchange import messages
from cutoutd.exchange.messages import InvalidMessageError
from cutoutd.fs.atomic_write import atomic_write
from cutoutd.fs.durable import make_directory
from cutoutd.fs.private_directory import remove

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA: Final = "cutoutd.parcel/1"
STATUS_SCHEMA: Final = "cutoutd.hosted/1"
_UNREADABLE: Final = "It may have been billed. See `cutoutd audit`, then `cutoutd retry` it; a reply that is kept costs nothing again."

_ID: Final = messages.ID
_FILE: Final = re.compile(r"[0-9a-f]{32}\.(?:jpg|png)")
_MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\dT[0-9:.]{8,15}Z")
_MAX_NUMBER: Final = (1 << 63) - 1  # what a database takes


class UploadOutcome(StrEnum):
    """How an upload ended."""

    OK = "ok"  # the reply's body is in the inbox
    FAILED = "failed"  # the provider refuses this picture; there is no further attempt
    UNKNOWN = "unknown"  # no answer after it was sent: it may have been billed
    WITHDRAWN = "withdrawn"  # stopped at our request, or never begun


class Body(StrEnum):
    """Kind of a reply's body; follows from the provider's contract, and is checked by the worker that decodes it."""

    CUTOUT = "cutout"  # a picture with transparency
    ALPHA = "alpha"  # the matte alone, as a grey picture
    PARTS = "parts"  # a zip archive of color.jpg and alpha.png


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A picture to upload.

    Attributes:
        id: 32 hex digits, random; also the stem of the file.
        folder: name of the tagged folder.
        job: id in the journal.
        why: reason, in words, for sidecar and ledger.
        file: name of the file beside the request.
        bytes, sha256: size and digest of the file.
        width, height: size of the picture, pixels.
        source_sha256: digest of the original.
        again: whether a person asked for it, though it may have been billed before.
        settings: `uploads_sha256` of the supervisor's configuration; an uploader with another one refuses nothing for
            good.
    """

    id: str
    folder: str
    job: int
    why: str
    file: str
    bytes: int
    sha256: str
    width: int
    height: int
    source_sha256: str
    again: bool = False
    settings: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadReply:
    """The outcome of a request.

    Attributes:
        id: id of the request.
        outcome: how it ended.
        body: kind of the body; None without one.
        file: name of the body beside the reply; empty without one.
        provider: provider, as in ``[hosted] provider``.
        host: host that the upload went to, or would have gone to.
        bytes: bytes that were sent; 0 if nothing left the machine.
        sha256: digest of the upload.
        at: time when sending began, RFC 3339; empty if it did not.
        credits: credits that the provider charged; None if it did not say.
        counted: credits that count towards the limits.
        repeated: whether the body was paid for earlier, and nothing was sent this time.
        cause, advice: text for people, unless the outcome is ok.
    """

    id: str
    outcome: UploadOutcome
    body: Body | None = None
    file: str = ""
    provider: str = ""
    host: str = ""
    bytes: int = 0
    sha256: str = ""
    at: str = ""
    credits: float | None = None
    counted: float = 0.0
    repeated: bool = False
    cause: str = ""
    advice: str = ""


class SpoolPaths:
    """The directories and files that supervisor and uploader share, as listed above.

    Args:
        root: STATE/hosted.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.copies, self.outbox, self.inbox = root / "copies", root / "outbox", root / "inbox"
        self.paused, self.resumed = root / "paused", root / "resumed"
        self.status, self.announced = root / "status.json", root / "announced"
        self.uploaded, self.accepted = root / "uploaded.json", root / "accepted.json"

    @classmethod
    def under(cls, state_dir: Path) -> SpoolPaths:
        """Return the paths below a state directory."""
        return cls(state_dir / "hosted")

    def make(self) -> None:
        """Create the missing directories, for the owner alone.

        Raises:
            OSError: the disk refuses.
        """
        for place in (self.root, self.copies, self.outbox, self.inbox):
            make_directory(place, parents=True, mode=0o700)


def write_message(directory: Path, message: Request | UploadReply) -> None:
    """Write a message, whose picture must be complete and synced. The message is synced when this returns.

    Raises:
        OSError: the disk refuses; there is no message then.
    """
    path = directory / f"{message.id}.json"
    content = json.dumps({"schema": SCHEMA} | asdict(message)).encode("ascii")
    atomic_write(path, [content], synced=True)


def announce(paths: SpoolPaths, settings: str) -> None:
    """Announce the configuration that the supervisor uses from now on.

    Args:
        paths: the directories.
        settings: `uploads_sha256` of the configuration.

    Raises:
        OSError: the disk refuses.
    """
    messages.announce(paths.announced, settings)


def announcement(paths: SpoolPaths) -> str:
    """The last announcement, for comparison with a later one; its first word is the configuration's number."""
    return messages.announcement(paths.announced)


def requests(paths: SpoolPaths) -> Iterator[Request]:
    """Yield the valid requests in the outbox, by name."""
    for path in sorted(paths.outbox.glob("*.json")):
        if _ID.fullmatch(path.stem) and (request := find_request(paths, path.stem)) is not None:
            yield request


def find_request(paths: SpoolPaths, id_: str) -> Request | None:
    """Return one request in the outbox; None if there is none, or it cannot be read."""
    with suppress(OSError, InvalidMessageError):
        return read_request(paths.outbox / f"{id_}.json")
    return None


def find_reply(paths: SpoolPaths, id_: str) -> UploadReply | None:
    """Return the reply to a request; None if there is none yet. One that cannot be read has the outcome UNKNOWN.

    Raises:
        OSError: the disk fails.
    """
    path = paths.inbox / f"{id_}.json"
    if not _ID.fullmatch(id_):
        return None
    try:
        return read_reply(path)
    except FileNotFoundError:
        return None
    except (OSError, InvalidMessageError) as error:
        if isinstance(error, OSError) and error.errno in OF_THE_DISK_NOT_A_SOCKET:
            raise
        cause = f"the uploader's reply is damaged: {error}"
        return UploadReply(id=id_, outcome=UploadOutcome.UNKNOWN, cause=cause, advice=_UNREADABLE)


def names_in(directory: Path, most: int) -> list[str]:
    """Return names in one of the directories, in no order, up to a limit.

    Raises:
        OSError: it cannot be listed.
    """
    with os.scandir(directory) as entries:
        return [entry.name for entry in islice(entries, most)]


def read_request(path: Path) -> Request:
    """Read a request.

    Raises:
        InvalidMessageError: it is not valid.
        OSError: it cannot be read.
    """
    request = messages.checked(Request, messages.load(path, SCHEMA), path)
    if not _ID.fullmatch(request.id) or not _FILE.fullmatch(request.file):
        raise InvalidMessageError(f"{path}: not a name that cutoutd gives")
    numbers = (request.bytes, request.width, request.height, request.job)
    if not all(0 < number <= _MAX_NUMBER for number in numbers):
        raise InvalidMessageError(f"{path}: an impossible number")
    return request


def read_reply(path: Path) -> UploadReply:
    """Read a reply.

    Raises:
        InvalidMessageError: it is not valid.
        OSError: it cannot be read.
    """
    reply = messages.checked(UploadReply, messages.load(path, SCHEMA), path)
    is_ok = reply.outcome is UploadOutcome.OK
    is_ours = reply.file == (f"{reply.id}.body" if is_ok else "") and (reply.body is not None) == is_ok
    if not is_ours or (reply.at and not _MOMENT.fullmatch(reply.at)):
        raise InvalidMessageError(f"{path}: not a name or a time that cutoutd gives")
    if not all(0 <= number <= _MAX_NUMBER for number in (reply.bytes, reply.credits or 0, reply.counted)):
        raise InvalidMessageError(f"{path}: an impossible number")
    return reply


def remove_message(directory: Path, id_: str) -> None:
    """Remove a message and then its files, as far as they exist.

    Raises:
        OSError: the disk refuses.
    """
    for suffix in ("json", "jpg", "png", "body"):
        remove(directory / f"{id_}.{suffix}")


def uploader_status(paths: SpoolPaths) -> dict[str, Any]:
    """Return the status of a running uploader; empty if none runs."""
    return messages.living_status(paths.status, STATUS_SCHEMA)


def clear(paths: SpoolPaths) -> None:
    """Remove all requests, copies and replies: in this run nothing is uploaded.

    Raises:
        OSError: the disk refuses.
    """
    for directory in (paths.outbox, paths.inbox):
        if directory.is_dir():
            for path in sorted(directory.iterdir()):
                remove(path)
    shutil.rmtree(paths.copies, ignore_errors=True)  # workers may have left anything there
