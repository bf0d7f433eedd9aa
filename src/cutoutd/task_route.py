"""Where a task is carried out: by which kind of workers here, with a hosted service, or on another machine of a cluster.

Values only, as in `cutoutd.jobs`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class WorkerKind(StrEnum):
    """For which folders a worker works; what it has read for one kind stays in its memory, and it never works for another."""

    LOCAL = "local"  # without a tag
    UPLOADED = "uploaded"  # that a hosted service may get pictures of
    CLUSTER = "cluster"  # that other machines of a cluster may get pictures of


@dataclass(frozen=True, kw_only=True, slots=True)
class Export:
    """A task to make the copy of a picture for upload, and no cutout.

    Attributes:
        file: absolute path of the copy; for messages, since a worker gets the file opened.
        max_side: upper bound of the copy's longer side in pixels; a larger picture is reduced.
        max_pixels, max_bytes: upper bounds of the copy's pixels and bytes.
    """

    file: str
    max_side: int
    max_pixels: int
    max_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Received:
    """A task whose matte comes from a hosted service instead of the model.

    Attributes:
        file: absolute path of the reply's raw body; for messages, since a worker gets the file opened.
        body: expected contents, as in `cutoutd.exchange.spool.Body`.
        width, height: size of the uploaded copy, in pixels.
    """

    file: str
    body: str
    width: int
    height: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterTask:
    """That a task is carried out by another machine of a cluster.

    Attributes:
        folder: by whose tag.
        falls_back: the task is given back once the cluster has been away for too long.
    """

    folder: str
    falls_back: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteFacts:
    """Which machine of a cluster has cut a picture, and what went there.

    Attributes:
        host: its address.
        at: when the picture was sent, RFC 3339.
        bytes: of the picture and what went with it.
        sha256: of the picture.
        cutoutd, onnxruntime, python, provider: versions there, and what the model ran on.
        layers: of the sandbox there.
    """

    host: str
    at: str
    bytes: int
    sha256: str
    cutoutd: str
    onnxruntime: str
    python: str
    provider: str
    layers: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Returned:
    """The cluster has not carried the task out, which is nothing that the picture is to blame for: it is to be queued again."""

    why: str
