"""An upload and its open file. It must not write to it."""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

    from cutoutd.intake.incoming import SpoolFile
    from cutoutd.serve.backend.resumable import UploadRecord

_CHUNK: Final = 1 << 20


@dataclass(kw_only=True, slots=True)
class OpenUpload:
    """An upload and its open file.

    Attributes:
        id: id of the future job.
        key: id of the key that uploads it.
        folder: name of the folder.
        root: the folder's input.
        file: open file.
        stack: closes the file.
        most: largest size in bytes.
        size: bytes so far.
        sha256: running digest of these; None: to be computed from the file.
        record: record of a resumable upload.
        touched_s: time of the last write, by the monotonic clock.
        lock: held while the file is written.
        is_closed: nothing can be added.
        is_submitted: the journal names the file, which is the daemon's from then on.
    """

    id: str
    key: str
    folder: str
    root: Path
    file: SpoolFile
    stack: ExitStack
    most: int
    size: int = 0
    sha256: Any = None
    record: UploadRecord | None = None
    touched_s: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)
    is_closed: bool = False
    is_submitted: bool = False

    def digest(self) -> str:
        """Return the SHA-256 of the file, hex."""
        if self.sha256 is None:
            self.sha256 = hashlib.sha256()
            at = 0
            while part := os.pread(self.file.descriptor, _CHUNK, at):
                self.sha256.update(part)
                at += len(part)
        return str(self.sha256.hexdigest())
