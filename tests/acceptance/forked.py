"""The command in a process of its own that is forked from one which has loaded everything, and so starts in no time.

Most of what a short command costs is the start of an interpreter and the import of its modules. Here these are paid once: a
process imports them and forks for each command. What follows is that of the real command: arguments, environment, directory,
standard streams, signals, exit code. Where the environment says something to the interpreter itself, such as PYTHONPATH,
nothing is shared: see `is_possible`.

Run as a program, this module is that process.
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

MAX_REQUEST_BYTES = 150_000
READ_BYTES = 65536

OF_THE_INTERPRETER = ("PYTHON", "LD_", "LC_", "LANG", "TZ", "MALLOC_", "OPENSSL_")
"""What variables begin with that are read once, by the interpreter or a library, and not by the command."""

LOADED = (
    "cutoutd.cut",
    "cutoutd.daemon.daemon",
    "cutoutd.doctor.examination",
    "cutoutd.models.own",
    "cutoutd.page.examination",
    "cutoutd.pool.model_trial",
    "cutoutd.replay",
    "cutoutd.serve.examination",
)
"""What commands import later than at their start, and what starts no thread."""


class ForkedProcess:
    """A command that runs, with what the tests use of `subprocess.Popen`.

    Args:
        pid: of the command.
        answer: where its exit code is told at its end.
    """

    def __init__(self, pid: int, answer: socket.socket) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._answer = answer

    def poll(self) -> int | None:
        """Its exit code, or None while it runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end."""
        if self.returncode is None:
            self._answer.settimeout(timeout)
            try:
                said = self._answer.recv(READ_BYTES)
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0) from None
            self.returncode = int(said)
            self._answer.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


@dataclass(frozen=True, slots=True)
class _Server:
    """The process that forks, seen from the tests."""

    process: subprocess.Popen[bytes]
    requests: socket.socket
    environment: Mapping[str, str]

    def start(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        cwd: Path,
        streams: tuple[int, int],
        leads: bool,
    ) -> ForkedProcess:
        """Have it fork."""
        answer, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        request = {
            "argv": list(argv),
            "environment": dict(environment),
            "cwd": os.fspath(cwd),
            "leads": leads,
        }
        with theirs:
            socket.send_fds(self.requests, [json.dumps(request).encode()], [theirs.fileno(), *streams])
        pid = answer.recv(READ_BYTES)
        assert pid, self.process.communicate()[0].decode()  # what it says of its end
        return ForkedProcess(int(pid), answer)


_servers: list[_Server] = []
"""The one that forks, in the body of `serving`."""


@contextmanager
def serving() -> Iterator[None]:
    """Have commands forked while the body runs; elsewhere, as in the campaigns, each is started as a person does."""
    if not hasattr(os, "pidfd_open"):  # only Linux has it
        yield
        return
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", __file__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,  # as of commands whose output is read: a stream that cannot seek
            stderr=subprocess.STDOUT,
        )
    _servers.append(_Server(process=process, requests=ours, environment=dict(os.environ)))
    try:
        yield
    finally:
        _servers.clear()
        ours.close()
        process.communicate()


def is_possible(environment: Mapping[str, str]) -> bool:
    """Whether a command with this environment may share an interpreter's start with others."""
    if not _servers:
        return False
    as_started = _servers[0].environment
    return all(
        environment.get(name) == as_started.get(name)
        for name in {*environment, *as_started}
        if name.startswith(OF_THE_INTERPRETER)
    )


def start(argv: Sequence[str], *, environment: Mapping[str, str], cwd: Path, log: int) -> ForkedProcess:
    """Start a command in a session of its own.

    Args:
        argv: words after the name of the command.
        environment: all of it.
        cwd: its working directory.
        log: descriptor of its standard output and error.
    """
    return _servers[0].start(argv, environment=environment, cwd=cwd, streams=(log, log), leads=True)


def run(
    argv: Sequence[str], *, environment: Mapping[str, str], cwd: Path, timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, and until nobody has its standard output and error open, as `subprocess.run`."""
    with ExitStack() as opened:
        out, out_in = os.pipe()
        error, error_in = os.pipe()
        for descriptor in (out, error):
            opened.callback(os.close, descriptor)
        try:
            process = _servers[0].start(
                argv, environment=environment, cwd=cwd, streams=(out_in, error_in), leads=False
            )
        finally:
            os.close(out_in)
            os.close(error_in)
        end_s = time.monotonic() + timeout_s
        said: dict[int, bytes] = {out: b"", error: b""}
        try:
            _read_all(said, end_s)
            code = process.wait(max(end_s - time.monotonic(), 0.0))
        except (TimeoutError, subprocess.TimeoutExpired):
            process.kill()
            process.wait()
            raise subprocess.TimeoutExpired(list(argv), timeout_s, said[out], said[error]) from None
        texts = [said[one].decode().replace("\r\n", "\n").replace("\r", "\n") for one in (out, error)]
    return subprocess.CompletedProcess(list(argv), code, *texts)


def _read_all(said: dict[int, bytes], end_s: float) -> None:
    """Read from several descriptors to the end of each."""
    with selectors.DefaultSelector() as waiting:
        for descriptor in said:
            waiting.register(descriptor, selectors.EVENT_READ)
        while waiting.get_map():
            ready = waiting.select(max(end_s - time.monotonic(), 0.0))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                some = os.read(key.fd, READ_BYTES)
                said[key.fd] += some
                if not some:
                    waiting.unregister(key.fd)


def _serve(requests: socket.socket) -> dict[str, Any]:
    """Fork for each request; returns in the forked process alone, with the request."""
    waiting = selectors.DefaultSelector()
    waiting.register(requests, selectors.EVENT_READ)
    while True:
        for key, _ in waiting.select():
            if key.data is not None:
                pid, answer = key.data
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                waiting.unregister(key.fd)
                os.close(key.fd)
                with answer, suppress(BrokenPipeError):  # a test that does not wait for it
                    answer.send(str(code).encode())
                continue
            message, descriptors, _, _ = socket.recv_fds(requests, MAX_REQUEST_BYTES, 3)
            if not message:
                sys.exit(0)
            first, *streams = descriptors
            pid = os.fork()
            if pid == 0:
                os.close(first)
                _take_over(waiting, streams)
                request: dict[str, Any] = json.loads(message)
                return request
            for descriptor in streams:
                os.close(descriptor)
            answer = socket.socket(fileno=first)
            answer.send(str(pid).encode())
            waiting.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, answer))


def _take_over(waiting: selectors.BaseSelector, streams: Sequence[int]) -> None:
    """Have standard output and error, and nothing of the other commands."""
    for key in list(waiting.get_map().values()):
        os.close(key.fd)
        if key.data is not None:
            key.data[1].close()
    waiting.close()
    for number, descriptor in enumerate(streams, 1):
        os.dup2(descriptor, number)
        os.close(descriptor)


def _main() -> NoReturn:
    """Load everything, then be one command after the other."""
    from cutoutd.__main__ import main  # noqa: PLC0415 -- for the tests' own process it is too much
    from cutoutd.cli.app import build  # noqa: PLC0415 -- likewise

    build()
    for module in LOADED:
        import_module(module)
    gc.freeze()  # what never changes is copied by none
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # it ends without a word
    request = _serve(socket.socket(fileno=int(sys.argv[1])))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv[1:] = request["argv"]
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["cwd"])
    if request["leads"]:
        os.setsid()
    main()
    sys.exit(0)


if __name__ == "__main__":
    _main()
