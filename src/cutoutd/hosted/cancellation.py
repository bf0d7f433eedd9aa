"""The cancellation check of an upload, re-read from the disk before every piece, so that it takes effect at once.

It must not remember an answer.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cutoutd.spool import SpoolPaths

_NAP_S: Final = 0.1


class StopFlag:
    """Whether the uploader is to end; a signal's handler may say so, since nothing here takes a lock."""

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        """Nothing more is to be sent."""
        self._is_set = True

    def is_set(self) -> bool:
        """Whether nothing more is to be sent."""
        return self._is_set

    def wait(self, seconds: float) -> None:
        """Wait, at most until it is set, or a moment longer."""
        end_s = time.monotonic() + seconds
        while not self._is_set and (rest_s := end_s - time.monotonic()) > 0:
            time.sleep(min(_NAP_S, rest_s))


class CancelReason(StrEnum):
    """Why an upload was stopped."""

    WITHDRAWN = "the request was withdrawn"  # its file in the outbox is gone
    PAUSED = "uploads are paused"  # by a person; it is sent once they say so
    ENDING = "the uploader is ending"  # it is sent at the next start


class CancelledError(Exception):
    """The next piece may not go."""

    def __init__(self, reason: CancelReason) -> None:
        super().__init__(str(reason))
        self.reason = reason


@dataclass(frozen=True, kw_only=True, slots=True)
class Cancellation:
    """Asks whether one request's upload is to stop.

    Attributes:
        paths: with its file, and the one that stops all.
        id: the request's.
        stopping: set when the uploader is to end.
    """

    paths: SpoolPaths
    id: str
    stopping: StopFlag

    def check(self) -> None:
        """See that nobody wants it stopped.

        Raises:
            CancelledError: somebody does.
        """
        if self.stopping.is_set():
            raise CancelledError(CancelReason.ENDING)
        if os.path.lexists(self.paths.paused):
            raise CancelledError(CancelReason.PAUSED)
        if not os.path.lexists(self.paths.outbox / f"{self.id}.json"):
            raise CancelledError(CancelReason.WITHDRAWN)

    def sleep(self, seconds: float) -> None:
        """Wait, but not a moment after somebody wants it stopped.

        Raises:
            CancelledError: somebody does.
        """
        while seconds > 0:
            self.check()
            self.stopping.wait(min(_NAP_S, seconds))
            seconds -= _NAP_S
        self.check()
