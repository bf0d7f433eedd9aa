"""What a person decided about a picture that this journal does not know, found when the picture's new result is to be published.

An adoption finds it before anything is cut; but an older journal that lies beside an input without a marker, or with a marker of
the same age, does not show that it is older. So that nothing is overwritten that a person made or decided, a result is not
published if there is a record of the same bytes with a correction, a rejection, or the acceptance of what would be doubtful
again: that record is adopted. This module must not change a file.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from cutoutd.fs.tree import Tree
from cutoutd.journal.adopted import Adopted
from cutoutd.publish.digest import examine
from cutoutd.publish.faults import storage_faults
from cutoutd.publish.naming import failure_names
from cutoutd.publish.records import Records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.delivery.context import Context
    from cutoutd.jobs import Job
    from cutoutd.publish.plan import Publication
    from cutoutd.publish.records import Record

_NAMES: Final = 2
"""How many names of a result are looked at: its best one, and the one beside another picture of that name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UnknownDecisions:
    """The decisions about one folder's pictures that its records have and the journal does not.

    Attributes:
        context: context of the folder's delivery.
    """

    context: Context

    def adopt(self, job: Job, publication: Publication) -> bool:
        """Adopt what a person decided about a picture; returns whether there was anything, so that nothing is to be published.

        Args:
            job: the job, in work.
            publication: its new result.

        Raises:
            StorageError: the disk, the share or the journal fails.
        """
        sha256, journal = publication.facts.source.sha256, self.context.journal
        if journal.store.path is None:
            return False  # a person has named the picture, as with `cutoutd cut`, and no journal was ever kept of it
        if job.forced or publication.corrected or journal.sources.had_bytes(job, sha256):
            return False  # a person asked for it, or the journal knows what was decided
        with storage_faults(self.context.folder.output):
            found = [
                one
                for one in self._records(job, publication)
                if (one.path, one.sha256) == (job.path, sha256)
                and _is_decided(one, publication)
                and self._is_whole(one)
            ]
        if not found:
            return False
        record = max(found, key=lambda one: one.at_us)
        state, detail = record.outcome()
        adopted = Adopted(
            version=job.version,
            is_present=True,
            latest=record.failure is None,
            state=state,
            sha256=sha256,
            image_sha256=record.image_sha256,
            at_us=record.at_us,
            published=record.published,
            claims=record.claims,
            detail=detail,
            correction=record.correction,
            options=record.options.text(),
        )
        with journal.store.transaction():  # else the job could be started in between
            journal.queue.put_back(job.id)
            journal.sources.adopt(job.folder, [adopted])
        self.context.log.warning("job.decided-before", job=job.id, path=job.path, state=state)
        self.context.publisher.discard(job.id)
        self.context.job_ended(job, state, detail.get("why", ""), outputs=record.outputs)
        return True

    def _records(self, job: Job, publication: Publication) -> Iterator[Record]:
        folder, identity = self.context.folder, self.context.publisher.identity
        first = next(iter(publication.staged))
        names = [
            name
            for review in (False, True)
            for group in replace(publication, review=review).names(first)
            for name in itertools.islice(group, _NAMES)
        ]
        failed = [path for name in sorted(identity.names) for path in failure_names(name, job.path)]
        yield from Records(
            identity,
            output=folder.output,
            sidecar_dir=folder.sidecar_dir,
            renditions=folder.recipe().renditions,
        ).at(dict.fromkeys(names), dict.fromkeys(failed))

    def _is_whole(self, record: Record) -> bool:
        """Whether all results of a record are there, unchanged: else there is nothing that could be overwritten."""
        for one in record.published:
            with Tree(self.context.folder.output).find(one.path) as entry:
                found = None if entry is None else examine(entry)
            if found is None or found.sha256 != one.sha256:
                return False
        return record.are_all


def _is_decided(record: Record, publication: Publication) -> bool:
    """Whether a record has a decision that the publication would undo."""
    if record.failure is not None:
        return record.is_rejection
    is_accepted = not (record.review or record.doubtful) and (
        publication.review or publication.facts.doubtful
    )
    return record.correction is not None or is_accepted
