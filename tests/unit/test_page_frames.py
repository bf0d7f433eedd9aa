"""The protocol between the page's two processes, one of which may have been taken over."""

from __future__ import annotations

import asyncio
import io
import json
import math
import socket
import struct
import threading
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from cutoutd.errors import StorageError
from cutoutd.page.backend.method import MAX_BODY, Backend
from cutoutd.page.backend.registry import MAX_BODIES
from cutoutd.process.stop_flag import StopFlag
from cutoutd.webserver import frames
from cutoutd.webserver.backend import web_process
from cutoutd.webserver.backend.method import RefusedError, Reply
from cutoutd.webserver.backend.service import MethodRunner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.webserver.backend.method import Parameters
    from tests.conftest import FakeClock


def test_a_frame_is_received_as_it_was_sent_whatever_its_parts() -> None:
    """Byte by byte, and two in a row; an end in the middle counts as the end."""
    sent = frames.pack({"id": 1, "text": "\udcff ü"}, b"\0" * 1000)
    stream = io.BytesIO(sent * 2 + sent[:-1])
    for _ in range(2):
        assert frames.receive(lambda size: stream.read(min(size, 7))) == (
            {"id": 1, "text": "\udcff ü"},
            b"\0" * 1000,
        )
    assert frames.receive(stream.read) is None
    assert frames.receive(stream.read) is None

    async def read() -> frames.Frame:
        reader = asyncio.StreamReader()
        reader.feed_data(sent)
        return await frames.receive_async(reader)

    assert asyncio.run(read())[1] == b"\0" * 1000


@pytest.mark.parametrize(
    "wrong",
    [
        struct.pack("!II", frames.MAX_HEAD + 1, 0),
        struct.pack("!II", 2, frames.MAX_BODY + 1),
        struct.pack("!II", 2, 0) + b"[]",
        struct.pack("!II", 2, 0) + b"{]",
        struct.pack("!II", 1, 0) + b"\xff",
        struct.pack("!II", 90_000, 0) + b"[" * 90_000,
    ],
)
def test_an_invalid_frame_is_refused_before_it_is_read_completely(wrong: bytes) -> None:
    """Neither side can fill the other's memory."""
    with pytest.raises(frames.FrameError):
        frames.receive(io.BytesIO(wrong).read)
    with pytest.raises(frames.FrameError):
        frames.pack({}, b"\0" * (frames.MAX_BODY + 1))


class MethodChannel:
    """A backend's method runner, and the web process's end of its connection."""

    def __init__(self, backend: Backend, held: threading.Event) -> None:
        self.backend = backend
        self.held = held
        self.ours, self.theirs = socket.socketpair()
        self.service = MethodRunner(
            backend,
            {name: getattr(self, name) for name in ("echo", "odd", "away", "no", "wait", "decide")},
            name="page",
            max_body=MAX_BODY,
            max_bodies=MAX_BODIES,
        )
        self.ended: list[str] = []
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        """Run the methods until the connection ends, and record an error of the frames."""
        try:
            self.service.serve(self.ours)
        except frames.FrameError as error:
            self.ended.append(str(error))

    def send(self, head: dict[str, Any], body: bytes = b"") -> None:
        """Send a frame to the backend."""
        self.theirs.sendall(frames.pack(head, body))

    def receive(self) -> tuple[dict[str, Any], Any]:
        """Receive the next frame; return its head and its parsed body."""
        frame = frames.receive(self.theirs.recv)
        assert frame is not None
        return frame[0], json.loads(frame[1])

    def call(self, method: str, params: dict[str, Any] | None = None, body: bytes = b"") -> tuple[int, Any]:
        """Call a method; return the status and the answer."""
        self.send({"id": 7, "method": method, "params": params or {}}, body)
        head, answer = self.receive()
        assert head["id"] == 7
        return head["status"], answer

    def echo(self, _: Backend, params: Parameters) -> Reply:
        """Return the parameters unchanged."""
        return Reply(data=dict(params))

    def odd(self, _: Backend, params: Parameters) -> Reply:
        """Return a value that cannot be sent as JSON."""
        return Reply(data={"nan": math.nan, "set": {1}, "large": "x" * (frames.MAX_BODY + 1)}[params["what"]])

    def decide(self, _: Backend, params: Parameters) -> Reply:
        """Return the number of items; a method with large bodies."""
        return Reply(data=len(params["items"]))

    def away(self, _: Backend, __: Parameters) -> Reply:
        """Fail with a storage error."""
        raise StorageError("the system says: away", advice="Wait.")

    def no(self, _: Backend, __: Parameters) -> Reply:
        """Refuse the request."""
        raise RefusedError(409, "changed", "It has changed.", job=5)

    def wait(self, _: Backend, __: Parameters) -> Reply:
        """Block until the test releases the method."""
        self.held.wait(60)
        return Reply(data=None)


@pytest.fixture
def method_channel(tmp_path: Path, clock: FakeClock) -> Iterator[MethodChannel]:
    """A running method runner and its connection."""
    backend = Backend(
        settings=None, config=None, open_store=lambda: None, clock=clock, cache=tmp_path, tell=lambda *_: None
    )
    created = MethodChannel(backend, threading.Event())
    yield created
    created.held.set()
    with suppress(OSError):
        created.theirs.shutdown(socket.SHUT_RDWR)
    created.thread.join(30)
    created.theirs.close()
    created.ours.close()


def test_every_request_is_answered_whatever_its_method_does(method_channel: MethodChannel) -> None:
    """Errors are answered with their reason."""
    assert method_channel.call("echo", {"a": ["1"]}, b'{"b": 2}') == (200, {"a": ["1"], "b": 2})
    assert method_channel.call("none")[0] == 404
    for body in (b"[1]", b"{", b"\xff", b"[" * 90_000):
        assert method_channel.call("echo", {}, body)[0] == 400
    status, answer = method_channel.call("no")
    assert (status, answer["error"]) == (
        409,
        {"code": "changed", "text": "It has changed.", "named": {"job": "5"}},
    )
    status, answer = method_channel.call("away")
    assert (status, answer["error"]["code"]) == (503, "unavailable")
    for what, code in (("nan", "fault"), ("set", "fault"), ("none", "fault"), ("large", "too_large")):
        status, answer = method_channel.call("odd", {"what": what})
        assert (status, answer["error"]["code"]) == (500, code)
    method_channel.service.tell("jobs", {"folders": ["a"]})
    assert method_channel.receive() == ({"event": "jobs"}, {"folders": ["a"]})


@pytest.mark.parametrize(
    ("head", "most"),
    [
        ({"id": 1, "method": "echo", "params": {}}, MAX_BODY),
        ({"id": 1, "method": ["decide"], "params": {}}, 0),
        ({"id": 1, "method": "decide", "params": {}}, MAX_BODIES["decide"]),
        ({"watched": True}, 0),
    ],
)
def test_a_body_that_is_too_large_for_its_method_is_not_read(
    method_channel: MethodChannel, head: dict[str, Any], most: int
) -> None:
    """Only decisions and strokes are large; parsing 32 MiB of brackets takes 18 seconds.

    Parsing 32 MiB of brackets blocked every browser for 18 seconds.
    """
    encoded = json.dumps(head).encode()
    method_channel.theirs.sendall(struct.pack("!II", len(encoded), most + 1) + encoded)
    method_channel.thread.join(30)
    assert method_channel.ended == [f"a frame's body of {most + 1} bytes is too large for what it is"]


def test_a_body_of_too_many_values_is_not_parsed(method_channel: MethodChannel) -> None:
    """Large bodies consist of names and numbers, not of brackets alone."""
    assert method_channel.call("decide", {}, b'{"a": [' + b"[]," * 130_000 + b"[]]}")[0] == 413
    most = {"verb": "undecided", "items": [[2**53 - number, "a" * 64, "reject"] for number in range(50_000)]}
    body = json.dumps(most, separators=(",", ":")).encode()
    assert method_channel.call("decide", {}, body) == (200, 50_000)
    assert len(body) < MAX_BODIES["decide"]


def test_a_web_process_reports_its_sandbox_once(method_channel: MethodChannel) -> None:
    """Each statement is logged, and repeated ones would fill the disk."""
    method_channel.send({"layers": ["seccomp"]})
    assert method_channel.call("echo") == (200, {})
    method_channel.send({"layers": ["seccomp"]})
    method_channel.thread.join(30)
    assert len(method_channel.ended) == 1


def test_blocked_methods_are_few_and_the_rest_is_refused(method_channel: MethodChannel) -> None:
    """A client that floods the backend gets its own requests refused."""
    for number in range(300):
        method_channel.send({"id": number, "method": "wait", "params": {}})
    heard = [method_channel.receive() for _ in range(300 - 256)]
    assert {head["status"] for head, _ in heard} == {503}
    method_channel.held.set()
    assert {method_channel.receive()[0]["status"] for _ in range(256)} == {200}


@pytest.mark.parametrize(
    "head",
    [
        {},
        {"id": "1", "method": "echo", "params": {}},
        {"id": 1, "method": "echo", "params": []},
        {"watched": 1},
    ],
)
def test_a_web_process_that_sends_invalid_frames_is_given_up(
    method_channel: MethodChannel, head: dict[str, Any]
) -> None:
    """The process is ended and restarted."""
    method_channel.send({"watched": True})
    method_channel.send(head)
    method_channel.thread.join(30)
    assert method_channel.ended == ["a frame that no web process of ours sends"]
    assert not method_channel.backend.watched.is_set()


def test_a_web_process_that_takes_no_answers_is_given_up(method_channel: MethodChannel) -> None:
    """Such a process must not block a thread for ever."""
    method_channel.ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", 0, 200_000))
    for number in range(40):
        method_channel.send(
            {"id": number, "method": "echo", "params": {}}, json.dumps({"text": "x" * 100_000}).encode()
        )
    method_channel.thread.join(30)
    assert not method_channel.thread.is_alive()


def test_a_request_for_which_there_is_no_thread_waits_and_ends_nothing(
    method_channel: MethodChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ended the thread that serves the web process, for good."""
    method_channel.theirs.settimeout(20)
    refused = threading.Event()

    def no_more(_: threading.Thread) -> None:
        refused.set()
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_more)
        method_channel.send({"id": 1, "method": "echo", "params": {}})
        assert refused.wait(20)
    method_channel.send({"id": 2, "method": "echo", "params": {}})
    assert {method_channel.receive()[0]["id"] for _ in range(2)} == {1, 2}


class FailingRunner:
    """Serves web processes, the first of them with an internal error."""

    name = "page"

    def __init__(self, ending: StopFlag) -> None:
        self.ending = ending
        self.served = 0

    def serve(self, _: object) -> None:
        """Fail, and the next time ask for the end."""
        self.served += 1
        if self.served == 1:
            raise ZeroDivisionError
        self.ending.set()


@pytest.fixture
def bound() -> Iterator[socket.socket]:
    """A listening socket, for one test."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def test_a_web_process_is_started_again_whatever_has_failed(
    bound: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error that was not foreseen, while it was served or started, left the page without one for good."""
    monkeypatch.setattr(web_process, "pause_s", lambda _: 0.0)
    ending = StopFlag()
    runner = FailingRunner(ending)
    starts = count()

    def options() -> dict[str, Any]:
        if next(starts) == 1:
            raise ZeroDivisionError
        return {}

    # A program that ends at once stands for the web process.
    web = web_process.WebProcess("cutoutd.webserver.frames", bound, cast("Any", runner), options)
    web.start()
    web.keep(ending)
    web.end()
    assert (runner.served, next(starts)) == (2, 3)


def children() -> set[str]:
    """Return the processes that this one has started, and that are not waited for."""
    tasks = Path("/proc/self/task").glob("*/children")
    return {pid for one in tasks for pid in one.read_text(encoding="ascii").split()}


def test_a_web_process_that_is_not_told_how_to_serve_is_ended(bound: socket.socket) -> None:
    """Nobody would serve it."""

    def options() -> dict[str, Any]:
        raise ZeroDivisionError

    web = web_process.WebProcess(
        "cutoutd.webserver.frames", bound, cast("Any", FailingRunner(StopFlag())), options
    )
    before = children()
    with pytest.raises(ZeroDivisionError):
        web.start()
    assert children() == before
