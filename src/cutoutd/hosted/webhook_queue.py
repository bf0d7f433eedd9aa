"""The queue of messages for webhooks: the next one that is due, with the messages of one picture in order.

This module must not send anything. The state of the queue is in files, which are read again after a start.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from cutoutd.exchange.messages import InvalidMessageError
from cutoutd.exchange.webhooks import read_webhook, remove_leftovers, remove_webhook, write_webhook
from cutoutd.hosted.webhook_schedule import is_ahead

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.exchange.webhooks import WebhookMessage, WebhookPaths

KEPT_DEAD: Final = 1000
KEPT_US: Final = 30 * 86_400_000_000
"""So many that were given up are kept, and so long after that, for a person to have them sent again."""

_LEFTOVER_US: Final = 86_400_000_000

_Signature = tuple[int, int]
"""Of a file: it is another one once it was replaced."""


class EarlyRetry(StrEnum):
    """Whether a message is sent before it is due, since its receiver responds again."""

    NONE = "none"  # sent when it is due
    DUE = "due"  # sent at once
    USED = "used"  # was sent early and refused: sent when it is due, even if others succeed


@dataclass(slots=True)
class _Known:
    message: WebhookMessage | None  # None: it cannot be read
    signature: _Signature
    is_under_way: bool = False
    early_retry: EarlyRetry = EarlyRetry.NONE


class WebhookQueue:
    """The queued messages; safe to share between threads.

    Args:
        paths: directories of the queue.
    """

    def __init__(self, paths: WebhookPaths) -> None:
        self._paths = paths
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}

    def poll(self) -> None:
        """Read new, changed and withdrawn messages from the directory.

        Raises:
            OSError: the directory cannot be read.
        """
        ids = self._paths.ids()
        with self._lock:
            for id_ in self._known.keys() - set(ids):
                if not self._known[id_].is_under_way:
                    del self._known[id_]
            for id_ in ids:
                self._read(id_)

    def _read(self, id_: str) -> None:
        known = self._known.get(id_)
        if known is not None and known.is_under_way:
            return
        with suppress(OSError):  # read again at the next poll: one file must not hold up all others
            signature = _signature(self._paths, id_)
            if known is not None and known.signature == signature:
                return
            message: WebhookMessage | None = None
            with suppress(InvalidMessageError):
                message = read_webhook(self._paths, id_)
            self._known[id_] = _Known(message, signature)

    def take(self, webhook: str, now_us: int, *, by_hand: bool = False) -> WebhookMessage | None:
        """Return the next message to send to a webhook now, or None; the caller then calls `done` or `keep`.

        Args:
            webhook: its id.
            now_us: UTC microseconds.
            by_hand: only messages that a person asked to send.
        """
        with self._lock:
            waiting = sorted(
                (one for one in self._messages() if one.webhook == webhook and not one.is_dead),
                key=lambda one: (one.number, one.made_us),
            )
            earlier: set[str] = set()
            for message in waiting:
                known = self._known[message.id]
                is_due = known.early_retry is EarlyRetry.DUE or not is_ahead(message.not_before_us, now_us)
                is_wanted = message.by_hand or not by_hand
                if message.about not in earlier and is_due and is_wanted and not known.is_under_way:
                    known.is_under_way = True
                    return message
                earlier.add(message.about)
            return None

    def done(self, message: WebhookMessage) -> None:
        """Remove a message that was delivered.

        Raises:
            OSError: the file cannot be removed; the message is sent once more after a start.
        """
        with self._lock:
            self._known.pop(message.id, None)
            # Under the lock, so that a concurrent `poll` does not take the file for a new message.
            remove_webhook(self._paths, message.id)

    def keep(self, message: WebhookMessage, early_retry: EarlyRetry | None = None) -> None:
        """Write the state of a message that waits for a retry, or was given up.

        Args:
            message: its new state.
            early_retry: from now on, until the process ends; None: as before.

        Raises:
            OSError: the file cannot be written; the state holds in memory until the next start.
        """
        with self._lock:
            known = self._known.get(message.id)
            if known is None:
                return
            known.message, known.is_under_way = message, False
            known.early_retry = early_retry or known.early_retry
            if not os.path.lexists(self._paths.message(message.id)):
                del self._known[message.id]  # withdrawn meanwhile
                return
            # Under the lock, so that a concurrent `poll` does not take the file for a change by another process.
            write_webhook(self._paths, message, synced=message.is_dead)
            known.signature = _signature(self._paths, message.id)

    def retry_early(self, webhook: str) -> None:
        """Make the waiting messages of a receiver that responds again due at once, except those that were sent early before and refused."""
        with self._lock:
            for known in self._known.values():
                is_for_it = known.message is not None and known.message.webhook == webhook
                if is_for_it and not known.is_under_way and known.early_retry is not EarlyRetry.USED:
                    known.early_retry = EarlyRetry.DUE

    def trim(self, now_us: int, max_bytes: int) -> int:
        """Remove messages that were given up long ago or exceed the size limit, oldest first; return their number.

        Args:
            now_us: UTC microseconds.
            max_bytes: largest total size of messages that were given up.

        Raises:
            OSError: the disk refuses.
        """
        room, count = max_bytes, 0
        dead = sorted((one for one in self.messages() if one.is_dead), key=lambda one: -one.given_up_us)
        for number, message in enumerate(dead):
            room -= message.bytes
            if room < 0 or number >= KEPT_DEAD or message.given_up_us < now_us - KEPT_US:
                self.done(message)
                count += 1
        remove_leftovers(self._paths, (now_us - _LEFTOVER_US) / 1e6)
        return count

    def messages(self) -> list[WebhookMessage]:
        """Return all readable messages."""
        with self._lock:
            return list(self._messages())

    def _messages(self) -> Iterator[WebhookMessage]:
        return (one.message for one in self._known.values() if one.message is not None)


def _signature(paths: WebhookPaths, id_: str) -> _Signature:
    status = paths.message(id_).stat()
    return status.st_ino, status.st_mtime_ns
