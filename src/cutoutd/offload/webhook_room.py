"""How much more one folder may hand over to its webhooks: an equal share of what all messages may take.

So a receiver that takes nothing for days fills the share of its own folder, and the receivers of other folders get theirs. It must
not write or remove a message.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cutoutd.exchange.messages import InvalidMessageError
from cutoutd.exchange.webhooks import read_webhook

if TYPE_CHECKING:
    from cutoutd.clock import Clock
    from cutoutd.exchange.webhooks import WebhookMessage, WebhookPaths

_LOOK_S: Final = 5.0
"""How long what was counted holds: others give up or remove messages meanwhile."""


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


@dataclass(slots=True)
class _Use:
    """What some messages take."""

    messages: int = 0
    bytes: int = 0

    def add(self, size: int) -> None:
        self.messages += 1
        self.bytes += size


class WebhookRoom:
    """The room for one folder's messages; used by one thread.

    Args:
        paths: the files of all messages.
        folder: name of the folder.
        clock: monotonic clock.
    """

    def __init__(self, paths: WebhookPaths, folder: str, clock: Clock) -> None:
        self._paths = paths
        self._folder = folder
        self._clock = clock
        self._seen: dict[str, _SeenMessage] = {}
        self._own, self._dead = _Use(), _Use()
        self._next_look_s = -math.inf

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

        def fits() -> bool:
            own, dead = self._own, self._dead
            return (
                own.messages * sharers < most - dead.messages and own.bytes * sharers < max_bytes - dead.bytes
            )

        is_recent = self._clock.monotonic_s() < self._next_look_s
        if not (is_recent and fits()):
            self._look()
            self._next_look_s = self._clock.monotonic_s() + _LOOK_S
        return fits()

    def count(self, size: int) -> None:
        """Count a message that was added, with this many bytes: looking at all of them each time would take quadratic time."""
        self._own.add(size)

    def _look(self) -> None:
        """Read what is new or was changed, and count all."""
        self._read_changed()
        self._own, self._dead = _Use(), _Use()
        for one in self._seen.values():
            if one.message is None:
                continue
            if one.message.is_dead:
                self._dead.add(one.bytes)
            elif one.message.folder == self._folder:
                self._own.add(one.bytes)

    def _read_changed(self) -> None:
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
