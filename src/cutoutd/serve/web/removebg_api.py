"""The routes of remove.bg's API (`cutoutd.serve.contract.removebg`)."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from starlette.responses import Response, StreamingResponse

from cutoutd.serve.contract import removebg, removebg_answers
from cutoutd.serve.contract.removebg_error import RemoveBgError
from cutoutd.serve.web import packing
from cutoutd.serve.web.answers import RefusalError, as_json, rate_headers
from cutoutd.serve.web.contract_upload import (
    MAX_NAME,
    Background,
    begin_upload,
    dropping_background,
    facts_of,
    finish_upload,
)
from cutoutd.serve.web.forms import JSON, MULTIPART, URLENCODED, Base64Sink, kind_of, read_form
from cutoutd.serve.web.pictures import dropping
from cutoutd.serve.web.requests import key_of
from cutoutd.serve.web.routes import route

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import Route

    from cutoutd.serve.contract.refusals import ContractRefusalError
    from cutoutd.serve.contract.removebg_answers import ResponseFacts
    from cutoutd.serve.web.forms import PartSink
    from cutoutd.serve.web.pictures import Job, Output, ReceivedUpload, ServedPictures

FREE_CALLS: Final = 1_000_000
"""Free calls that an account reports, since some clients stop at 0."""

_PARTS: Final = ("color.jpg", "alpha.png")
_NO_SUBJECT: Final = "no subject"


class RemoveBgApi:
    """The routes of remove.bg's API.

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
            route("/v1.0/removebg", self.remove, "POST", refusal_format=format_refusal),
            route("/v1.0/account", self.account, refusal_format=format_refusal),
            route("/v1.0/improve", self.improve, "POST", refusal_format=format_refusal),
        ]

    async def account(self, request: Request) -> Response:
        """Respond with the account: no credits are charged."""
        await self._pictures.ask("key", {"key": key_of(request)})
        return as_json(removebg_answers.account(FREE_CALLS))

    async def improve(self, _: Request) -> Response:
        """Refuse: pictures are not sent away for training."""
        raise RemoveBgError("not_implemented", "Pictures are not sent anywhere for training", status=501)

    async def remove(self, request: Request) -> Response:
        """Cut a picture; respond with the result."""
        key = key_of(request)
        if kind_of(request) not in (MULTIPART, URLENCODED, JSON):
            raise RemoveBgError(
                "missing_source",
                "No image given",
                detail="The body is multipart/form-data, application/x-www-form-urlencoded or application/json.",
            )
        upload = await begin_upload(self._pictures, key, request)
        background = Background(self._pictures, key)
        async with dropping(upload), dropping_background(background):
            form = _Form(upload, background, is_multipart=kind_of(request) == MULTIPART)
            fields = await read_form(request, form.opened)
            asked = removebg.parse_request(fields, form.files)
            options = asked.options
            if form.has_background:
                options = options.model_copy(update={"background": await background.finish()})
            job = await finish_upload(upload, form.name, options, self._wait_s)
        if not job["outputs"]:
            raise removebg_answers.failed(job)
        if job["score"] == 0.0 or _NO_SUBJECT in job["reasons"]:
            raise removebg_answers.unknown_foreground()
        facts = await facts_of(self._pictures, key, job, is_preview=bool(asked.note))
        headers = {**removebg_answers.headers_of(asked, facts[0]), **rate_headers(upload.rate)}
        if asked.is_zip:
            return await self._archive(key, job, headers)
        output = await self._pictures.open_output(key, str(job["id"]), 0)
        return _answer(request, output, facts[0], headers)

    async def _archive(self, key: str, job: Job, headers: dict[str, str]) -> Response:
        """Respond with colours and matte as a ZIP; each is read twice, since its checksum comes first."""
        number = str(job["id"])
        checksums = [
            await packing.checksum(await self._pictures.open_output(key, number, place)) for place in range(2)
        ]
        opened: list[Output] = []
        async with AsyncExitStack() as opening:
            for place in range(2):
                opened.append(await self._pictures.open_output(key, number, place))
                opening.push_async_callback(opened[-1].close)
            opening.pop_all()  # the archive closes them
        headers["Content-Length"] = str(packing.archive_size(_PARTS, opened))
        parts = packing.archived(_PARTS, opened, checksums)
        return StreamingResponse(parts, headers=headers, media_type="application/zip")


class _Form:
    """Receives the files of one request.

    Args:
        upload: receives the picture.
        background: receives the background picture.
        is_multipart: the request is multipart/form-data, where files are files and not texts.
    """

    def __init__(self, upload: ReceivedUpload, background: Background, *, is_multipart: bool) -> None:
        self._upload = upload
        self._background = background
        self._is_multipart = is_multipart
        self.files: list[str] = []
        self.name = ""

    @property
    def has_background(self) -> bool:
        """Whether there was a background picture."""
        return any(name in self.files for name in removebg.BACKGROUNDS)

    async def opened(self, field: str, filename: str) -> PartSink | None:
        """Return the sink that receives a field; None: the field is a text.

        Raises:
            RemoveBgError: there was such a file before.
        """
        sink: PartSink | None = None
        match field:
            case "image_file" if self._is_multipart:
                sink, self.name = self._upload, filename[:MAX_NAME]
            case "image_file_b64":
                sink = Base64Sink(self._upload)
            case "bg_image_file" if self._is_multipart:
                sink = self._background
            case "bg_image_file_b64":
                sink = Base64Sink(self._background)
        if sink is not None:
            is_background = field in removebg.BACKGROUNDS
            if any((one in removebg.BACKGROUNDS) is is_background for one in self.files):
                code = "multiple_bg_sources" if is_background else "multiple_sources"
                raise RemoveBgError(code, "Multiple sources given", detail="Send one of them alone.")
            self.files.append(field)
        return sink


def _answer(request: Request, output: Output, facts: ResponseFacts, headers: dict[str, str]) -> Response:
    if _wants_json(request):
        tail = removebg_answers.json_tail(facts)
        headers["Content-Length"] = str(packing.json_size(output, tail))
        parts = packing.as_json_parts(output, tail)
        return StreamingResponse(parts, headers=headers, media_type="application/json")
    headers["Content-Length"] = str(output.size)
    return StreamingResponse(output.parts, headers=headers, media_type=output.media_type)


def _wants_json(request: Request) -> bool:
    """Whether a request prefers JSON, rather than only accepting it: common libraries name it first, then any type."""
    accept = request.headers.get("accept", "").lower()
    return "application/json" in accept and "*/*" not in accept and "image/" not in accept


def format_refusal(refused: RefusalError | ContractRefusalError) -> Response:
    """Return the error response in the format of that API."""
    # The rest of the request's body must not be taken for the next request.
    headers = {"X-Credits-Charged": "0", "Connection": "close"}
    if isinstance(refused, RefusalError):
        headers |= {name: value for name, value in refused.headers.items() if name != "WWW-Authenticate"}
        refused = removebg_answers.refused(refused.status, refused.code, refused.text)
    return as_json(refused.body, refused.status, headers)
