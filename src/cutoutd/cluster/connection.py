"""A connection to the scheduler: the one module that speaks Dask on this side.

To be imported after the process was confined: `distributed` starts a thread. Whatever a compromised scheduler or machine
sends is unpickled in here: that is why the process reaches nothing but its box, its certificates, and the cluster's ports.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from distributed import Client, Future, wait

from cutoutd.cluster import fingerprint, remote, tls
from cutoutd.cluster.machines import machines_of

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from cutoutd.cluster.machines import RemoteMachine
    from cutoutd.exchange.cluster_box import ClusterRequest
    from cutoutd.settings.cluster import ClusterSettings

CONNECT_S: Final = 10.0
ASK_S: Final = 20.0
"""So long the scheduler may take to answer."""


class LostSchedulerError(Exception):
    """There is no scheduler, or it does not let us in."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteOutcome:
    """What came of one try.

    Attributes:
        why: it came to nothing; None if there is a result.
        result: whatever was sent back.
        host: which machine did.
    """

    why: str | None
    result: object = None
    host: str = ""


class Connection:
    """To be used as an asynchronous context.

    Args:
        settings: where the scheduler is, and how it is spoken to.
    """

    def __init__(self, settings: ClusterSettings) -> None:
        self._settings = settings
        self._client: Any = None
        # One result at a time is in memory: Dask gathers as many as there are.
        self._gathering = asyncio.Lock()
        self.versions = fingerprint.versions()

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            LostSchedulerError: nobody is there, or it does not let us in.
        """
        chosen = self._settings
        assert chosen.tls_ca_file is not None  # noqa: S101 -- the settings were checked
        assert chosen.tls_cert is not None  # noqa: S101 -- likewise
        assert chosen.tls_key is not None  # noqa: S101 -- likewise
        logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what is wrong is told by us
        client = Client(
            chosen.scheduler,
            security=tls.security(chosen.tls_ca_file, chosen.tls_cert, chosen.tls_key),
            asynchronous=True,
            direct_to_workers=True,
            timeout=CONNECT_S,
        )
        try:
            await asyncio.wait_for(client, CONNECT_S + 5)
        except (
            Exception
        ) as error:  # beside Dask's OSError: what is unpickled from the other side raises what it likes
            with suppress(Exception):  # it has not begun
                await asyncio.wait_for(client.close(), 5)
            raise LostSchedulerError(f"{chosen.scheduler}: {str(error) or type(error).__name__}") from error
        self._client = client
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        """Disconnect: the scheduler forgets what it was to do for us."""
        with suppress(
            Exception
        ):  # Dask names none; a connection that cannot be closed is lost, and forgotten as well
            await asyncio.wait_for(self._client.close(), 5)

    def check(self) -> None:
        """See that it holds.

        Raises:
            LostSchedulerError: it does not.
        """
        if self._client.status != "running":
            raise LostSchedulerError(f"{self._settings.scheduler}: the connection is gone")

    async def machines(self) -> list[RemoteMachine]:
        """Which machines there are now.

        Raises:
            LostSchedulerError: the scheduler does not answer.
        """
        try:
            said = await asyncio.wait_for(self._client.scheduler.identity(n_workers=-1), ASK_S)
        except Exception as error:  # OSError, or whatever an answer that is unpickled raises
            raise LostSchedulerError(f"{self._settings.scheduler} does not answer") from error
        return machines_of(said)

    def resource_for(self, request: ClusterRequest) -> str:
        """What a machine must offer to get a picture."""
        return fingerprint.resource(self.versions, request.model, request.second)

    async def carry_out(self, data: bytes, resource: str, deadline_s: float) -> RemoteOutcome:
        """Have a machine cut one picture.

        Args:
            data: packed, as `cutoutd.cluster.remote.cut` takes it.
            resource: that the machine offers.
            deadline_s: seconds after which it is given up.
        """
        future: Future[bytes] = self._client.submit(
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
                result = await asyncio.wait_for(self._client.gather(future, direct=True), deadline_s)
            return RemoteOutcome(why=None, result=result, host=host)
        except TimeoutError:
            return RemoteOutcome(why=f"no machine has answered in {deadline_s:.0f} s")
        finally:
            future.release()  # at once: the machine gives its memory back, or stops

    async def _host(self, future: Future[bytes]) -> str:
        """The address of the machine that has a result."""
        with suppress(Exception):  # likewise; the result is there, and only its machine stays unnamed
            told = await asyncio.wait_for(self._client.who_has([future]), ASK_S)
            return next(str(one) for holders in told.values() for one in holders)
        return "a machine that has gone since"


async def reason_of(future: Future[bytes]) -> str:
    """Why a task came to nothing, in words: what it raised, or what became of its machines (Dask's `KilledWorker`)."""
    with suppress(
        Exception
    ):  # what a machine sends as its error is unpickled, and may raise whatever it likes
        error = await future.exception()
        return f"{type(error).__name__}: {error}"[:300] if error is not None else "it was cancelled"
    return "the machine that had it is gone"
