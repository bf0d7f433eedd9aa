"""The daemon's part of the routes that lead elsewhere: the next step of each job, and the handling of replies.

Main thread only. It must not touch a picture or a hot folder, and nothing here applies to a folder without a tag: its jobs are
cut on this machine, whatever their rows contain.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Final

from cutoutd.errors import FailureCode, OutboxError
from cutoutd.events import JobEnded
from cutoutd.exchange.spool import UploadOutcome
from cutoutd.failure import failure_of
from cutoutd.faults.isolation import one_by_one, report, unforeseen
from cutoutd.jobs import Failure, JobState
from cutoutd.journal.rebuild import rebuilt
from cutoutd.journal.uploads import note_upload
from cutoutd.logs import get
from cutoutd.offload.routing import NextStep, OffloadState, RoutePlan, egress_of, escalation_reason, next_step
from cutoutd.offload.spool_files import CopyError
from cutoutd.settings.types import Route
from cutoutd.task_route import ClusterTask, Received, WorkerKind

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Mapping

    from cutoutd.clock import Clock
    from cutoutd.daemon.routes_away import RoutesAway
    from cutoutd.exchange.spool import UploadReply
    from cutoutd.folder.hot_folder import HotFolder
    from cutoutd.jobs import Cut, Exported, Job, Task
    from cutoutd.journal.journal import Journal
    from cutoutd.offload.cluster_route import ClusterAway

MAX_WAIT_S: Final = 120.0
"""How long a folder that can also cut its pictures locally waits for the hosted service."""


class Coordinator:
    """The side of the supervisor that looks to hosted service and cluster.

    Args:
        journal: the journal.
        routes: where pictures may go in this run.
        results: ended jobs, to be announced.
        clock: clock for monotonic times.
        workers: number of pictures that are cut at the same time.
    """

    def __init__(
        self,
        journal: Journal,
        routes: RoutesAway,
        results: deque[JobEnded],
        clock: Clock,
        *,
        workers: int,
    ) -> None:
        self._journal = journal
        self._outbox = routes.outbox
        self._results = results
        self._clock = clock
        self._workers = workers
        self._cluster = routes.cluster
        self._log = get()
        self._asked_s: dict[int, float] = {}
        self._closed = ""

    @property
    def expects_more(self) -> bool:
        """Whether a reply will come without any action of a person."""
        return self._outbox is not None and self._outbox.expects_more

    def blocked_folders(self, folders: Mapping[str, HotFolder]) -> frozenset[str]:
        """Return the folders of which only answered jobs may be started: no further copy has room, or may be sent."""
        outbox = self._outbox
        return frozenset(
            name
            for name, hot in folders.items()
            if hot.folder.route is Route.HOSTED
            and (outbox is None or not outbox.has_room or outbox.closed_for(name))
        )

    def kind_of(self, folder: HotFolder) -> WorkerKind | None:
        """Which workers its next picture is for; None: it has to wait, since the cluster is away."""
        route, cluster = folder.folder.route, self._cluster
        if route.uses_hosted and self._outbox is not None:
            return WorkerKind.UPLOADED
        if not route.uses_cluster:
            return WorkerKind.LOCAL
        if cluster is not None and not cluster.closed:
            return WorkerKind.CLUSTER
        if route is Route.CLUSTER_THEN_LOCAL and (cluster is None or cluster.has_been_away):
            return WorkerKind.LOCAL
        return None

    def is_given_up(self, folder: HotFolder) -> bool:
        """Whether this run ends without its pictures: they are for a cluster alone, and that stays away."""
        is_away = self._cluster is None or self._cluster.is_given_up
        return folder.folder.route is Route.CLUSTER and is_away

    @property
    def cluster_away(self) -> ClusterAway | None:
        """Since when the cluster is away, and from when on pictures are cut here; None: it is not, or there is none."""
        return None if self._cluster is None else self._cluster.away

    def given_back(self, job: Job, why: str) -> None:
        """The cluster has not carried out a task; its job is queued again, and is as it was."""
        self._log.info("cluster.given-back", job=job.id, folder=job.folder, path=job.path, why=why)
        if self._cluster is not None:
            self._cluster.given_back(why)

    def cut_elsewhere(self) -> None:
        """Another machine has cut a picture."""
        if self._cluster is not None:
            self._cluster.worked()

    def begin(self, folders: Mapping[str, HotFolder]) -> None:
        """Take over jobs of an earlier session or an earlier configuration.

        Raises:
            StorageError: the journal or the outbox refuses; to be called again.
        """
        uploading = self._journal.queue.uploading()
        if self._outbox is None:
            for job in uploading:
                self._journal.queue.plan(job.id, {})
            return
        self._outbox.open()
        for job in uploading:
            hot = folders.get(job.folder)
            if hot is None or not hot.folder.route.uses_hosted:
                egress = self._outbox.withdraw(job)
                self._journal.queue.plan(job.id, RoutePlan(egress=egress).detail())
        for job in self._outbox.reconcile(self._journal.queue.uploading(), self._journal.queue.answered()):
            self._journal.queue.plan(job.id, RoutePlan.of(job.detail).detail())

    def announce(self) -> None:
        """Tell uploader and gateway that another configuration is in force."""
        if self._cluster is not None:
            try:
                self._cluster.announce()
            except OSError as error:
                self._log.warning(
                    "cluster.disk", why=str(error)
                )  # requests that it does not allow are given back
        if self._outbox is None:
            return
        try:
            self._outbox.announce()
        except OutboxError as error:
            self.suspend(str(error))  # it is announced again at the next start

    def suspend(self, why: str) -> None:
        """Stop sending until the next look, since a directory refuses."""
        if self._outbox is not None:
            self._outbox.closed = why
            self._log_closed()

    def _log_closed(self) -> None:
        assert self._outbox is not None  # noqa: S101 -- checked by the callers
        if self._outbox.closed != self._closed:
            self._closed = self._outbox.closed
            if self._closed:
                self._log.warning("upload.closed", why=self._closed)
            else:
                self._log.info("upload.open")

    def prepare(self, job: Job, folder: HotFolder, task: Task) -> tuple[Job, Task]:
        """Adapt a task to its job's next step, and record the plan in the job's detail."""
        step, plan = next_step(folder.folder, RoutePlan.of(job.detail), self._hosted(folder))
        job = replace(job, detail=plan.detail())
        routed = self._routed(job, folder, task, step, plan)
        if self._cluster is not None and plan.egress is None and routed.kind is WorkerKind.LOCAL:
            # Sent, and given back or lost with its machine; or its folder was tagged then.
            plan = plan.but(egress=self._cluster.sent(job.folder, job.id, job.accepted_us))
        return replace(job, detail=plan.detail()), routed

    def _routed(self, job: Job, folder: HotFolder, task: Task, step: NextStep, plan: RoutePlan) -> Task:
        if folder.folder.route.uses_cluster:
            if plan.settled or self.kind_of(folder) is not WorkerKind.CLUSTER:
                return task
            falls_back = folder.folder.route is Route.CLUSTER_THEN_LOCAL
            return replace(task, cluster=ClusterTask(folder=job.folder, falls_back=falls_back))
        if not folder.folder.route.uses_hosted or self._outbox is None:
            return task
        task = replace(task, tagged=True)
        if step is NextStep.EXPORT:
            return replace(task, export=self._outbox.export(job))
        if step is NextStep.COMPOSE and plan.reply is not None and plan.reply.body is not None:
            received = Received(
                file=str(self._outbox.paths.inbox / plan.reply.file),
                body=plan.reply.body.value,
                width=plan.width,
                height=plan.height,
            )
            return replace(task, received=received)
        return task

    def worker_done(self, job: Job) -> None:
        """Remove a job's files from outbox and inbox: a worker is done with them, or died over them.

        If they are needed again, the uploader recognises what it has sent, and returns the same reply.
        """
        if self._outbox is None:
            return
        self._outbox.drop_export(job.id)
        reply = RoutePlan.of(job.detail).reply
        if reply is not None:
            self._outbox.discard_reply(reply)

    def exported(self, job: Job, copy: Exported) -> bool:
        """Send a finished copy; returns False if the file is not what the worker reported.

        Raises:
            JournalError: the journal refuses; to be called again.
        """
        assert self._outbox is not None  # noqa: S101 -- it chose the place of the copy
        try:
            self._outbox.send(job, copy, RoutePlan.of(job.detail))
        except CopyError as error:
            self._log.warning(
                "upload.copy-refused", job=job.id, folder=job.folder, path=job.path, why=str(error)
            )
            return False
        except OutboxError as error:
            self._outbox.drop_export(job.id)
            self._outbox.back_off(str(error))
            self._journal.queue.plan(job.id, RoutePlan.of(job.detail).detail())
            return True
        self._asked_s[job.id] = self._clock.monotonic_s()
        return True

    def escalates(self, job: Job, folder: HotFolder, cut: Cut) -> bool:
        """Whether a local cutout is not good enough and is to be replaced by a hosted one; if so, that is planned."""
        plan = RoutePlan.of(job.detail)
        why = escalation_reason(folder.folder, plan, cut.quality.score)
        if not why or self._outbox is None or self._outbox.closed_for(job.folder):
            return False
        self._journal.queue.plan(job.id, plan.but(why=why).detail())
        self._log.info("job.escalated", job=job.id, folder=job.folder, path=job.path, why=why)
        return True

    def falls_back(self, job: Job, folder: HotFolder, failure: Failure) -> bool:
        """Whether the other way remains after a failure on one; if so, that is planned."""
        plan = RoutePlan.of(job.detail)
        if failure.code is FailureCode.CLUSTER:
            if folder.folder.route is not Route.CLUSTER_THEN_LOCAL or plan.settled:
                return False
            self._settle(job, plan, failure.cause, None)
            return True
        if folder.folder.route is not Route.LOCAL_THEN_HOSTED or plan.settled:
            return False
        if plan.reply is not None and failure.code is FailureCode.REPLY:
            self._settle(job, plan, failure.cause, egress_of(plan.reply, plan.why))
            return True
        if plan.reply is None and failure.code is FailureCode.INFERENCE and self._outbox is not None:
            why = f"the model does not run on it here: {failure.cause}"
            self._journal.queue.plan(job.id, plan.but(why=why).detail())
            return True
        return False

    def poll(self, folders: Mapping[str, HotFolder]) -> None:
        """Handle replies, and give up waiting for late ones.

        Raises:
            StorageError: the journal refuses; to be called again.
        """
        if self._cluster is not None:
            self._cluster.poll()
        if self._outbox is None:
            return
        self._outbox.refresh(rebuilt=rebuilt(self._journal.store) is not None)
        self._log_closed()
        one_by_one(
            self._outbox.answers(),
            lambda answer: self._take_answer(*answer, folders),
            lambda answer, error: self._pass_over(*answer, folders, error),
        )
        self._give_up_waiting(folders, self._clock.monotonic_s())

    def _take_answer(self, job: Job, reply: UploadReply, folders: Mapping[str, HotFolder]) -> None:
        self._answer(job, reply, folders)
        self._finish_reply(job, reply, is_needed=reply.outcome is UploadOutcome.OK)

    def _pass_over(
        self, job: Job, reply: UploadReply, folders: Mapping[str, HotFolder], error: Exception
    ) -> None:
        """Fail the job of a reply over which an unforeseen error occurred, so that other replies are still handled."""
        report(self._log, error, over="a reply", job=job.id, folder=job.folder, path=job.path)
        hot = folders.get(job.folder)
        if hot is None:
            self._journal.queue.plan(job.id, {})
        else:
            hot.delivery.fail(job, failure_of(unforeseen(error)))
        self._finish_reply(job, reply, is_needed=False)

    def _finish_reply(self, job: Job, reply: UploadReply, *, is_needed: bool) -> None:
        assert self._outbox is not None  # noqa: S101 -- the reply came through it
        self._outbox.mark_answered(reply.id)
        if not is_needed:
            self._outbox.discard_reply(reply)
        self._asked_s.pop(job.id, None)

    def _answer(self, job: Job, reply: UploadReply, folders: Mapping[str, HotFolder]) -> None:
        if reply.bytes and not reply.repeated:
            assert self._outbox is not None  # noqa: S101 -- the reply came through it
            note_upload(
                self._journal.store,
                reply.id,
                reply.at,
                folder=job.folder,
                counted=reply.counted,
                awaited=self._outbox.awaited,
            )
            with suppress(OSError):  # the next start shares it
                self._outbox.share_upload_count()
        plan = RoutePlan.of(job.detail)
        hot = folders.get(job.folder)
        if reply.outcome is UploadOutcome.OK:
            self._journal.queue.plan(job.id, plan.but(reply=reply, again=False).detail())
            return
        if reply.outcome is UploadOutcome.WITHDRAWN or hot is None:
            self._journal.queue.plan(job.id, plan.detail())
            return
        if hot.folder.route is Route.LOCAL_THEN_HOSTED:
            self._settle(job, plan, reply.cause, egress_of(reply, plan.why))
            return
        failure = Failure(
            code=FailureCode.HOSTED,
            title="The hosted service gave no cutout",
            cause=reply.cause,
            advice=reply.advice,
            permanent=True,
        )
        if reply.outcome is UploadOutcome.FAILED:
            hot.delivery.fail(job, failure)
            return
        detail = {"failure": asdict(failure), "egress": egress_of(reply, plan.why)}
        self._journal.queue.finish(job.id, JobState.UNKNOWN, detail=detail)
        self._log.warning("job.unknown", job=job.id, folder=job.folder, path=job.path, why=reply.cause)
        self._results.append(JobEnded.of(job, JobState.UNKNOWN, reply.cause))

    def _settle(self, job: Job, plan: RoutePlan, why: str, egress: dict[str, object] | None) -> None:
        """Decide for the local result."""
        settled = plan.but(reply=None, settled=why or "the hosted service gave no cutout", egress=egress)
        self._journal.queue.plan(job.id, settled.detail())
        self._log.info("job.settled", job=job.id, folder=job.folder, path=job.path, why=why)

    def _give_up_waiting(self, folders: Mapping[str, HotFolder], now_s: float) -> None:
        assert self._outbox is not None  # noqa: S101 -- checked by the caller
        for job in self._journal.queue.uploading():
            hot = folders.get(job.folder)
            if hot is None or hot.folder.route is not Route.LOCAL_THEN_HOSTED:
                continue
            asked_s = self._asked_s.setdefault(job.id, now_s)
            is_late = now_s - asked_s > MAX_WAIT_S
            why = self._outbox.closed_for(job.folder) or (
                "the hosted service took too long" if is_late else ""
            )
            if why:
                egress = self._outbox.withdraw(job)
                self._asked_s.pop(job.id, None)
                self._settle(job, RoutePlan.of(job.detail), why, egress)

    def _hosted(self, folder: HotFolder) -> OffloadState:
        if self._outbox is None:
            return OffloadState(closed="no uploader belongs to this run")
        if folder.folder.route is not Route.LOCAL_THEN_HOSTED or not folder.folder.escalate_backlog_s:
            return OffloadState(closed=self._outbox.closed_for(folder.folder.name))
        waiting = self._journal.queue.count_queued(folder.folder.name)
        return OffloadState(
            closed=self._outbox.closed_for(folder.folder.name)
            or ("" if self._outbox.has_room else "the outbox is full"),
            backlog_s=waiting * folder.seconds_each / max(1, self._workers),
        )
