"""Uploads that can be resumed, by tus 1.0.0 (https://tus.io/protocols/resumable-upload) with creation and termination.

What came stays when the connection ends, and also when this process does. The whole one is a picture like any other: the answer to
its last part names its job.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from cutoutd.serve.web.answers import RefusalError, rate_headers
from cutoutd.serve.web.pictures import ReceivedUpload
from cutoutd.serve.web.requests import body_of, idempotency_of, key_of
from cutoutd.serve.web.routes import route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.routing import Route

    from cutoutd.serve.web.pictures import ServedPictures

VERSION: Final = "1.0.0"
MEDIA_TYPE: Final = "application/offset+octet-stream"
JOB_HEADER: Final = "Upload-Job"
"""Of the answer to the last part, and to each question after it: the job's id, as everywhere."""

_HEADERS: Final[Mapping[str, str]] = {"Tus-Resumable": VERSION}
_MAX_DIGITS: Final = 15


class ResumableUploads:
    """The routes of tus.

    Args:
        pictures: client of the backend.
    """

    def __init__(self, pictures: ServedPictures) -> None:
        self._pictures = pictures

    def routes(self) -> list[Route]:
        """Return all routes."""
        return [
            route("/v1/folders/{folder}/uploads", self.create, "POST"),
            route("/v1/folders/{folder}/uploads", self.options, "OPTIONS"),
            route("/v1/uploads/{upload}", self.offset, "HEAD"),
            route("/v1/uploads/{upload}", self.add, "PATCH"),
            route("/v1/uploads/{upload}", self.remove, "DELETE"),
        ]

    async def options(self, request: Request) -> Response:
        """Respond with the supported version and extensions."""
        what = await self._pictures.ask(
            "key", {"key": key_of(request), "folder": request.path_params["folder"]}
        )
        also = {
            "Tus-Version": VERSION,
            "Tus-Extension": "creation,termination",
            "Tus-Max-Size": str(what["max_bytes"]),
        }
        return Response(status_code=204, headers={**_HEADERS, **also})

    async def create(self, request: Request) -> Response:
        """Create an upload."""
        _check_version(request)
        length = _number(request, "upload-length")
        if length == 0:
            raise RefusalError(400, "empty", "The picture is empty.")
        said = _metadata(request.headers.get("upload-metadata", ""))
        upload = await self._pictures.begin(
            key_of(request),
            folder=request.path_params["folder"],
            idempotency=idempotency_of(request),
            size=length,
            length=length,
            name=(said.get("filename") or said.get("name") or "")[:1000],
            options=said.get("options", ""),
        )
        await self._rest(request, upload.id)
        headers = {**_HEADERS, **rate_headers(upload.rate), "Location": f"/v1/uploads/{upload.id}"}
        return Response(status_code=201, headers=headers)

    async def offset(self, request: Request) -> Response:
        """Respond with the offset of an upload."""
        _check_version(request)
        what = await self._what(request)
        headers = {"Upload-Offset": str(what["offset"]), "Upload-Length": str(what["length"])}
        return Response(headers={**_HEADERS, **headers, **_job_of(what)})

    async def add(self, request: Request) -> Response:
        """Append the body to an upload; bytes received before a broken connection are kept."""
        _check_version(request)
        if request.headers.get("content-type", "").strip().lower() != MEDIA_TYPE:
            raise RefusalError(415, "media_type", f"A part of an upload has the Content-Type {MEDIA_TYPE}.")
        what = await self._what(request)
        if _number(request, "upload-offset") != what["offset"]:
            raise RefusalError(409, "offset", f"The next part begins at byte {what['offset']}.")
        number = request.path_params["upload"]
        upload = ReceivedUpload(self._pictures, key_of(request), {"upload": number}, what["offset"])
        try:
            await _written(request, upload, what["length"] - what["offset"])
            if upload.offset == what["length"] and not what["done"]:
                await upload.finish(what["name"], what["options"])
                what["done"] = True
        finally:
            await self._rest(request, number)
        return Response(
            status_code=204, headers={**_HEADERS, "Upload-Offset": str(upload.offset), **_job_of(what)}
        )

    async def remove(self, request: Request) -> Response:
        """Terminate an upload and remove its bytes."""
        _check_version(request)
        await self._what(request)
        await self._pictures.ask("upload_drop", {"upload": request.path_params["upload"]})
        return Response(status_code=204, headers=dict(_HEADERS))

    async def _what(self, request: Request) -> dict[str, Any]:
        return await self._pictures.ask(
            "upload_offset", {"key": key_of(request), "upload": request.path_params["upload"]}
        )

    async def _rest(self, request: Request, number: str) -> None:
        """Close the file of an upload until it is continued."""
        await self._pictures.ask("upload_rest", {"key": key_of(request), "upload": number})


async def _written(request: Request, upload: ReceivedUpload, left: int) -> None:
    """Hand on what comes of a part, also if that is not all of it.

    Raises:
        RefusalError: it is more than is left, or ended early.
    """
    try:
        async for part in body_of(request):
            left -= len(part)
            if left < 0:
                raise RefusalError(413, "too_large", "This is more than the upload was to have.")
            await upload.write(part)
    finally:
        if left >= 0:
            await upload.flush()


def _job_of(what: Mapping[str, Any]) -> dict[str, str]:
    return {JOB_HEADER: what["id"]} if what["done"] else {}


def _check_version(request: Request) -> None:
    if request.headers.get("tus-resumable") != VERSION:
        raise RefusalError(412, "tus_version", f"This needs the header Tus-Resumable: {VERSION}.")


def _number(request: Request, header: str) -> int:
    said = request.headers.get(header, "")
    if not (said.isascii() and said.isdigit() and len(said) <= _MAX_DIGITS):
        raise RefusalError(400, "header", f"The header {header} is missing, or no number.")
    return int(said)


def _metadata(text: str) -> dict[str, str]:
    """``name base64,name base64`` as texts.

    Raises:
        RefusalError: 400; it is nothing such.
    """
    found: dict[str, str] = {}
    for pair in filter(None, map(str.strip, text.split(","))):
        name, _, value = pair.partition(" ")
        try:
            found[name] = base64.b64decode(value.strip(), validate=True).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            raise RefusalError(
                400, "metadata", "Upload-Metadata is not a list of names and base64."
            ) from None
    return found
