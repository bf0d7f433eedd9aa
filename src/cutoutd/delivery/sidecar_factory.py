"""The origin of a result for sidecars and failure records: model, settings, runtime, sandbox.

It turns values into values, and must not touch files.
"""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING

from cutoutd import job_options
from cutoutd.exchange.cluster_spool import PROVIDER
from cutoutd.offload.routing import RoutePlan, egress_of
from cutoutd.protocols import WorkerFacts
from cutoutd.publish.correction_block import CorrectionFacts
from cutoutd.publish.failures import FailureFacts
from cutoutd.publish.sidecar import ModelFacts, RuntimeFacts, SecondFacts, SidecarFacts
from cutoutd.settings.digest import with_backgrounds
from cutoutd.settings.types import Route

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from cutoutd.clock import Clock
    from cutoutd.corrections import Correction
    from cutoutd.exchange.spool import UploadReply
    from cutoutd.jobs import Cut, Failure, Job
    from cutoutd.protocols import ModelSpec
    from cutoutd.task_route import RemoteFacts


class SidecarFactory:
    """Completes the worker's report to the facts of a sidecar or failure record.

    Args:
        model: the model that cuts the folder's pictures.
        settings_sha256: by name of the folder, hash of the settings that affect a cutout's look.
        worker: returns the workers' facts; None: no worker is up yet.
        clock: clock for the time of a failure.
        marker: returns the UUID of the folder's marker; empty: not known.
        second: the model that is used where the other leaves doubt; None: there is none.
        webhooks: hosts that are notified of results, and what is included.
        asked: returns a model that a person asks for by name, and the settings' hash for it; None: workers do not have it.
    """

    def __init__(
        self,
        *,
        model: ModelSpec,
        settings_sha256: Mapping[str, str],
        worker: Callable[[], WorkerFacts | None],
        clock: Clock,
        marker: Callable[[], str] = str,
        second: ModelSpec | None = None,
        webhooks: Sequence[Mapping[str, str]] = (),
        asked: Callable[[str], tuple[ModelSpec, str] | None] = lambda _: None,
    ) -> None:
        self._model = model
        self._second = second
        self._webhooks = webhooks
        self._asked = asked
        self._settings_sha256 = settings_sha256
        self._worker = worker
        self._clock = clock
        self._marker = marker
        self._version = version("cutoutd")

    def sidecar_facts(self, job: Job, cut: Cut, correction: Correction | None = None) -> SidecarFacts:
        """Return all that a cutout's sidecar contains, except the names of the outputs.

        Args:
            job: the job.
            cut: the worker's report.
            correction: the correction that the worker applied; None: there is none.
        """
        name = job.model or job_options.of_text(job.options).model
        worker, asked = _worker_of(cut) or self._worker(), self._asked(name) if name else None
        settings_sha256 = self._settings_sha256[job.folder]
        if asked is not None:
            local_model, settings_sha256 = _facts(asked[0], worker), asked[1]
        else:
            local_model = self._local_model(worker, cut)
        plan = RoutePlan.of(job.detail)
        egress = plan.egress if plan.reply is None else egress_of(plan.reply, plan.why)
        return SidecarFacts(
            job=job.id,
            folder=job.folder,
            marker=self._marker(),
            route=_route(plan) if cut.remote is None else Route.CLUSTER.value,
            egress=egress if cut.remote is None else _cluster_egress(cut.remote),
            webhooks=self._webhooks,
            path=job.path,
            mtime_ns=job.mtime_ns,
            source=cut.source,
            model=local_model if plan.reply is None else _hosted_model(plan.reply),
            is_model_asked=asked is not None and plan.reply is None,
            second=self._second_facts(worker, cut),
            correction=_correction_facts(cut, correction),
            settings_sha256=with_backgrounds(settings_sha256, [one.background_sha256 for one in cut.staged]),
            runtime=RuntimeFacts(
                cutoutd=self._version if cut.remote is None else cut.remote.cutoutd,
                onnxruntime=worker.onnxruntime if worker is not None else "",
                python=platform.python_version() if cut.remote is None else cut.remote.python,
            ),
            sandbox=worker.layers if worker is not None else (),
            quality=cut.quality,
            timings_ms=cut.timings_ms,
            attempts=job.starts,
            warnings=(*cut.warnings, *_settled(plan)),
            dropped=cut.dropped,
            accepted_us=job.accepted_us,
            options=job_options.of_text(job.options).text(),
        )

    def _local_model(self, worker: WorkerFacts | None, cut: Cut) -> ModelFacts:
        """Return the model that made the matte."""
        is_second = self._second is not None and cut.second is not None and cut.second.taken
        return _facts(self._second if is_second and self._second is not None else self._model, worker)

    def _second_facts(self, worker: WorkerFacts | None, cut: Cut) -> SecondFacts | None:
        if self._second is None or cut.second is None:
            return None
        other = self._model if cut.second.taken else self._second
        return SecondFacts(
            other=_facts(other, worker),
            taken=cut.second.taken,
            first_score=round(cut.second.score, 4),
            why=cut.second.why,
        )

    def failure_facts(self, job: Job, failure: Failure) -> FailureFacts:
        """Return all that a failure record contains."""
        return FailureFacts(
            job=job.id,
            folder=job.folder,
            marker=self._marker(),
            path=job.path,
            bytes=job.size,
            mtime_ns=job.mtime_ns,
            sha256=job.sha256,
            failure=failure,
            attempts=job.starts,
            at_us=self._clock.now_us(),
        )


def _facts(model: ModelSpec, worker: WorkerFacts | None) -> ModelFacts:
    provider = worker.provider if worker is not None else ""
    return ModelFacts(name=model.name, sha256=model.sha256, provider=provider)


def _correction_facts(cut: Cut, correction: Correction | None) -> CorrectionFacts | None:
    if cut.corrected is None or correction is None:
        return None
    return CorrectionFacts(
        number=correction.number,
        version=cut.corrected.version,
        changed=cut.corrected.changed,
        suggestion=correction.suggestion,
        strokes=correction.strokes,
    )


def _hosted_model(reply: UploadReply) -> ModelFacts:
    """Return the facts of a hosted model; services do not tell which weights they use."""
    return ModelFacts(name=reply.provider, sha256="", provider=reply.host)


def _route(plan: RoutePlan) -> str:
    if plan.reply is not None:
        return Route.HOSTED.value
    # It was cut here, but was first meant for others.
    if plan.egress is None:
        return Route.LOCAL.value
    is_of_cluster = plan.egress.get("provider") == PROVIDER
    return (Route.CLUSTER_THEN_LOCAL if is_of_cluster else Route.LOCAL_THEN_HOSTED).value


def _worker_of(cut: Cut) -> WorkerFacts | None:
    """What the worker of another machine says of itself; None if none of these has cut it."""
    if cut.remote is None:
        return None
    return WorkerFacts(
        layers=cut.remote.layers, provider=cut.remote.provider, onnxruntime=cut.remote.onnxruntime
    )


def _cluster_egress(remote: RemoteFacts) -> dict[str, object]:
    """What a sidecar says of a picture that another machine of the cluster has cut."""
    return {
        "provider": PROVIDER,
        "host": remote.host,
        "bytes": remote.bytes,
        "sha256": remote.sha256,
        "at": remote.at,
        "credits": None,
        "why": "the folder's route leads to the cluster",
        "repeated": False,
    }


def _settled(plan: RoutePlan) -> tuple[str, ...]:
    if not plan.settled:
        return ()
    if not plan.why:
        return (f"cut on this machine instead of on the cluster: {plan.settled}",)
    return (f"cut on this machine instead of by the hosted service ({plan.why}): {plan.settled}",)
