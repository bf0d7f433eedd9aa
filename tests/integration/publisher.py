"""A server on loopback that offers one file by HTTPS, correctly or with faults; and a certificate for it."""

from __future__ import annotations

import ssl
import subprocess
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar

from tests.integration.tools import need

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

Papers = tuple[str, str]


def make_papers(directory: Path) -> Papers:
    """Make a certificate that only the test trusts, and its key."""
    need("openssl")
    certificate, key = str(directory / "cert.pem"), str(directory / "key.pem")
    options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    command = ["openssl", *options.split(), "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


class Publisher:
    """The server, running while the context is open.

    Args:
        content: content of the file, which is at every path.
        papers: certificate and key.

    Attributes:
        asked: path, ``Range`` and ``If-Range`` of each request, in order.
        script: functions that answer the next requests instead of a correct answer.
        etag: version of the file; empty if none is sent.
        takes_ranges: whether the server can send a part.
    """

    def __init__(self, content: bytes, papers: Papers) -> None:
        self.content = content
        self.asked: list[tuple[str, str, str]] = []
        self.script: list[Callable[[Handler], None]] = []
        self.etag = '"one"'
        self.takes_ranges = True
        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), type("Bound", (Handler,), {"publisher": self}), bind_and_activate=True
        )
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*papers)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def host(self) -> str:
        """Name and port, as a catalogue has them."""
        return f"localhost:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        """URL of the file."""
        return f"https://{self.host}/it.onnx"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


class Handler(BaseHTTPRequestHandler):
    """The handler of one connection."""

    protocol_version = "HTTP/1.1"
    publisher: ClassVar[Publisher]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class calls it so
        """Log nothing."""

    def do_GET(self) -> None:
        """Answer as the script says, or correctly."""
        publisher = self.publisher
        publisher.asked.append((self.path, self.headers.get("Range", ""), self.headers.get("If-Range", "")))
        act = publisher.script.pop(0) if publisher.script else Handler.answer
        with suppress(OSError):
            act(self)

    def answer(self) -> None:
        """Send the file, or the requested part."""
        self.head(self.offset())
        self.wfile.write(self.publisher.content[self.offset() :])

    def offset(self) -> int:
        """Return where to begin."""
        wanted = self.headers.get("Range", "")
        is_same = self.headers.get("If-Range", "") == self.publisher.etag
        return int(wanted[6:-1]) if wanted and is_same and self.publisher.takes_ranges else 0

    def head(self, offset: int = 0, *, length: int | None = None, **more: str) -> None:
        """Send status and headers of a correct answer, with possible changes."""
        size = len(self.publisher.content)
        self.send_response(206 if offset else 200)
        if offset:
            self.send_header("Content-Range", f"bytes {offset}-{size - 1}/{size}")
        self.send_header("Content-Length", str(size - offset if length is None else length))
        if self.publisher.etag:
            self.send_header("ETag", self.publisher.etag)
        for name, value in more.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def status(self, status: int, **headers: str) -> None:
        """Send an answer without a body."""
        self.send_response(status)
        for name, value in {**headers, "Content-Length": "0"}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()


def truncated(at: int) -> Callable[[Handler], None]:
    """Return an answer that breaks off after some bytes of the file."""

    def act(handler: Handler) -> None:
        handler.head(handler.offset())
        handler.wfile.write(handler.publisher.content[handler.offset() : at])
        handler.close_connection = True

    return act


def redirected(location: str) -> Callable[[Handler], None]:
    """Return an answer that redirects to another URL."""
    return lambda handler: handler.status(302, Location=location)


def stalled(at: int) -> Callable[[Handler], None]:
    """Return an answer that sends nothing after some bytes."""

    def act(handler: Handler) -> None:
        handler.head(handler.offset())
        handler.wfile.write(handler.publisher.content[handler.offset() : at])
        handler.wfile.flush()
        handler.publisher.closing.wait(60)

    return act
