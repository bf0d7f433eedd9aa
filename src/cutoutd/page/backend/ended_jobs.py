"""Which jobs of a folder ended since they were looked for last, by the times in the journal.

The wall clock that gives these may be set back, and what ended before then has a time that is still to come: so it may be for hours
after a computer's clock was wrong. Both are told of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cutoutd.journal.listing import Listing

_REMEMBERED: Final = 1000
"""Jobs with a time that is still to come; of more, some are told of again when it comes."""

_LOOKED_BACK_US: Final = 20_000_000
"""Before the first look after the clock was set back: what ended in between is told of, and what did so by the clock before again."""


class RecentlyEnded:
    """The jobs of one folder that ended.

    Args:
        listing: lists of the journal.
        folder: name of the folder.
        now_us: time, UTC microseconds; what ended before was told of.
    """

    def __init__(self, listing: Listing, folder: str, now_us: int) -> None:
        self._folder = folder
        self._last_us = listing.ended_us(folder)
        self._ahead_us: int | None = None
        self._told: frozenset[tuple[int, int]] = frozenset()
        self._check_clock(listing, now_us)

    def since(self, listing: Listing, now_us: int, *, limit: int) -> list[tuple[int, int]]:
        """Return ids and times of those that ended since the last call, in no order; a few more than ``limit`` if there are as many.

        Args:
            listing: lists of the journal.
            now_us: time, UTC microseconds.
            limit: the most that are wanted.
        """
        self._check_clock(listing, now_us)
        found = listing.ended(self._folder, self._last_us, now_us, limit=limit + len(self._told))
        self._last_us = max((at_us for _, at_us in found), default=self._last_us)
        ahead = listing.ended(self._folder, max(now_us, self._ahead_us or 0), limit=limit)
        news = [*(one for one in found if one not in self._told), *ahead]
        if ahead:  # the clock was set back between its end and now
            self._ahead_us = max(at_us for _, at_us in ahead)
            self._told |= set(ahead)
        elif self._ahead_us is not None and now_us > self._ahead_us:
            self._ahead_us, self._told = None, frozenset()
        return news

    def _check_clock(self, listing: Listing, now_us: int) -> None:
        if self._last_us > now_us:
            self._ahead_us = max(self._last_us, self._ahead_us or 0)
            self._last_us = now_us - _LOOKED_BACK_US
            self._told = frozenset(listing.ended(self._folder, now_us, limit=_REMEMBERED))
