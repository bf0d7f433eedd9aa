"""From an upload to its result, for every contract that is spoken here.

    upload = await pictures.begin(key, ...)
    async with dropping(upload):
        async for part in ...: await upload.write(part)
        job = await upload.finish(name, options, seconds)
    output = await pictures.open_output(key, job["id"], 0)

It must not hold more of a picture than one part, and knows no contract.
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from cutoutd.serve.web.answers import RefusalError
from cutoutd.webserver.web.backend_channel import BackendGoneError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping

    from cutoutd.webserver.web.backend_channel import BackendChannel

PART: Final = 1 << 16
"""Bytes that are handed on at a time: fifty uploads at once hold 3 MiB."""

LARGE_PART: Final = 1 << 18
"""Likewise while few uploads are under way: each part is waited for, and fewer are quicker."""

_FEW: Final = 8

_AT_ONCE: Final = 16
"""Parts on their way; the backend has as many threads that write."""

LOOK_S: Final = 5.0
"""An event may be lost, and the daemon may end: so often it is asked for."""

Job = dict[str, Any]
"""As `cutoutd.serve.backend.jobs` describes it."""


class PartWriter(ABC):
    """Bytes on their way to the backend, which gets them in parts of one size; one part is held at most.

    Args:
        pictures: asks the backend.
        offset: bytes that are there already.

    Attributes:
        offset: bytes that the backend has.
    """

    def __init__(self, pictures: ServedPictures, offset: int = 0) -> None:
        self._pictures = pictures
        self._buffer = bytearray()
        self.offset = offset
        pictures.writers.add(self)

    async def write(self, data: bytes) -> None:
        """Add some bytes; waits until the backend has taken them.

        Raises:
            RefusalError: they are too many, there is no room, or the key was revoked.
        """
        left = memoryview(data)
        while left:
            most = self._pictures.part_bytes
            size = max(0, most - len(self._buffer))
            part, left = left[:size], left[size:]
            if len(part) == most:
                await self._hand_on(part)
                continue
            self._buffer += part
            if len(self._buffer) >= most:
                await self.flush()

    async def flush(self) -> None:
        """Hand on what is left.

        Raises:
            RefusalError: as `write`.
        """
        if self._buffer:
            part, self._buffer = self._buffer, bytearray()
            await self._hand_on(part)

    async def _hand_on(self, part: bytearray | memoryview) -> None:
        method, params = self._call()
        said = await self._pictures.hand_on(method, {**params, "offset": self.offset}, part)
        self.offset = int(said["offset"])

    @abstractmethod
    def _call(self) -> tuple[str, Mapping[str, Any]]:
        """The method that takes a part, and its parameters beside ``offset``."""


class ReceivedUpload(PartWriter):
    """A picture on its way in.

    Args:
        pictures: which it is one of.
        key: SHA-256 of the key.
        begun: what the backend answered to its beginning.
        offset: bytes that are there already.

    Attributes:
        id: of the job that it becomes.
        most: bytes that it may have.
        rate: what is left of the key's rate.
        is_over: it was handed in, or removed.
    """

    def __init__(self, pictures: ServedPictures, key: str, begun: Mapping[str, Any], offset: int = 0) -> None:
        super().__init__(pictures, offset)
        self._key = key
        self.id = str(begun["upload"])
        self.most = int(begun.get("most", 0))
        self.rate: Mapping[str, Any] = begun.get("rate", {})
        self.is_over = False

    async def finish(self, name: str, options: str, wait_s: float = 0.0) -> Job:
        """Hand the whole picture in; from then on it is not lost.

        Args:
            name: that it is to have, if that is free; any text.
            options: a `cutoutd.job_options.JobOptions` as text.
            wait_s: seconds to wait for the end of its job.

        Raises:
            RefusalError: it is empty, or its idempotency key was used for another request.
        """
        await self.flush()
        params = {
            "key": self._key,
            "upload": self.id,
            "name": name,
            "options": options,
            "waits": wait_s > 0,
        }
        with self._pictures.waiting(self.id) as waiter:  # before, so that no event is missed
            job = await self._pictures.ask("upload_end", params)
            self.is_over = True
            return await self._pictures.until_over(self._key, job, waiter, wait_s)

    async def drop(self) -> None:
        """Remove it."""
        self.is_over = True
        with suppress(RefusalError, BackendGoneError):
            await self._pictures.ask("upload_drop", {"key": self._key, "upload": self.id})

    def _call(self) -> tuple[str, Mapping[str, Any]]:
        return "upload_part", {"key": self._key, "upload": self.id}


@asynccontextmanager
async def dropping(upload: ReceivedUpload) -> AsyncIterator[ReceivedUpload]:
    """Remove an upload that does not come to its end, whatever the reason."""
    try:
        yield upload
    finally:
        if not upload.is_over:
            await asyncio.shield(upload.drop())


class JobWaiter:
    """A request that waits for a job.

    Attributes:
        is_woken: set once the request is to go on.
        job: the job, which is over; None: it has to be asked for.
    """

    def __init__(self) -> None:
        self.is_woken = asyncio.Event()
        self.job: Job | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """A result that is open.

    Attributes:
        name: of its file.
        media_type: by its name.
        size: bytes of the file.
        sha256: as it was published.
        between: gives the bytes from one to another one, and closes it then.
    """

    name: str
    media_type: str
    size: int
    sha256: str
    between: Callable[[int, int], AsyncGenerator[bytes, None]]

    @property
    def parts(self) -> AsyncGenerator[bytes, None]:
        """All its bytes."""
        return self.between(0, self.size)

    async def close(self) -> None:
        """Read nothing of it."""
        async for _ in self.between(0, 0):
            pass


class ServedPictures:
    """Uploads, jobs and results, asked of the backend.

    Args:
        channel: to it.

    Attributes:
        writers: all that is on its way in.
    """

    def __init__(self, channel: BackendChannel) -> None:
        self._channel = channel
        self._waiters: dict[str, set[JobWaiter]] = {}
        self._handing_on = asyncio.Semaphore(_AT_ONCE)
        self.writers: WeakSet[PartWriter] = WeakSet()

    @property
    def part_bytes(self) -> int:
        """How much of an upload is handed on at a time."""
        return LARGE_PART if len(self.writers) <= _FEW else PART

    async def hand_on(self, method: str, params: Mapping[str, Any], part: bytearray | memoryview) -> Job:
        """Have the backend take a part; only some are on their way at once, as each is in memory more than once then.

        Raises:
            RefusalError: it refuses.
            BackendGoneError: nobody answers.
        """
        async with self._handing_on:
            return await self.ask(method, params, part)

    async def ask(
        self, method: str, params: Mapping[str, Any], body: bytes | bytearray | memoryview = b""
    ) -> Job:
        """What a method of the backend answers.

        Raises:
            RefusalError: it refuses.
            BackendGoneError: nobody answers.
        """
        answer = await self._channel.ask(method, params, body)
        said = json.loads(answer.body)
        if answer.status == 200:  # noqa: PLR2004 -- as of HTTP
            return dict(said)
        error = said["error"]
        raise RefusalError(answer.status, error["code"], error["text"], error["named"])

    async def begin(
        self, key: str, *, folder: str = "", idempotency: str = "", size: int | None = None, **record: object
    ) -> ReceivedUpload:
        """Begin an upload: the key, its rate and the room on the disk are looked at before anything is read.

        Args:
            key: SHA-256 of the key.
            folder: that must be the key's; empty: whichever that is.
            idempotency: another request with this text is the same one.
            size: bytes that it will have; None: not known.
            record: of an upload that can be resumed: ``length``, ``name`` and ``options``.

        Raises:
            RefusalError: it is not taken, or not now.
        """
        params = {
            "key": key,
            "folder": folder,
            "idempotency": idempotency,
            "bytes": -1 if size is None else size,
            **record,
        }
        return ReceivedUpload(self, key, await self.ask("upload_begin", params))

    async def job(self, key: str, number: str) -> Job:
        """What became of a job.

        Raises:
            RefusalError: there is none.
        """
        return await self.ask("job", {"key": key, "job": number})

    async def wait(self, key: str, job: Job, seconds: float) -> Job:
        """What became of a job, once it is over or the time is.

        Raises:
            RefusalError: there is none, or the key was revoked.
        """
        if job["over"] or seconds <= 0:
            return job
        number = str(job["id"])
        with self.waiting(number) as waiter:
            job = await self.ask("watch", {"key": key, "job": number})
            return await self.until_over(key, job, waiter, seconds)

    @contextmanager
    def waiting(self, number: str) -> Iterator[JobWaiter]:
        """Wake a waiter when a job, which the backend is asked to watch meanwhile, is over."""
        waiter = JobWaiter()
        waiters = self._waiters.setdefault(number, set())
        waiters.add(waiter)
        try:
            yield waiter
        finally:
            waiters.discard(waiter)
            if not waiters and self._waiters.get(number) is waiters:
                del self._waiters[number]

    async def until_over(self, key: str, job: Job, waiter: JobWaiter, seconds: float) -> Job:
        """What became of a job, once it is over or the time is.

        Raises:
            RefusalError: as `wait`.
        """
        loop = asyncio.get_running_loop()
        end_s = loop.time() + seconds
        while not job["over"] and (left_s := end_s - loop.time()) > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(waiter.is_woken.wait(), min(left_s, LOOK_S))
            waiter.is_woken.clear()
            job = waiter.job or await self.job(key, str(job["id"]))
        return job

    def told(self, job: Job, *, is_revoked: bool) -> None:
        """A job has changed; requests that wait for it go on once it is over, or are refused if their key was revoked."""
        if job["over"]:
            self._wake(str(job["id"]), None if is_revoked else job)

    def close(self) -> None:
        """Fail all waiting requests at once, after the end of the backend."""
        for number in list(self._waiters):
            self._wake(number, None)

    def _wake(self, number: str, job: Job | None) -> None:
        for waiter in self._waiters.get(number, ()):
            waiter.job = job
            waiter.is_woken.set()

    async def open_output(self, key: str, number: str, output: int) -> Output:
        """Open a result of a job.

        Raises:
            RefusalError: there is none.
        """
        opened = await self.ask("output_open", {"key": key, "job": number, "output": output})
        return Output(
            name=opened["name"],
            media_type=opened["media_type"],
            size=opened["bytes"],
            sha256=opened["sha256"],
            between=partial(self._parts, key, opened["handle"]),
        )

    async def _parts(self, key: str, handle: str, at: int, end: int) -> AsyncGenerator[bytes, None]:
        try:
            while at < end:
                answer = await self._channel.ask("output_part", {"key": key, "handle": handle, "offset": at})
                part = answer.body if answer.media_type == "application/octet-stream" else b""
                if answer.status != 200 or not part:  # noqa: PLR2004 -- as of HTTP
                    raise BackendGoneError  # the answer has begun, and can only be broken off
                part = part[: end - at]
                at += len(part)
                yield part
        finally:
            with suppress(RefusalError, BackendGoneError):
                await asyncio.shield(self.ask("output_close", {"key": key, "handle": handle}))
