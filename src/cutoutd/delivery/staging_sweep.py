"""Clears away what dead runs staged in one folder and no plan needs; used by its delivery thread alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cutoutd.errors import CutoutdError
from cutoutd.logs import get

if TYPE_CHECKING:
    from cutoutd.delivery.originals import OriginalsCleanup
    from cutoutd.delivery.task_queue import SerialTaskQueue
    from cutoutd.publish.publisher import Publisher


class Sweeping:
    """The folder's broom.

    Args:
        folder: its name.
        publisher: knows where results are staged.
        originals: knows where copies of originals are.
        tasks: knows what still needs what is staged.
    """

    def __init__(
        self, folder: str, publisher: Publisher, originals: OriginalsCleanup, tasks: SerialTaskQueue
    ) -> None:
        self._publisher = publisher
        self._originals = originals
        self._tasks = tasks
        self._log = get(folder=folder)

    def sweep(self, dead: frozenset[str]) -> None:
        """Clear away what runs with these ids left."""
        self._originals.sweep(dead)
        if self._tasks.needs_staged:
            return  # it may still need what is staged; the next start sweeps
        try:
            removed = self._publisher.sweep(dead)
        except CutoutdError as error:
            self._log.warning("staging.not-swept", why=str(error))
        else:
            if removed:
                self._log.info("staging.swept", files=removed)
