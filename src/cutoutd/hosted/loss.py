"""A ledger that lacks uploads the journal knows of: nothing is sent before a person says so, since limits go by it.

It must not mend the ledger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cutoutd import logs
from cutoutd.uploaded import Known, read_known, write_known

if TYPE_CHECKING:
    from cutoutd.hosted.office import Office


class Loss:
    """What the ledger lacks.

    Args:
        office: with ledger and directories.

    Attributes:
        why: nothing is sent, in words; empty if the ledger is whole, or a person has accepted what it lacks.
    """

    def __init__(self, office: Office) -> None:
        self._office = office
        self._told: Known | None = None
        self._missing = 0
        self.why = ""

    def look(self) -> None:
        """Compare the ledger with what the supervisor tells of the journal, whenever that has changed.

        Raises:
            LedgerError: the disk refuses.
        """
        places, ledger = self._office.places, self._office.ledger
        told = read_known(places.uploaded)
        if told is None or told == self._told:
            return
        accepted = read_known(places.accepted) or Known(count=0, last="", at="")
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
            OSError: the disk refuses.
        """
        if self.why and self._told is not None:
            known = Known(count=max(0, self._missing), last=self._told.last, at=self._told.at)
            write_known(self._office.places.accepted, known)
            logs.get().warning("hosted.ledger-accepted", why=self.why)
            self.why = ""

    def _words(self, told: Known) -> str:
        return (
            f"the ledger of uploads is not whole: the journal knows of {told.count} pictures that were sent, the last on "
            f"{told.at}, and the ledger lacks {max(1, self._missing)} of them, so what was spent today is not known. Put "
            "a backup in its place and start cutoutd again, or say `cutoutd resume --hosted`: then limits go by what "
            "the ledger has"
        )
