"""Numbers of pictures by state, counted again only when the journal has changed."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cutoutd.journal.listing import Listing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.journal.listing import JobGroup
    from cutoutd.journal.store import Store
    from cutoutd.page.backend.method import Backend


@dataclass(frozen=True, kw_only=True, slots=True)
class _Counted:
    """Counts, and the version of the journal they belong to."""

    version: int
    kinds: Mapping[JobGroup, int]


class Counts:
    """Numbers of pictures by state; counted again when the journal has changed."""

    def __init__(self) -> None:
        self._counted: weakref.WeakKeyDictionary[Store, _Counted] = weakref.WeakKeyDictionary()

    def of(self, store: Store) -> Mapping[JobGroup, int]:
        """Return the current counts of a journal."""
        version = store.data_version()
        known = self._counted.get(store)
        if known is None or known.version != version:
            known = _Counted(version=version, kinds=Listing(store).kinds())
            self._counted[store] = known
        return known.kinds


def counts(backend: Backend, store: Store) -> Mapping[JobGroup, int]:
    """How many pictures there are of each kind."""
    return backend.shared.get(Counts, Counts).of(store)
