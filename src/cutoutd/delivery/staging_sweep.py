"""Clears away what dead runs staged in one folder and no plan needs; used by its delivery thread alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cutoutd.errors import CutoutdError
from cutoutd.logs import get

if TYPE_CHECKING:
    from cutoutd.delivery.originals import Disposals
    from cutoutd.delivery.task_queue import Deeds
    from cutoutd.publish.publisher import Publisher


class Sweeping:
    """The folder's broom.

    Args:
        folder: its name.
        publisher: knows where results are staged.
        disposals: knows where copies of originals are.
        deeds: knows what still needs what is staged.
    """

    def __init__(self, folder: str, publisher: Publisher, disposals: Disposals, deeds: Deeds) -> None:
        self._publisher = publisher
        self._disposals = disposals
        self._deeds = deeds
        self._log = get(folder=folder)

    def sweep(self, dead: frozenset[str]) -> None:
        """Clear away what runs with these ids left."""
        self._disposals.sweep(dead)
        if self._deeds.needs_staged:
            return  # it may still need what is staged; the next start sweeps
        try:
            removed = self._publisher.sweep(dead)
        except CutoutdError as error:
            self._log.warning("staging.not-swept", why=str(error))
        else:
            if removed:
                self._log.info("staging.swept", files=removed)
