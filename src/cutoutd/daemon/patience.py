"""A start on a state directory whose disk is full or refuses: the daemon waits for it instead of giving up.

Only before there is any work: from then on each part waits for itself. It must not be used where a signal is to
end the work in order.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TypeVar

from cutoutd.errors import JournalError
from cutoutd.logs import get

if TYPE_CHECKING:
    from collections.abc import Callable

PAUSE_S: Final = 2.0

Made = TypeVar("Made")


class Patience:
    """How a start takes a refusal.

    Args:
        lasting: wait, for as long as it takes; otherwise the refusal is the answer.
    """

    def __init__(self, *, lasting: bool) -> None:
        self._lasting = lasting

    def until_done(self, step: Callable[[], Made]) -> Made:
        """Take a step of the start, again and again until the journal's disk lets it.

        Args:
            step: may be taken again after a refusal.

        Raises:
            JournalError: it was refused, and there is to be no waiting.
        """
        told = ""
        while True:
            try:
                return step()
            except JournalError as error:
                if not self._lasting:
                    raise
                if str(error) != told:
                    told = str(error)
                    get().error("daemon.waits", why=told)
            time.sleep(PAUSE_S)
