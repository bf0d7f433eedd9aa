"""Uploads, jobs and results, as calls of the backend; used by the routes of every API.

    upload = await pictures.begin(key, ...)
    async with dropping(upload):
        async for part in ...: await upload.write(part)
        job = await upload.finish(name, options, seconds)
    output = await pictures.open_output(key, job["id"], 0)

This module must not hold more of a picture than one part, and must not know the APIs.
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
"""Bytes that are sent to the backend at a time: fifty uploads at once hold 3 MiB."""

LARGE_PART: Final = 1 << 18
"""Likewise while there are few uploads: each part is confirmed before the next one, so fewer parts are faster."""

_FEW: Final = 8

_AT_ONCE: Final = 16
"""Parts that are sent at the same time; the backend has as many threads that write."""

LOOK_S: Final = 5.0
"""Interval at which a job is requested in any case, seconds, since an event may be lost or the daemon may end."""

Job = dict[str, Any]
"""A job as a JSON object; `cutoutd.serve.backend.jobs` describes it."""


class PartWriter(ABC):
    """Sends bytes to the backend in parts of one size; it holds at most one part.

    Args:
        pictures: calls the backend.
        offset: bytes that the backend has already.

    Attributes:
        offset: bytes that the backend has.
    """

    def __init__(self, pictures: ServedPictures, offset: int = 0) -> None:
        self._pictures = pictures
        self._buffer = bytearray()
        self.offset = offset
        pictures.writers.add(self)

    async def write(self, data: bytes) -> None:
        """Add some bytes; wait until the backend has written them.

        Raises:
            RefusalError: the upload is too large, the disk is full, or the key was revoked.
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
        """Send the rest.

        Raises:
            RefusalError: as for `write`.
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
        """Return the backend method that takes a part, and its parameters except ``offset``."""


class ReceivedUpload(PartWriter):
    """A picture that is being uploaded.

    Args:
        pictures: calls the backend.
        key: SHA-256 of the key.
        response: answer of the backend to ``upload_begin``.
        offset: bytes that the backend has already.

    Attributes:
        id: number of the job that it becomes.
        most: largest size in bytes.
        rate: what is left of the key's rate.
        is_over: it was handed in, or removed.
    """

    def __init__(
        self, pictures: ServedPictures, key: str, response: Mapping[str, Any], offset: int = 0
    ) -> None:
        super().__init__(pictures, offset)
        self._key = key
        self.id = str(response["upload"])
        self.most = int(response.get("most", 0))
        self.rate: Mapping[str, Any] = response.get("rate", {})
        self.is_over = False

    async def finish(self, name: str, options: str, wait_s: float = 0.0) -> Job:
        """Hand the whole picture in; from then on it is not lost.

        Args:
            name: wanted name of the file; another one is used if it is taken.
            options: a `cutoutd.job_options.JobOptions` as text.
            wait_s: seconds to wait for the end of its job.

        Raises:
            RefusalError: the picture is empty, or its idempotency key was used for another request.
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
    """Remove an upload that is not finished, for whatever reason."""
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
    """An open result.

    Attributes:
        name: name of its file.
        media_type: media type, by the name.
        size: bytes of the file.
        sha256: SHA-256 of the published file.
        between: yields the bytes from one offset to another one, and then closes the result.
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
        """Close it without reading."""
        async for _ in self.between(0, 0):
            pass


class ServedPictures:
    """Uploads, jobs and results, as calls of the backend.

    Args:
        channel: connection to the backend.

    Attributes:
        writers: all uploads in progress.
    """

    def __init__(self, channel: BackendChannel) -> None:
        self._channel = channel
        self._waiters: dict[str, set[JobWaiter]] = {}
        self._handing_on = asyncio.Semaphore(_AT_ONCE)
        self.writers: WeakSet[PartWriter] = WeakSet()

    @property
    def part_bytes(self) -> int:
        """Return how many bytes of an upload are sent at a time."""
        return LARGE_PART if len(self.writers) <= _FEW else PART

    async def hand_on(
        self, method: str, params: Mapping[str, Any], part: bytearray | memoryview
    ) -> dict[str, Any]:
        """Send a part to the backend; only some are sent at once, since each is in memory more than once meanwhile.

        Raises:
            RefusalError: the backend refuses it.
            BackendGoneError: the backend does not answer.
        """
        async with self._handing_on:
            return await self.ask(method, params, part)

    async def ask(
        self, method: str, params: Mapping[str, Any], body: bytes | bytearray | memoryview = b""
    ) -> dict[str, Any]:
        """Call a method of the backend; return its response.

        Raises:
            RefusalError: the backend refuses it.
            BackendGoneError: the backend does not answer.
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
        """Begin an upload; the key, its rate and the free disk space are checked before any data is read.

        Args:
            key: SHA-256 of the key.
            folder: name of the folder, which must be the key's; empty: the key's folder.
            idempotency: idempotency key; empty: none.
            size: size in bytes; None: unknown.
            record: for a resumable upload: ``length``, ``name`` and ``options``.

        Raises:
            RefusalError: the upload is not accepted, or not at the moment.
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
        """Return a job.

        Raises:
            RefusalError: there is no such job.
        """
        return await self.ask("job", {"key": key, "job": number})

    async def wait(self, key: str, job: Job, seconds: float) -> Job:
        """Return a job as soon as it is over, or after some seconds.

        Raises:
            RefusalError: there is no such job, or the key was revoked.
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

    def notify(self, job: Job, *, is_revoked: bool) -> None:
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
            RefusalError: there is no such result.
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
                    raise BackendGoneError  # the response has begun, so it can only be cut off
                part = part[: end - at]
                at += len(part)
                yield part
        finally:
            with suppress(RefusalError, BackendGoneError):
                await asyncio.shield(self.ask("output_close", {"key": key, "handle": handle}))
