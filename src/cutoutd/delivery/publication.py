"""The steps of publication: each is taken once, and returns the next step, a retry, or that it is done.

It knows no thread and no delay; `cutoutd.delivery.delivery` has both. A step that raises a StorageError is taken again as it
is. This module must not touch pictures: it renames what workers have staged.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from cutoutd.delivery.failures import INVENTED
from cutoutd.delivery.reviews import PUT_BACK
from cutoutd.delivery.steps import (
    Abandon,
    CarryOut,
    Commit,
    Decide,
    Deliver,
    DeliverMoved,
    DeliverResult,
    DeliverUnchanged,
    Done,
    MakePlan,
    Repair,
    ResultFacts,
    Retry,
)
from cutoutd.errors import JournalError, StorageError, TemporaryError
from cutoutd.events import JobEnded
from cutoutd.failure import failure_of
from cutoutd.intake.verification import has_bytes, has_pixels
from cutoutd.job_detail import HOSTED
from cutoutd.jobs import OVERLAY, JobState, Wanted
from cutoutd.lease.lease import NotOwnerError
from cutoutd.publish.faults import (
    NameRefusedError,
    ResultLostError,
    TargetTakenError,
    storage_faults,
)
from cutoutd.publish.sidecar import says_doubtful
from cutoutd.recipe import Format

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cutoutd.delivery.context import Context
    from cutoutd.delivery.displaced import DisplacedResults
    from cutoutd.delivery.failure_records import FailureRecords
    from cutoutd.delivery.failures import FailedJobs, PendingRetries
    from cutoutd.delivery.former_paths import FormerPaths
    from cutoutd.delivery.known_pictures import KnownPictures
    from cutoutd.delivery.originals import OriginalsCleanup
    from cutoutd.delivery.reviews import DecidedReviews
    from cutoutd.delivery.steps import Step
    from cutoutd.delivery.unknown_decisions import UnknownDecisions
    from cutoutd.jobs import Cut, Job, Origin
    from cutoutd.journal.journal import Journal
    from cutoutd.publish.plan import Publication


CHANGED: Final = "the picture is not the one that the strokes were drawn on"


class NameReservations:
    """The reservations of names, for one job's source; implements `cutoutd.publish.targets.Claims`."""

    def __init__(self, journal: Journal, job: Job, origin: Origin | None = None) -> None:
        self._journal = journal
        self._job = job
        self._origin = origin

    def reserve(self, keys: Sequence[bytes]) -> bool:
        """Reserve all of these names for the source; returns False, and reserves none, if another source has one."""
        job = self._job
        return self._journal.reservations.reserve(
            job.folder, job.path, keys, generation=job.generation, origin=self._origin
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class PublicationSteps:
    """The steps of one folder's publications.

    Attributes:
        context: context of the folder's delivery.
        pending: the plans that wait for a retry.
        failures: the failure records.
        failed_jobs: fails jobs.
        originals: moves or deletes originals once their cutouts are published.
        displaced: the displaced results.
        unknown: adopts decisions that the journal does not know.
        known: handles pictures that need no cut.
        former_paths: removes what pictures left at their earlier paths.
        reviews: carries out people's decisions.
    """

    context: Context
    pending: PendingRetries
    failures: FailureRecords
    failed_jobs: FailedJobs
    originals: OriginalsCleanup
    displaced: DisplacedResults
    unknown: UnknownDecisions
    known: KnownPictures
    former_paths: FormerPaths
    reviews: DecidedReviews

    def advance(self, step: Step) -> Step | Retry | Done:  # noqa: PLR0911 -- one for each kind of step
        """Take a step.

        Returns:
            The next step, a retry, or that it is done.

        Raises:
            StorageError: the disk, the share or the journal fails; the step is to be taken again.
        """
        match step:
            case Deliver():
                return self._deliver(step)
            case DeliverUnchanged() | DeliverMoved() | DeliverResult():
                return self.known.deliver(step)
            case Decide():
                return self._decide(step)
            case MakePlan():
                return self._make_plan(step)
            case CarryOut():
                return self._carry_out(step)
            case Commit():
                self._commit(step)
                return self.reviews.next_decision(step.job)
            case Abandon():
                return self._abandon(step)
            case Repair():
                return self._repair(step)

    def _deliver(self, step: Deliver) -> MakePlan | DeliverResult | Done:
        """Check whether the worker's report can be true, before anything is done with it."""
        job, cut, folder = step.job, step.cut, self.context.folder
        wanted = [(number, one.format) for number, one in enumerate(self.context.renditions(job))]
        reported = sorted((staged.rendition, staged.format) for staged in cut.staged)
        if reported not in (wanted, [(OVERLAY, Format.PNG), *wanted]):
            # The worker has read a hostile picture, and must not be trusted.
            self.failed_jobs.fail(job, INVENTED)
            return Done()
        # Later pictures with these bytes get this result, so the picture must have them.
        with storage_faults(folder.input):
            root, pixels = str(folder.input), cut.source.width * cut.source.height
            is_lie = has_bytes(root, job.version, cut.source.sha256) is False
            # The limit for a result's size on the disk is computed from the reported size of the picture.
            is_lie = is_lie or has_pixels(root, job.version, pixels) is False
        if is_lie:
            self.failed_jobs.reject_report(job)
            return Done()
        if self.context.journal.is_own_result(job, cut.source.sha256):
            return DeliverResult(job=job, sha256=cut.source.sha256)
        self.displaced.displace_for(job)
        publication = replace(
            self.context.publication(job, cut, doubtful=self._is_doubtful(cut)),
            named=self.context.named,
            directory=step.directory,
        )
        if self.unknown.adopt(job, publication):
            return Done()
        return MakePlan(job=job, cut=cut, publication=publication)

    def _decide(self, step: Decide) -> Step | Retry | Done:
        following = self.reviews.carry_out(step)
        if not isinstance(following, MakePlan):
            return following
        try:
            return self._make_plan(following)
        except StorageError:
            self.reviews.unstage(step.job)
            raise

    def _make_plan(self, step: MakePlan) -> CarryOut | Retry | Done:
        context, job, publication = self.context, step.job, step.publication
        reservations = NameReservations(context.journal, job, publication.moved_from)
        try:
            context.prove_ownership()
            plan = context.publisher.plan(publication, reservations, now_us=context.clock.now_us())
        except JournalError:
            raise  # the result is fine: it is planned again later
        except NameRefusedError as error:
            context.journal.reservations.release(job.folder, job.path)
            if step.is_fresh:
                self.failed_jobs.fail(job, failure_of(error))
            else:  # an accepted result stays in review, where it is safe
                self.reviews.refuse(job, error)
            return Done()
        except TemporaryError as error:
            context.journal.reservations.release(job.folder, job.path)
            if step.is_fresh:
                self.failed_jobs.postpone(job, error)
                return Done()
            # It was cut long ago, and a person waits for it.
            return self.pending.wait(Decide(job=job), error)
        context.publisher.keep_preview(publication)
        facts = self._facts(job, step.cut, publication)
        context.journal.begin_publishing(
            job,
            sha256=facts.sha256,
            claims=plan.claims,
            detail={"plan": plan.to_json(), **facts.to_detail()},
            origin=publication.moved_from,
        )
        return CarryOut(job=job, plan=plan, facts=facts, made_by=step)

    def _carry_out(self, step: CarryOut) -> Step | Retry:
        job, plan = step.job, step.plan
        try:
            self.context.prove_ownership()
            self.context.publisher.carry_out(plan)
        except (NotOwnerError, NameRefusedError) as error:
            return Abandon(job=job, plan=plan, error=error)
        except TargetTakenError:
            return Retry(step=step.made_by, delay_s=0.0)  # a file of another program took a name in between
        except ResultLostError:
            return Repair(job=job, plan=plan, facts=step.facts)
        except TemporaryError as error:
            if self.pending.has_run_out(job, error):
                return Abandon(job=job, plan=plan, error=error)
            return self.pending.wait(step, error)
        return Commit(job=job, plan=plan, facts=step.facts)

    def _abandon(self, step: Abandon) -> Retry | Done:
        context, job, error = self.context, step.job, step.error
        try:
            context.prove_places()
            published = context.publisher.abandon(step.plan)
        except TemporaryError as refusal:
            return self.pending.wait(step, refusal)
        if isinstance(error, NotOwnerError):
            context.log.warning("job.left-to-another", job=job.id, path=job.path, why=str(error))
            context.journal.undo_publishing(job, published=published)
        else:
            context.journal.keep_published(job, published=published)
            self.failed_jobs.fail(job, replace(failure_of(error), permanent=True))
        return Done()

    def _repair(self, step: Repair) -> Commit | Retry | Done:
        job = step.job
        try:
            self.context.prove_ownership()
            recovery = self.context.publisher.recover(step.plan)
        except TemporaryError as error:  # also if the folder is not ours yet, or not any more
            return self.pending.wait(step, error)
        if recovery.is_finished:
            return Commit(job=job, plan=step.plan, facts=step.facts)
        self.context.journal.undo_publishing(job, published=recovery.published)
        self.context.log.info("job.undone", job=job.id, path=job.path)
        return Done()

    def _commit(self, step: Commit) -> None:
        context, job, plan, facts = self.context, step.job, step.plan, step.facts
        self.pending.forget(job)
        state = JobState.REVIEW if facts.review else JobState.DONE
        outputs = context.outputs(plan.published)
        is_skipped = bool(plan.unused)
        why = facts.why or "; ".join(filter(None, (facts.doubtful, *(plan.warnings if is_skipped else ()))))
        goes = state is JobState.DONE and self.originals.wanted
        # Before the commit mark: after it, these would not be retried.
        self.failures.clear(job)
        if state is JobState.DONE:
            self.reviews.clear(job)
        elif facts.recalls:
            self.reviews.recall(job)
        self.former_paths.give_up_names(job)
        self.former_paths.clear_entries(job)
        detail = _detail(facts, outputs, plan.warnings, why=why, is_skipped=is_skipped)
        dropped = context.journal.finish_publishing(
            job,
            state,
            sha256=facts.sha256,
            published=plan.published,
            detail=detail,
            cleanup_pending=goes,
            recalled=facts.recalls,
        )
        if dropped:
            context.log.warning("correction.dropped", job=job.id, path=job.path, why=CHANGED)
        context.breaker.record_success()
        context.log.info(
            "job.published",
            job=job.id,
            path=job.path,
            state=state,
            outputs=list(outputs),
            seconds=facts.seconds,
            **({"why": why} if why else {}),
        )
        if goes:
            self.originals.add(replace(job, detail=detail), facts.sha256)
        context.tell(
            replace(
                JobEnded.of(job, state, why),
                outputs=outputs,
                seconds=facts.seconds,
                doubtful=bool(facts.doubtful),
                note="" if is_skipped else "; ".join(plan.warnings),
            )
        )

    def _is_doubtful(self, cut: Cut) -> bool:
        # A result that a person has corrected is not doubtful because of its score; once that is undone, it is again.
        is_looked_at = cut.corrected is not None
        is_unsure = not is_looked_at and cut.quality.score < self.context.folder.doubtful_below
        return cut.review or bool(cut.doubts) or is_unsure

    def _facts(self, job: Job, cut: Cut, publication: Publication) -> ResultFacts:
        if publication.document is None:
            is_doubtful = self._is_doubtful(cut)
        elif publication.is_restored:
            is_doubtful = publication.facts.doubtful
        else:  # a result that a person has accepted is not doubtful any more
            is_doubtful = publication.moved_from is not None and says_doubtful(publication.document)
        is_decided = publication.document is not None and publication.moved_from is None
        is_put_back = PUT_BACK in cut.warnings
        doubt = "; ".join((f"doubtful, score {cut.quality.score:.2f}", *cut.quality.reasons))
        return ResultFacts(
            sha256=cut.source.sha256,
            image_sha256=cut.source.image_sha256,
            model=publication.model,
            review=cut.review,
            doubtful=doubt if is_doubtful and not cut.review else "",
            why=("; ".join(cut.quality.reasons) or is_put_back * PUT_BACK) if cut.review else "",
            recalls=cut.review and job.wanted is Wanted.RECALLED,
            score=round(cut.quality.score, 4),
            seconds=round(cut.timings_ms.get("total", 0.0) / 1000, 3),
            warnings=cut.warnings,
            reasons=cut.quality.reasons,
            width=cut.source.width,
            height=cut.source.height,
            corrected=publication.corrected,
            accepted=is_decided and not cut.review and not publication.is_restored,
            is_hosted=publication.is_hosted,
        )


def _detail(
    facts: ResultFacts, outputs: Sequence[str], warnings: Sequence[str], *, why: str, is_skipped: bool
) -> dict[str, Any]:
    """Return the detail of a published job's row, which `cutoutd.job_detail.JobResult` reads."""
    found = {
        "why": why,
        "doubtful": bool(facts.doubtful),
        "skipped": is_skipped,
        "corrected": facts.corrected,
        "accepted": facts.accepted,
        HOSTED: facts.is_hosted,
    }
    return {
        "outputs": list(outputs),
        "warnings": [*facts.warnings, *warnings],
        "model": facts.model,
        **{key: value for key, value in found.items() if value},
        **dict(facts.figures),
    }
