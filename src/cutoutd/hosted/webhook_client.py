"""One POST to a webhook, and the status of its response: the only requests that webhooks get.

As the hosted service's client: TLS is verified, no proxy, no password file and no redirect is picked up from anywhere, every
wait is bounded. To where a name leads is checked on the very numbers that are connected to, so that no name can lead into this
machine or a network of one's own unless its owner wrote so. Of an answer only the status and how long to wait is looked at.
"""

from __future__ import annotations

import ipaddress
import logging
import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import certifi
import httpcore

from cutoutd.exchange.spool import Body
from cutoutd.hosted.client import (
    BREAK_WORDS,
    BREAKS,
    SOCKET_OPTIONS,
    UnansweredError,
    UnsentError,
    UntrustedError,
)
from cutoutd.hosted.connection import ConnectionBackend, ExchangeLimits, ForbiddenAddressError, Resolver
from cutoutd.hosted.provider import HttpRequest
from cutoutd.settings.hosted import AddressScope, scope_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cutoutd.clock import Clock
    from cutoutd.hosted.body import RequestBody
    from cutoutd.settings.webhooks import FolderWebhook

_CONNECT_S: Final = 10.0
_SLOWEST_LINE: Final = 16 << 10
"""Bytes a second at which a body must be sent at least: a line of 128 kbit/s."""

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_ASSIGNED: Final = ipaddress.ip_network("2000::/3")
"""What is assigned for the internet, of all addresses of version 6 (RFC 4291)."""

_PLAIN: Final = HttpRequest(path="", headers={}, options="", body=Body.CUTOUT)
"""A body that is a file and nothing else."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WebhookAnswer:
    """The response of a webhook.

    Attributes:
        status: HTTP status.
        headers: header values by lower-case name.
    """

    status: int
    headers: Mapping[str, str]


class WebhookClient:
    """A client for one webhook; belongs to one thread.

    Args:
        webhook: address, and whether it may be on a private network.
        timeout_s: seconds to wait for the response.
        clock: monotonic clock.
    """

    def __init__(self, webhook: FolderWebhook, *, timeout_s: float, clock: Clock) -> None:
        logging.getLogger("httpcore").setLevel(logging.CRITICAL)
        self._webhook = webhook
        self._timeout_s = timeout_s
        self._clock = clock
        self._own = threading.local()
        self._pool = httpcore.ConnectionPool(
            ssl_context=ssl.create_default_context(cafile=certifi.where()),
            max_connections=1,
            max_keepalive_connections=0,
            network_backend=ConnectionBackend(
                Resolver(), lambda: self._exchange, SOCKET_OPTIONS, self._check
            ),
        )

    def close(self) -> None:
        """Close all connections."""
        self._pool.close()

    @property
    def _exchange(self) -> ExchangeLimits:
        exchange: ExchangeLimits = self._own.exchange
        return exchange

    def _check(self, numbers: Sequence[str]) -> None:
        for number in numbers:
            if why := forbidden(number, self._webhook):
                raise ForbiddenAddressError(f"{self._webhook.url.host} resolves to {number}: {why}")

    def post(
        self,
        body: RequestBody,
        headers: Sequence[tuple[str, str]],
        *,
        size: int,
        begin: Callable[[], None],
        check_cancelled: Callable[[], None],
    ) -> WebhookAnswer:
        """Send a body and return the status of the response.

        Args:
            body: chunks of the body.
            headers: further headers, beside those of every request.
            size: length of the body in bytes.
            begin: is called before the request's first byte leaves, once there is a connection.
            check_cancelled: called before each chunk; an exception that it raises stops the request and is passed on.

        Raises:
            UnsentError: the request was certainly not received whole.
            UntrustedError: TLS verification failed, or the address is forbidden.
            UnansweredError: the request may have been received, but there was no complete response.
        """

        def trace(event: str, _: Mapping[str, Any]) -> None:
            if event == "http11.send_request_headers.started":
                begin()

        place = self._webhook.url
        url = httpcore.URL(
            scheme=place.scheme, host=place.host, port=place.port, target=(place.path or "/").encode("ascii")
        )
        self._own.exchange = ExchangeLimits(
            self._clock, limit_s=_CONNECT_S + self._timeout_s + size / _SLOWEST_LINE
        )
        every = [
            ("User-Agent", "cutoutd"),
            ("Accept-Encoding", "identity"),
            ("Content-Type", "application/json"),
        ]
        lengths = [("Host", place.authority), ("Content-Length", str(size))]
        with (
            _translate_errors(place.authority, body),
            self._pool.stream(
                b"POST",
                url,
                headers=[*every, *headers, *lengths],
                content=body.pieces(_PLAIN, check_cancelled),
                extensions={"trace": trace, "timeout": self._timeouts()},
            ) as response,
        ):
            # What else it says is not read: the connection ends here.
            return WebhookAnswer(
                status=response.status,
                headers={
                    name.decode("ascii").lower(): value.decode("latin-1") for name, value in response.headers
                },
            )

    def _timeouts(self) -> dict[str, float]:
        return {"connect": _CONNECT_S, "pool": _CONNECT_S, "read": self._timeout_s, "write": self._timeout_s}


def forbidden(number: str, webhook: FolderWebhook) -> str:
    """Return why nothing may be sent to an IP address, as a message; empty if sending is allowed.

    Args:
        number: IP address, as the system writes it.
        webhook: whether it may be on a private network, and whether the connection is encrypted.
    """
    near, is_public = _reach(number)
    if near:
        return (
            ""
            if webhook.allow_private
            else "it is on this machine or in a private network; see allow_private"
        )
    if not is_public:
        return "it is not an address on the internet"
    return "" if webhook.url.is_encrypted else "messages may not go there unencrypted"


def _reach(number: str) -> tuple[bool, bool]:
    """Return whether an address is this machine's or in a private network, and whether it is on the internet."""
    ip: Any = ipaddress.ip_address(number.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.version == 6:  # noqa: PLR2004 -- of the protocol
        # Addresses that stand for one of the other kind, to which they lead in the end.
        teredo = ip.teredo[1] if ip.teredo else None
        nat64 = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None
        ip = ip.sixtofour or teredo or nat64 or ip
    if scope_of(ip) is not AddressScope.PUBLIC:
        return True, False
    # Of the other kind all else is for special purposes, such as translation into a network of one's own (RFC 8215).
    is_assigned = ip.version == 4 or ip in _ASSIGNED  # noqa: PLR2004 -- as above
    return False, is_assigned and ip.is_global and not ip.is_multicast


@contextmanager
def _translate_errors(authority: str, body: RequestBody) -> Iterator[None]:
    """Translate exceptions of a request: unsent, unanswered or untrusted, by how far the request came."""
    try:
        yield
    except ForbiddenAddressError as error:
        raise UntrustedError(str(error)) from error
    except httpcore.ConnectError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise UntrustedError(f"{authority} cannot prove that it is who it says ({error})") from error
        raise UnsentError(f"{authority} cannot be reached ({error})", is_offline=True) from error
    except (httpcore.ConnectTimeout, httpcore.PoolTimeout) as error:
        raise UnsentError(f"{authority} cannot be reached (no answer)", is_offline=True) from error
    except BREAKS as error:
        said = BREAK_WORDS.get(type(error), str(error) or type(error).__name__)
        if body.is_complete:
            raise UnansweredError(f"the message was sent, and then {said}") from error
        raise UnsentError(f"while the message was sent, {said}") from error
