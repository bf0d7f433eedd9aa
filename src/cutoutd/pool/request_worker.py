"""A sandboxed process that answers one request after the other, such as for previews of pictures.

`RequestWorker` sends the requests, `serve` answers them. A request is a line of JSON with open files; an answer is a line of
JSON, followed by as many bytes as it says. The process may crash, hang or lie: its answer is bounded in time and size, and
the caller must check its content. It must not know what the requests are about.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from cutoutd.errors import CutoutdError, LimitError
from cutoutd.pool.slot import ENVIRONMENT
from cutoutd.process import channel, child_environment
from cutoutd.sandbox.confinement import confine_worker, own_code
from cutoutd.sandbox.limits import die_with_parent, lower_session_priority

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

START_S: Final = 30.0
END_S: Final = 10.0
"""A killed process is gone within milliseconds, unless the machine is overloaded."""
MAX_HEAD_BYTES: Final = 1 << 16
MAX_BODY_BYTES: Final = 4 << 20
"""Bytes of an answer; a correct one has about 100 KiB."""

_BODY: Final = "body"
_AT_A_TIME: Final = 1 << 16
_RETRY_S: Final = 0.002


class RequestWorker:
    """One such process. Requests come from one thread at a time.

    It must be made in a thread that lives as long as the process is needed: the kernel takes that thread for its parent.

    Args:
        command: command to start.
        setup: the set-up that is sent first; `serve` lists what it must contain.

    Raises:
        OSError: the system has no more processes or descriptors.
    """

    def __init__(self, command: Sequence[str], setup: Mapping[str, object]) -> None:
        self._unread = b""
        self._asks, theirs = channel.pair()
        try:
            self._process = subprocess.Popen(  # noqa: S603 -- the command is this program's own
                command,
                stdin=theirs,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=child_environment.for_worker(os.environ) | ENVIRONMENT,
                bufsize=0,
                start_new_session=True,
            )
        except BaseException:
            self._asks.close()
            raise
        finally:
            os.close(theirs)
        self._setup = {"parent": os.getpid(), **setup}

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def start(self) -> bool:
        """Send the set-up and wait until the sandbox is active. Returns whether it is; if not, the process is to be ended."""
        return self.ask(self._setup, START_S) is not None

    def ask(
        self, document: Mapping[str, object], timeout_s: float, files: Sequence[int] = ()
    ) -> tuple[dict[str, Any], bytes] | None:
        """Send a request and wait for the answer.

        Args:
            document: the request, encoded as JSON.
            timeout_s: how long to wait, in seconds.
            files: descriptors of open files that are sent along.

        Returns:
            The answer and the bytes that came with it; None if there was no valid answer in time: the process is to be ended
            then.
        """
        end_s = time.monotonic() + timeout_s
        try:
            self._asks.send(json.dumps(document).encode("ascii") + b"\n", files)
            while not self._asks.send_rest():  # a long line is sent in parts
                if time.monotonic() > end_s:
                    return None
                time.sleep(_RETRY_S)
            line = self._read_line(end_s)
            said = json.loads(line) if line is not None else None
            if not isinstance(said, dict):
                return None
            size = said.pop(_BODY, 0)
            if type(size) is not int or not 0 <= size <= MAX_BODY_BYTES:
                return None
            body = self._read(size, end_s)
        except (OSError, ValueError, RecursionError):
            return None
        return None if body is None else (said, body)

    def kill(self) -> None:
        """Kill the process, from any thread. A caller that waits for an answer gets None."""
        self._process.kill()

    def end(self) -> None:
        """Kill the process and release its pipes."""
        self._process.kill()
        self._asks.close()
        if self._process.stdout is not None:
            self._process.stdout.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(END_S)

    def _read_line(self, end_s: float) -> bytes | None:
        while b"\n" not in self._unread:
            if len(self._unread) > MAX_HEAD_BYTES or not self._read_more(end_s):
                return None
        line, self._unread = self._unread.split(b"\n", 1)
        return line

    def _read(self, size: int, end_s: float) -> bytes | None:
        parts, left = [self._unread[:size]], size - len(self._unread)
        self._unread = self._unread[size:]
        while left > 0:
            if not self._read_more(end_s):
                return None
            parts.append(self._unread[:left])
            taken = len(parts[-1])
            self._unread, left = self._unread[taken:], left - taken
        return b"".join(parts)

    def _read_more(self, end_s: float) -> bool:
        if not self._wait(end_s):
            return False
        data = os.read(self._descriptor, _AT_A_TIME)
        self._unread += data
        return bool(data)

    def _wait(self, end_s: float) -> bool:
        """Wait until there is something to read. Returns whether there is."""
        left_s = end_s - time.monotonic()
        return left_s > 0 and bool(select.select([self._descriptor], [], [], left_s)[0])

    @property
    def _descriptor(self) -> int:
        assert self._process.stdout is not None  # noqa: S101 -- PIPE was asked for
        return self._process.stdout.fileno()


class Requests:
    """The requests of a `RequestWorker`, in the process that answers.

    Args:
        asked: the channel that they come through.
    """

    def __init__(self, asked: channel.Receiver) -> None:
        self._asked = asked

    def receive(self) -> tuple[dict[str, Any], list[int]] | None:
        """Wait for the next request. Returns it and its open files, which the caller closes; None at the end."""
        line, descriptors = self._asked.receive()
        return (json.loads(line), descriptors) if line else None

    def is_waiting(self) -> bool:
        """Whether the next request is there already."""
        return bool(select.select([self._asked.fileno()], [], [], 0)[0])


def say(document: Mapping[str, object], body: bytes = b"") -> None:
    """Send an answer.

    Args:
        document: the answer, encoded as JSON.
        body: bytes that follow it.
    """
    line = json.dumps({**document, _BODY: len(body)} if body else document).encode("ascii") + b"\n"
    left = memoryview(line + body)
    while left:
        left = left[os.write(1, left) :]


def answer_all(
    requests: Requests,
    answer: Callable[[Mapping[str, Any], list[int]], tuple[Mapping[str, object], bytes]],
    when_idle: Callable[[], None] = lambda: None,
) -> None:
    """Answer requests until the channel ends. A request that cannot be answered gets the reason as ``why``.

    Args:
        requests: the requests.
        answer: function of a request and its files, which are closed afterwards; returns the answer and its bytes.
        when_idle: called after an answer if no other request has come.
    """
    while (asked := requests.receive()) is not None:
        document, descriptors = asked
        said: Mapping[str, object]
        try:
            said, body = answer(document, descriptors)
        except CutoutdError as error:
            said, body = {"why": error.cause}, b""
        except OSError as error:
            said, body = {"why": error.strerror or "it cannot be read"}, b""
        except MemoryError:
            said, body = {"why": "the picture is too large for the memory"}, b""
        finally:
            channel.close(descriptors)
        say(said, body)
        if not requests.is_waiting():
            when_idle()


def content(descriptor: int, max_bytes: int) -> bytes:
    """Return all bytes of an open file.

    Raises:
        LimitError: there are more than ``max_bytes``.
        OSError: the file cannot be read.
    """
    with os.fdopen(os.dup(descriptor), "rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise LimitError("the file is too large")
    return data


def serve(work: Callable[[Mapping[str, Any], Requests], Callable[[], None]]) -> None:
    """Run such a process: load, activate the sandbox, and answer until the channel ends.

    The set-up has ``parent`` (process id), ``memory_mb`` (address space, MiB) and ``required`` (whether each layer of the sandbox
    must be active), and may have ``nice`` (as in nice(1)) and ``session_nice`` (likewise, where cores are shared out by session).
    Other keys are for ``work``.

    Args:
        work: loads what it needs, before the sandbox is active, and returns the function that answers until the end.
    """
    asked = channel.Receiver(os.dup(0))
    line, _ = asked.receive()
    if not line:  # the process was not needed
        return
    setup = json.loads(line)
    die_with_parent(int(setup["parent"]))
    answer = work(setup, Requests(asked))
    if behind := int(setup.get("session_nice", 0)):
        lower_session_priority(behind)
    layers = confine_worker(
        read=own_code(),
        tasks=asked.fileno(),
        memory_mb=int(setup["memory_mb"]),
        file_bytes=0,
        nice=int(setup.get("nice", 0)),
        required=bool(setup["required"]),
    )
    say({"layers": list(layers)})
    answer()
