"""Raw replies on the disk: drafts, what was paid for and is kept, and what goes into the inbox.

A reply has its name only once it is whole and synced. It must not look into them: they are a stranger's bytes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from cutoutd.fs.durable import make_directory, sync, sync_directory

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.exchange.spool import SpoolPaths

_DAY_S: Final = 86_400.0
_PIECE: Final = 1 << 20


def content_key(*, sha256: str, provider: str, host: str, options: str) -> str:
    """The name of a reply by what was asked: the same bytes, of the same service, in the same way."""
    return hashlib.sha256(f"{sha256}\n{provider}\n{host}\n{options}".encode()).hexdigest()


class ResponseCache:
    """The replies of one state directory.

    Args:
        paths: where they lie.
        keep_days: for which paid ones are kept; 0: none is.

    Raises:
        OSError: the disk refuses, here and in every method but `trim`.
    """

    def __init__(self, paths: SpoolPaths, keep_days: int) -> None:
        self._paths = paths
        self._directory = paths.root / "replies"
        self._keep_days = keep_days
        make_directory(self._directory, parents=True, mode=0o700)
        for leftover in self._directory.glob("*.part"):  # a run that was killed
            leftover.unlink(missing_ok=True)

    @property
    def keeps(self) -> bool:
        """Whether paid ones are kept at all."""
        return self._keep_days > 0

    def draft(self, id_: str) -> Path:
        """A file for a reply that is coming in; it is not there yet."""
        path = self._directory / f"{id_}.part"
        path.unlink(missing_ok=True)
        return path

    def settled(self, draft: Path) -> tuple[str, int]:
        """Sync a draft; returns its SHA-256 and bytes."""
        with draft.open("rb") as file:
            digest = _digest_of(draft)
            sync(file.fileno())
            return digest, os.fstat(file.fileno()).st_size

    def keep(self, draft: Path, key: str) -> None:
        """Keep a settled draft under what was asked, so that it need not be paid again."""
        draft.replace(self._kept(key))
        sync_directory(self._directory)

    def give(self, key: str, id_: str, sha256: str | None) -> bool:
        """Put a kept reply into the inbox as a request's body; False if it is not there, or not what it was."""
        kept = self._kept(key)
        if not kept.exists() or _digest_of(kept) != sha256:
            return False
        self.pass_on(key, id_)
        return True

    def pass_on(self, key: str, id_: str) -> None:
        """Put a reply that was kept just now into the inbox as a request's body."""
        kept, body = self._kept(key), self._paths.inbox / f"{id_}.body"
        body.unlink(missing_ok=True)
        try:
            body.hardlink_to(kept)
        except OSError:  # not every file system has them
            draft = self.draft(id_)
            shutil.copyfile(kept, draft)
            self.settled(draft)
            draft.replace(body)

    def hand_over(self, draft: Path, id_: str) -> None:
        """Put a settled draft into the inbox as a request's body, and keep nothing."""
        draft.replace(self._paths.inbox / f"{id_}.body")

    def trim(self, now_s: float) -> int:
        """Remove what was kept for long enough; returns how many."""
        removed = 0
        for path in self._directory.glob("*.body"):
            with suppress(OSError):
                if path.stat().st_mtime < now_s - self._keep_days * _DAY_S:
                    path.unlink()
                    removed += 1
        return removed

    def _kept(self, key: str) -> Path:
        return self._directory / f"{key}.body"


def _digest_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
