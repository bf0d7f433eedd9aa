"""Displaced results: they make room for another picture's, are kept for their own picture, and restored if it is not found.

    a picture is renamed onto a used name -> the result there is kept under a private name -> its picture is found: moved along
                                                                                           -> not found: it gets a name again

A result whose picture's path has a later version now is deleted instead. Used only by the folder's delivery thread.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from cutoutd.jobs import Version
from cutoutd.publish.displaced import kept_path
from cutoutd.publish.faults import storage_faults
from cutoutd.publish.records import Records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cutoutd.delivery.context import Context
    from cutoutd.jobs import Job, Origin, Published
    from cutoutd.publish.records import Record

KEPT_S: Final = 60.0
"""How long a displaced result is kept for its own picture; a rename of many pictures is complete within this time."""


class DisplacedResults:
    """The displaced results of one folder.

    Each method raises StorageError if the disk or share fails, and may be called again then.

    Args:
        context: context of the folder's delivery.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._folder = context.folder
        self._displaced = context.journal.displaced
        self._files = context.publisher.reviews
        self._restorer = context.publisher.displaced
        self._is_expiring = False

    def displace_for(self, job: Job, origin: Origin | None = None) -> None:
        """Displace the results of pictures that had a job's path before and may be elsewhere now.

        Args:
            job: the job whose result is to be published.
            origin: where its picture was before; None: it was cut, and an earlier picture keeps the name of its result.
        """
        for one in self._displaced.at_path_of(job):
            # Of a picture that is renamed together with others, nothing may be known yet.
            is_due = one.may_lie_elsewhere or (one.is_later and origin is not None)
            is_meant = one.is_later or origin is not None
            if not (is_due and is_meant) or (origin is not None and _is_same_source(one.origin, origin)):
                continue
            shown = self._context.published(job.path, one.origin.generation)
            kept = self._files.displace(job.path, shown) if shown else ()
            if kept:
                self._displaced.displace(job, one, kept, self._context.clock.now_us())
                self._expire_later()

    def expire(self) -> None:
        """Restore or delete displaced results whose pictures were not found; repeated as long as any are kept.

        Only once all pictures were looked at that came while no daemon ran: one of them may own a kept result.
        """
        self._context.prove_places()
        for one in self._displaced.unclaimed(
            self._folder.name, self._context.clock.now_us() - int(KEPT_S * 1e6)
        ):
            kept = self._context.published(one.origin.path, one.origin.generation)
            if one.returns:
                self._restore(one.origin, kept)
            else:
                self._files.clear(one.origin.path, kept)
                self._displaced.drop(self._folder.name, one.origin)
                self._context.log.info("move.not-claimed", path=one.origin.path)
        self._is_expiring = False
        if self._displaced.has_kept(self._folder.name):
            self._expire_later()

    def restore_all(self) -> None:
        """Restore all displaced results: the folder may not be started again."""
        self._context.prove_places()
        for one in self._displaced.unclaimed(self._folder.name, None):
            kept = self._context.published(one.origin.path, one.origin.generation)
            self._restore(one.origin, kept)

    def adopt_strays(self) -> None:
        """Handle kept results that the journal does not know: it was lost, or a session was interrupted between two steps."""
        self._context.prove_places()
        named: set[str] = set()
        with storage_faults(self._folder.output):
            records = list(self._records().kept())
        for path, record in records:
            kept = [replace(one, path=kept_path(record.path, one)) for one in record.published]
            named |= {one.path for one in kept}
            if record.are_all and not self._displaced.has_kept_name(
                self._folder.name, record.path, {one.path for one in kept}
            ):
                self._settle(path, record, kept)
        self._restorer.tidy()
        for path in self._restorer.strays():
            if path not in named and not self._displaced.is_named(path):
                # It may be an incomplete file. A file without a copy is never removed.
                self._context.log.warning("kept.without-sidecar", path=str(self._folder.output / path))

    def _settle(self, path: str, record: Record, kept: Sequence[Published]) -> None:
        name = self._folder.name
        are_there = self._restorer.are_under_their_names(record.path, record.published, path)
        if are_there or self._restorer.are_gone(kept):
            self._restorer.forget(kept)
            return
        if not self._restorer.are_whole(kept):
            self._context.log.warning("kept.not-whole", path=str(self._folder.output / path))
            return
        owner = self._displaced.owner(name, record.path, record.published[0])
        if owner is not None:  # interrupted before it was recorded: nothing was displaced
            self._restore(owner, kept)
            return
        version = Version(path=record.path, size=record.size, mtime_ns=record.mtime_ns)
        self._displaced.record_kept(name, version, record.sha256 or "", kept, self._context.clock.now_us())
        self._context.log.info("kept.taken-up", path=record.path)

    def _restore(self, origin: Origin, kept: Sequence[Published]) -> None:
        name = self._folder.name
        with self._reserving(origin) as reserve:
            restored = self._restorer.restore(origin.path, kept, reserve)
            if restored.results:
                self._displaced.give_back(name, origin, restored.results, restored.claims)
            else:
                self._displaced.drop(name, origin)
        self._restorer.forget(kept)
        outputs = [one.path for one in restored.results]
        self._context.log.info("move.given-back", path=origin.path, outputs=outputs)

    @contextmanager
    def _reserving(self, origin: Origin) -> Iterator[Callable[[Sequence[bytes]], bool]]:
        names, name = self._context.journal.reservations, self._folder.name
        try:
            yield partial(names.reserve, name, origin.path, generation=origin.generation)
        finally:
            names.release(name, origin.path)

    def _records(self) -> Records:
        """Return the reader of the sidecars of kept results."""
        return Records(
            self._context.publisher.identity,
            output=self._folder.output,
            sidecar_dir=self._folder.sidecar_dir,
            renditions=self._folder.recipe().renditions,
        )

    def _expire_later(self) -> None:
        if not self._is_expiring:
            self._is_expiring = True
            self._context.tasks.retry_later(self.expire, KEPT_S, needs_staged=False)


def _is_same_source(one: Origin, other: Origin) -> bool:
    return (one.path, one.generation) == (other.path, other.generation)
