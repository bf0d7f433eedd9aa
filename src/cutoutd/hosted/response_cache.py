"""Replies on the disk: drafts, paid replies that are kept, and bodies for the inbox.

A reply has its name only once it is complete and synced. It must not look into them: their bytes are not trusted.
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
    """Return the key of a reply: it depends on the bytes, the service and the options."""
    return hashlib.sha256(f"{sha256}\n{provider}\n{host}\n{options}".encode()).hexdigest()


class ResponseCache:
    """The replies of one state directory.

    Args:
        paths: the directories.
        keep_days: days for which paid replies are kept; 0: none is kept.

    Raises:
        OSError: the disk refuses, here and in every method but `trim`.
    """

    def __init__(self, paths: SpoolPaths, keep_days: int) -> None:
        self._paths = paths
        self._directory = paths.root / "replies"
        self._keep_days = keep_days
        make_directory(self._directory, parents=True, mode=0o700)
        for leftover in self._directory.glob("*.part"):  # of a run that was killed
            leftover.unlink(missing_ok=True)

    @property
    def keeps(self) -> bool:
        """Whether paid replies are kept."""
        return self._keep_days > 0

    def draft(self, id_: str) -> Path:
        """Return the path of a new file for a reply that is coming in."""
        path = self._directory / f"{id_}.part"
        path.unlink(missing_ok=True)
        return path

    def settled(self, draft: Path) -> tuple[str, int]:
        """Sync a draft. Returns its SHA-256 and its size in bytes."""
        with draft.open("rb") as file:
            digest = _digest_of(draft)
            sync(file.fileno())
            return digest, os.fstat(file.fileno()).st_size

    def keep(self, draft: Path, key: str) -> None:
        """Keep a synced draft under a key, so that it need not be paid again."""
        draft.replace(self._kept(key))
        sync_directory(self._directory)

    def reuse(self, key: str, id_: str, sha256: str | None) -> bool:
        """Put a kept reply into the inbox as the body of a request. Returns False if it is missing or altered."""
        kept = self._kept(key)
        if not kept.exists() or _digest_of(kept) != sha256:
            return False
        self.link_to_inbox(key, id_)
        return True

    def link_to_inbox(self, key: str, id_: str) -> None:
        """Put a reply that was just kept into the inbox as the body of a request."""
        kept, body = self._kept(key), self._paths.inbox / f"{id_}.body"
        body.unlink(missing_ok=True)
        try:
            body.hardlink_to(kept)
        except OSError:  # not every file system has hard links
            draft = self.draft(id_)
            shutil.copyfile(kept, draft)
            self.settled(draft)
            draft.replace(body)

    def move_to_inbox(self, draft: Path, id_: str) -> None:
        """Put a synced draft into the inbox as the body of a request, without keeping it. It lasts when this returns."""
        draft.replace(self._paths.inbox / f"{id_}.body")
        sync_directory(self._paths.inbox)

    def trim(self, now_s: float) -> int:
        """Remove replies that were kept for long enough. Returns how many."""
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
