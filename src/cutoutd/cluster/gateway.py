"""The gateway: takes requests from the outbox, has machines of the cluster carry them out, and puts replies into the inbox.

It runs one event loop. Requests that wait for a machine stay in the outbox, since a scheduler keeps in memory what it is given:
to each machine it sends at most one request more than the machine has threads. It reads the configuration itself, and sends
nothing of a folder that is not tagged in it. It accepts nothing but bytes; `cutoutd.pool.cluster_proxy` checks their content.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from cutoutd.cluster.connection import Connection, LostSchedulerError
from cutoutd.cluster.gateway_status import GatewayStatus
from cutoutd.cluster.request_job import JobContext, RequestJob
from cutoutd.cluster.silence import ASK_S, Silence, tolerated_s
from cutoutd.exchange import cluster_spool, messages
from cutoutd.exchange.cluster_spool import ClusterReply, ReplyKind
from cutoutd.exchange.messages import InvalidMessageError
from cutoutd.logs import get
from cutoutd.settings.digest import cluster_sha256

if TYPE_CHECKING:
    from cutoutd.clock import Clock
    from cutoutd.cluster.machines import RemoteMachine
    from cutoutd.exchange.cluster_spool import ClusterPaths, ClusterRequest
    from cutoutd.exchange.sent_log import SentLog
    from cutoutd.settings.schema import Settings

BUSY_LOOK_S: Final = 0.05
IDLE_LOOK_S: Final = 0.2
"""Seconds between two listings of the outbox, with and without requests."""

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 10.0
"""Shortest and longest pause between two attempts to reach a scheduler."""

OWNERS_S: Final = 1.0
"""Seconds between two checks whether the senders of requests are still running."""

LASTS_S: Final = 2.0
"""Shortest time between two restarts, however often the configuration changes."""


class Gateway:
    """One gateway.

    Args:
        settings: settings that it has read itself.
        paths: the exchange directory.
        sent: log in which each picture is recorded before it leaves.
        clock: wall and monotonic time.
        announced: last announcement of the supervisor before the settings were read.
        parent: process id of the parent, at whose end the gateway stops; None for none.
        layers: active layers of the sandbox.

    Attributes:
        job_context: what its jobs share.
        stopping: set when it is to end.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        paths: ClusterPaths,
        sent: SentLog,
        clock: Clock,
        announced: str,
        parent: int | None,
        layers: tuple[str, ...],
    ) -> None:
        self._settings = settings
        self._paths = paths
        self.job_context = JobContext(
            settings=settings,
            paths=paths,
            sent=sent,
            clock=clock,
            answer=self._answer,
            has_machines=lambda: self.has_machines,
        )
        self._folders = frozenset(folder.name for folder in settings.clustered)
        self._configuration = cluster_sha256(settings)
        self._announced = announced
        self._parent = parent
        self._log = get()
        self._status = GatewayStatus(paths, settings.cluster.scheduler, layers)
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._requests: dict[str, ClusterRequest] = {}
        self._started_s = time.monotonic()
        self._owners_due_s = 0.0
        self._silence = Silence(tolerated_s=tolerated_s(settings.cluster.fallback_after_s))
        self._question: asyncio.Task[list[RemoteMachine]] | None = None
        self._machines: list[RemoteMachine] = []
        self.stopping = asyncio.Event()

    async def run(self) -> None:
        """Work until asked to end."""
        self._log.info(
            "cluster.started", scheduler=self._settings.cluster.scheduler, folders=sorted(self._folders)
        )
        failures = 0
        while not self._is_over():
            try:
                async with Connection(self._settings.cluster) as connection:
                    failures = 0
                    self._log.info("cluster.connected", scheduler=self._settings.cluster.scheduler)
                    try:
                        await self._serve(connection)
                    finally:
                        # Before the connection closes, which would cancel what was sent.
                        await self._drop_all()
            except LostSchedulerError as error:
                if not failures:
                    self._log.warning("cluster.away", why=str(error))
                self._status.away(str(error), silent_s=self._silence.of_scheduler(time.monotonic()))
                self._tidy()
            await self._pause(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**failures))
            failures = min(failures + 1, 10)
        self._status.end()
        self._log.info("cluster.ended")

    def _is_over(self) -> bool:
        """Whether to end: on request, or because the parent has ended, or because the configuration has changed."""
        if self._parent is not None and os.getppid() != self._parent:
            self._log.warning("cluster.orphaned")
            self.stopping.set()
        elif self._is_outdated():
            self._log.info("cluster.begins-anew")
            self.stopping.set()  # its parent starts it again, and it then reads the configuration
        return self.stopping.is_set()

    def _is_outdated(self) -> bool:
        if time.monotonic() < self._started_s + LASTS_S:
            return False
        now = messages.announcement(self._paths.announced)
        if now == self._announced:
            return False
        self._announced = now
        return not now.startswith(self._configuration)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), seconds)

    async def _serve(self, connection: Connection) -> None:
        """Handle requests while the scheduler is connected.

        Raises:
            LostSchedulerError: the connection is lost.
        """
        self._silence.answered_s = self._silence.asked_s = None
        while not self._is_over():
            connection.check()
            self._poll_outbox()
            self._ask(connection)
            for request in [one for id_, one in self._requests.items() if id_ not in self._jobs]:
                self._begin(connection, request)
            self._write_status()
            await self._pause(BUSY_LOOK_S if self._requests else IDLE_LOOK_S)

    def _ask(self, connection: Connection) -> None:
        """Ask the scheduler about its machines, and take its answer; neither is waited for.

        Raises:
            LostSchedulerError: it has not answered.
        """
        now_s = time.monotonic()
        if self._question is not None and self._question.done():
            question, self._question = self._question, None
            self._machines = self._silence.answered(question.result(), now_s)
            connection.silent = frozenset(one.address for one in self._machines if one.silent_s)
        # Also while all requests are being worked on: the machine that has them may be gone.
        is_asked = bool(self._requests) or not any(one.slots and not one.trouble for one in self._machines)
        is_due = self._silence.answered_s is None or now_s >= self._silence.answered_s + ASK_S
        if self._question is None and is_asked and is_due:
            self._silence.asked(now_s)
            self._question = asyncio.create_task(connection.machines())

    def _write_status(self) -> None:
        scheduler = self._settings.cluster.scheduler
        now_s = time.monotonic()
        if self._silence.is_too_long(now_s):
            silent_s = self._silence.of_scheduler(now_s)
            self._status.away(f"{scheduler} does not answer", silent_s=silent_s, force=False)
        elif self._silence.answered_s is not None:
            self._status.connected(self._machines, in_flight=len(self._jobs), waiting=self._unsent)

    @property
    def has_machines(self) -> bool:
        """Whether any machine can be reached, as far as is known."""
        is_silent = self._silence.is_too_long(time.monotonic())
        return not is_silent and any(not machine.trouble for machine in self._machines)

    @property
    def _unsent(self) -> int:
        return len(self._requests) - len(self._jobs)

    def _poll_outbox(self) -> None:
        """List the requests, and drop those that nobody waits for."""
        try:
            names = os.listdir(self._paths.outbox)  # noqa: PTH208 -- only the names are needed
        except OSError as error:
            self._log.warning("cluster.disk", why=str(error))
            return
        ids = {name.removesuffix(".json") for name in names if name.endswith(".json")}
        for gone in self._requests.keys() - ids:
            self._drop(gone)
        for new in sorted(ids - self._requests.keys()):
            if messages.ID.fullmatch(new):
                self._take(new)
        if time.monotonic() >= self._owners_due_s:
            self._owners_due_s = time.monotonic() + OWNERS_S
            self._tidy()

    def _take(self, id_: str) -> None:
        try:
            request = cluster_spool.read_request(self._paths.outbox / f"{id_}.json")
        except FileNotFoundError:
            return
        except (OSError, InvalidMessageError) as error:
            self._answer(
                ClusterReply(id=id_, kind=ReplyKind.FAILED, why=f"the request cannot be read: {error}")
            )
            return
        if request.folder not in self._folders:
            why = f"the folder {request.folder!r} is not tagged for the cluster in the configuration that was read"
            self._answer(ClusterReply(id=id_, kind=ReplyKind.RETURNED, why=why))
            return
        self._requests[id_] = request

    def _tidy(self) -> None:
        """Remove requests whose proxy has ended, since nobody waits for the reply."""
        with suppress(OSError):
            for name in os.listdir(self._paths.outbox):  # noqa: PTH208 -- likewise
                id_, _, suffix = name.partition(".")
                if suffix == "json" and messages.ID.fullmatch(id_):
                    self._tidy_one(id_)
                elif suffix == "lock" and not cluster_spool.owner_lives(self._paths, id_):
                    (self._paths.outbox / name).unlink(missing_ok=True)

    def _tidy_one(self, id_: str) -> None:
        with suppress(OSError, InvalidMessageError):
            request = self._requests.get(id_) or cluster_spool.read_request(
                self._paths.outbox / f"{id_}.json"
            )
            if not cluster_spool.owner_lives(self._paths, request.owner):
                self._log.info("cluster.orphan", job=request.job, folder=request.folder)
                cluster_spool.remove_message(self._paths.outbox, id_)
                self._drop(id_)

    def _begin(self, connection: Connection, request: ClusterRequest) -> None:
        """Send a request if a suitable machine has room for it."""
        if len(self._jobs) >= self._settings.cluster.max_in_flight:
            return
        resource = connection.resource_for(request)
        fit = [one for one in self._machines if not one.why_not(resource, connection.versions, request.model)]
        window = min(self._settings.cluster.max_in_flight, sum(one.threads + 1 for one in fit))
        if len(self._jobs) >= window:
            if not fit:
                self._status.unfit(self._why_none_fits(connection, request, resource))
            return
        job = RequestJob(self.job_context, connection, request, resource)
        task = asyncio.create_task(job.run())
        self._jobs[request.id] = task
        task.add_done_callback(lambda _: self._jobs.pop(request.id, None))

    def _why_none_fits(self, connection: Connection, request: ClusterRequest, resource: str) -> str:
        if not self._machines:
            return "no machine has joined the scheduler"
        return "; ".join(
            f"{one.address}: {one.why_not(resource, connection.versions, request.model)}"
            for one in self._machines[:8]
        )

    def _answer(self, reply: ClusterReply, parts: tuple[memoryview, ...] = ()) -> None:
        """Put a reply into the inbox, and remove its request."""
        self._requests.pop(reply.id, None)
        try:
            cluster_spool.write(self._paths.inbox, reply, parts)
            cluster_spool.remove_message(self._paths.outbox, reply.id)
        except OSError as error:
            self._log.warning("cluster.disk", why=str(error))  # the request stays, and is handled again

    def _drop(self, id_: str) -> None:
        self._requests.pop(id_, None)
        if (task := self._jobs.pop(id_, None)) is not None:
            task.cancel()

    async def _drop_all(self) -> None:
        tasks: list[Any] = list(self._jobs.values())
        if self._question is not None:
            self._question.cancel()
            tasks.append(self._question)
            self._question = None
        for id_ in list(self._requests):
            self._drop(id_)
        await asyncio.gather(*tasks, return_exceptions=True)
        self._machines = []
