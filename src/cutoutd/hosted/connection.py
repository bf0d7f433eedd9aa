"""Connections to the service, each step of which is bounded by its exchange: look-up, connect, TLS, writes and reads.

A socket's own time-out bounds one call, so that a server which sends a byte now and then is never late, and a resolver
has none. Time in which this process did not run does not count: a laptop's lid or a stopped process is nobody's delay.
It must not speak HTTP, nor decide where pictures go.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any, Final, TypeVar

import httpcore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cutoutd.clock import Clock

_Result = TypeVar("_Result")

_STEP_S: Final = 0.25
_LONGEST_STEP_S: Final = 1.0
"""Nothing here waits for longer at a time; what is above it between two looks was not spent running."""

MAX_HEAD_BYTES: Final = 256 << 10
"""Before an answer's body begins: its headers, and any number of interim answers (1xx)."""


class LimitExceededError(Exception):
    """The exchange takes longer, or more, than it may."""


class ForbiddenAddressError(Exception):
    """A name leads to where nothing may be sent."""


class ExchangeLimits:
    """One exchange; belongs to one thread.

    Args:
        clock: its monotonic side.
        limit_s: seconds of running time that all of it may take.
    """

    def __init__(self, clock: Clock, *, limit_s: float) -> None:
        self._clock = clock
        self._limit_s = limit_s
        self._ran_s = self._renewed_s = 0.0
        self._looked_s = clock.monotonic_s()
        self._head_bytes = 0
        self._is_in_body = False

    def ran_s(self) -> float:
        """Seconds that it has taken so far, without those in which this process did not run."""
        now_s = self._clock.monotonic_s()
        self._ran_s += min(now_s - self._looked_s, _LONGEST_STEP_S)
        self._looked_s = now_s
        return self._ran_s

    def check(self) -> None:
        """See that there is time left.

        Raises:
            OverrunError: there is none.
        """
        if self.ran_s() >= self._limit_s:
            raise LimitExceededError

    def steps(self, timeout_s: float) -> float:
        """How long to wait for something now, at most; 0 once ``timeout_s`` of running time or all time is over.

        Args:
            timeout_s: as `ran_s` counts: when the wait is over.
        """
        return max(0.0, min(_STEP_S, timeout_s - self.ran_s(), self._limit_s - self._ran_s))

    def wait(self, descriptor: int, events: int, timeout_s: float) -> bool:
        """Wait until a descriptor is ready, but no longer than ``timeout_s``; whether it is."""
        poll = select.poll()
        poll.register(descriptor, events)
        until_s = self.ran_s() + timeout_s
        while step_s := self.steps(until_s):
            if poll.poll(max(1.0, step_s * 1000)):
                return True
        return False

    def renew(self) -> None:
        """Something useful came: the time begins again."""
        self._limit_s += self.ran_s() - self._renewed_s
        self._renewed_s = self._ran_s

    def begin_body(self) -> None:
        """The answer's headers are there: whoever reads its body bounds that."""
        self._is_in_body = True

    def came(self, count: int) -> None:
        """Bytes came.

        Raises:
            OverrunError: more than an answer's headers can be, and no body began.
        """
        self.check()
        if not self._is_in_body:
            self._head_bytes += count
            if self._head_bytes > MAX_HEAD_BYTES:
                raise LimitExceededError


class Resolver:
    """Looks names up in a thread of its own, since the C library's look-up knows no deadline.

    One look-up is under way at a time: those that wait for the same one share it, so that a resolver which hangs costs
    one thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._searches: dict[tuple[str, int], _Search] = {}

    def find(self, host: str, port: int, exchange: ExchangeLimits, timeout_s: float) -> list[str]:
        """The numbers of a name, in the system's order.

        Raises:
            OSError: there is none, or none was found in time.
        """
        with self._lock:
            search = self._searches.get((host, port))
            if search is None or search.is_over:
                search = self._searches[host, port] = _Search(host, port)
        until_s = exchange.ran_s() + timeout_s
        while not search.is_over and (step_s := exchange.steps(until_s)):
            search.wait(step_s)
        return search.found()


class _Search(threading.Thread):
    def __init__(self, host: str, port: int) -> None:
        super().__init__(name=f"find {host}", daemon=True)
        self._question = (host, port)
        self._is_over = threading.Event()
        self._found: list[str] = []
        self._error: OSError | None = None
        self.start()

    def run(self) -> None:
        try:
            found = socket.getaddrinfo(*self._question, type=socket.SOCK_STREAM)
            self._found = [str(one[4][0]) for one in found]
        except OSError as error:
            self._error = error
        finally:
            self._is_over.set()

    @property
    def is_over(self) -> bool:
        return self._is_over.is_set()

    def wait(self, seconds: float) -> None:
        self._is_over.wait(seconds)

    def found(self) -> list[str]:
        if not self.is_over:
            raise TimeoutError(0, "the system's look-up gives no answer")
        if self._error is not None:
            raise self._error
        return self._found


class ConnectionBackend(httpcore.NetworkBackend):
    """Makes connections.

    Args:
        resolver: finds names.
        exchange: gives that of the calling thread.
        options: of each socket.
        check: is told the numbers of a name before any of them is connected to, and may raise.
    """

    def __init__(
        self,
        resolver: Resolver,
        exchange: Callable[[], ExchangeLimits],
        options: Sequence[tuple[int, int, int] | tuple[int, int, bytes]],
        check: Callable[[Sequence[str]], None] = lambda _: None,
    ) -> None:
        self._resolver = resolver
        self._exchange = exchange
        self._options = options
        self._check = check

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002 -- the interface's
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002 -- ours are the same for all
    ) -> httpcore.NetworkStream:
        """Connect to the first number of a name that answers."""
        exchange, wait_s = self._exchange(), timeout or 0.0
        failure: OSError = OSError(0, "the name has no number")
        try:
            numbers = self._resolver.find(host, port, exchange, wait_s)
        except OSError as error:
            raise httpcore.ConnectError(f"its name cannot be found: {error.strerror}") from error
        self._check(numbers)
        for number in dict.fromkeys(numbers):
            try:
                return Stream(self._connected(number, port, wait_s), self._exchange)
            except OSError as error:
                failure = error
        kind = httpcore.ConnectTimeout if isinstance(failure, TimeoutError) else httpcore.ConnectError
        raise kind(str(failure)) from failure

    def connect_unix_socket(self, *_: object, **__: object) -> httpcore.NetworkStream:
        """Never: the service is reached by a network."""
        raise httpcore.UnsupportedProtocol("not over a socket of this machine")

    def _connected(self, number: str, port: int, timeout_s: float) -> socket.socket:
        family = socket.AF_INET6 if ":" in number else socket.AF_INET
        made = socket.socket(family, socket.SOCK_STREAM)
        try:
            for option in self._options:
                made.setsockopt(*option)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made.setblocking(False)
            made.connect_ex((number, port))
            self._await(made, timeout_s)
        except BaseException:
            made.close()
            raise
        return made

    def _await(self, begun: socket.socket, timeout_s: float) -> None:
        """Wait until a connection that was begun is there.

        Raises:
            OSError: it will not be, or not in time.
        """
        if not self._exchange().wait(begun.fileno(), select.POLLOUT, timeout_s):
            raise TimeoutError(0, "no answer")
        if code := begun.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(code, os.strerror(code))


class Stream(httpcore.NetworkStream):
    """A connection that is there.

    Args:
        connection: a socket that does not block.
        exchange: gives that of the calling thread.
    """

    def __init__(self, connection: socket.socket, exchange: Callable[[], ExchangeLimits]) -> None:
        self._connection = connection
        self._exchange = exchange

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """What has come; nothing at its end."""
        try:
            data = self._patiently(lambda: self._connection.recv(max_bytes), select.POLLIN, timeout)
            self._exchange().came(len(data))
        except (TimeoutError, LimitExceededError) as error:
            raise httpcore.ReadTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """All of it."""
        rest = memoryview(buffer)
        try:
            while rest:
                self._exchange().check()
                sent = self._patiently(lambda: self._connection.send(rest), select.POLLOUT, timeout)  # noqa: B023 -- called before the loop goes on
                rest = rest[sent:]
        except (TimeoutError, LimitExceededError) as error:
            raise httpcore.WriteTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        """Close it."""
        self._connection.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Encrypt it."""
        try:
            encrypted = ssl_context.wrap_socket(
                self._connection, server_hostname=server_hostname, do_handshake_on_connect=False
            )
            self._connection = encrypted
            self._patiently(encrypted.do_handshake, select.POLLIN, timeout)
        except (TimeoutError, LimitExceededError) as error:
            self.close()
            raise httpcore.ConnectTimeout(str(error)) from error
        except OSError as error:
            self.close()
            raise httpcore.ConnectError(str(error)) from error
        return self

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 -- the interface's
        """What the pool asks: whether an idle connection has ended, and the terms of the encryption."""
        if info == "is_readable":
            if self._connection.fileno() < 0:
                return True  # closed by us: there is nothing to wait for
            poll = select.poll()
            poll.register(self._connection, select.POLLIN)
            return bool(poll.poll(0))
        if info == "ssl_object":
            return self._connection if isinstance(self._connection, ssl.SSLSocket) else None
        return None

    def _patiently(self, operation: Callable[[], _Result], usual: int, timeout_s: float | None) -> _Result:
        """Do what would block again and again until it is done; a TLS connection may have to write to read."""
        exchange = self._exchange()
        until_s = exchange.ran_s() + (timeout_s or 0.0)
        while True:
            try:
                return operation()
            except ssl.SSLWantReadError:
                events = select.POLLIN
            except ssl.SSLWantWriteError:
                events = select.POLLOUT
            except BlockingIOError:
                events = usual
            if not exchange.wait(self._connection.fileno(), events, until_s - exchange.ran_s()):
                raise TimeoutError(0, "no answer")
