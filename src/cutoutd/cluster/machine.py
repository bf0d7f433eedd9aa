"""A machine of the cluster: its slots, and the facts that it reports to the scheduler.

Used by `cutoutd worker` and by the preload for plain ``dask worker``.
"""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, Any, Final

from distributed.diagnostics.plugin import WorkerPlugin

from cutoutd.cluster import fingerprint, remote
from cutoutd.cluster.machines import METRIC
from cutoutd.cluster.slot_host import SlotHost
from cutoutd.daemon.assembly import setup_of
from cutoutd.models.catalog import VerifiedModels
from cutoutd.pool import capacity
from cutoutd.process import installed_versions
from cutoutd.sandbox import survey
from cutoutd.settings.types import Sandbox

if TYPE_CHECKING:
    from distributed import Worker

    from cutoutd.settings.schema import Settings

JOINS_MB: Final = 64
LEAVES_MB: Final = 16
"""Free MiB for temporary files with which a machine joins the cluster, and below which it leaves. The second is smaller, since what
is being cut takes some of the room."""

_MIB: Final = 1 << 20


class WithdrawTasks(WorkerPlugin):
    """Stops the slot of a picture that the scheduler has withdrawn: Dask cannot stop the thread that waits for it."""

    def transition(self, key: object, start: str, finish: str, **_: object) -> None:
        """Handle a transition; Dask calls it for each step of each task. A task that ends by itself goes to "memory" or "error" first."""
        if start == "executing" and finish == "released":
            remote.withdraw(str(key))


class ClusterMachine:
    """The slots of this process.

    Args:
        settings: settings of this machine, of which [pool] and [model] are used.
        slots: number of slots; 0: as many as the machine has room for.

    Raises:
        ModelError: a model is missing or altered.
        SandboxError: a layer of the sandbox is missing although all are required.
    """

    def __init__(self, settings: Settings, *, slots: int = 0) -> None:
        if settings.pool.sandbox is Sandbox.REQUIRED:
            survey.refuse(survey.gaps())
        models = VerifiedModels()
        models.add(settings.needed_models)
        self._specs = [models.get(name) for name in settings.models]
        self._second = models.get_if(settings.model.second)
        room_mb = 0 if self._second is None else self._second.room_mb
        size = slots or capacity.worker_count(settings.pool.workers, room_mb)
        self._versions = installed_versions.versions()
        self.is_ending = False
        self.host = SlotHost(
            size=size,
            setup=lambda: setup_of(settings, self._specs, self._second),
            job_timeout_s=settings.pool.job_timeout_s,
        )

    def start(self) -> None:
        """Wait until a slot is ready; from then on this process can serve the cluster.

        Raises:
            CutoutdError: no slot becomes ready.
        """
        self.host.wait_until_ready()
        remote.install(self.host)

    @property
    def resources(self) -> dict[str, float]:
        """The Dask resources that this machine offers."""
        second = "" if self._second is None else self._second.sha256
        return fingerprint.resources([model.sha256 for model in self._specs], second, self.host.size)

    def disk_trouble(self, least_mb: int = LEAVES_MB) -> str:
        """Return why this machine can take no picture: temporary files have too little room; empty: they have enough.

        Args:
            least_mb: free MiB that they need.
        """
        place = tempfile.gettempdir()
        try:
            room = os.statvfs(place)
        except OSError as error:
            return f"{place} cannot be used: {error.strerror}"
        free_mb = room.f_bavail * room.f_frsize // _MIB
        if free_mb >= least_mb:
            return ""
        return f"{free_mb} MiB are free at {place}, and {least_mb} are needed: free some space there"

    def described(self) -> dict[str, Any]:
        """Return the facts about this machine, for JSON."""
        facts = self.host.facts
        return {
            "versions": self._versions,
            "models": {model.name: model.sha256 for model in self._specs},
            "second": {} if self._second is None else {self._second.name: self._second.sha256},
            "slots": self.host.size,
            "layers": list(facts.layers) if facts is not None else [],
            "provider": facts.provider if facts is not None else "",
            "done": self.host.done,
            "per_minute": self.host.per_minute,
            "fault": self.disk_trouble() if self.host.fault is None else str(self.host.fault),
        }

    async def join(self, worker: Worker) -> None:
        """Offer the slots through a Dask worker that is starting or has started."""
        await worker.plugin_add(WithdrawTasks())
        worker.metrics[METRIC] = lambda _: self.described()
        for name, quantity in self.resources.items():
            worker.state.total_resources[name] = worker.state.available_resources[name] = quantity
