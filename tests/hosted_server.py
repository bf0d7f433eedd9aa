"""A hosted service on this machine with the contracts of remove.bg, rembg and withoutBG.

The server cuts pictures, records requests, and misbehaves on demand in every way that the uploader must survive::

    with HostedServer(cut=engine_cut()) as server:
        server.next(Behaviour.TOO_MANY, Behaviour.SILENCE)  # the next two; good answers after them
        ...  # base_url = server.url
        assert [one.status for one in server.seen] == [429, 0]
"""

from __future__ import annotations

import base64
import email
import email.policy
import io
import json
import os
import socket
import struct
import threading
import time
import zipfile
from collections import deque
from dataclasses import dataclass, field
from email.message import Message
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

Rgb = NDArray[np.uint8]
Alpha = NDArray[np.uint8]

_PIECE: Final = 8 << 10
_PNG_PIXELS: Final = 10_000_000
_MINUTE_S: Final = 60.0
ENDLESS: Final = 1 << 30


class Behaviour(Enum):
    """What the server does with a request once the request's headers have arrived."""

    GOOD = auto()  # cuts it
    BAD_PICTURE = auto()  # 400, with the provider's words
    NO_CREDITS = auto()  # 402
    BAD_KEY = auto()  # 403, quoting the key it was given
    NO_KEY = auto()  # 401
    TOO_MANY = auto()  # 429, with Retry-After
    FAULT = auto()  # 500 in JSON
    PAGE_503 = auto()  # 503 and a web page
    GATEWAY = auto()  # 504 and a web page
    REDIRECT = auto()  # 302 to elsewhere
    NOT_FOUND = auto()  # 404
    SILENCE = auto()  # takes it all, and never answers
    RESET_EARLY = auto()  # breaks the connection before the picture is whole
    RESET_LATE = auto()  # breaks the connection when it has it all
    SHORT = auto()  # the answer breaks off in the middle
    TORN = auto()  # a picture whose end is missing, though its length is as announced
    PAGE_200 = auto()  # 200 and a web page
    ENDLESS_ANSWER = auto()  # an answer that does not end
    OTHER_PICTURE = auto()  # a whole cutout of another size
    OPAQUE = auto()  # the picture as it was sent, without transparency
    BOMB = auto()  # a small file that says it has 40000 x 40000 pixels
    SLOW_TO_TAKE = auto()  # takes the picture piece by piece, with pauses
    CREATED = auto()  # 201 with a whole cutout, which it charges
    NO_CONTENT = auto()  # 204, and a whole cutout behind it all the same
    PARTIAL = auto()  # 206 with a whole cutout
    TORN_CREATED = auto()  # 201 with a cutout whose end is missing, which it charges
    CHARGED_FAULT = auto()  # 500 with a whole cutout, charged
    CHARGED_REFUSAL = auto()  # 402, charged all the same


@dataclass(kw_only=True)
class Seen:
    """A request as the server saw it.

    Attributes:
        path: path with its query.
        headers: values by name in lower case.
        fields: the form's fields, without the file.
        file_name: name of the uploaded file.
        picture: the uploaded picture; empty if the body was incomplete.
        received: number of bytes received of the body.
        announced: number of bytes that the request announced.
        status: status of the answer; 0 if there was none.
        at_s: monotonic time at which the headers arrived, in seconds.
    """

    path: str
    headers: dict[str, str]
    announced: int
    at_s: float
    fields: dict[str, str] = field(default_factory=dict)
    file_name: str = ""
    picture: bytes = b""
    received: int = 0
    status: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether all of the body arrived."""
        return self.received == self.announced


def plain_cut(picture: bytes) -> tuple[Rgb, Alpha]:
    """Cut an ellipse from the middle: a quick stand-in for tests that do not look at the cutout."""
    rgb = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))
    height, width = rgb.shape[:2]
    rows, columns = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return rgb, np.where(rows**2 + columns**2 < 0.5, 255, 0).astype(np.uint8)


def engine_cut() -> Callable[[bytes], tuple[Rgb, Alpha]]:
    """Return a function that cuts with the shipped model."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before onnxruntime is imported
    from cutoutd.engine.matting.matte_model import MatteModel, normalise  # noqa: PLC0415 -- one that is slow to import
    from cutoutd.models import catalog  # noqa: PLC0415

    model = MatteModel(catalog.find("u2net-int8"), provider="cpu")
    lock = threading.Lock()

    def cut(picture: bytes) -> tuple[Rgb, Alpha]:
        """Cut one picture; return its colours and alpha."""
        rgb = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))
        with lock:
            matte = normalise(model.predict(rgb))
        alpha = Image.fromarray((matte * 255).astype(np.uint8)).resize(
            (rgb.shape[1], rgb.shape[0]), Image.Resampling.BILINEAR
        )
        return rgb, np.asarray(alpha)

    return cut


class HostedServer:
    """The server, on a port of the system's choice, for as long as the object is open.

    Args:
        cut: function from a picture's bytes to its colours and alpha.
        key: the required API key; empty if none is required.
        delay_s: least time from the request's headers to the answer.
        at_once: greatest number of concurrent requests, beyond which the answer is 429; 0 for no limit.
        megapixels_per_minute: limit beyond which the answer is 429, as at remove.bg; 0 for no limit.
        retry_after: text of the Retry-After header of a 429.
        tls: files of a certificate and its key; None for plain http.
        port: port to listen on; 0 for one of the system's choice.

    Attributes:
        seen: every request, in order of arrival.
        always: behaviour for requests that `next` sets nothing for.
        price: credits for a picture of any size; None to charge as remove.bg does.
        charged: credits charged so far.
        connections: number of connections so far.
        most_at_once: greatest number of concurrent requests so far.
    """

    def __init__(
        self,
        cut: Callable[[bytes], tuple[Rgb, Alpha]] = plain_cut,
        *,
        key: str = "",
        delay_s: float = 0.0,
        at_once: int = 0,
        megapixels_per_minute: float = 0,
        retry_after: str = "1",
        tls: tuple[str, str] | None = None,
        port: int = 0,
    ) -> None:
        self.cut = cut
        self.key = key
        self.delay_s = delay_s
        self.at_once = at_once
        self.megapixels_per_minute = megapixels_per_minute
        self.retry_after = retry_after
        self.always = Behaviour.GOOD
        self.price: float | None = None
        self.seen: list[Seen] = []
        self.charged = 0.0
        self.connections = 0
        self.most_at_once = 0
        self.on_headers: Callable[[Seen], None] = lambda _: None
        self._script: deque[Behaviour] = deque()
        self._lock = threading.Lock()
        self._now = 0
        self._megapixels: deque[tuple[float, float]] = deque()
        self._closing = threading.Event()
        handler = type("Handler", (_Handler,), {"service": self})
        self._server = _Server(("127.0.0.1", port), handler)
        if tls is not None:
            import ssl  # noqa: PLC0415 -- one test wants it

            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._scheme = "http" if tls is None else "https"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The base address of the server."""
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def next(self, *behaviours: Behaviour) -> None:
        """Set what the server does with the next requests, in this order."""
        with self._lock:
            self._script.extend(behaviours)

    def wait_for(self, count: int, *, timeout_s: float = 20.0) -> None:
        """Wait until this many requests have arrived.

        Raises:
            TimeoutError: too few have arrived in time.
        """
        end_s = time.monotonic() + timeout_s
        while len(self.seen) < count:
            if time.monotonic() > end_s:
                raise TimeoutError(f"{len(self.seen)} of {count} requests came")
            time.sleep(0.01)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    # For the handler.

    def enter(self, seen: Seen) -> tuple[Behaviour, bool]:
        """Record the start of a request; return what to do with it, and whether it exceeds `at_once`."""
        with self._lock:
            self.seen.append(seen)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
            behaviour = self._script.popleft() if self._script else self.always
            return behaviour, bool(self.at_once) and self._now > self.at_once

    def leave(self) -> None:
        """Record the end of a request."""
        with self._lock:
            self._now -= 1

    def takes(self, megapixels: float) -> bool:
        """Whether this minute's limit has room for a picture of this size; if so, the picture is counted."""
        with self._lock:
            now_s = time.monotonic()
            while self._megapixels and self._megapixels[0][0] < now_s - _MINUTE_S:
                self._megapixels.popleft()
            used = sum(one for _, one in self._megapixels)
            if self.megapixels_per_minute and used + megapixels > self.megapixels_per_minute:
                return False
            self._megapixels.append((now_s, megapixels))
            return True

    def charge(self, credits_: float) -> None:
        """Add to the credits that were charged."""
        with self._lock:
            self.charged += credits_

    def work(self, seen: Seen) -> None:
        """Wait until `delay_s` has passed since the request's headers arrived."""
        self._closing.wait(max(0.0, seen.at_s + self.delay_s - time.monotonic()))

    def stay_silent(self) -> None:
        """Block without an answer until the server closes."""
        self._closing.wait(600)


class _Server(ThreadingHTTPServer):
    """An HTTP server with a thread for each connection, which prints no tracebacks."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Print no traceback: tests break connections on purpose."""


class _Handler(BaseHTTPRequestHandler):
    """The handler of one connection to the hosted service."""

    protocol_version = "HTTP/1.1"
    timeout = 60
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body in one go
    service: ClassVar[HostedServer]

    def setup(self) -> None:
        """Count the connection."""
        super().setup()
        self.service.connections += 1

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class calls it so
        """Print no access log."""

    def do_POST(self) -> None:
        """Record a request, and answer with the behaviour that the service selects."""
        seen = Seen(
            path=self.path,
            headers={name.lower(): value for name, value in self.headers.items()},
            announced=int(self.headers.get("Content-Length", "0")),
            at_s=time.monotonic(),
        )
        self.service.on_headers(seen)
        behaviour, is_too_many = self.service.enter(seen)
        try:
            self._answer(seen, behaviour, is_too_many=is_too_many)
        finally:
            self.service.leave()

    def _answer(self, seen: Seen, behaviour: Behaviour, *, is_too_many: bool) -> None:
        """Read the request, and answer according to the behaviour."""
        if behaviour is Behaviour.RESET_EARLY:
            seen.received = len(self.rfile.read(min(_PIECE, seen.announced // 2)))
            self._reset()
            return
        body = self._take(seen, pause_s=0.02 if behaviour is Behaviour.SLOW_TO_TAKE else 0.0)
        if not seen.is_whole:
            self.close_connection = True
            return
        if is_too_many:
            self._error(seen, 429, "Rate limit exceeded", {"Retry-After": self.service.retry_after})
        elif behaviour is Behaviour.SILENCE:
            self.service.stay_silent()
            self.close_connection = True
        elif behaviour is Behaviour.RESET_LATE:
            self._reset()
        elif behaviour in _ERRORS:
            self._err(seen, behaviour)
        elif self.service.key and self.service.key != seen.headers.get("x-api-key"):
            self._error(seen, 403, f"API Key invalid: {seen.headers.get('x-api-key')}", {})
        else:
            self._cut(seen, body, behaviour)

    def _take(self, seen: Seen, *, pause_s: float) -> bytes:
        """Read the body; return it, or what has arrived of it."""
        body = bytearray()
        try:
            while len(body) < seen.announced:
                piece = self.rfile.read1(min(_PIECE, seen.announced - len(body)))
                if not piece:
                    break
                body += piece
                seen.received = len(body)
                if pause_s:
                    time.sleep(pause_s)
        except OSError:
            return b""
        return bytes(body)

    def _err(self, seen: Seen, behaviour: Behaviour) -> None:
        """Answer with the error that belongs to the behaviour."""
        status, title, extra = _ERRORS[behaviour]
        headers = dict(extra)
        if behaviour is Behaviour.TOO_MANY:
            headers["Retry-After"] = self.service.retry_after
        if behaviour is Behaviour.BAD_KEY:
            title = f"{title}: {seen.headers.get('x-api-key')}"
        if behaviour in (Behaviour.PAGE_503, Behaviour.GATEWAY, Behaviour.PAGE_200):
            page = b"<!DOCTYPE html><html><head><title>Be right back</title></head><body></body></html>"
            self._send(seen, status, "text/html", page, headers)
            return
        self._error(seen, status, title, headers)

    def _error(self, seen: Seen, status: int, title: str, headers: dict[str, str]) -> None:
        """Send an error in the form of the path's contract."""
        if seen.path.startswith("/v1.0/removebg"):
            document: dict[str, Any] = {
                "errors": [{"title": title, "code": "test", "detail": "as the test wants"}]
            }
        else:
            document = {"detail": title}
        self._send(seen, status, "application/json", json.dumps(document).encode(), headers)

    def _cut(self, seen: Seen, body: bytes, behaviour: Behaviour) -> None:
        """Cut the uploaded picture, and send the result or a spoilt version of it."""
        service = self.service
        seen.picture, seen.file_name, seen.fields = _parse(seen, body)
        with Image.open(io.BytesIO(seen.picture)) as opened:
            width, height = opened.size
        if not service.takes(width * height / 1e6):
            self._error(seen, 429, "Rate limit exceeded", {"Retry-After": service.retry_after})
            return
        try:
            rgb, alpha = service.cut(seen.picture)
        except ValueError:
            self._error(seen, 500, "It does not work with this picture", {})
            return
        if behaviour is Behaviour.OTHER_PICTURE:
            rgb, alpha = rgb[: height // 2], alpha[: height // 2]
        content, media = _result(seen, rgb, alpha, is_opaque=behaviour is Behaviour.OPAQUE)
        if behaviour is Behaviour.BOMB:
            content = content[:16] + struct.pack(">II", 40_000, 40_000) + content[24:]
        headers = {}
        if seen.path.startswith("/v1.0/removebg"):
            price = 0.25 if seen.fields["size"] == "preview" else 1.0
            price = price if service.price is None else service.price
            service.charge(price)
            headers = {"X-Credits-Charged": f"{price:g}", "X-Width": str(width), "X-Height": str(height)}
        if behaviour in (Behaviour.TORN, Behaviour.TORN_CREATED):
            content = content[: len(content) // 2]
        service.work(seen)
        if behaviour is Behaviour.SHORT:
            self._send(seen, 200, media, content[: len(content) // 2], headers, announced=len(content))
            self._reset()
        elif behaviour is Behaviour.ENDLESS_ANSWER:
            self._send(seen, 200, media, content[:8], headers, announced=ENDLESS)
            self._pour()
        else:
            self._send(seen, _STATUSES.get(behaviour, 200), media, content, headers)

    def _pour(self) -> None:
        """Send zeros until the client disconnects or a high limit is reached."""
        try:
            for _ in range(ENDLESS // _PIECE):
                self.wfile.write(b"\0" * _PIECE)
        except OSError:
            self.close_connection = True

    def _send(
        self,
        seen: Seen,
        status: int,
        media: str,
        content: bytes,
        headers: dict[str, str],
        *,
        announced: int | None = None,
    ) -> None:
        """Send an answer, and record its status."""
        seen.status = status
        self.send_response(status)
        for name, value in {**headers, "Content-Type": media}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) if announced is None else announced))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def _reset(self) -> None:
        """Close the connection with a TCP reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True


_STATUSES: Final = {
    Behaviour.CREATED: 201,
    Behaviour.TORN_CREATED: 201,
    Behaviour.NO_CONTENT: 204,
    Behaviour.PARTIAL: 206,
    Behaviour.CHARGED_FAULT: 500,
    Behaviour.CHARGED_REFUSAL: 402,
}

_ERRORS: Final[dict[Behaviour, tuple[int, str, dict[str, str]]]] = {
    Behaviour.BAD_PICTURE: (400, "Could not identify foreground in image", {}),
    Behaviour.NO_KEY: (401, "Invalid API key", {}),
    Behaviour.NO_CREDITS: (402, "Insufficient credits", {}),
    Behaviour.BAD_KEY: (403, "API Key invalid", {}),
    Behaviour.NOT_FOUND: (404, "Not found", {}),
    Behaviour.TOO_MANY: (429, "Rate limit exceeded", {}),
    Behaviour.FAULT: (500, "Internal error", {}),
    Behaviour.PAGE_503: (503, "", {}),
    Behaviour.GATEWAY: (504, "", {}),
    Behaviour.PAGE_200: (200, "", {}),
    Behaviour.REDIRECT: (302, "Found", {"Location": "http://127.0.0.1:9/elsewhere"}),
}


def _parse(seen: Seen, body: bytes) -> tuple[bytes, str, dict[str, str]]:
    """Return the picture, its name and the form's other fields, according to the contract of the path."""
    media = seen.headers.get("content-type", "")
    if media.startswith("multipart/form-data"):
        message = email.message_from_bytes(
            f"Content-Type: {media}\r\n\r\n".encode() + body, policy=email.policy.HTTP
        )
        picture, name = b"", ""
        fields: dict[str, str] = {}
        for part in message.get_payload():
            assert isinstance(part, Message)
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            field_name = str(part.get_param("name", header="content-disposition"))
            if part.get_filename() is not None:
                picture, name = content, str(part.get_filename())
                fields[f"file:{field_name}"] = name
            else:
                fields[field_name] = content.decode()
        return picture, name, fields
    if media == "application/json":
        return base64.b64decode(json.loads(body)["image_base64"], validate=True), "", {}
    return body, "", {}


def _result(seen: Seen, rgb: Rgb, alpha: Alpha, *, is_opaque: bool) -> tuple[bytes, str]:
    """Return the answer's body and its media type, according to the contract of the path."""
    if seen.path.startswith("/v1.0/removebg"):
        if is_opaque:
            return _png(rgb), "image/png"
        if seen.fields.get("format") == "zip":
            archive = io.BytesIO()
            with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as parts:
                colour = io.BytesIO()
                Image.fromarray(rgb).save(colour, "JPEG", quality=95)
                parts.writestr("color.jpg", colour.getvalue())
                parts.writestr("alpha.png", _png(alpha))
            return archive.getvalue(), "application/zip"
        if rgb.shape[0] * rgb.shape[1] > _PNG_PIXELS:
            raise ValueError("a transparent PNG ends at 10 megapixels")
        return _png(np.dstack((rgb, alpha))), "image/png"
    if seen.path == "/v1.0/alpha-channel-base64":
        return json.dumps(
            {"alpha_base64": base64.b64encode(_png(alpha)).decode()}
        ).encode(), "application/json"
    wants_matte = seen.fields.get("om") == "true" or seen.path.endswith("output=matte")
    return _png(alpha if wants_matte else np.dstack((rgb, alpha))), "image/png"


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """Return the pixels as a PNG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()
