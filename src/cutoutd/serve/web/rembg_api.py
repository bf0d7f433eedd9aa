"""The routes of rembg's API (`cutoutd.serve.contract.rembg`), and the page that lists all APIs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Route

from cutoutd.serve.contract import rembg
from cutoutd.serve.contract.rembg import RembgError
from cutoutd.serve.web.answers import RefusalError, as_json, rate_headers
from cutoutd.serve.web.contract_openapi import DOCUMENT, PAGE
from cutoutd.serve.web.contract_upload import MAX_NAME, begin_upload, finish_upload
from cutoutd.serve.web.forms import MULTIPART, kind_of, read_form
from cutoutd.serve.web.pictures import dropping
from cutoutd.serve.web.requests import key_of
from cutoutd.serve.web.routes import route

if TYPE_CHECKING:
    from starlette.requests import Request

    from cutoutd.serve.contract.refusals import ContractRefusalError
    from cutoutd.serve.web.pictures import ReceivedUpload, ServedPictures

OWN_MODEL: Final = "the folder's"


class RembgApi:
    """The routes of rembg's API.

    Args:
        pictures: calls the backend.
        wait_s: seconds that a request waits for its cutout.
    """

    def __init__(self, pictures: ServedPictures, wait_s: int) -> None:
        self._pictures = pictures
        self._wait_s = wait_s

    def routes(self) -> list[Route]:
        """Return all routes."""
        return [
            route("/api/remove", self.remove, "POST", refusal_format=format_refusal),
            route("/api/remove", self.fetch, refusal_format=format_refusal),
            Route("/api", _page, methods=["GET"]),
            Route("/openapi.json", _openapi, methods=["GET"]),
        ]

    async def fetch(self, request: Request) -> Response:
        """Refuse a picture by its address, with an error that says why."""
        await self._pictures.ask("key", {"key": key_of(request)})
        if not request.query_params.get(rembg.URL):
            missing = {"type": "missing", "loc": ["query", "url"], "msg": "Field required", "input": None}
            raise RembgError([missing])
        raise RembgError(rembg.NO_FETCHING, status=400)

    async def remove(self, request: Request) -> Response:
        """Cut a picture; respond with the cutout as PNG."""
        key = key_of(request)
        upload = await begin_upload(self._pictures, key, request)
        async with dropping(upload):
            form = _FormFile(upload)
            fields = await read_form(request, form.opened) if kind_of(request) == MULTIPART else {}
            asked = rembg.parse_request(fields, request.query_params, has_file=form.is_there)
            job = await finish_upload(upload, form.name, asked.options, self._wait_s)
        if not job["outputs"]:
            raise rembg.failed(job)
        output = await self._pictures.open_output(key, str(job["id"]), 0)
        headers = {
            "Content-Length": str(output.size),
            "X-Cutoutd-Model": f"{OWN_MODEL}, not {asked.model}",
            **rate_headers(upload.rate),
        }
        return StreamingResponse(output.parts, headers=headers, media_type=output.media_type)


class _FormFile:
    """Receives the field ``file``."""

    def __init__(self, upload: ReceivedUpload) -> None:
        self._upload = upload
        self.is_there = False
        self.name = ""

    async def opened(self, field: str, filename: str) -> ReceivedUpload | None:
        """Return the upload that receives a field; None: the field is a text.

        Raises:
            RembgError: there was a file before.
        """
        if field != rembg.FILE:
            return None
        if self.is_there:
            raise RembgError("One request brings one picture.", status=400)
        self.is_there, self.name = True, filename[:MAX_NAME]
        return self._upload


async def _page(_: Request) -> Response:
    return HTMLResponse(PAGE)


async def _openapi(_: Request) -> Response:
    return as_json(DOCUMENT)


def format_refusal(refused: RefusalError | ContractRefusalError) -> Response:
    """Return the error response in the format of that API."""
    if isinstance(refused, RefusalError):
        return as_json({"detail": refused.text}, refused.status, refused.headers)
    return as_json(refused.body, refused.status, {"Connection": "close"})
