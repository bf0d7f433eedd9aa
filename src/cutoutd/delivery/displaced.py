"""Results that give way to another picture's: set aside for their own picture, and restored if that turns up nowhere.

    renamed onto a name in use -> the result there is kept under a private name -> its picture turns up, and it follows
                                                                               -> nothing turns up: it gets a name again

One that was replaced, since its picture's path has a later version now, goes instead. Used by the folder's delivery thread
alone.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from cutoutd.jobs import Version
from cutoutd.logs import get
from cutoutd.publish.displaced import kept_path
from cutoutd.publish.faults import storage_faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cutoutd.jobs import Job, Origin, Published
    from cutoutd.journal.journal import Journal
    from cutoutd.publish.records import Record, Records
    from cutoutd.publish.restoring import ResultRestorer
    from cutoutd.publish.reviews import Reviews
    from cutoutd.settings.schema import Folder

KEPT_S: Final = 60.0
"""A result that gave its name to another picture's is kept for its own picture: renames of many come within this."""


class DisplacedResults:
    """The results of one folder that were set aside.

    Args:
        folder: its settings.
        journal: knows whose they are.
        files: sets results aside, and removes them.
        kept: gives them back.
        records: reads the sidecars of what is kept.
        rest: has something done after so many seconds.
        now_us: gives UTC microseconds.
    """

    def __init__(
        self,
        folder: Folder,
        *,
        journal: Journal,
        files: Reviews,
        restorer: ResultRestorer,
        records: Records,
        rest: Callable[[Callable[[], None], float], None],
        now_us: Callable[[], int],
    ) -> None:
        self._folder = folder
        self._journal = journal
        self._files = files
        self._restorer = restorer
        self._records = records
        self._rest = rest
        self._now_us = now_us
        self._is_expiring = False
        self._log = get(folder=folder.name)

    def displace_for(self, job: Job, origin: Origin | None = None) -> None:
        """Set aside the results of pictures that had a job's path before and may lie elsewhere by now.

        Args:
            job: its result is to be published.
            origin: where its picture lay before; None: it was cut. Then an earlier picture keeps the name of its result.

        Raises:
            StorageError: the disk or share does not answer as it should; to be called again.
        """
        for one in self._journal.displaced.at_path_of(job):
            # Of a picture that is renamed at the same time as others, nothing may be known yet.
            is_due = one.may_lie_elsewhere or (one.is_later and origin is not None)
            is_meant = one.is_later or origin is not None
            if not (is_due and is_meant) or (origin is not None and _is_same_source(one.origin, origin)):
                continue
            shown = self._journal.reservations.earlier(job.folder, job.path, one.origin.generation)
            kept = self._files.displace(job.path, shown) if shown else ()
            if kept:
                self._journal.displaced.put(job, one, kept, self._now_us())
                self._expire_later()

    def expire(self) -> None:
        """End what was set aside and is nobody's; again later, as long as something is kept.

        Raises:
            StorageError: the disk or share does not answer as it should; to be called again.
        """
        displaced = self._journal.displaced
        for one in displaced.unclaimed(self._folder.name, self._now_us() - int(KEPT_S * 1e6)):
            kept = self._journal.reservations.earlier(
                self._folder.name, one.origin.path, one.origin.generation
            )
            if one.returns:
                self._restore(one.origin, kept)
            else:
                self._files.clear(one.origin.path, kept)
                displaced.drop(self._folder.name, one.origin)
                self._log.info("move.not-claimed", path=one.origin.path)
        self._is_expiring = False
        if displaced.has_kept(self._folder.name):
            self._expire_later()

    def restore_all(self) -> None:
        """Give all of it back: nobody looks after this folder from now on.

        Raises:
            StorageError: the disk or share does not answer as it should.
        """
        for one in self._journal.displaced.unclaimed(self._folder.name, None):
            kept = self._journal.reservations.earlier(
                self._folder.name, one.origin.path, one.origin.generation
            )
            self._restore(one.origin, kept)

    def adopt_strays(self) -> None:
        """See to kept results that no row leads to: the journal was lost, or a run died between two steps.

        Raises:
            StorageError: the disk or share does not answer as it should; to be called again.
        """
        named: set[str] = set()
        with storage_faults(self._folder.output):
            records = list(self._records.kept())
        for path, record in records:
            kept = [replace(one, path=kept_path(record.path, one)) for one in record.published]
            named |= {one.path for one in kept}
            if record.are_all and not self._journal.displaced.leads_to(
                self._folder.name, record.path, {one.path for one in kept}
            ):
                self._settle(path, record, kept)
        for path in self._restorer.strays():
            if path not in named and not self._journal.displaced.is_named(path):
                # It may be half a file. Nothing is removed that lies nowhere else.
                self._log.warning("kept.without-sidecar", path=str(self._folder.output / path))

    def _settle(self, path: str, record: Record, kept: Sequence[Published]) -> None:
        name, displaced = self._folder.name, self._journal.displaced
        if self._restorer.are_under_their_names(record.published) or self._restorer.are_gone(kept):
            self._restorer.forget(kept)
            return
        if not self._restorer.are_whole(kept):
            self._log.warning("kept.not-whole", path=str(self._folder.output / path))
            return
        owner = displaced.owner(name, record.path, record.published[0])
        if owner is not None:  # a run died before it was written down: nothing was set aside
            self._restore(owner, kept)
            return
        version = Version(path=record.path, size=record.size, mtime_ns=record.mtime_ns)
        displaced.take_up(name, version, record.sha256 or "", kept, self._now_us())
        self._log.info("kept.taken-up", path=record.path)

    def _restore(self, origin: Origin, kept: Sequence[Published]) -> None:
        name = self._folder.name
        with self._reserving(origin) as reserve:
            restored = self._restorer.restore(origin.path, kept, reserve)
            if restored.results:
                self._journal.displaced.give_back(name, origin, restored.results, restored.claims)
            else:
                self._journal.displaced.drop(name, origin)
        self._restorer.forget(kept)
        outputs = [one.path for one in restored.results]
        self._log.info("move.restored-back", path=origin.path, outputs=outputs)

    @contextmanager
    def _reserving(self, origin: Origin) -> Iterator[Callable[[Sequence[bytes]], bool]]:
        reservations, name = self._journal.reservations, self._folder.name
        try:
            yield partial(reservations.reserve, name, origin.path, generation=origin.generation)
        finally:
            reservations.release(name, origin.path)

    def _expire_later(self) -> None:
        if not self._is_expiring:
            self._is_expiring = True
            self._rest(self.expire, KEPT_S)


def _is_same_source(one: Origin, other: Origin) -> bool:
    return (one.path, one.generation) == (other.path, other.generation)
