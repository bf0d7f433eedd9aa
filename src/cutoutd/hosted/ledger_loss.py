"""A ledger that lacks uploads the journal knows of: nothing is sent before a person says so, since limits go by it.

It must not mend the ledger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cutoutd import logs
from cutoutd.clock import rfc3339
from cutoutd.offload.upload_records import KnownUploads, read_known, write_known

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.hosted.context import UploadContext

_DAY: Final = slice(0, 10)


class LedgerCheck:
    """What the ledger lacks.

    Args:
        context: with ledger and directories.

    Attributes:
        why: nothing is sent, in words; empty if the ledger is whole, or a person has accepted what it lacks.
    """

    def __init__(self, context: UploadContext) -> None:
        self._context = context
        self._told: KnownUploads | None = None
        self._missing = 0
        self.why = ""

    def look(self) -> None:
        """Compare the ledger with what the supervisor tells of the journal, whenever that has changed.

        Raises:
            LedgerError: the disk refuses.
        """
        paths, ledger = self._context.paths, self._context.ledger
        told = read_known(paths.uploaded)
        if told is None or told == self._told:
            return
        accepted = read_known(paths.accepted) or KnownUploads(count=0, last="", at="")
        self._missing = told.count - ledger.count()
        knows_last = told.last == accepted.last or ledger.knows(told.last)
        is_whole = self._missing <= accepted.count and knows_last
        self._told = told
        before, self.why = self.why, "" if is_whole else self._words(told)
        if self.why and not before:
            logs.get().warning("hosted.ledger-not-whole", why=self.why)

    def accept(self) -> None:
        """A person says that uploads go on with the ledger as it is.

        Raises:
            OSError, LedgerError: the disk refuses.
        """
        if self.why and self._told is not None:
            told, context = self._told, self._context
            today = {name: one.credits for name, one in context.ledger.day(context.clock.now_us()).items()}
            day = rfc3339(context.clock.now_us())[_DAY]
            before = read_known(context.paths.accepted)
            # What was accepted earlier today is lacking still.
            lost = lacking(told if told.day == day else None, today)
            if before is not None and before.day == day:
                lost = {
                    name: max(lost.get(name, 0.0), before.credits.get(name, 0.0))
                    for name in lost | dict(before.credits)
                }
            known = KnownUploads(
                count=max(0, self._missing), last=told.last, at=told.at, day=day, credits=lost
            )
            write_known(context.paths.accepted, known)
            logs.get().warning("hosted.ledger-accepted", why=self.why)
            self.why = ""

    def _words(self, told: KnownUploads) -> str:
        return (
            f"the ledger of uploads is not whole: the journal knows of {told.count} pictures that were sent, the last on "
            f"{told.at}, and the ledger lacks {max(1, self._missing)} of them, so what was spent today is not known. Put "
            "a backup in its place and start cutoutd again, or say `cutoutd resume --hosted`: then today's limits count "
            "what the ledger and the journal have"
        )


def lacking(known: KnownUploads | None, spent: Mapping[str, float]) -> dict[str, float]:
    """Credits of a day by folder that are known of, and that a ledger does not have.

    Args:
        known: of that day; None: nothing is.
        spent: as the ledger has them.
    """
    if known is None:
        return {}
    lost = {name: round(one - spent.get(name, 0.0), 6) for name, one in known.credits.items()}
    return {name: one for name, one in lost.items() if one > 0}
