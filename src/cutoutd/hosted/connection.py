"""Connections to the service. Each step is bounded by its exchange: look-up, connect, TLS, writes and reads.

The timeout of a socket bounds a single call, so a server that sends a byte now and then is never late, and a resolver has
no timeout. Time in which this process did not run does not count, such as while a laptop sleeps. It must not speak HTTP,
nor decide where pictures go.
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
"""Longest wait of a single step; anything longer between two checks is time in which the process did not run."""

MAX_HEAD_BYTES: Final = 256 << 10
"""Bytes before the body of an answer: its headers, and any interim answers (1xx)."""


class LimitExceededError(Exception):
    """The exchange exceeds its limit of time or size."""


class ForbiddenAddressError(Exception):
    """A name leads to an address where nothing may be sent."""


class ExchangeLimits:
    """The limits of one exchange; belongs to one thread.

    Args:
        clock: source of monotonic time.
        limit_s: seconds of running time for the whole exchange.
    """

    def __init__(self, clock: Clock, *, limit_s: float) -> None:
        self._clock = clock
        self._limit_s = limit_s
        self._ran_s = self._renewed_s = 0.0
        self._looked_s = clock.monotonic_s()
        self._head_bytes = 0
        self._is_in_body = False

    def ran_s(self) -> float:
        """Return the seconds that it has taken so far, without those in which this process did not run."""
        now_s = self._clock.monotonic_s()
        self._ran_s += min(now_s - self._looked_s, _LONGEST_STEP_S)
        self._looked_s = now_s
        return self._ran_s

    def check(self) -> None:
        """Check that there is time left.

        Raises:
            LimitExceededError: there is none.
        """
        if self.ran_s() >= self._limit_s:
            raise LimitExceededError

    def steps(self, timeout_s: float) -> float:
        """Return how long to wait now, at most; 0 once ``timeout_s`` or the limit of the exchange is reached.

        Args:
            timeout_s: end of the wait, as counted by `ran_s`.
        """
        return max(0.0, min(_STEP_S, timeout_s - self.ran_s(), self._limit_s - self._ran_s))

    def wait(self, descriptor: int, events: int, timeout_s: float) -> bool:
        """Wait until a descriptor is ready, up to ``timeout_s``. Returns whether it is."""
        poll = select.poll()
        poll.register(descriptor, events)
        until_s = self.ran_s() + timeout_s
        while step_s := self.steps(until_s):
            if poll.poll(max(1.0, step_s * 1000)):
                return True
        return False

    def renew(self) -> None:
        """Restart the time limit, since useful data came."""
        self._limit_s += self.ran_s() - self._renewed_s
        self._renewed_s = self._ran_s

    def begin_body(self) -> None:
        """Record that the headers of the answer are there: the reader of the body limits its size."""
        self._is_in_body = True

    def count_received(self, count: int) -> None:
        """Count bytes that came.

        Raises:
            LimitExceededError: there are more than headers can have, and no body began.
        """
        self.check()
        if not self._is_in_body:
            self._head_bytes += count
            if self._head_bytes > MAX_HEAD_BYTES:
                raise LimitExceededError


class Resolver:
    """Resolves names in a separate thread, since the resolver of the C library has no timeout.

    Requests for the same name share one look-up, so that a resolver that hangs costs one thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._searches: dict[tuple[str, int], _Search] = {}

    def find(self, host: str, port: int, exchange: ExchangeLimits, timeout_s: float) -> list[str]:
        """Return the addresses of a name, in the order of the system.

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
            raise TimeoutError(0, "the system's name lookup gives no answer")
        if self._error is not None:
            raise self._error
        return self._found


class ConnectionBackend(httpcore.NetworkBackend):
    """Makes connections.

    Args:
        resolver: resolves names.
        exchange: returns the limits of the calling thread's exchange.
        options: options of each socket.
        check: called with the addresses of a name before any of them is connected to; may raise.
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
        """Connect to the first address of a name that answers."""
        exchange, wait_s = self._exchange(), timeout or 0.0
        failure: OSError = OSError(0, "the name has no IP address")
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
        """Raise an error: the service is reached over a network only."""
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
        """Wait until a connection is established.

        Raises:
            OSError: it fails, or not in time.
        """
        if not self._exchange().wait(begun.fileno(), select.POLLOUT, timeout_s):
            raise TimeoutError(0, "no answer")
        if code := begun.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(code, os.strerror(code))


class Stream(httpcore.NetworkStream):
    """An established connection.

    Args:
        connection: a non-blocking socket.
        exchange: returns the limits of the calling thread's exchange.
    """

    def __init__(self, connection: socket.socket, exchange: Callable[[], ExchangeLimits]) -> None:
        self._connection = connection
        self._exchange = exchange

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what has come; empty at the end."""
        try:
            data = self._retry_blocking(lambda: self._connection.recv(max_bytes), select.POLLIN, timeout)
            self._exchange().count_received(len(data))
        except (TimeoutError, LimitExceededError) as error:
            raise httpcore.ReadTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write the whole buffer."""
        rest = memoryview(buffer)
        try:
            while rest:
                self._exchange().check()
                sent = self._retry_blocking(lambda: self._connection.send(rest), select.POLLOUT, timeout)  # noqa: B023 -- called before the loop goes on
                rest = rest[sent:]
        except (TimeoutError, LimitExceededError) as error:
            raise httpcore.WriteTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Start TLS on the connection."""
        try:
            encrypted = ssl_context.wrap_socket(
                self._connection, server_hostname=server_hostname, do_handshake_on_connect=False
            )
            self._connection = encrypted
            self._retry_blocking(encrypted.do_handshake, select.POLLIN, timeout)
        except (TimeoutError, LimitExceededError) as error:
            self.close()
            raise httpcore.ConnectTimeout(str(error)) from error
        except OSError as error:
            self.close()
            raise httpcore.ConnectError(str(error)) from error
        return self

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 -- the interface's
        """Return what the pool queries: whether an idle connection has ended, and the TLS object."""
        if info == "is_readable":
            if self._connection.fileno() < 0:
                return True  # closed by us: there is nothing to wait for
            poll = select.poll()
            poll.register(self._connection, select.POLLIN)
            return bool(poll.poll(0))
        if info == "ssl_object":
            return self._connection if isinstance(self._connection, ssl.SSLSocket) else None
        return None

    def _retry_blocking(
        self, operation: Callable[[], _Result], usual: int, timeout_s: float | None
    ) -> _Result:
        """Repeat an operation that would block until it succeeds. A TLS connection may have to write in order to read."""
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
