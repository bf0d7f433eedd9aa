"""A job of the gateway: sends one request to a machine of the cluster, and writes its reply.

Each attempt has a new key, since Dask answers a failed key with its old error. Beside the deadline of the slot there is one of the
job itself: Dask may report a task as running without end.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cutoutd.clock import rfc3339
from cutoutd.cluster import packing
from cutoutd.cluster.connection import LostSchedulerError
from cutoutd.cluster.packing import TornError
from cutoutd.cluster.remote import HEAD_SCHEMA
from cutoutd.exchange import cluster_spool
from cutoutd.exchange.cluster_spool import ClusterReply, ReplyKind
from cutoutd.exchange.messages import InvalidMessageError
from cutoutd.faults.isolation import report
from cutoutd.logs import get

if TYPE_CHECKING:
    from collections.abc import Callable

    from cutoutd.clock import Clock
    from cutoutd.cluster.connection import Connection
    from cutoutd.exchange.cluster_spool import ClusterPaths, ClusterRequest
    from cutoutd.exchange.sent_log import SentLog
    from cutoutd.settings.schema import Settings

MAX_TRIES: Final = 3
"""Attempts for one request, on machines that die or never answer."""

LEAVE_S: Final = 2.0
"""The time in which a machine that cannot cut leaves the cluster; the next attempt comes after it."""

SLACK_S: Final = 60.0
_MAX_REFUSAL: Final = 1 << 16
"""The most bytes of a head that has no report with it."""

MAX_WORD: Final = 200
MAX_WHY: Final = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class JobContext:
    """What all jobs of a gateway share.

    Attributes:
        settings: settings that the gateway has read itself.
        paths: the exchange directory.
        sent: log in which each picture is recorded before it leaves.
        clock: wall time.
        answer: puts a reply and the results that belong to it into the inbox, and removes its request.
        has_machines: returns whether any machine can be reached, as far as is known.
    """

    settings: Settings
    paths: ClusterPaths
    sent: SentLog
    clock: Clock
    answer: Callable[[ClusterReply, tuple[memoryview, ...]], None]
    has_machines: Callable[[], bool]


class RequestJob:
    """One request that is being carried out.

    Args:
        context: what it shares with the other jobs of its gateway.
        connection: connection to the scheduler.
        request: the request.
        resource: resource that a machine must offer.
    """

    def __init__(
        self, context: JobContext, connection: Connection, request: ClusterRequest, resource: str
    ) -> None:
        self._context = context
        self._connection = connection
        self._request = request
        self._resource = resource
        self._at = ""
        self._bytes = 0

    async def run(self) -> None:
        """Carry out the request and answer it, also if it fails. If the scheduler is lost, there is no answer."""
        try:
            await self._run()
        except LostSchedulerError:
            return
        except (OSError, InvalidMessageError) as error:
            self._fail(f"the exchange directory cannot be used: {error}")
        except Exception as error:  # noqa: BLE001 -- an error of one request must not affect others
            report(get(), error, over="a picture for the cluster", job=self._request.job)
            self._fail(f"cutoutd had an internal error ({type(error).__name__})")

    async def _run(self) -> None:
        request, settings = self._request, self._context.settings
        line, picture, *backgrounds = cluster_spool.read_parts(
            self._context.paths.outbox, request.id, request.sizes
        )
        limits = {"max_result_bytes": settings.cluster.max_result_mb << 20}
        data = packing.pack([json.dumps(limits).encode("ascii"), line, picture, *backgrounds])
        self._bytes = sum(request.sizes[1:])
        # The deadline of the slot, and that of the picture before it: at most one picture is ahead at a machine.
        deadline_s = 2 * settings.pool.job_timeout_s + SLACK_S
        why = ""
        tries = 0
        while tries < MAX_TRIES:
            self._record_sending()
            outcome = await self._connection.carry_out(data, self._resource, deadline_s)
            if outcome.why is None and not (why := _why_elsewhere(outcome.result)):
                self._take(outcome.result, outcome.host)
                return
            if outcome.why is None:
                await asyncio.sleep(LEAVE_S)
            # While no machine can be reached, a request waits for however long that takes.
            tries += not outcome.is_late or self._context.has_machines()
            why = outcome.why or f"{outcome.host}: {why}"
            get().warning("cluster.again", job=request.job, folder=request.folder, why=why)
        self._fail(f"{MAX_TRIES} tries came to nothing; the last: {why}")

    def _record_sending(self) -> None:
        """Record that the picture leaves this machine, before it does.

        Raises:
            OSError: the disk refuses.
        """
        request = self._request
        self._at = rfc3339(self._context.clock.now_us())
        self._context.sent.append(
            {
                "at": self._at,
                "folder": request.folder,
                "job": request.job,
                "bytes": self._bytes,
                "sha256": request.sha256,
                "scheduler": self._context.settings.cluster.scheduler,
            }
        )

    def _take(self, result: object, host: str) -> None:
        """Accept what a machine has sent back, if it is valid."""
        try:
            head, *parts = packing.unpack(result)
            said = json.loads(bytes(head))
            reply = self._reply(said, host, parts)
        except (TornError, ValueError, TypeError, KeyError, RecursionError) as error:
            self._fail(f"{host} has sent back something that is no result: {error}"[:MAX_WHY])
            return
        self._context.answer(reply, tuple(parts))

    def _reply(self, said: Any, host: str, parts: list[memoryview]) -> ClusterReply:  # noqa: ANN401 -- JSON
        kind = ReplyKind(said["kind"])
        if (
            said["schema"] != HEAD_SCHEMA
            or kind is ReplyKind.RETURNED
            or bool(parts) != (kind is ReplyKind.REPORT)
        ):
            raise ValueError("its head is not what it should be")
        layers = said["layers"]
        if not isinstance(layers, list):
            raise TypeError("its layers are no list")
        return ClusterReply(
            id=self._request.id,
            kind=kind,
            sizes=tuple(map(len, parts)),
            why=_plain(said.get("why", ""), MAX_WHY),
            permanent=said["permanent"] is True,
            host=_plain(host),
            cutoutd=_plain(said["cutoutd"]),
            onnxruntime=_plain(said["onnxruntime"]),
            python=_plain(said["python"]),
            provider=_plain(said["provider"]),
            layers=tuple(map(_plain, layers[:16])),
            at=self._at,
            sent_bytes=self._bytes,
        )

    def _fail(self, why: str) -> None:
        reply = ClusterReply(id=self._request.id, kind=ReplyKind.FAILED, why=_plain(why, MAX_WHY))
        self._context.answer(reply, ())


def _why_elsewhere(result: object) -> str:
    """Return why another machine is to carry a request out, which says nothing of its picture; empty: none is."""
    try:
        head, *parts = packing.unpack(result)
        if parts or len(head) > _MAX_REFUSAL:
            return ""
        said = json.loads(bytes(head))
        return _plain(said["why"], MAX_WHY) if said["elsewhere"] is True else ""
    except (TornError, ValueError, TypeError, KeyError, RecursionError):
        return ""  # what it is instead is checked where it is taken


def _plain(value: object, most: int = MAX_WORD) -> str:
    """Return a value as a short printable text."""
    return "".join(one for one in str(value)[:most] if one.isprintable())
