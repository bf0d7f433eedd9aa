"""How much more one folder may hand over to its webhooks: an equal share of what all messages may take.

So a receiver that takes nothing for days fills the share of its own folder, and the receivers of other folders get theirs. It must
not write or remove a message.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cutoutd.exchange.messages import InvalidMessageError
from cutoutd.exchange.webhooks import read_webhook

if TYPE_CHECKING:
    from cutoutd.exchange.webhooks import WebhookMessage, WebhookPaths


@dataclass(frozen=True, kw_only=True, slots=True)
class _SeenMessage:
    """A message as it was read.

    Attributes:
        signature: inode and time of its file; another one once its state has changed.
        bytes: size of its files.
        message: the message; None: it cannot be read.
    """

    signature: tuple[int, int]
    bytes: int
    message: WebhookMessage | None


class WebhookRoom:
    """The room for one folder's messages; used by one thread.

    Args:
        paths: the files of all messages.
        folder: name of the folder.
    """

    def __init__(self, paths: WebhookPaths, folder: str) -> None:
        self._paths = paths
        self._folder = folder
        self._seen: dict[str, _SeenMessage] = {}

    def is_left(self, *, most: int, max_bytes: int, sharers: int) -> bool:
        """Whether another message may be added.

        What was given up is not of the share: it is kept for a person, within limits of its own.

        Args:
            most: the most messages of all folders.
            max_bytes: the most bytes that they may take.
            sharers: number of folders with webhooks.

        Raises:
            OSError: the directory cannot be read.
        """
        self._look()
        seen = [(one.message, one.bytes) for one in self._seen.values() if one.message is not None]
        dead = [size for message, size in seen if message.is_dead]
        own = [size for message, size in seen if message.folder == self._folder and not message.is_dead]
        return len(own) * sharers < most - len(dead) and sum(own) * sharers < max_bytes - sum(dead)

    def _look(self) -> None:
        """Read what is new or was changed."""
        ids = self._paths.ids()
        for id_ in self._seen.keys() - set(ids):
            del self._seen[id_]
        for id_ in ids:
            with suppress(FileNotFoundError):  # delivered meanwhile
                status = self._paths.message(id_).stat()
                signature = status.st_ino, status.st_mtime_ns
                known = self._seen.get(id_)
                if known is None or known.signature != signature:
                    self._seen[id_] = self._read(id_, signature, status.st_size)

    def _read(self, id_: str, signature: tuple[int, int], size: int) -> _SeenMessage:
        message = None
        with suppress(InvalidMessageError):
            message = read_webhook(self._paths, id_)
            size += message.bytes
        return _SeenMessage(signature=signature, bytes=size, message=message)
