"""A folder's delivery: gives its results their names, writes down its failures, and repairs after a crash.

A thread of its own for each folder, since any call on a share may hang and must hold up nobody else.
It must not touch pictures: what it renames, workers have staged.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Final

from cutoutd.daemon.disposals import Disposals
from cutoutd.daemon.listener import Result
from cutoutd.daemon.lull import Lull
from cutoutd.daemon.resting import Resting
from cutoutd.errors import CutoutdError, JournalError, StorageError, TemporaryError
from cutoutd.jobs import Failure, JobState
from cutoutd.logs import get
from cutoutd.publish.faults import ResultLostError, TargetTakenError
from cutoutd.publish.plan import Plan, Publication, Verdict
from cutoutd.retry import Again, after_failure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cutoutd.clock import Clock
    from cutoutd.daemon.provenance import Provenance
    from cutoutd.daemon.resting import Deed
    from cutoutd.jobs import Cut, Job, Published
    from cutoutd.journal.journal import Journal
    from cutoutd.publish.publisher import Publisher
    from cutoutd.settings.schema import Folder

_INVENTED: Final = Failure(
    code="Fault",
    title="The picture could not be processed",
    cause="the worker reported a result that nobody asked for",
    advice="The original is untouched. It may be a hostile file; `cutoutd retry` tries it again.",
    permanent=True,
)


class _SourceClaims:
    """`cutoutd.publish.targets.Claims` over the journal, for one source."""

    def __init__(self, journal: Journal, job: Job) -> None:
        self._journal = journal
        self._job = job

    def reserve(self, keys: Sequence[bytes]) -> bool:
        return self._journal.names.reserve(self._job.folder, self._job.path, keys)


class Delivery:
    """The publishing side of one hot folder.

    Args:
        folder: its settings.
        journal: where each step is written down.
        publisher: gives the names.
        provenance: knows what a sidecar says of model, settings and runtime.
        clock: for the times written down.
        run: id of this run.
        tell: is given each result, from this thread.
        wake: called when the supervisor has something new to look at.
    """

    def __init__(
        self,
        folder: Folder,
        *,
        journal: Journal,
        publisher: Publisher,
        provenance: Provenance,
        clock: Clock,
        run: str,
        tell: Callable[[Result], None],
        wake: Callable[[], None],
    ) -> None:
        self._folder = folder
        self._journal = journal
        self._publisher = publisher
        self._provenance = provenance
        self._clock = clock
        self._tell = tell
        self._wake = wake
        self._run_id = run
        self._disposals = Disposals(folder, journal.queue, clock, run)
        self.lull = Lull(folder.name, clock)
        self._log = get(folder=folder.name)
        self._work: queue.SimpleQueue[Deed | None] = queue.SimpleQueue()
        self._resting = Resting(clock)
        self._unwritten: dict[str, Job] = {}  # failures whose records could not be written, by path
        self._given = 0
        self._finished = 0
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"deliver {folder.name}", daemon=True)

    @property
    def backlog(self) -> int:
        """Results and failures that wait for their names, or are getting them."""
        return self._given - self._finished

    @property
    def is_idle(self) -> bool:
        """Nothing waits, and nothing is under way."""
        return self.backlog == 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End once what was given is done, and leave nothing staged; to be called when the workers are gone."""
        self._work.put(None)

    def join(self, timeout_s: float) -> None:
        """Wait for the thread's end, but not for long."""
        self._thread.join(timeout_s)

    def repair(self, job: Job) -> None:
        """Finish, or undo, what a run that died was giving its names."""
        self._give(partial(self._repair, job))

    def sweep(self, dead: frozenset[str]) -> None:
        """Clear away what dead runs staged and no plan needs; after the repairs."""
        self._give(partial(self._sweep, dead))

    def deliver(self, job: Job, cut: Cut) -> None:
        """Publish a cutout."""
        self._give(partial(self._deliver, job, cut))

    def leave(self, job: Job, sha256: str) -> None:
        """The source's bytes are those that are published already."""
        self._give(partial(self._leave, job, sha256))

    def dispose(self, job: Job) -> None:
        """Move or delete an original that an earlier run could not."""
        self._give(partial(self._disposals.add, job, job.sha256 or ""))

    def explain(self, job: Job, failure: Failure) -> None:
        """Give a job up, and leave the reason where its owner finds it."""
        self._give(partial(self._explain, job, failure))

    def _give(self, deed: Deed) -> None:
        self._given += 1
        self._work.put(deed)

    def _run(self) -> None:
        try:
            while (deed := self._next()) is not None:
                self._do(deed)
                self._wake()
            self._sweep(frozenset({self._run_id}))  # the workers are gone: what they left is of no use
        except BaseException as error:  # noqa: BLE001 -- a side thread's death must be heard: the supervisor raises it
            self.failure = error
            self._wake()

    def _do(self, deed: Deed) -> None:
        self._attempt(deed)
        # Not after an error that is not caught: the folder must not look idle before its death is known.
        self._finished += 1

    def _attempt(self, deed: Deed) -> None:
        """Every deed can be done again from its beginning, so one that the journal's disk refuses is kept.

        A deed that goes on with another one attempts that one: what was done and written down already is then
        not done again, whatever has become of the files in between.
        """
        try:
            deed()
        except StorageError as error:
            self._log.error("delivery.refused", why=str(error))
            self._resting.add(deed, error.delay_s, needs_staged=True)

    def _next(self) -> Deed | None:
        """The next deed: one whose rest is over, an original whose time has come, or the next that is given."""
        while True:
            now_s = self._clock.monotonic_s()
            due = self._resting.take_due()
            if due is None and self._disposals.next_s is not None and self._disposals.next_s <= now_s:
                due = self._disposals.go_on
            if due is not None:
                self._given += 1
                return due
            ends = [end for end in (self._resting.next_s, self._disposals.next_s) if end is not None]
            try:
                return self._work.get(timeout=max(0.0, min(ends) - now_s) if ends else None)
            except queue.Empty:
                continue

    def _deliver(self, job: Job, cut: Cut) -> None:
        wanted = range(-1, len(self._folder.rendition))
        if any(staged.rendition not in wanted for staged in cut.staged):
            self._explain(job, _INVENTED)  # the worker has read a hostile picture, and is not to be believed
            return
        publication = Publication(
            facts=self._provenance.sidecar_facts(job, cut),
            staged=cut.staged,
            renditions=self._folder.recipe().renditions,
            review=cut.review,
            earlier=self._journal.names.earlier(job.folder, job.path),
        )
        claims = _SourceClaims(self._journal, job)
        try:
            plan = self._publisher.plan(publication, claims, now_us=self._clock.now_us())
        except JournalError:
            raise  # nothing is wrong with the result: planned again later
        except TemporaryError as error:
            self._journal.names.release(job.folder, job.path)
            self._put_off(job, error)
            return
        self._journal.begin_publishing(
            job,
            sha256=cut.source.sha256,
            claims=plan.claims,
            detail={"plan": plan.to_json(), "review": cut.review},
        )
        self._attempt(partial(self._carry_out, job, cut, plan))

    def _carry_out(self, job: Job, cut: Cut, plan: Plan) -> None:
        try:
            self._publisher.carry_out(plan)
        except TargetTakenError:
            self.deliver(job, cut)  # a stranger's file took a name in between: plan anew
        except ResultLostError:
            self._repair_plan(job, plan, sha256=cut.source.sha256, review=cut.review)
        except TemporaryError as error:
            self._wait(job, error, partial(self._carry_out, job, cut, plan))
        else:
            self._attempt(
                partial(
                    self._conclude,
                    job,
                    JobState.REVIEW if cut.review else JobState.DONE,
                    sha256=cut.source.sha256,
                    published=plan.published,
                    warnings=(*cut.warnings, *plan.warnings),
                    why="; ".join(cut.quality.reasons) if cut.review else "",
                    seconds=cut.timings_ms.get("total", 0.0) / 1000,
                )
            )

    def _wait(self, job: Job, error: TemporaryError, deed: Deed) -> None:
        """A plan that is written down is carried out, however long the disk or share takes to come back."""
        self._log.warning("job.half-published", job=job.id, path=job.path, why=str(error))
        if isinstance(error, StorageError):
            self.lull.refused(str(error))
        self._resting.add(deed, error.delay_s, needs_staged=True)

    def _conclude(
        self,
        job: Job,
        state: JobState,
        *,
        sha256: str,
        published: Sequence[Published],
        warnings: Sequence[str] = (),
        why: str = "",
        seconds: float = 0.0,
    ) -> None:
        outputs = [str(self._folder.output / one.path) for one in published]
        disposable = state is JobState.DONE and self._disposals.wanted
        self._journal.finish_publishing(
            job,
            state,
            sha256=sha256,
            published=published,
            detail={"outputs": outputs, "warnings": list(warnings)} | ({"why": why} if why else {}),
            undisposed=disposable,
        )
        self.lull.worked()
        self._log.info(
            "job.published",
            job=job.id,
            path=job.path,
            state=state,
            outputs=outputs,
            seconds=round(seconds, 3),
        )
        self._clear_failure(job)
        if disposable:
            self._disposals.add(job, sha256)
        self._tell(
            Result(
                job=job.id,
                folder=job.folder,
                path=job.path,
                state=state,
                outputs=tuple(outputs),
                why=why,
                seconds=seconds,
            )
        )

    def _clear_failure(self, job: Job) -> None:
        """An earlier failure of the same source is over; that it is cannot be undone by a full disk."""
        self._unwritten.pop(job.path, None)
        try:
            self._publisher.failures.clear(job.path)
        except CutoutdError as error:
            self._log.warning("failure.not-cleared", job=job.id, path=job.path, why=str(error))

    def _leave(self, job: Job, sha256: str) -> None:
        """The bytes are those that are published: nothing to publish, but the original goes its way."""
        disposable = self._disposals.wanted
        self._journal.queue.finish(
            job.id, JobState.UNCHANGED, detail={}, sha256=sha256, undisposed=disposable
        )
        self._clear_failure(job)
        if disposable:
            self._disposals.add(job, sha256)
        self._say(job, JobState.UNCHANGED, "")

    def _put_off(self, job: Job, error: TemporaryError) -> None:
        """The disk or share refuses: what is staged is thrown away, and made again when it is better."""
        failure = Failure(
            code=error.code,
            title=error.title,
            cause=error.cause,
            advice=error.advice,
            permanent=False,
            delay_s=error.delay_s,
        )
        decision = after_failure(failure, tries=job.tries, age_s=0.0, patient=True)
        delay_s = decision.delay_s if isinstance(decision, Again) else error.delay_s
        self._journal.queue.rest(job.id, delay_s, detail={"failure": asdict(failure)})
        if isinstance(error, StorageError):
            self.lull.refused(str(error))
        self._log.warning("job.put-off", job=job.id, path=job.path, why=str(error), delay_s=delay_s)
        try:
            self._publisher.discard(job.id)
        except CutoutdError:
            return  # the sweep of the next start finds it
        finally:
            self._say(job, JobState.RETRY, error.cause)

    def _explain(self, job: Job, failure: Failure) -> None:
        self._unwritten[job.path] = job
        self._record(job, failure)
        self._journal.queue.finish(job.id, JobState.FAILED, detail={"failure": asdict(failure)})
        self._log.warning("job.failed", job=job.id, path=job.path, code=failure.code, why=failure.cause)
        self._say(job, JobState.FAILED, failure.cause)

    def _record(self, job: Job, failure: Failure) -> None:
        """Leave the reason in the output folder, if it still stands; once more later, if that is refused now."""
        if self._unwritten.get(job.path) is not job:
            return
        try:
            self._publisher.discard(job.id)
            self._publisher.failures.publish(self._provenance.failure_facts(job, failure))
        except CutoutdError as error:
            # The journal has the reason in any case, and `cutoutd jobs` shows it.
            self._log.warning("failure.not-written", job=job.id, path=job.path, why=str(error))
            if isinstance(error, TemporaryError):
                delay_s = max(error.delay_s, StorageError.delay_s)
                self._resting.add(partial(self._record, job, failure), delay_s, needs_staged=False)
        else:
            del self._unwritten[job.path]

    def _repair(self, job: Job) -> None:
        plan = Plan.from_json(job.detail["plan"])
        self._repair_plan(job, plan, sha256=job.sha256 or "", review=bool(job.detail["review"]))

    def _repair_plan(self, job: Job, plan: Plan, *, sha256: str, review: bool) -> None:
        try:
            recovery = self._publisher.recover(plan)
        except TemporaryError as error:
            self._wait(job, error, partial(self._repair_plan, job, plan, sha256=sha256, review=review))
            return
        if recovery.verdict is Verdict.FINISHED:
            state = JobState.REVIEW if review else JobState.DONE
            self._attempt(partial(self._conclude, job, state, sha256=sha256, published=recovery.standing))
        else:
            self._journal.undo_publishing(job, standing=recovery.standing)
            self._log.info("job.undone", job=job.id, path=job.path)

    def _sweep(self, dead: frozenset[str]) -> None:
        self._disposals.sweep(dead)
        if self._resting.needs_staged:
            return  # it may still need what is staged; the next start sweeps
        try:
            removed = self._publisher.sweep(dead)
        except CutoutdError as error:
            self._log.warning("staging.not-swept", why=str(error))
        else:
            if removed:
                self._log.info("staging.swept", files=removed)

    def _say(self, job: Job, state: JobState, why: str) -> None:
        self._tell(Result(job=job.id, folder=job.folder, path=job.path, state=state, why=why))
