"""The journal as methods read it: what is wrong with it becomes an answer that a person understands.

A method never holds it open between two statements, so that it holds up no commit of the daemon's. It writes nothing itself.
"""

from __future__ import annotations

import weakref
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cutoutd.errors import CutoutdError, JournalError
from cutoutd.journal.listing import Listing
from cutoutd.journal.store import JournalDamagedError, JournalNewerError, JournalOlderError
from cutoutd.page.backend.method import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cutoutd.journal.listing import JobGroup
    from cutoutd.journal.store import Store
    from cutoutd.page.backend.method import Backend

_REFUSALS: Final = (
    (
        JournalDamagedError,
        "journal_damaged",
        "The journal was damaged, replaced or removed. cutoutd makes it anew when it starts; pictures and cutouts are untouched.",
    ),
    (
        JournalNewerError,
        "journal_newer",
        "The journal is a newer cutoutd's. Start the page again with the version that runs.",
    ),
    (
        JournalOlderError,
        "journal_older",
        "The journal is an earlier cutoutd's. Start cutoutd: it takes the journal over.",
    ),
    (
        JournalError,
        "journal_busy",
        "The journal does not answer just now: its disk is full or does not work, or another program holds it. Try again.",
    ),
)
_NO_JOURNAL: Final = (
    "Nothing is written down yet: cutoutd was never started with this configuration. Start it."
)


@contextmanager
def journal(backend: Backend) -> Iterator[Store | None]:
    """The open journal; None as long as there is none.

    Raises:
        RefusedError: 503; it cannot be read, or written.
    """
    try:
        yield backend.open_store()
    except CutoutdError as error:
        for kind, code, text in _REFUSALS:
            if isinstance(error, kind):
                raise RefusedError(503, code, text, cause=error.cause) from error
        raise


@contextmanager
def required(backend: Backend) -> Iterator[Store]:
    """The open journal.

    Raises:
        RefusedError: 503; there is none, or it cannot be read, or written.
    """
    with journal(backend) as store:
        if store is None:
            raise RefusedError(503, "no_journal", _NO_JOURNAL)
        yield store


@dataclass(frozen=True, kw_only=True, slots=True)
class _Counted:
    """Counts, and the version of the journal that they are of."""

    version: int
    kinds: Mapping[JobGroup, int]


class Counts:
    """How many pictures there are of each kind; counted anew when the journal has changed."""

    def __init__(self) -> None:
        self._counted: weakref.WeakKeyDictionary[Store, _Counted] = weakref.WeakKeyDictionary()

    def of(self, store: Store) -> Mapping[JobGroup, int]:
        """Of this journal, as it is now."""
        version = store.data_version()
        known = self._counted.get(store)
        if known is None or known.version != version:
            known = _Counted(version=version, kinds=Listing(store).kinds())
            self._counted[store] = known
        return known.kinds


def counts(backend: Backend, store: Store) -> Mapping[JobGroup, int]:
    """How many pictures there are of each kind."""
    kept: Counts = backend.parts.setdefault("counts", Counts())
    return kept.of(store)
