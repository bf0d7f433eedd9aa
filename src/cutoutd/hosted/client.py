"""One POST to the service and its answer: the only way in this program by which a picture leaves the machine.

TLS is verified against the authorities that come with the client. No proxy, password file or redirect is used. Unencrypted
requests go to local addresses only, whatever a name resolves to. The bytes of an answer are taken as they come: nothing is
decompressed, and an answer that is marked as compressed is refused. It must not decide what an answer means, nor try
anything twice.

The client is httpcore, on which httpx is built: it allows one deadline for all waits, and decompresses nothing.
"""

from __future__ import annotations

import ipaddress
import logging
import secrets
import socket
import ssl
import struct
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import certifi
import httpcore

from cutoutd.hosted.connection import ConnectionBackend, ExchangeLimits, Resolver
from cutoutd.hosted.response import SUCCESS, HttpResponse
from cutoutd.settings.hosted import AddressScope, scope_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from cutoutd.clock import Clock
    from cutoutd.hosted.body import RequestBody
    from cutoutd.hosted.provider import HttpRequest
    from cutoutd.settings.hosted import HostedSettings

_CONNECT_S: Final = 10.0
_WRITE_S: Final = 60.0
_IDLE_S: Final = 3.0
"""Seconds for which an idle connection is kept: less than servers do, so that none is closed under the next upload."""

_SEND_BUFFER: Final = 128 << 10
"""Bytes that the kernel may hold, where a cancellation cannot stop them."""

SOCKET_OPTIONS: Final[Sequence[tuple[int, int, int] | tuple[int, int, bytes]]] = (
    (socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER),
    # What the kernel still holds at a cancellation is discarded, not sent.
    (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)),
)

_WHOLE_EXCHANGE: Final = 5
"""Time for an exchange, in multiples of the configured timeout, besides the time for the upload."""

_SLOWEST_LINE: Final = 16 << 10
"""Slowest rate of an upload, in bytes a second: a line of 128 kbit/s."""

_COMPLAINT: Final = 64 << 10
"""Bytes that are read of an error, of which a line is shown."""

_WITHOUT_BODY: Final = frozenset({101, 204, 304})


class UnsentError(Exception):
    """The service cannot have the whole picture, so sending it again costs nothing.

    Args:
        cause: reason, in words.
        is_offline: whether the service could not be reached.
    """

    def __init__(self, cause: str, *, is_offline: bool = False) -> None:
        super().__init__(cause)
        self.is_offline = is_offline


class UntrustedError(Exception):
    """The server is not the expected one, or its address is not allowed."""


class UnansweredError(Exception):
    """The service has the whole picture and gave no complete answer: it may have been billed."""


class ServiceClient:
    """A client for one service; thread-safe.

    Args:
        hosted: settings of the service.
        clock: source of monotonic time.
    """

    def __init__(self, hosted: HostedSettings, clock: Clock) -> None:
        # The log of the library would contain headers, and so the key.
        logging.getLogger("httpcore").setLevel(logging.CRITICAL)
        self._address = hosted.address
        self._is_private_allowed = hosted.allow_private_http
        self._timeout_s = hosted.timeout_s
        self._clock = clock
        self._resolver = Resolver()
        self._own = threading.local()
        self._pool = httpcore.ConnectionPool(
            ssl_context=ssl.create_default_context(cafile=certifi.where()),
            max_connections=hosted.concurrency,
            max_keepalive_connections=hosted.concurrency,
            keepalive_expiry=_IDLE_S,
            network_backend=ConnectionBackend(self._resolver, lambda: self._exchange, SOCKET_OPTIONS),
        )

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    @staticmethod
    def boundary() -> str:
        """Return a separator for the parts of a form, which occurs in no picture."""
        return secrets.token_hex(16)

    def ask(
        self,
        http_request: HttpRequest,
        request_body: RequestBody,
        *,
        announced: int,
        into: Path,
        at_most: int,
        begin: Callable[[], None],
        check_cancelled: Callable[[], None],
    ) -> HttpResponse:
        """Send a picture and read the answer.

        Args:
            http_request: the request, without the picture.
            request_body: the picture.
            announced: bytes of the picture.
            into: path of a new file for the body of an answer that is no error; not synced.
            at_most: limit of that body, in bytes.
            begin: called before the first byte of the request is sent, once there is a connection.
            check_cancelled: called before each piece; an exception of it stops the upload and is raised further.

        Raises:
            UnsentError, UntrustedError, UnansweredError: as documented there.
        """

        def trace(event: str, _: Mapping[str, Any]) -> None:
            if event == "http11.send_request_headers.started":
                begin()

        limit_s = _WHOLE_EXCHANGE * self._timeout_s + announced / _SLOWEST_LINE
        self._own.exchange = ExchangeLimits(self._clock, limit_s=limit_s)
        with self._service_errors(request_body):
            url, host = self._target(http_request.path)
            with self._pool.stream(
                b"POST",
                url,
                headers=_headers(http_request, host, announced),
                content=request_body.pieces(http_request, check_cancelled),
                extensions={"trace": trace, "timeout": self._timeouts()},
            ) as response:
                self._exchange.begin_body()
                return self._take(response, into, at_most)

    @contextmanager
    def _service_errors(self, request_body: RequestBody) -> Iterator[None]:
        """Translate the errors of the client library into what they mean for the picture."""
        try:
            yield
        except httpcore.ConnectError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise UntrustedError(
                    f"{self._address.authority} cannot prove that it is who it says ({error})"
                ) from error
            raise UnsentError(
                f"{self._address.authority} cannot be reached ({error})", is_offline=True
            ) from error
        except (httpcore.ConnectTimeout, httpcore.PoolTimeout) as error:
            raise UnsentError(
                f"{self._address.authority} cannot be reached (no answer)", is_offline=True
            ) from error
        except BREAKS as error:
            said = BREAK_WORDS.get(type(error), str(error) or type(error).__name__)
            if request_body.is_complete:
                raise UnansweredError(f"the picture was sent, and then {said}") from error
            raise UnsentError(f"while the picture was sent, {said}") from error

    @property
    def _exchange(self) -> ExchangeLimits:
        """Limits of the calling thread's exchange."""
        exchange: ExchangeLimits = self._own.exchange
        return exchange

    def _timeouts(self) -> dict[str, float]:
        """Return the timeouts of single waits, within the limit of the exchange."""
        connect_s = min(self._timeout_s, _CONNECT_S)
        return {
            "connect": connect_s,
            "pool": self._timeout_s,
            "read": self._timeout_s,
            "write": min(self._timeout_s, _WRITE_S),
        }

    def _target(self, path: str) -> tuple[httpcore.URL, str]:
        """Return the URL to connect to, and the host name of the request."""
        place = self._address
        target = f"{place.path}{path}".encode("ascii")
        if place.is_encrypted:
            url = httpcore.URL(scheme="https", host=place.host, port=place.port, target=target)
            return url, place.authority
        try:
            found = self._resolver.find(place.host, place.port, self._exchange, _CONNECT_S)
        except OSError as error:
            raise UnsentError(f"{place.host} cannot be found ({error.strerror})", is_offline=True) from error
        numbers = [ipaddress.ip_address(one.partition("%")[0]) for one in found]
        allowed = {AddressScope.LOOPBACK} | ({AddressScope.PRIVATE} if self._is_private_allowed else set())
        if not all(scope_of(number) in allowed for number in numbers):
            raise UntrustedError(
                f"{place.host} resolves to {numbers[0]}, where pictures may not go unencrypted; see [hosted] base_url"
            )
        url = httpcore.URL(scheme="http", host=str(numbers[0]), port=place.port, target=target)
        return url, place.authority

    def _take(self, response: httpcore.Response, into: Path, at_most: int) -> HttpResponse:
        headers = {name.decode("ascii").lower(): value.decode("latin-1") for name, value in response.headers}
        is_picture = response.status in SUCCESS
        content, count, flaw = b"", 0, ""
        limit = at_most if is_picture else _COMPLAINT
        # Compression is never accepted: a few bytes may stand for gigabytes.
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding != "identity":
            words = "".join(letter for letter in encoding[:40] if letter.isprintable())
            flaw = f"the answer is encoded ({words}), which was not asked for"
            return HttpResponse(status=response.status, headers=headers, content=b"", bytes=0, flaw=flaw)
        with into.open("xb") as file:
            try:
                for piece in response.iter_stream():
                    count += len(piece)
                    if count > limit:
                        flaw = f"the answer is longer than {limit} bytes"
                        break
                    if is_picture:
                        file.write(piece)
                    else:
                        content += piece
            except BREAKS as error:
                flaw = f"the answer broke off ({BREAK_WORDS.get(type(error), str(error))})"
        if response.status in _WITHOUT_BODY:
            # A body that follows all the same would be read as the answer to the next picture.
            response.extensions["network_stream"].close()
        return HttpResponse(status=response.status, headers=headers, content=content, bytes=count, flaw=flaw)


def _headers(http_request: HttpRequest, host: str, announced: int) -> list[tuple[str, str]]:
    return [
        ("User-Agent", "cutoutd"),
        ("Accept-Encoding", "identity"),
        *http_request.headers.items(),
        ("Host", host),
        ("Content-Length", str(http_request.length(announced))),
    ]


BREAKS: Final = (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError)

BREAK_WORDS: Final[Mapping[type[Exception], str]] = {
    httpcore.ReadTimeout: "no answer came in time",
    httpcore.WriteTimeout: "the other side stopped reading",
    httpcore.ReadError: "the connection broke",
    httpcore.WriteError: "the connection broke",
    httpcore.RemoteProtocolError: "the connection ended before the answer was complete",
}
