"""From a form of a third-party contract to a finished job: the common part of these contracts."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from cutoutd.serve.contract.removebg_answers import ResponseFacts
from cutoutd.serve.web.answers import RefusalError
from cutoutd.serve.web.forms import FORM_ROOM, MULTIPART, kind_of
from cutoutd.serve.web.pictures import PartWriter
from cutoutd.serve.web.requests import declared_size, idempotency_of
from cutoutd.webserver.web.backend_channel import BackendGoneError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.requests import Request

    from cutoutd.job_options import JobOptions
    from cutoutd.serve.web.pictures import Job, ReceivedUpload, ServedPictures

UNFINISHED_S: Final = 5
"""Seconds after which a program is told to ask again."""

MAX_NAME: Final = 1000


async def begin_upload(pictures: ServedPictures, key: str, request: Request) -> ReceivedUpload:
    """Begin the upload of a picture in a form, as a file or in base64.

    Raises:
        RefusalError: the key is invalid, or the disk is full.
    """
    size = declared_size(request)
    if size is not None:
        whole = size if kind_of(request) == MULTIPART else size * 3 // 4
        size = max(0, whole - FORM_ROOM)
    return await pictures.begin(key, idempotency=idempotency_of(request), size=size)


async def finish_upload(upload: ReceivedUpload, name: str, options: JobOptions, wait_s: float) -> Job:
    """Hand a picture in, wait for its job to finish, and return that.

    Raises:
        RefusalError: the picture is refused. 503; the job did not finish in time. It continues.
    """
    job = await upload.finish(name, options.text(), wait_s)
    if not job["over"]:
        raise RefusalError(
            503,
            "not_ready",
            f"The picture is not cut yet; it is not lost, and becomes /v1/jobs/{job['id']}.",
            {"retry_after_s": UNFINISHED_S},
        )
    return job


async def facts_of(
    pictures: ServedPictures, key: str, job: Job, *, is_preview: bool = False
) -> list[ResponseFacts]:
    """Return the metadata of each result of a job.

    Raises:
        RefusalError: the sidecar cannot be read now.
    """
    params = {"key": key, "job": job["id"], "is_preview": is_preview}
    said = (await pictures.ask("results", params))["results"]
    return [
        ResponseFacts(
            width=one["width"],
            height=one["height"],
            subject=None if one["subject"] is None else tuple(one["subject"]),
        )
        for one in said
    ]


class Background(PartWriter):
    """The upload of a background picture.

    Args:
        pictures: client of the backend.
        key: SHA-256 of the key.
    """

    def __init__(self, pictures: ServedPictures, key: str) -> None:
        super().__init__(pictures)
        self._params = {"key": key, "background": uuid4().hex}
        self.is_started = False

    async def finish(self) -> str:
        """Store the picture; return the SHA-256 by which options name it.

        Raises:
            RefusalError: the picture is empty, or cannot be stored.
        """
        await self.flush()
        if not self.offset:
            raise RefusalError(400, "invalid_bg_image_file", "The background picture is empty.")
        self.is_started = False
        return str((await self._pictures.ask("background_end", self._params))["sha256"])

    async def drop(self) -> None:
        """Remove the uploaded bytes."""
        with suppress(RefusalError, BackendGoneError):
            await self._pictures.ask("background_drop", self._params)

    def _call(self) -> tuple[str, Mapping[str, Any]]:
        self.is_started = True
        return "background_part", self._params


@asynccontextmanager
async def dropping_background(background: Background) -> AsyncIterator[Background]:
    """Remove a background that was not stored, whatever the reason."""
    try:
        yield background
    finally:
        if background.is_started:
            await asyncio.shield(background.drop())
