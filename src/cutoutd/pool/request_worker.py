"""A process that is locked in as a worker is, and is asked one thing after the other: for pictures to look at.

`RequestWorker` is the side that asks, `serve` the side that answers. What is asked goes as a line of JSON, with opened
files; what is answered is a line of JSON, and as many bytes after it as that says. The process may crash, hang or lie: its
answer is bounded in time and size, and whoever asks must check what it says. It must not know what is asked for.
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
from cutoutd.sandbox.limits import die_with_parent, step_back_as_session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

START_S: Final = 30.0
END_S: Final = 10.0
"""A process that was killed is gone within milliseconds, but where the machine has far too much to do."""
MAX_HEAD_BYTES: Final = 1 << 16
MAX_BODY_BYTES: Final = 4 << 20
"""Of an answer: an honest one has some 100 KiB."""

_BODY: Final = "body"
_AT_A_TIME: Final = 1 << 16
_RETRY_S: Final = 0.002


class RequestWorker:
    """One such process; whoever has it asks from one thread at a time.

    To be made in a thread that lives as long as the process is wanted: the kernel takes that thread for its parent.

    Args:
        command: what to start.
        setup: what it is told first; `serve` says what must be in it.

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
        """Tell it its set-up, and wait until it is locked in; whether it is. If not, it is to be ended."""
        return self.ask(self._setup, START_S) is not None

    def ask(
        self, document: Mapping[str, object], timeout_s: float, files: Sequence[int] = ()
    ) -> tuple[dict[str, Any], bytes] | None:
        """Ask, and wait for the answer.

        Args:
            document: what becomes JSON.
            timeout_s: how long to wait.
            files: descriptors of opened files that go with it.

        Returns:
            What it said, and the bytes that came with it; None if it said nothing that could be understood, or not in time:
            it is to be ended then.
        """
        end_s = time.monotonic() + timeout_s
        try:
            self._asks.send(json.dumps(document).encode("ascii") + b"\n", files)
            while not self._asks.send_rest():  # a long line is taken in parts
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
        """Have it answer nobody any more, from any thread; whoever waits for an answer gets none."""
        self._process.kill()

    def end(self) -> None:
        """End it, whatever it does."""
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
        """Wait until it says something."""
        left_s = end_s - time.monotonic()
        return left_s > 0 and bool(select.select([self._descriptor], [], [], left_s)[0])

    @property
    def _descriptor(self) -> int:
        assert self._process.stdout is not None  # noqa: S101 -- PIPE was asked for
        return self._process.stdout.fileno()


class Questions:
    """What comes from a `RequestWorker`, at the other side.

    Args:
        asked: the channel.
    """

    def __init__(self, asked: channel.Receiver) -> None:
        self._asked = asked

    def receive(self) -> tuple[dict[str, Any], list[int]] | None:
        """What is asked next, and the files that come with it, which are the caller's; None at the end."""
        line, descriptors = self._asked.receive()
        return (json.loads(line), descriptors) if line else None

    def is_waiting(self) -> bool:
        """Whether the next one has come already."""
        return bool(select.select([self._asked.fileno()], [], [], 0)[0])


def say(document: Mapping[str, object], body: bytes = b"") -> None:
    """Answer.

    Args:
        document: what becomes JSON.
        body: goes after it.
    """
    line = json.dumps({**document, _BODY: len(body)} if body else document).encode("ascii") + b"\n"
    left = memoryview(line + body)
    while left:
        left = left[os.write(1, left) :]


def answer_all(
    questions: Questions,
    answer: Callable[[Mapping[str, Any], list[int]], tuple[Mapping[str, object], bytes]],
    when_idle: Callable[[], None] = lambda: None,
) -> None:
    """Answer until nobody asks any more; a question that cannot be answered gets ``why``, in words.

    Args:
        questions: what is asked.
        answer: gets a question and its files, which are closed after it; returns what is said, and the bytes that go with it.
        when_idle: is called once an answer is given and no other question has come.
    """
    while (asked := questions.receive()) is not None:
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
        if not questions.is_waiting():
            when_idle()


def content(descriptor: int, max_bytes: int) -> bytes:
    """All bytes of an opened file.

    Raises:
        LimitError: there are more than so many.
        OSError: it cannot be read.
    """
    with os.fdopen(os.dup(descriptor), "rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise LimitError("the file is too large")
    return data


def serve(work: Callable[[Mapping[str, Any], Questions], Callable[[], None]]) -> None:
    """Be such a process: load what the work takes, be locked in, and work until nobody asks any more.

    The set-up has ``parent``, and ``memory_mb`` (address space, MiB), ``required`` (each layer of the sandbox must be there)
    and may have ``nice`` (as in nice(1)) and ``session_nice`` (likewise, where cores are shared out by session); more is for the work.

    Args:
        work: loads all that it takes, before the process is locked in, and returns what answers until the end.
    """
    asked = channel.Receiver(os.dup(0))
    line, _ = asked.receive()
    if not line:  # it was never needed
        return
    setup = json.loads(line)
    die_with_parent(int(setup["parent"]))
    answer = work(setup, Questions(asked))
    if behind := int(setup.get("session_nice", 0)):
        step_back_as_session(behind)
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
