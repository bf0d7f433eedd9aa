"""What a webhook is told of a job's end: the sidecar, and where its owner wants that the published files.

A file goes along only with the bytes that its sidecar names: what a person retouched, or somebody else's file of that name,
was not agreed upon. It must not know how a body is sent.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cutoutd.clock import rfc3339
from cutoutd.errnos import IMPOSSIBLE_NAME, NOT_OURS, NOT_THERE
from cutoutd.exchange.webhooks import BODY_SCHEMA
from cutoutd.fs.tree import Tree
from cutoutd.jobs import JobState
from cutoutd.publish.document import encode, path_fields, read
from cutoutd.publish.naming import sidecar_name
from cutoutd.publish.sidecar import SCHEMA as SIDECAR_SCHEMA
from cutoutd.settings.webhooks import WebhookContent, WebhookEvent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cutoutd.journal.ended import EndedJob
    from cutoutd.settings.schema import Folder

_EVENTS: Final = {
    JobState.DONE: WebhookEvent.DONE,
    JobState.REVIEW: WebhookEvent.REVIEW,
    JobState.FAILED: WebhookEvent.FAILED,
    JobState.UNKNOWN: WebhookEvent.FAILED,
}
_PIECE: Final = 3 << 16
"""Bytes that are read at a time; of base64 a whole number of letters."""

_MEDIA: Final = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".avif": "image/avif",
}
_ABSENT: Final = NOT_THERE | NOT_OURS | IMPOSSIBLE_NAME


class ChangedMeanwhileError(OSError):
    """A file was changed while it was read; the next reading shows what it is now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EventBody:
    """One body, written piece by piece.

    Attributes:
        folder: the folder's settings.
        ended: what is told.
        what: is sent of it.
        max_bytes: of a file that goes along.
    """

    folder: Folder
    ended: EndedJob
    what: WebhookContent
    max_bytes: int

    def pieces(self) -> Iterator[bytes]:
        """The JSON document, in UTF-8.

        Raises:
            OSError: the disk or share does not answer as it should; to be tried again.
        """
        sidecar = self._sidecar()
        data = self._facts() | {"sidecar": sidecar}
        head = {"type": type_of(self.ended.state), "timestamp": rfc3339(self.ended.at_us), "data": data}
        text = encode(head).decode().rstrip()
        if self.what is WebhookContent.SIDECAR:
            yield text.encode()
            return
        # The document ends with what closes the data and itself: the files come before that.
        inner = text.removesuffix("}").rstrip().removesuffix("}").rstrip()
        yield f'{inner},\n    "results": ['.encode()
        for number, (path, sha256) in enumerate(_outputs(sidecar)):
            yield b",\n" if number else b"\n"
            yield from self._file(path, sha256)
        yield b"]\n  }\n}"

    def _facts(self) -> dict[str, Any]:
        ended = self.ended
        failure = ended.detail.get("failure")
        return {
            "schema": BODY_SCHEMA,
            "folder": ended.folder,
            "job": ended.job,
            "state": ended.state.value,
            "source": path_fields(ended.path) | ({"sha256": ended.sha256} if ended.sha256 else {}),
            "doubtful": bool(ended.detail.get("doubtful")),
            "failure": failure if isinstance(failure, dict) else None,
        }

    def _sidecar(self) -> dict[str, Any] | None:
        """The job's sidecar; None if it has none, or another one lies there by now."""
        outputs = self.ended.detail.get("outputs")
        if (
            not isinstance(outputs, list)
            or not outputs
            or not Path(str(outputs[0])).is_relative_to(self.folder.output)
        ):
            return None
        first = Path(str(outputs[0])).relative_to(self.folder.output).as_posix()
        try:
            with Tree(self.folder.sidecar_dir or self.folder.output).entry(sidecar_name(first)) as entry:
                found = read(entry, SIDECAR_SCHEMA)
        except OSError as error:
            if error.errno in _ABSENT:
                return None
            raise
        source = (found or {}).get("source")
        is_ours = isinstance(source, dict) and source.get("sha256") == self.ended.sha256
        return found if is_ours else None

    def _file(self, path: str, sha256: str) -> Iterator[bytes]:
        """One published file as JSON; where it cannot go along, why."""
        facts: dict[str, Any] = path_fields(path) | {
            "media_type": _MEDIA.get(Path(path).suffix.lower(), "application/octet-stream"),
            "sha256": sha256,
        }
        try:
            with Tree(self.folder.output).entry(path) as entry:
                descriptor = entry.open(os.O_RDONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno not in _ABSENT:
                raise
            yield _text(facts | {"content": None, "left_out": "it is not there any more"})
            return
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size > self.max_bytes:
                yield _text(facts | {"content": None, "left_out": "it is larger than max_result_mb"})
                return
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                yield _text(facts | {"content": None, "left_out": "it was changed since it was published"})
                return
            file.seek(0)
            yield _text(facts | {"bytes": status.st_size}).removesuffix(b"}") + b', "content": "'
            digest = hashlib.sha256()
            while piece := file.read(_PIECE):
                digest.update(piece)
                yield base64.b64encode(piece)
            if digest.hexdigest() != sha256:
                raise ChangedMeanwhileError(0, "it changes while it is read", path)
            yield b'"}'


def type_of(state: JobState) -> str:
    """How an end is called in the body."""
    return f"picture.{_EVENTS[state].value}"


def event_of(state: JobState) -> WebhookEvent:
    """By which word of the configuration an end is told."""
    return _EVENTS[state]


def _outputs(sidecar: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    """Path in the folder's output, and SHA-256, as the sidecar has them."""
    outputs = (sidecar or {}).get("outputs")
    for one in outputs if isinstance(outputs, list) else ():
        if isinstance(one, dict) and isinstance(one.get("path"), str) and isinstance(one.get("sha256"), str):
            yield one["path"], one["sha256"]


def _text(fields: Mapping[str, object]) -> bytes:
    return json.dumps(fields).encode("ascii")
