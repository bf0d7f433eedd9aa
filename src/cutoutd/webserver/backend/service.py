"""Serves the web process: reads its frames, runs methods in threads, and sends their replies.

The web process is assumed to be compromised: all input is checked, excess is refused, and a process that takes no replies is
ended. This module must not know HTTP, nor what a method does.
"""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol

from cutoutd import logs
from cutoutd.errnos import OUT_OF_RESOURCES
from cutoutd.errors import CutoutdError
from cutoutd.webserver import frames
from cutoutd.webserver.backend.method import BehindT, BytesMethod, RefusedError, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.webserver.backend.method import MethodOf


_QUICK_THREADS: Final = 3
_BOTH_WAYS: Final = 2  # SHUT_RDWR of shutdown(2)
_MOST_IN_HAND: Final = 256
"""Requests that are answered or wait for a thread; the web process asks for fewer by far."""

_MOST_VALUES: Final = 250_000
"""In a request's body: 50,000 decisions have four fifths of that. A mebibyte of nothing but brackets takes a tenth of a second
to parse, and holds up every other thread."""

_BUSY_S: Final = 2
"""After which a program may try again, where too many files are open."""

_MOST_SAID: Final = 10
_SAID_S: Final = 60.0
_MAX_SAID: Final = 8000
"""Of what the web process has logged: ten texts a minute, of so many characters."""


class Channel(Protocol):
    """A connected socket to the web process."""

    def recv(self, size: int, /) -> bytes:
        """Receive at most so many bytes; none at the end."""

    def sendall(self, data: bytes, /) -> None:
        """Send all bytes; an error where the other side takes none until the timeout."""

    def shutdown(self, how: int, /) -> None:
        """Shut the channel down, which also ends a waiting `recv`."""


class MethodRunner(Generic[BehindT]):
    """The methods and the threads that run them; a runner outlives each web process.

    Args:
        backend: context of the methods.
        methods: methods by name.
        name: name of the service, the prefix of log events and thread names.
        slow: methods that wait for disks or workers and have their own threads, so that they do not delay the others.
        slow_threads: number of these threads.
        max_body: largest body of a request in bytes, unless its method is in `max_bodies`.
        max_bodies: largest body in bytes by name of the method.
    """

    def __init__(
        self,
        backend: BehindT,
        methods: Mapping[str, MethodOf[BehindT] | BytesMethod[BehindT]],
        *,
        name: str,
        slow: frozenset[str] = frozenset(),
        slow_threads: int = 12,
        max_body: int,
        max_bodies: Mapping[str, int],
    ) -> None:
        self._max_body = max_body
        self._max_bodies = max_bodies
        self.name = name
        self._is_slow = slow.__contains__
        self._backend = backend
        self._methods = methods
        self._quick = ThreadPoolExecutor(_QUICK_THREADS, thread_name_prefix=name)
        self._slow = ThreadPoolExecutor(slow_threads, thread_name_prefix=f"{name}-files")
        self._in_hand = threading.BoundedSemaphore(_MOST_IN_HAND)
        self._sending = threading.Lock()
        self._channel: Channel | None = None
        self._said_s: list[float] = []
        self._is_confined = False

    def serve(self, channel: Channel) -> None:
        """Serve one web process until it ends or breaks the protocol.

        Raises:
            FrameError: the web process broke the protocol.
        """
        with self._sending:
            self._channel = channel
        self._is_confined = False
        try:
            while (frame := self._next(channel)) is not None:
                self._take(channel, *frame)
        finally:
            with self._sending:
                self._channel = None
            self._backend.watched.clear()

    def tell(self, event: str, data: object) -> None:
        """Send an event to all listeners; without a web process the event is lost, and clients query again after its restart."""
        frame = frames.pack({"event": event}, _encode(data))
        with self._sending:
            if self._channel is not None:
                self._send(self._channel, frame)

    def _next(self, channel: Channel) -> frames.Frame | None:
        try:
            return frames.receive(channel.recv, self._most_read)
        except OSError:
            return None

    def _most_read(self, head: Mapping[str, Any]) -> int:
        """Return the largest body of a frame in bytes; only requests have a body."""
        method = head.get("method")
        return self._max_bodies.get(method, self._max_body) if isinstance(method, str) else 0

    def _take(self, channel: Channel, head: dict[str, Any], body: bytes) -> None:
        match head:
            case {"watched": bool(watched)}:
                if watched:
                    self._backend.watched.set()
                else:
                    self._backend.watched.clear()
            case {"said": str(text)}:
                self._log(text)
            case {"layers": list(layers)} if not self._is_confined:  # once: each is logged
                self._is_confined = True
                logs.get().info(f"{self.name}.sandbox", layers=[str(one)[:64] for one in layers[:16]])
            case {"id": int(number), "method": str(name), "params": dict(params)}:
                if not self._in_hand.acquire(blocking=False):
                    refused = RefusedError(
                        503, "busy", "There are too many requests at once. Try again in a moment."
                    )
                    self._answer(channel, _refusal(number, refused))
                    return
                threads = self._slow if self._is_slow(name) else self._quick
                # Where there are no more threads it is queued all the same, and the next request's thread runs it.
                with suppress(RuntimeError):
                    threads.submit(self._run, channel, number, name, params, body)
            case _:
                raise frames.FrameError("a frame that no web process of ours sends")

    def _run(self, channel: Channel, number: int, name: str, params: dict[str, Any], body: bytes) -> None:
        try:
            self._answer(channel, self._reply(number, name, params, body))
        finally:
            self._in_hand.release()

    def _reply(self, number: int, name: str, params: dict[str, Any], body: bytes) -> bytes:
        try:
            method = self._methods.get(name)
            if method is None:
                raise RefusedError(404, "no_method", "This requests something that does not exist.")  # noqa: TRY301 -- as from a method
            if isinstance(method, BytesMethod):
                return _frame(number, method.run(self._backend, params, body))
            return _frame(number, method(self._backend, {**params, **_object(body)}))
        except RefusedError as error:
            refused = error
        except frames.FrameError:
            refused = RefusedError(500, "too_large", "The answer is too large. Ask for less.")
        except CutoutdError as error:
            refused = RefusedError(503, "unavailable", f"{error.title}: {error}", why=str(error))
        except OSError as error:
            refused = self._system_refusal(name, error)
        except Exception:  # noqa: BLE001 -- an internal error costs one request, and is told in the log
            refused = self._fault(name)
        return _refusal(number, refused)

    def _system_refusal(self, name: str, error: OSError) -> RefusedError:
        """Return the refusal for an error that a method did not expect."""
        if error.errno not in OUT_OF_RESOURCES:
            return self._fault(name)
        why = f"cutoutd is too busy just now: {error.strerror}. Try again in a moment."
        return RefusedError(503, "busy", why, retry_after_s=_BUSY_S)

    def _fault(self, name: str) -> RefusedError:
        """Log the exception that is being handled; returns the refusal."""
        logs.get().error(f"{self.name}.fault", method=name, exc_info=True)
        return RefusedError(500, "fault", "Internal error. The log says more; please report it.")

    def _log(self, text: str) -> None:
        """Log a message of the web process, with a rate limit."""
        now_s = self._backend.clock.monotonic_s()
        self._said_s = [one for one in self._said_s if now_s - one < _SAID_S][-_MOST_SAID:]
        if len(self._said_s) < _MOST_SAID:
            self._said_s.append(now_s)
            logs.get().error(f"{self.name}.web", said=text[:_MAX_SAID])

    def _answer(self, channel: Channel, frame: bytes) -> None:
        with self._sending:
            if channel is self._channel:
                self._send(channel, frame)

    def _send(self, channel: Channel, frame: bytes) -> None:
        try:
            channel.sendall(frame)
        except OSError:
            # Half a frame may have gone out, so nothing can follow it: this web process is given up.
            self._channel = None
            with suppress(OSError):
                channel.shutdown(_BOTH_WAYS)


def _frame(number: int, reply: Reply) -> bytes:
    head: dict[str, Any] = {"id": number, "status": 200, "immutable": reply.immutable}
    if not reply.body:
        return frames.pack({**head, "media_type": "application/json"}, _encode(reply.data))
    named = reply.data if isinstance(reply.data, dict) else {}
    return frames.pack({**head, "media_type": reply.media_type, "data": named}, reply.body)


def _refusal(number: int, refused: RefusedError) -> bytes:
    named = {name: str(value) for name, value in refused.named.items()}
    error = {"code": refused.code, "text": refused.text, "named": named}
    return frames.pack({"id": number, "status": refused.status}, _encode({"error": error}))


def _encode(data: object) -> bytes:
    """Encode as ASCII JSON: a file name that is not UTF-8 has lone surrogates, which browsers then show."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False).encode("ascii")


def _object(body: bytes) -> dict[str, Any]:
    """Parse a request's body, a JSON object or nothing.

    Raises:
        RefusedError: the body is anything else, has too many values, or a key twice.
    """
    if not body:
        return {}
    if sum(map(body.count, (b",", b"[", b"{"))) > _MOST_VALUES:
        raise RefusedError(413, "large", "The request is too large.")
    try:
        parsed = json.loads(body, object_pairs_hook=_without_repetition)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise RefusedError(400, "no_object", "The body of a request must be a JSON object.")
    return parsed


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON; programs do not agree on which value of a key holds that is there twice.

    Raises:
        RefusedError: a key is there twice.
    """
    made = dict(pairs)
    if len(made) < len(pairs):
        raise RefusedError(400, "repeated_key", "A key is there twice in the body of the request.")
    return made
