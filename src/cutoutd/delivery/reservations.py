"""Who has which name, over all folders, as one source sees it: `cutoutd.publish.targets.Claims` over the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cutoutd.publish.naming import has_kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cutoutd.jobs import Job, Origin
    from cutoutd.journal.journal import Journal


class NameReservations:
    """The claims of one job's source."""

    def __init__(self, journal: Journal, job: Job, origin: Origin | None = None) -> None:
        self._journal = journal
        self._job = job
        self._origin = origin

    def reserve(self, keys: Sequence[bytes]) -> bool:
        """Keep all of these names for the source; False, and none is kept, if another source has one."""
        job = self._job
        return self._journal.reservations.reserve(
            job.folder, job.path, keys, generation=job.generation, origin=self._origin
        )


def is_another(journal: Journal, job: Job) -> bool:
    """Whether other pictures had the name of a job's source before, with no kind in their results' names."""
    others = journal.reservations.of_others(job)
    return job.generation > 0 and not any(has_kind(one, job.path) for one in others)
