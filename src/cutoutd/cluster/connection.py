"""The connection to the scheduler: the only module of the gateway that uses Dask.

Import it only after the process is confined, since `distributed` starts a thread. Whatever a compromised scheduler or machine
sends is unpickled here. That is why the process can reach nothing but its exchange directory, its certificates, and the ports of
the cluster.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from distributed import Client, Future, wait

from cutoutd.cluster import fingerprint, remote, tls
from cutoutd.cluster.dask_settings import be_sparing
from cutoutd.cluster.machines import machines_of
from cutoutd.process import installed_versions

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from cutoutd.cluster.machines import RemoteMachine
    from cutoutd.cluster.packing import Packed
    from cutoutd.exchange.cluster_spool import ClusterRequest
    from cutoutd.settings.cluster import ClusterSettings

CONNECT_S: Final = 10.0
ASK_S: Final = 20.0
"""Longest time that the scheduler may take to answer."""

_LOOK_S: Final = 1.0


class LostSchedulerError(Exception):
    """There is no scheduler, or it refuses the connection."""


class _SilentMachineError(Exception):
    """The machine that has a result does not answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteOutcome:
    """The outcome of one attempt.

    Attributes:
        why: why there is no result; None if there is one.
        result: whatever the machine sent back.
        host: address of that machine.
        is_late: whether nothing has come in time.
    """

    why: str | None
    result: object = None
    host: str = ""
    is_late: bool = False


class Connection:
    """A connection to the scheduler, as an asynchronous context manager.

    Args:
        settings: address of the scheduler, and certificates.

    Attributes:
        silent: addresses of machines from which no result is awaited, since they have been silent for too long.
    """

    def __init__(self, settings: ClusterSettings) -> None:
        self._settings = settings
        self._client: Any = None
        # Keeps one result at a time in memory: Dask would gather all that there are.
        self._gathering = asyncio.Lock()
        self.versions = installed_versions.versions()
        self.silent: frozenset[str] = frozenset()

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            LostSchedulerError: there is no scheduler, or it refuses the connection.
        """
        chosen = self._settings
        certificates = tls.Certificates.of(chosen)
        assert certificates is not None  # noqa: S101 -- the settings were checked
        be_sparing()
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # this module reports the errors itself
        client = Client(
            chosen.scheduler,
            security=tls.security(certificates),
            asynchronous=True,
            direct_to_workers=True,
            timeout=CONNECT_S,
        )
        try:
            await asyncio.wait_for(client, CONNECT_S + 5)
        except (
            Exception
        ) as error:  # not only OSError: what is unpickled from the other side may raise anything
            with suppress(Exception):  # it never started
                await asyncio.wait_for(client.close(), 5)
            raise LostSchedulerError(f"{chosen.scheduler}: {str(error) or type(error).__name__}") from error
        self._client = client
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        """Disconnect; the scheduler then drops the tasks of this client."""
        with suppress(
            Exception
        ):  # Dask documents no exceptions; a connection that cannot be closed is lost anyway
            await asyncio.wait_for(self._client.close(), 5)

    def check(self) -> None:
        """Check that the connection is still open.

        Raises:
            LostSchedulerError: it is closed.
        """
        if self._client.status != "running":
            raise LostSchedulerError(f"{self._settings.scheduler}: the connection is gone")

    async def machines(self) -> list[RemoteMachine]:
        """Return the machines that the cluster has now.

        Raises:
            LostSchedulerError: the scheduler does not answer.
        """
        try:
            said = await asyncio.wait_for(self._client.scheduler.identity(n_workers=-1), ASK_S)
        except Exception as error:  # OSError, or anything that unpickling an answer raises
            raise LostSchedulerError(f"{self._settings.scheduler} does not answer") from error
        return machines_of(said)

    def resource_for(self, request: ClusterRequest) -> str:
        """Return the resource that a machine must offer to get a picture."""
        return fingerprint.resource(self.versions, request.model, request.second)

    async def carry_out(self, data: Packed, resource: str, deadline_s: float) -> RemoteOutcome:
        """Have a machine cut one picture.

        Args:
            data: packed request, as `cutoutd.cluster.remote.cut` takes it.
            resource: resource that the machine must offer.
            deadline_s: seconds after which the attempt is given up.

        Raises:
            LostSchedulerError: the connection was lost meanwhile, by which all that was sent is cancelled.
        """
        future: Future[Packed] = self._client.submit(
            remote.cut,
            data,
            key=f"cutoutd-{secrets.token_hex(16)}",
            resources={resource: 1},
            pure=False,
            retries=0,
        )
        try:
            await asyncio.wait_for(wait([future]), deadline_s)
            if future.status != "finished":
                return RemoteOutcome(why=await reason_of(future))
            host = await self._host(future)
            async with self._gathering:
                result = await asyncio.wait_for(self._gathered(future, host), deadline_s)
            return RemoteOutcome(why=None, result=result, host=host)
        except TimeoutError:
            return RemoteOutcome(why=f"no machine has answered in {deadline_s:.0f} s", is_late=True)
        except CancelledError:
            self.check()
            return RemoteOutcome(why="it was cancelled")
        except _SilentMachineError as error:
            return RemoteOutcome(why=f"{error} does not answer", is_late=True)
        except OSError as error:  # Dask's: the machine or the scheduler has hung up
            self.check()
            return RemoteOutcome(why=f"the connection broke: {error}", is_late=True)
        finally:
            future.release()  # immediately: the machine frees its memory, or stops working on it

    async def _gathered(self, future: Future[Packed], host: str) -> object:
        """Fetch a result from its machine.

        Raises:
            _SilentMachineError: the machine has become silent. Other results wait for this one, so it is not awaited any longer.
        """
        gathering = asyncio.ensure_future(self._client.gather(future, direct=True))
        try:
            while not gathering.done():
                await asyncio.wait({gathering}, timeout=_LOOK_S)
                if host in self.silent and not gathering.done():
                    raise _SilentMachineError(host)
            return gathering.result()
        finally:
            gathering.cancel()

    async def _host(self, future: Future[Packed]) -> str:
        """Return the address of the machine that has a result."""
        with suppress(Exception):  # as above; the result is there, only the name of its machine is missing
            holders_by_key = await asyncio.wait_for(self._client.who_has([future]), ASK_S)
            return next(str(one) for holders in holders_by_key.values() for one in holders)
        return "a machine that has gone since"


async def reason_of(future: Future[Packed]) -> str:
    """Return why a task failed: the exception it raised, or what happened to its machines (Dask's `KilledWorker`)."""
    with suppress(Exception):  # the error that a machine sends is unpickled, which may raise anything
        error = await future.exception()
        return f"{type(error).__name__}: {error}"[:300] if error is not None else "it was cancelled"
    return "the machine that had it is gone"
