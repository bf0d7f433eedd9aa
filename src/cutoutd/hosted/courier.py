"""One POST to the service and its answer: the only door to the network in this program.

TLS is verified, against the authorities that come with the client alone; no proxy, no password file and no redirect is
picked up from anywhere; unencrypted requests go to near addresses only, whatever a name resolves to. It must not
decide what an answer means, nor try anything twice.
"""

from __future__ import annotations

import ipaddress
import logging
import secrets
import socket
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpx

from cutoutd.settings.address import Reach, reach_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from cutoutd.hosted.cargo import Cargo
    from cutoutd.hosted.provider import Question
    from cutoutd.settings.schema import HostedSettings

_CONNECT_S: Final = 10.0
_WRITE_S: Final = 60.0
_IDLE_S: Final = 3.0
"""How long an idle connection is kept: shorter than servers do, so that none closes it under the next upload."""

_SEND_BUFFER: Final = 128 << 10
"""Bytes that may be with the kernel, and no longer ours to stop."""

_WHOLE_ANSWER: Final = 5
"""Times the time-out that an answer may take from its first byte to its last."""

_COMPLAINT: Final = 64 << 10
"""Bytes of an answer that is an error, of which a line is shown."""

_OK: Final = 200


class UnsentError(Exception):
    """The service cannot have the whole picture, so sending it again costs nothing.

    Args:
        cause: in words.
        is_offline: the service could not even be reached.
    """

    def __init__(self, cause: str, *, is_offline: bool = False) -> None:
        super().__init__(cause)
        self.is_offline = is_offline


class UntrustedError(Exception):
    """Whoever answers at the address is not who it should be, or not where it may be."""


class UnansweredError(Exception):
    """The service has the whole picture, and gave no whole answer: it may have been billed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        status: of HTTP.
        headers: names in small letters.
        content: the body's beginning, if it is an error; a picture is in its file.
        bytes: of the body.
        flaw: what is wrong with the body as such: cut short, or too long; empty if nothing is.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes
    bytes: int
    flaw: str = ""


class Courier:
    """A client for one service; safe to share between threads.

    Args:
        hosted: where it is.
    """

    def __init__(self, hosted: HostedSettings) -> None:
        for name in ("httpx", "httpcore"):  # what they would log holds headers, and so the key
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._address = hosted.address
        self._is_private_allowed = hosted.allow_private_http
        self._timeout_s = hosted.timeout_s
        options: list[tuple[int, int, int] | tuple[int, int, bytes]] = [
            (socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER),
            # What the kernel still holds when we stop is thrown away, not sent.
            (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)),
        ]
        transport = httpx.HTTPTransport(
            verify=True,
            trust_env=False,
            limits=httpx.Limits(
                max_connections=hosted.concurrency,
                max_keepalive_connections=hosted.concurrency,
                keepalive_expiry=_IDLE_S,
            ),
            socket_options=options,
        )
        self._client = httpx.Client(
            transport=transport,
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(
                self._timeout_s,
                connect=min(self._timeout_s, _CONNECT_S),
                write=min(self._timeout_s, _WRITE_S),
            ),
            headers={"User-Agent": "cutoutd", "Accept-Encoding": "identity"},
        )

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    @staticmethod
    def boundary() -> str:
        """What stands between the parts of a form, and in no picture."""
        return secrets.token_hex(16)

    def ask(
        self,
        question: Question,
        cargo: Cargo,
        *,
        announced: int,
        into: Path,
        at_most: int,
        begin: Callable[[], None],
        may_go_on: Callable[[], None],
    ) -> Answer:
        """Send a picture, and take the answer.

        Args:
            question: how it is asked.
            cargo: the picture.
            announced: bytes of the picture.
            into: a file that does not exist yet, for the answer's body if it is no error; not synced.
            at_most: bytes of that body.
            begin: is called before the request's first byte leaves, once there is a connection.
            may_go_on: is called before each piece; raises what stops the upload, and that is passed on.

        Raises:
            UnsentError, UntrustedError, UnansweredError: see there.
        """

        def trace(event: str, _: Mapping[str, Any]) -> None:
            if event == "http11.send_request_headers.started":
                begin()

        try:
            base, host = self._where()
            with self._client.stream(
                "POST",
                f"{base}{question.path}",
                headers={
                    **question.headers,
                    "Host": host,
                    "Content-Length": str(question.length(announced)),
                },
                content=cargo.pieces(question, may_go_on),
                extensions={"trace": trace},
            ) as response:
                return self._take(response, into, at_most)
        except httpx.ConnectError as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise UntrustedError(
                    f"{self._address.authority} cannot prove that it is who it says ({error})"
                ) from error
            raise UnsentError(
                f"{self._address.authority} cannot be reached ({error})", is_offline=True
            ) from error
        except (httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise UnsentError(
                f"{self._address.authority} cannot be reached (no answer)", is_offline=True
            ) from error
        except httpx.TransportError as error:
            said = _NAMES.get(type(error), str(error) or type(error).__name__)
            if cargo.is_complete:
                raise UnansweredError(f"the picture was sent, and then {said}") from error
            raise UnsentError(f"while the picture was sent, {said}") from error

    def _where(self) -> tuple[str, str]:
        """The base address to use, and the name it is asked for by."""
        place = self._address
        if place.is_encrypted:
            return str(place), place.authority
        try:
            found = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise UnsentError(f"{place.host} cannot be found ({error.strerror})", is_offline=True) from error
        numbers = [ipaddress.ip_address(str(one[4][0]).partition("%")[0]) for one in found]
        allowed = {Reach.THIS_MACHINE} | ({Reach.PRIVATE} if self._is_private_allowed else set())
        if not all(reach_of(number) in allowed for number in numbers):
            raise UntrustedError(
                f"{place.host} leads to {numbers[0]}, where pictures may not go unencrypted; see [hosted] base_url"
            )
        number = f"[{numbers[0]}]" if numbers[0].version == 6 else str(numbers[0])  # noqa: PLR2004 -- IPv6
        return f"http://{number}:{place.port}{place.path}", place.authority

    def _take(self, response: httpx.Response, into: Path, at_most: int) -> Answer:
        headers = {name.lower(): value for name, value in response.headers.items()}
        is_picture = response.status_code == _OK
        content, count, flaw = b"", 0, ""
        end_s = time.monotonic() + _WHOLE_ANSWER * self._timeout_s
        limit = at_most if is_picture else _COMPLAINT
        with into.open("xb") as file:
            try:
                for piece in response.iter_bytes():
                    count += len(piece)
                    if count > limit:
                        flaw = f"the answer is longer than {limit} bytes"
                        break
                    if is_picture:
                        file.write(piece)
                    else:
                        content += piece
                    if time.monotonic() > end_s:
                        flaw = "the answer takes too long"
                        break
            except (httpx.TransportError, httpx.DecodingError) as error:
                flaw = f"the answer broke off ({_NAMES.get(type(error), str(error))})"
        return Answer(status=response.status_code, headers=headers, content=content, bytes=count, flaw=flaw)


_NAMES: Final[Mapping[type[Exception], str]] = {
    httpx.ReadTimeout: "no answer came in time",
    httpx.WriteTimeout: "nothing more was taken",
    httpx.ReadError: "the connection broke",
    httpx.WriteError: "the connection broke",
    httpx.RemoteProtocolError: "the connection ended without a whole answer",
}
