"""What the parts of one folder's delivery share: the settings, the journal, the publisher, and the receiver of results.

It must not publish, nor decide anything.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd import job_options
from cutoutd.events import JobEnded
from cutoutd.intake.verification import has_bytes
from cutoutd.publish.faults import storage_faults
from cutoutd.publish.naming import forms, has_kind
from cutoutd.publish.plan import Publication
from cutoutd.settings.types import Moves

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from structlog.typing import FilteringBoundLogger

    from cutoutd.clock import Clock
    from cutoutd.delivery.sidecar_factory import SidecarFactory
    from cutoutd.delivery.task_queue import SerialTaskQueue
    from cutoutd.faults.circuit_breaker import CircuitBreaker
    from cutoutd.fs.tree import Boundary
    from cutoutd.jobs import Cut, Job, JobState, Origin, Published
    from cutoutd.journal.journal import Journal
    from cutoutd.publish.publisher import Publisher
    from cutoutd.recipe import Rendition
    from cutoutd.settings.schema import Folder


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderChecks:
    """What a folder's watching side knows, asked immediately before something in the folder changes.

    Attributes:
        owner: raises NotOwnerError if another machine has the folder now.
        places: raises PlaceAwayError if a place for results or originals is not mounted any more.
        boundary: returns what inside the input does not belong to the folder.
    """

    owner: Callable[[], None] = lambda: None
    places: Callable[[], None] = lambda: None
    boundary: Callable[[], Boundary | None] = lambda: None


UNCHECKED: Final = FolderChecks()
"""Of a folder that nobody else has, as of named files."""


# Without a repr: it would fill every traceback with a whole folder and journal.
@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class Context:
    """The context of one folder's delivery.

    Attributes:
        folder: settings of the folder.
        journal: the journal, in which each step is recorded.
        publisher: publishes the files.
        sidecar_factory: provides model, settings and runtime for sidecars.
        clock: clock for the times that are written.
        breaker: the folder's circuit breaker.
        tasks: the tasks of the delivery's thread.
        tell: receives each ended job, in the delivery's thread.
        checks: what the folder's watching side knows.
        log: logger bound to the folder.
        named: name that a person gave to the only result; empty: results are named after their sources.
    """

    folder: Folder
    journal: Journal
    publisher: Publisher
    sidecar_factory: SidecarFactory
    clock: Clock
    breaker: CircuitBreaker
    tasks: SerialTaskQueue
    tell: Callable[[JobEnded], None]
    checks: FolderChecks
    log: FilteringBoundLogger
    named: str = ""

    def prove_ownership(self) -> None:
        """Check that this machine may publish, and that what it publishes gets where it belongs.

        Raises:
            NotOwnerError: another machine has the folder.
            StorageError: a place for results or originals is not mounted, or it cannot be found out.
        """
        with storage_faults(self.folder.input):
            self.checks.owner()
        self.prove_places()

    def prove_places(self) -> None:
        """Check that the places for results and originals are on the disks and shares that they were on.

        Raises:
            StorageError: one is not, or it cannot be found out.
        """
        with storage_faults(self.folder.output):
            self.checks.places()

    def has_bytes(self, job: Job, sha256: str) -> bool:
        """Whether a job's picture has these bytes.

        Raises:
            StorageError: the disk or share fails.
        """
        with storage_faults(self.folder.input):
            return has_bytes(str(self.folder.input), job.version, sha256) is True

    def published(self, path: str, generation: int) -> tuple[Published, ...]:
        """Return what is published for one generation of a source, in its ordinary place and in ``review/``."""
        return self.journal.reservations.earlier(self.folder.name, path, generation)

    def outputs(self, published: Sequence[Published]) -> tuple[str, ...]:
        """Return the absolute paths of results."""
        return tuple(str(self.folder.output / one.path) for one in published)

    def renditions(self, job: Job) -> tuple[Rendition, ...]:
        """Return the renditions of a job's results, from the folder's settings and the job's options."""
        # The place of a background does not affect the names.
        return job_options.of_text(job.options).renditions(self.folder.recipe().renditions, Path())

    def publication(
        self,
        job: Job,
        cut: Cut,
        *,
        earlier: tuple[Published, ...] = (),
        known: frozenset[str] | None = None,
        document: Mapping[str, Any] | None = None,
        moved_from: Origin | None = None,
        doubtful: bool = False,
    ) -> Publication:
        """Return the publication of a job's results.

        Args:
            job: the job.
            cut: the worker's report of the results.
            earlier: results under other names that they replace, besides those of the job's source.
            known: SHA-256 of the source's bytes that are published; None: as the journal has them.
            document: the sidecar that the results had before; None: there is none.
            moved_from: where the picture was before; None: it was not moved.
            doubtful: whether the results may be wrong.
        """
        number = 0 if cut.corrected is None else cut.corrected.number
        correction = self.journal.corrections.numbered(job, number) if number else None
        return Publication(
            facts=replace(self.sidecar_factory.sidecar_facts(job, cut, correction), doubtful=doubtful),
            staged=cut.staged,
            renditions=self.renditions(job),
            review=cut.review,
            earlier=(*earlier, *self.published(job.path, job.generation)),
            known=self.journal.reservations.known(job) if known is None else known,
            document=document,
            moved_from=moved_from,
            again=job.generation > 0
            and not any(has_kind(one, job.path) for one in self.journal.reservations.of_others(job)),
            forms=forms(portable=self.folder.has_portable_names),
            keeps_names=self.folder.moves is Moves.KEEP,
        )

    def job_ended(
        self,
        job: Job,
        state: JobState,
        why: str,
        *,
        outputs: tuple[str, ...] = (),
        advice: str = "",
        record: str = "",
    ) -> None:
        """Report the end of a job."""
        self.tell(replace(JobEnded.of(job, state, why, advice), outputs=outputs, record=record))
