"""The messages between the proxies of a cluster's slots and the gateway to it, in directories that they share.

As with the uploader (`cutoutd.exchange.spool`), a message is a JSON file with a file beside it that was whole before. Nothing
is synced: what a power cut takes is sent again. It must not touch the network or a picture.

    STATE/cluster/outbox/ID.json, ID.data   written by a proxy; taken away by it once the reply is there, or by the gateway
    STATE/cluster/inbox/ID.json, ID.data    written by the gateway; taken away by the proxy
    STATE/cluster/outbox/OWNER.lock         held by a proxy while it lives; requests whose owner is gone are for nobody
    STATE/cluster/away                      by the supervisor: tasks that can be carried out elsewhere are to be given back
    STATE/cluster/announced                 by which configuration the supervisor works
    STATE/cluster/sent/DAY.jsonl            every picture that left this machine, one line each
    STATE/cluster/status.json, lock         the gateway's own

Removing a request withdraws it: the machine that has it is told to stop.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from cutoutd.errnos import NO_FILE
from cutoutd.exchange import messages
from cutoutd.exchange.messages import InvalidMessageError
from cutoutd.fs.atomic_write import atomic_write
from cutoutd.fs.durable import make_directory
from cutoutd.fs.private_directory import remove

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SCHEMA: Final = "cutoutd.cluster-message/1"
PROVIDER: Final = "cluster"
"""As what the machines of a cluster stand where a sidecar or a list names who got a picture."""

STATUS_SCHEMA: Final = "cutoutd.cluster/1"
_MAX_PARTS: Final = 64
_MAX_NUMBER: Final = 1 << 40


class ReplyKind(StrEnum):
    """What came of a request."""

    REPORT = "report"  # the far worker's report, and the results' bytes
    LOST = "lost"  # the far worker died over it
    FAILED = "failed"  # it came to nothing, which the picture is not to blame for
    RETURNED = "returned"  # it was not sent


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterRequest:
    """A task that another machine is to carry out.

    Attributes:
        id: 32 hex digits, random.
        owner: of the proxy that waits for it, likewise.
        folder: by whose tag.
        job: the journal's id.
        sizes: bytes of the parts of its data: the task as a worker gets it, the picture, background pictures.
        sha256: of the picture.
        model: SHA-256 of the model that is to cut it.
        second: SHA-256 of the one that is asked where that leaves doubt; empty: none is.
    """

    id: str
    owner: str
    folder: str
    job: int
    sizes: tuple[int, ...]
    sha256: str
    model: str
    second: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterReply:
    """What became of it.

    Attributes:
        id: the request's.
        kind: what came of it.
        sizes: bytes of the parts of its data: the report as a worker gives it, and the results; none without a report.
        why: in words, where it came to nothing.
        permanent: no other try would come to anything else.
        host, cutoutd, onnxruntime, python, provider, layers: the machine, and what it says of its workers.
        at: when the picture was sent, RFC 3339; empty if it was not.
        sent_bytes: of it and what went with it.
    """

    id: str
    kind: ReplyKind
    sizes: tuple[int, ...] = ()
    why: str = ""
    permanent: bool = False
    host: str = ""
    cutoutd: str = ""
    onnxruntime: str = ""
    python: str = ""
    provider: str = ""
    layers: tuple[str, ...] = ()
    at: str = ""
    sent_bytes: int = 0


class ClusterPaths:
    """The directories and files of the cluster's route; what each holds is said above.

    Args:
        root: STATE/cluster.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.outbox, self.inbox, self.sent = root / "outbox", root / "inbox", root / "sent"
        self.status, self.announced, self.lock = root / "status.json", root / "announced", root / "lock"
        self.away = root / "away"

    @classmethod
    def under(cls, state_dir: Path) -> ClusterPaths:
        """Of a state directory."""
        return cls(state_dir / "cluster")

    def make(self) -> None:
        """Make what is missing, for the owner's eyes only.

        Raises:
            OSError: the disk refuses.
        """
        for place in (self.root, self.outbox, self.inbox, self.sent):
            make_directory(place, parents=True, mode=0o700)


def write(
    directory: Path, message: ClusterRequest | ClusterReply, parts: Sequence[bytes | memoryview]
) -> None:
    """Give a message its name, once its data are there.

    Raises:
        OSError: the disk refuses.
    """
    if parts:
        atomic_write(directory / f"{message.id}.data", parts, synced=False)
    content = json.dumps({"schema": SCHEMA} | asdict(message)).encode("ascii")
    atomic_write(directory / f"{message.id}.json", [content], synced=False)


def read_request(path: Path) -> ClusterRequest:
    """One request.

    Raises:
        InvalidMessageError: it is none.
        OSError: it cannot be read.
    """
    request = messages.checked(ClusterRequest, messages.load(path, SCHEMA), path)
    if not messages.ID.fullmatch(request.id) or not messages.ID.fullmatch(request.owner):
        raise InvalidMessageError(f"{path}: not a name that cutoutd gives")
    _check_sizes(request.sizes, path)
    return request


def read_reply(path: Path) -> ClusterReply:
    """One reply.

    Raises:
        InvalidMessageError: it is none.
        OSError: it cannot be read.
    """
    reply = messages.checked(ClusterReply, messages.load(path, SCHEMA), path)
    if bool(reply.sizes) != (reply.kind is ReplyKind.REPORT):
        raise InvalidMessageError(f"{path}: its data do not fit its kind")
    _check_sizes(reply.sizes, path)
    return reply


def read_parts(directory: Path, id_: str, sizes: Sequence[int]) -> list[bytes]:
    """The data of a message, by their parts.

    Raises:
        InvalidMessageError: they are not as long as they are said to be.
        OSError: they cannot be read.
    """
    path = directory / f"{id_}.data"
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        if os.fstat(descriptor).st_size != sum(sizes):
            raise InvalidMessageError(f"{path}: it is incomplete")
        parts = [_exactly(file.read, size) for size in sizes]
    if any(len(part) != size for part, size in zip(parts, sizes, strict=True)):
        raise InvalidMessageError(f"{path}: it is incomplete")
    return parts


def remove_message(directory: Path, id_: str) -> None:
    """Remove a message and then its data; what is not there is no error.

    Raises:
        OSError: the disk refuses.
    """
    for suffix in ("json", "data"):
        remove(directory / f"{id_}.{suffix}")


def hold_owner(paths: ClusterPaths, owner: str) -> int:
    """Be an owner of requests for as long as this process lives: the kernel releases what it holds.

    Returns:
        A descriptor that is to stay open.

    Raises:
        OSError: the disk refuses.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(paths.outbox / f"{owner}.lock", flags, 0o600)
    fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def owner_lives(paths: ClusterPaths, owner: str) -> bool:
    """Whether a process still holds this owner's lock; not to be asked by that process itself."""
    try:
        descriptor = os.open(paths.outbox / f"{owner}.lock", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        return error.errno not in NO_FILE  # such as: too many files are open, which says nothing of the owner
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def gateway_status(paths: ClusterPaths) -> dict[str, Any]:
    """What a living gateway says of itself and the cluster; empty if none lives."""
    return messages.living_status(paths.status, STATUS_SCHEMA)


def clear(paths: ClusterPaths) -> None:
    """Remove all requests and replies: whoever waited for them is gone.

    Raises:
        OSError: the disk refuses.
    """
    for directory in (paths.outbox, paths.inbox):
        with suppress(FileNotFoundError):
            for path in sorted(directory.iterdir()):
                remove(path)


def _check_sizes(sizes: Sequence[int], path: Path) -> None:
    if len(sizes) > _MAX_PARTS or not all(0 <= size <= _MAX_NUMBER for size in sizes):
        raise InvalidMessageError(f"{path}: an impossible number")


def _exactly(read: Any, size: int) -> bytes:  # noqa: ANN401 -- a method of a raw file, whose type has no public name
    parts, left = [], size
    while left and (piece := read(left)):
        parts.append(piece)
        left -= len(piece)
    return parts[0] if len(parts) == 1 else b"".join(parts)
