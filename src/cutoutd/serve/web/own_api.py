"""cutoutd's own API: uploads, jobs and results."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from cutoutd.serve.web.answers import RefusalError, as_json, rate_headers
from cutoutd.serve.web.forms import FORM_ROOM, MULTIPART, kind_of, read_form
from cutoutd.serve.web.openapi import DOCUMENT
from cutoutd.serve.web.pictures import dropping
from cutoutd.serve.web.ranges import span_of
from cutoutd.serve.web.requests import body_of, declared_size, idempotency_of, key_of, wait_of
from cutoutd.serve.web.routes import route
from cutoutd.webserver.web.entity_tags import is_named

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import Route

    from cutoutd.serve.web.job_streams import JobStreams
    from cutoutd.serve.web.pictures import ReceivedUpload, ServedPictures

MAX_ID: Final = 64
FILE: Final = "file"
OPTIONS: Final = "options"


class OwnApi:
    """The routes of cutoutd's own API.

    Args:
        pictures: client of the backend.
        streams: event streams.
        max_wait_s: longest time that a request may wait, seconds.
    """

    def __init__(self, pictures: ServedPictures, streams: JobStreams, max_wait_s: int) -> None:
        self._pictures = pictures
        self._streams = streams
        self._max_wait_s = max_wait_s
        self._openapi = json.dumps(DOCUMENT)

    def routes(self) -> list[Route]:
        """Return all routes."""
        return [
            route("/v1/openapi.json", self.openapi),
            route("/v1/key", self.key),
            route("/v1/folders/{folder}/pictures", self.add, "POST"),
            route("/v1/jobs/{job}", self.job),
            route("/v1/jobs/{job}", self.remove, "DELETE"),
            route("/v1/jobs/{job}/outputs/{output:int}", self.output),
            route("/v1/events", self.events),
        ]

    async def openapi(self, _: Request) -> Response:
        """Respond with the OpenAPI 3.1 document."""
        return Response(self._openapi, media_type="application/json")

    async def key(self, request: Request) -> Response:
        """Respond with the permissions of the key."""
        return as_json(await self._pictures.ask("key", {"key": key_of(request)}))

    async def add(self, request: Request) -> Response:
        """Upload a picture, and respond with its job: at once, or when the job has finished."""
        key, wait_s = key_of(request), wait_of(request, self._max_wait_s)
        kind = kind_of(request)
        is_multipart = kind == MULTIPART
        if kind and not (is_multipart or kind.startswith("image/") or kind == "application/octet-stream"):
            raise RefusalError(
                415,
                "media_type",
                "A picture comes as it is (Content-Type: image/...), or as multipart/form-data.",
            )
        size = declared_size(request)
        if size is not None and is_multipart:
            size = max(0, size - FORM_ROOM)
        upload = await self._pictures.begin(
            key, folder=request.path_params["folder"], idempotency=idempotency_of(request), size=size
        )
        async with dropping(upload):
            name, options = await (_form if is_multipart else _plain)(request, upload)
            job = await upload.finish(name, options, wait_s)
        headers = {"Location": f"/v1/jobs/{job['id']}", **rate_headers(upload.rate)}
        if wait_s:
            headers["Preference-Applied"] = f"wait={wait_s}"
        return as_json(job, 200 if job["over"] else 202, headers)

    async def job(self, request: Request) -> Response:
        """Respond with the state of a job; optionally wait for its end."""
        key = key_of(request)
        job = await self._pictures.job(key, request.path_params["job"])
        return as_json(await self._pictures.wait(key, job, wait_of(request, self._max_wait_s)))

    async def remove(self, request: Request) -> Response:
        """Remove an uploaded picture and its results."""
        await self._pictures.ask("remove", {"key": key_of(request), "job": request.path_params["job"]})
        return Response(status_code=204)

    async def output(self, request: Request) -> Response:
        """Respond with a result."""
        number = min(request.path_params["output"], 1000)
        output = await self._pictures.open_output(key_of(request), request.path_params["job"], number)
        etag = f'"{output.sha256}"'
        headers = {
            "Content-Length": str(output.size),
            "ETag": etag,
            "Accept-Ranges": "bytes",
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(output.name.encode('utf-8', 'replace'))}",
        }
        if request.method == "HEAD" or is_named(request.headers, etag):
            await output.close()
            return Response(status_code=200 if request.method == "HEAD" else 304, headers=headers)
        try:
            span = span_of(request, output.size, etag)
        except RefusalError:
            await output.close()
            raise
        begin, end = span or (0, output.size)
        headers["Content-Length"] = str(end - begin)
        if span is not None:
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{output.size}"
        return StreamingResponse(
            output.between(begin, end), 200 if span is None else 206, headers, output.media_type
        )

    async def events(self, request: Request) -> Response:
        """Stream the events of the key's jobs, from now on, or after ``Last-Event-ID``."""
        key = key_of(request)
        what = await self._pictures.ask("key", {"key": key})
        last = request.headers.get("last-event-id", "")[:MAX_ID]
        stream = self._streams.of(what["id"], lambda: self._pictures.ask("key", {"key": key}), last)
        return StreamingResponse(stream, media_type="text/event-stream")


async def _plain(request: Request, upload: ReceivedUpload) -> tuple[str, str]:
    """The body as it is; its name and options are in the address."""
    async for part in body_of(request):
        await upload.write(part)
    return _given(request, {})


async def _form(request: Request, upload: ReceivedUpload) -> tuple[str, str]:
    """A form with ``file`` and, before or after it, ``options``."""
    names: list[str] = []

    async def open_file(field: str, filename: str) -> ReceivedUpload | None:
        if field != FILE:
            return None
        if names:
            raise RefusalError(400, "form", "One request brings one picture, in the field file.")
        names.append(filename)
        return upload

    fields = await read_form(request, open_file)
    if not names:
        raise RefusalError(400, "form", "The picture is missing; it comes in the field file.")
    return _given(request, {"name": names[0], **fields})


def _given(request: Request, fields: dict[str, str]) -> tuple[str, str]:
    query = request.query_params
    name = query.get("name") or fields.get("name", "")
    return name[:1000], query.get(OPTIONS) or fields.get(OPTIONS, "")
