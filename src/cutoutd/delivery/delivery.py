"""A folder's delivery: gives its results their names, writes down its failures, and repairs after a crash.

A thread of its own for each folder, since any call on a share may hang and must hold up nobody else.
It must not touch pictures: what it renames, workers have staged.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from cutoutd.circuit_breaker import CircuitBreaker
from cutoutd.delivery.displaced import DisplacedResults
from cutoutd.delivery.endings import FailedJobs
from cutoutd.delivery.failures import INVENTED, FailureRecords
from cutoutd.delivery.faulted import JobGuard
from cutoutd.delivery.moves import NOT_MOVED, MovedPictures
from cutoutd.delivery.originals import OriginalsCleanup
from cutoutd.delivery.pending_retries import PendingRetries
from cutoutd.delivery.present import present
from cutoutd.delivery.reservations import NameReservations, is_another
from cutoutd.delivery.reviews import DecidedReviews
from cutoutd.delivery.staging_sweep import Sweeping
from cutoutd.delivery.task_queue import SerialTaskQueue
from cutoutd.errors import CutoutdError, JournalError, StorageError, TemporaryError
from cutoutd.events import JobEnded
from cutoutd.failure import failure_of
from cutoutd.intake.verification import has_bytes, has_pixels
from cutoutd.jobs import JobState, Unchanged
from cutoutd.lease.lease import NotOwnerError
from cutoutd.logs import get
from cutoutd.publish.faults import (
    NameRefusedError,
    ResultLostError,
    TargetTakenError,
    storage_faults,
)
from cutoutd.publish.naming import forms
from cutoutd.publish.plan import Plan, Publication
from cutoutd.publish.records import Records
from cutoutd.publish.sidecar import says_doubtful
from cutoutd.recipe import Format

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cutoutd.clock import Clock
    from cutoutd.delivery.sidecar_factory import SidecarFactory
    from cutoutd.delivery.task_queue import QueuedTask
    from cutoutd.fs.tree import Boundary
    from cutoutd.jobs import Cut, Failure, Job, Moved, Origin
    from cutoutd.journal.journal import Journal
    from cutoutd.journal.reservations import LastPublished
    from cutoutd.publish.publisher import Publisher
    from cutoutd.settings.schema import Folder

_TAKEN_AWAY: Final = "unchanged; its cutout is not there any more, and `cutoutd retry` makes it again"


class Delivery:
    """The publishing side of one hot folder.

    Args:
        folder: its settings.
        journal: where each step is written down.
        publisher: gives the names.
        sidecar_factory: knows what a sidecar says of model, settings and runtime.
        clock: for the times written down.
        run: id of this run.
        tell: is given each result, from this thread.
        wake: called when the supervisor has something new to look at.
        prove: raises where this machine may not publish, as another has the folder now.
        boundary: gives what inside the input belongs to somebody else.
        named: the name that a person gave the only result; empty: names go by the source.
    """

    def __init__(  # noqa: PLR0913 -- its parts, each by its name, put together in one place
        self,
        folder: Folder,
        *,
        journal: Journal,
        publisher: Publisher,
        sidecar_factory: SidecarFactory,
        clock: Clock,
        run: str,
        tell: Callable[[JobEnded], None],
        wake: Callable[[], None],
        prove: Callable[[], None] = lambda: None,
        boundary: Callable[[], Boundary | None] = lambda: None,
        named: str = "",
    ) -> None:
        self._folder = folder
        self._named = named
        self._journal = journal
        self._publisher = publisher
        self._provenance = sidecar_factory
        self._clock = clock
        self._tell = tell
        self._prove = prove
        self._run_id = run
        self.breaker = CircuitBreaker(folder.name, clock)
        self._tasks = SerialTaskQueue(
            folder.name,
            clock,
            wake,
            on_refused=self._record_refusal,
            on_recovered=self.breaker.record_success,
        )
        self._originals = OriginalsCleanup(
            folder, journal, self._tasks, run, prove=self._prove_or_fail, boundary=boundary
        )
        self._failures = FailureRecords(
            folder.name,
            publisher.failures,
            queue=journal.queue,
            tasks=self._tasks,
            sidecar_factory=sidecar_factory,
            prove=self._prove_or_fail,
        )
        self._pending_retries = PendingRetries(folder.name, self.breaker)
        self._failed_jobs = FailedJobs(
            folder.name,
            journal=journal,
            publisher=publisher,
            failures=self._failures,
            pending_retries=self._pending_retries,
            breaker=self.breaker,
            tell=tell,
            clear_moved=self._clear_moved,
            prove=self._prove_or_fail,
        )
        self._reviews = DecidedReviews(
            folder,
            publisher.reviews,
            journal=journal,
            sidecar_factory=sidecar_factory,
            publish=self._publish,
            fail=self._failed_jobs.fail,
            wait=self._wait,
            prove=self._prove_or_fail,
        )
        self._displaced = DisplacedResults(
            folder,
            journal=journal,
            files=publisher.reviews,
            restorer=publisher.displaced,
            records=Records(
                publisher.identity,
                output=folder.output,
                sidecar_dir=folder.sidecar_dir,
                renditions=folder.recipe().renditions,
            ),
            rest=partial(self._tasks.retry_later, needs_staged=False),
            now_us=clock.now_us,
        )
        self._moves = MovedPictures(
            folder,
            publisher.reviews,
            journal=journal,
            sidecar_factory=sidecar_factory,
            publish=self._publish,
            keep=self._keep_moved,
            fail=self._failed_jobs.fail,
            clear_failure=self._failures.clear,
            displace_for=self._displaced.displace_for,
            has_taken=self._originals.has_taken,
        )
        self._guard = JobGuard(folder.name, journal, publisher, self._tasks, self._failed_jobs.fail)
        self._sweeping = Sweeping(folder.name, publisher, self._originals, self._tasks)
        self._log = get(folder=folder.name)

    @property
    def backlog(self) -> int:
        """Results and failures that wait for their names, or are getting them."""
        return self._tasks.backlog

    @property
    def is_idle(self) -> bool:
        """Nothing waits, and nothing is under way."""
        return self.backlog == 0

    @property
    def busy_since_s(self) -> float | None:
        """When the task under way was begun, in monotonic seconds; None: there is none."""
        return self._tasks.busy_since_s

    @property
    def failure(self) -> BaseException | None:
        """Why its thread died, if it did."""
        return self._tasks.failure

    def start(self) -> None:
        """Begin."""
        self._tasks.start()

    def stop(
        self, *, sweep: bool = True, first: Callable[[], object] = lambda: None, for_good: bool = False
    ) -> None:
        """End once what was given is done; to be called when no worker has a picture of this folder.

        With ``sweep`` nothing stays staged; ``first`` is done before that, in the delivery's thread. ``for_good``: the
        folder may never be looked after again, so nothing of it stays set aside.
        """
        if for_good:
            self._tasks.submit(self._displaced.restore_all)
        self._tasks.stop((first, partial(self._sweeping.sweep, frozenset({self._run_id}))) if sweep else ())

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end, but not for long; whether it has ended."""
        return self._tasks.join(timeout_s)

    def retry_now(self) -> None:
        """Retry at once what waits to be retried: the disk or share is well again."""
        self._tasks.retry_now()

    @property
    def has_ended(self) -> bool:
        """Its thread is gone."""
        return self._tasks.has_ended

    def repair(self, job: Job) -> None:
        """Finish, or undo, what a run that died was giving its names."""
        self._guard.submit(job, partial(self._repair, job))

    def sweep(self, dead: frozenset[str]) -> None:
        """Clear away what dead runs staged and no plan needs; after the repairs."""
        self._tasks.submit(partial(self._sweeping.sweep, dead))
        self._tasks.submit(self._failures.sweep)
        self._tasks.submit(self._displaced.adopt_strays)
        self._tasks.submit(self._displaced.expire)

    def deliver(self, job: Job, cut: Cut, directory: str = "") -> None:
        """Publish a cutout.

        Args:
            job: the job.
            cut: as its worker reported it.
            directory: the job's own in which the results lie; empty: they lie in that of the run.
        """
        self._guard.submit(job, partial(self._deliver, job, cut, directory))

    def deliver_known(self, job: Job, report: Unchanged | Moved) -> None:
        """The picture is known, here or from where it lay before."""
        if isinstance(report, Unchanged):
            self.deliver_unchanged(job, report.sha256, report.image_sha256)
        else:
            self.deliver_moved(job, report.sha256)

    def deliver_unchanged(self, job: Job, sha256: str, image_sha256: str | None = None) -> None:
        """The source's bytes, or its data apart from metadata, are those that are published already."""
        self._guard.submit(job, partial(self._leave, job, sha256, image_sha256))

    def deliver_moved(self, job: Job, sha256: str) -> None:
        """The source's bytes are those of one that lay elsewhere and vanished from there."""
        self._guard.submit(job, partial(self._moves.take, job, sha256))

    def clean_up(self, job: Job) -> None:
        """Move or delete an original, or write the record of a failure, that an earlier run could not."""
        if job.state is JobState.FAILED:
            self._guard.submit(job, partial(self._failures.leave_owed, job))
        else:
            self._guard.submit(job, partial(self._originals.add, job, job.sha256 or ""))

    def fail(self, job: Job, failure: Failure) -> None:
        """Give a job up, and leave the reason where its owner finds it."""
        self._guard.submit(job, partial(self._failed_jobs.fail, job, failure))

    def carry_out_decision(self, job: Job) -> None:
        """Carry out what a person decided about a doubtful cutout."""
        self._guard.submit(job, partial(self._reviews.carry_out, job.id))

    def distrusts_workers(self) -> bool:
        """Whether, since this was last asked, one has kept a file open, or the output has begun to refuse.

        What a worker keeps open it can fill a disk with, also where the file has no name any more.
        """
        met, self._publisher.has_met_a_writer = self._publisher.has_met_a_writer, False
        if met:
            self._log.warning("worker.kept-a-file")
        return self.breaker.has_opened() or met

    def reject_report(self, job: Job) -> None:
        """Give a job up whose worker said what no honest one would."""
        self.fail(job, INVENTED)

    def _deliver(self, job: Job, cut: Cut, directory: str) -> None:
        wanted = [(number, one.format) for number, one in enumerate(self._folder.rendition)]
        reported = sorted((staged.rendition, staged.format) for staged in cut.staged)
        if reported not in (wanted, [(-1, Format.PNG), *wanted]):
            self._failed_jobs.fail(
                job, INVENTED
            )  # the worker has read a hostile picture, and is not to be believed
            return
        # Later pictures with these bytes get this result, so they must be this picture's.
        with storage_faults(self._folder.input):
            root, pixels = str(self._folder.input), cut.source.width * cut.source.height
            is_lie = has_bytes(root, job.version, cut.source.sha256) is False
            # What a result may take of the disk is judged by the size that the worker says its picture has.
            is_lie = is_lie or has_pixels(root, job.version, pixels) is False
        if is_lie:
            self._failed_jobs.reject_report(job)
            return
        self._displaced.displace_for(job)
        publication = Publication(
            facts=replace(self._provenance.sidecar_facts(job, cut), doubtful=self._is_doubtful(cut)),
            staged=cut.staged,
            renditions=self._folder.recipe().renditions,
            review=cut.review,
            earlier=self._journal.reservations.earlier(job.folder, job.path, job.generation),
            known=self._journal.reservations.known(job),
            again=is_another(self._journal, job),
            forms=forms(portable=self._folder.has_portable_names),
            named=self._named,
            directory=directory,
        )
        self._publish(job, cut, publication)

    def _publish(self, job: Job, cut: Cut, publication: Publication) -> None:
        claims = NameReservations(self._journal, job, publication.moved_from)
        is_fresh = publication.document is None or publication.moved_from is not None
        try:
            self._prove_or_fail()
            plan = self._publisher.plan(publication, claims, now_us=self._clock.now_us())
        except JournalError:
            raise  # nothing is wrong with the result: planned again later
        except NameRefusedError as error:
            self._journal.reservations.release(job.folder, job.path)
            if is_fresh:
                self._failed_jobs.fail(job, failure_of(error))
            else:  # what a person accepted stays in review, where it is safe
                self._reviews.refuse(job, error)
            return
        except TemporaryError as error:
            self._journal.reservations.release(job.folder, job.path)
            if is_fresh:
                self._failed_jobs.postpone(job, error)
            else:  # it was cut long ago, and a person waits for it
                self._wait(job, error, partial(self._reviews.carry_out, job.id))
            return
        self._journal.begin_publishing(
            job,
            sha256=cut.source.sha256,
            claims=plan.claims,
            detail={
                "plan": plan.to_json(),
                "review": cut.review,
                "model": publication.model,
                "image_sha256": cut.source.image_sha256,
                "doubtful": self._doubt(cut, publication),
                "score": round(cut.quality.score, 4),
            },
            origin=publication.moved_from,
        )
        self._guard.run_now(job, partial(self._carry_out, job, cut, publication, plan))

    def _carry_out(self, job: Job, cut: Cut, publication: Publication, plan: Plan) -> None:
        try:
            self._prove_or_fail()
            self._publisher.carry_out(plan)
        except (NotOwnerError, NameRefusedError) as error:
            self._abandon(job, plan, error)
        except TargetTakenError:
            # A stranger's file took a name in between: plan anew.
            self._guard.submit(job, partial(self._publish, job, cut, publication))
        except ResultLostError:
            self._repair_plan(job, plan, sha256=cut.source.sha256, review=cut.review, model=publication.model)
        except TemporaryError as error:
            if self._pending_retries.has_run_out(job, error):
                self._abandon(job, plan, error)
            else:
                self._wait(job, error, partial(self._carry_out, job, cut, publication, plan))
        else:
            self._guard.run_now(
                job,
                partial(
                    self._conclude,
                    job,
                    JobState.REVIEW if cut.review else JobState.DONE,
                    sha256=cut.source.sha256,
                    plan=plan,
                    model=publication.model,
                    warnings=cut.warnings,
                    why="; ".join(cut.quality.reasons) if cut.review else "",
                    doubtful=self._doubt(cut, publication),
                    figures=_figures(cut),
                ),
            )

    def _record_refusal(self, error: StorageError) -> None:
        """What one task met at the output, the folder's others would too, whatever they are about."""
        if isinstance(error, JournalError):
            self._log.error("delivery.refused", why=str(error))
        else:
            self.breaker.record_failure(str(error), error.cause)

    def _is_doubtful(self, cut: Cut) -> bool:
        return cut.review or bool(cut.doubts) or cut.quality.score < self._folder.doubtful_below

    def _doubt(self, cut: Cut, publication: Publication) -> str:
        """Why a cutout that is published is doubtful; empty if it is not, or if a person has accepted it."""
        if publication.document is None:
            is_doubtful = self._is_doubtful(cut)
        else:
            is_doubtful = publication.moved_from is not None and says_doubtful(publication.document)
        if cut.review or not is_doubtful:
            return ""
        return "; ".join((f"doubtful, score {cut.quality.score:.2f}", *cut.quality.reasons))

    def _prove_or_fail(self) -> None:
        """See that this machine may publish.

        Raises:
            NotOwnerError: another may.
            StorageError: it cannot be seen.
        """
        with storage_faults(self._folder.input):
            self._prove()

    def _abandon(self, job: Job, plan: Plan, error: CutoutdError) -> None:
        """Another machine has the folder, and does it once only; or the output refuses this picture's names alone."""
        try:
            standing = self._publisher.abandon(plan)
        except TemporaryError as refusal:
            self._wait(job, refusal, partial(self._abandon, job, plan, error))
            return
        if isinstance(error, NotOwnerError):
            self._log.warning("job.left-to-another", job=job.id, path=job.path, why=str(error))
            self._journal.undo_publishing(job, standing=standing)
        else:
            self._journal.keep_standing(job, standing=standing)
            self._failed_jobs.fail(job, replace(failure_of(error), permanent=True))

    def _wait(self, job: Job, error: TemporaryError, task: QueuedTask) -> None:
        """A plan that is written down is carried out, however long the disk or share takes to come back."""
        self._pending_retries.add(job, error)
        self._guard.retry_later(job, task, error.delay_s)

    def _conclude(
        self,
        job: Job,
        state: JobState,
        *,
        sha256: str,
        plan: Plan,
        model: str,
        warnings: Sequence[str] = (),
        why: str = "",
        doubtful: str = "",
        figures: Mapping[str, float] | None = None,
    ) -> None:
        self._pending_retries.forget(job)
        seconds = (figures or {}).get("seconds", 0.0)
        outputs = [str(self._folder.output / one.path) for one in plan.published]
        is_skipped = bool(plan.unused)
        why = why or "; ".join(filter(None, (doubtful, *(plan.warnings if is_skipped else ()))))
        disposable = state is JobState.DONE and self._originals.wanted
        # Before the commit mark: after it, nobody would come back for them.
        self._failures.clear(job)
        if state is JobState.DONE:
            self._reviews.clear(job)
        self._moves.clear(job)
        self._moves.clear_entries(job)
        detail = (
            {"outputs": outputs, "warnings": [*warnings, *plan.warnings], "model": model}
            | ({"why": why} if why else {})
            | ({"doubtful": True} if doubtful else {})
            | ({"skipped": True} if is_skipped else {})
            | dict(figures or {})
        )
        self._journal.finish_publishing(
            job,
            state,
            sha256=sha256,
            published=plan.published,
            detail=detail,
            cleanup_pending=disposable,
        )
        self.breaker.record_success()
        self._log.info(
            "job.published",
            job=job.id,
            path=job.path,
            state=state,
            outputs=outputs,
            seconds=seconds,
            **({"why": why} if why else {}),
        )
        if disposable:
            self._originals.add(replace(job, detail=detail), sha256)
        self._tell(
            JobEnded(
                job=job.id,
                folder=job.folder,
                path=job.path,
                state=state,
                outputs=tuple(outputs),
                why=why,
                seconds=seconds,
                doubtful=bool(doubtful),
                note="" if is_skipped else "; ".join(plan.warnings),
            )
        )

    def _leave(self, job: Job, sha256: str, image_sha256: str | None) -> None:
        """The picture is the one that is published: nothing to publish, but the original goes its way."""
        published = self._journal.reservations.last_published(job.folder, job.path)
        known = () if published is None else (published.sha256, published.image_sha256 or published.sha256)
        if job.forced or published is None or not {sha256, image_sha256}.intersection(known):
            # Else a lie would move or delete an original that was never cut.
            self._failed_jobs.fail(job, INVENTED)
            return
        earlier = self._journal.reservations.earlier(job.folder, job.path, published.generation)
        there = present(self._folder.output, earlier)
        if not there and job.generation > published.generation and sha256 == published.sha256:
            # It did not stay where it was, but came again, and its cutout is gone: whoever drops it in wants one.
            self._log.info("job.cut-again", job=job.id, path=job.path)
            self._journal.cut_again(job, generation=published.generation, detail=job.detail | NOT_MOVED)
            return
        disposable = self._originals.wanted
        self._failures.clear(job)
        self._moves.clear_entries(job)
        self._update_sidecar(job, sha256, published)
        detail = self._journal.reservations.last_result(job.folder, job.path)
        self._journal.leave_unchanged(
            job, sha256=sha256, generation=published.generation, detail=detail, cleanup_pending=disposable
        )
        if disposable:
            self._originals.add(replace(job, generation=published.generation, detail=detail), sha256)
        outputs = tuple(str(self._folder.output / one.path) for one in there)
        self._failed_jobs.tell(job, JobState.UNCHANGED, "" if outputs else _TAKEN_AWAY, outputs=outputs)

    def _update_sidecar(self, job: Job, sha256: str, published: LastPublished) -> None:
        """Have the sidecar name the picture as it is now; before the journal says so, as nobody comes back for it."""
        shown = self._journal.reservations.earlier(job.folder, job.path, published.generation)
        try:
            self._prove_or_fail()
            self._publisher.sidecars.update(job, sha256, known={published.sha256, sha256}, shown=shown)
        except CutoutdError as error:
            # The picture is known here all the same; after a lost journal it would be cut again.
            self._log.warning("sidecar.not-updated", job=job.id, path=job.path, why=str(error))

    def _clear_moved(self, job: Job) -> None:
        self._moves.clear_entries(job)

    def _keep_moved(self, job: Job, origin: Origin, sha256: str) -> None:
        detail = self._journal.reservations.last_result(job.folder, origin.path, generation=origin.generation)
        if detail:
            earlier = self._journal.reservations.earlier(job.folder, origin.path, origin.generation)
            detail["outputs"] = [str(self._folder.output / one.path) for one in earlier if not one.review]
        disposable = self._originals.wanted
        self._journal.leave_moved(job, origin, sha256=sha256, detail=detail, cleanup_pending=disposable)
        if disposable:
            self._originals.add(replace(job, detail=detail), sha256)
        self._failed_jobs.tell(job, JobState.UNCHANGED, "", outputs=tuple(detail.get("outputs", ())))

    def _repair(self, job: Job) -> None:
        self._repair_plan(
            job,
            Plan.from_json(job.detail["plan"]),
            sha256=job.sha256 or "",
            review=bool(job.detail["review"]),
            model=str(job.detail.get("model", "")),
        )

    def _repair_plan(self, job: Job, plan: Plan, *, sha256: str, review: bool, model: str) -> None:
        try:
            self._prove_or_fail()
            recovery = self._publisher.recover(plan)
        except TemporaryError as error:  # or it is not ours yet, or not any more
            self._wait(
                job, error, partial(self._repair_plan, job, plan, sha256=sha256, review=review, model=model)
            )
            return
        if recovery.is_finished:
            state = JobState.REVIEW if review else JobState.DONE
            self._guard.run_now(
                job,
                partial(
                    self._conclude,
                    job,
                    state,
                    sha256=sha256,
                    plan=plan,
                    model=model,
                    doubtful=str(job.detail.get("doubtful", "")),
                    figures={key: job.detail[key] for key in ("score",) if key in job.detail},
                ),
            )
        else:
            self._journal.undo_publishing(job, standing=recovery.standing)
            self._log.info("job.undone", job=job.id, path=job.path)


def _figures(cut: Cut) -> dict[str, float]:
    """What the journal keeps of a cut: its score, and the time that work on it took, if a worker did any now."""
    seconds = round(cut.timings_ms.get("total", 0.0) / 1000, 3)
    return {"score": round(cut.quality.score, 4)} | ({"seconds": seconds} if seconds else {})
