"""Processes of this program, forked from a template that has loaded the modules instead of started anew.

A test that runs a command or a daemon starts up to a dozen processes, and most of what they cost is the start of an
interpreter and the import of modules. While `preloading` is in force, `subprocess` has ``python -P -m cutoutd...`` forked from
a template process, also if nsenter(1) runs it in another namespace. Such a process is a child of the one that asks for it and
has the arguments, environment, directory, standard streams, files, limits and signals that a new one would have. All other
commands, and those in the body of `new_interpreters`, are started as ever: what is about the interpreter's own start, proc(5),
or what a process inherits of its parent's confinement, needs that.

A forked process that has exited, with all exit functions run and its output flushed, does not take its modules apart: that would
copy most of the template's memory, and takes four times as long as the rest of a short command.

Run as a program, this module is the template.
"""

from __future__ import annotations

import atexit
import ctypes
import fcntl
import gc
import json
import os
import platform
import resource
import runpy
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

MAX_REQUEST_BYTES: Final = 180_000
MAX_FILES: Final = 200
PACKAGE: Final = "cutoutd"

LOADED: Final = (
    "cutoutd.cli.companions",
    "cutoutd.cut",
    "cutoutd.daemon.daemon",
    "cutoutd.doctor.examination",
    "cutoutd.hosted.run",
    "cutoutd.models.own",
    "cutoutd.page.backend.process",
    "cutoutd.page.examination",
    "cutoutd.page.web.process",
    "cutoutd.pipeline.pipeline",
    "cutoutd.pool.model_trial",
    "cutoutd.pool.request_worker",
    "cutoutd.pool.worker",
    "cutoutd.replay",
    "cutoutd.serve.backend.process",
    "cutoutd.serve.examination",
    "cutoutd.serve.web.process",
    "encodings.utf_8_sig",
    "onnxruntime",
    "pydantic.type_adapter",
    "structlog.dev",
    "uvicorn.lifespan.off",
)
"""Modules that processes import after their start, and that start no thread when they are loaded."""

OF_THE_INTERPRETER: Final = ("PYTHON", "LD_", "TZ", "MALLOC_", "OPENSSL_")
"""Prefixes of the variables that the interpreter or a library reads once, at its start."""

NOT_WRITTEN: Final = "PYTHONDONTWRITEBYTECODE"

STARTS_OTHERS: Final = frozenset({"check", "cut", "hosted", "page", "replay", "run", "serve"})
"""Subcommands whose process starts further processes, and therefore gets a template of its own.

What `doctor` and `worker` start has to inherit the confinement that these put up for themselves, and is not forked.
"""

WEIGHTS: Final = "packaged-weights"
"""Directory below ``XDG_DATA_HOME`` which, if it is there, a forked process and its children have for that of the packaged model.

With the small model of a user, no test is about what the packaged one finds, but strokes ask it for its features, which takes
ten times as long as all else of a correction.
"""

ONE_THREAD: Final = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENCV_FOR_THREADS_NUM": "1",
    "ORT_DISABLE_TELEMETRY": "1",
}
"""Variables that keep libraries from starting threads when they are loaded."""

_CLONE: Final = {"x86_64": 56, "aarch64": 220}
_CLONE_PARENT: Final = 0x00008000
_NAMESPACES: Final = {"-m": "mnt", "-n": "net"}
"""Options of nsenter(1), and what each namespace is called in proc(5)."""

_PR_SET_PDEATHSIG: Final = 1
_AT_START_IGNORED: Final = (signal.SIGPIPE, signal.SIGXFSZ)  # by each interpreter
_LIMITS: Final = tuple(getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_"))

_libc = ctypes.PyDLL(None)  # keeps the interpreter's lock, as fork(2) in `os` does


@contextmanager
def one_thread() -> Iterator[None]:
    """Have libraries that are loaded meanwhile start no threads, as in a worker: idle ones wait by computing."""
    kept = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@dataclass(frozen=True, slots=True)
class Request:
    """A request to fork a process.

    Attributes:
        module: name of the module that the process runs.
        arguments: words after the module's name on the command line.
        environment: the complete environment.
        cwd: the working directory.
        leads: whether the process starts a session of its own.
        numbers: number in the process of each sent descriptor.
        blocked: blocked signals.
        ignored: ignored signals.
        limits: soft and hard limit of each resource.
        namespaces: paths in proc(5) of the namespaces that the process enters.
    """

    module: str
    arguments: list[str]
    environment: dict[str, str]
    cwd: str
    leads: bool
    numbers: list[int]
    blocked: list[int]
    ignored: list[int]
    limits: list[tuple[int, int, int]]
    namespaces: list[str]


class _Template:
    """A client of the template process, which is a child of the process that uses this client."""

    def __init__(
        self,
        requests: socket.socket,
        environment: Mapping[str, str],
        process: subprocess.Popen[bytes] | None = None,
    ) -> None:
        self._requests = requests
        self._process = process
        self._environment = environment
        self._lock = threading.Lock()

    def suits(self, environment: Mapping[str, str]) -> bool:
        """Whether the template's interpreter was started with the same variables of the interpreter."""
        return all(
            self._environment.get(name) == value
            for name, value in environment.items()
            if name.startswith(OF_THE_INTERPRETER) and name != NOT_WRITTEN
        )

    def fork(self, request: Request, descriptors: Sequence[int]) -> int:
        """Fork a process; return its process id.

        Raises:
            OSError: the template has ended, or the request is too long.
        """
        message = json.dumps(asdict(request)).encode()
        with self._lock:
            socket.send_fds(self._requests, [message], descriptors)
            answer = self._requests.recv(64)
        if not answer:
            raise BrokenPipeError
        return int(answer)

    def end(self) -> None:
        """Close the connection, and wait until the template process has ended."""
        self._requests.close()
        if self._process is not None:
            self._process.communicate()


_state: dict[str, Any] = {"template": None, "new": 0}
_fork_exec: Callable[..., int] = subprocess._fork_exec  # type: ignore[attr-defined] # noqa: SLF001 -- the one place that all starts go through


@contextmanager
def preloading() -> Iterator[None]:
    """Fork processes of this program from a template while the body runs."""
    if platform.machine() not in _CLONE or sys.platform != "linux":
        yield
        return
    subprocess._fork_exec = _start  # type: ignore[attr-defined] # noqa: SLF001 -- see above
    try:
        yield
    finally:
        subprocess._fork_exec = _fork_exec  # type: ignore[attr-defined] # noqa: SLF001 -- see above
        if _state["template"] is not None:
            _state["template"].end()
            _state["template"] = None


@contextmanager
def new_interpreters() -> Iterator[None]:
    """Start every process with a new interpreter while the body runs."""
    _state["new"] += 1
    try:
        yield
    finally:
        _state["new"] -= 1


@contextmanager
def forked_processes() -> Iterator[None]:
    """Fork processes in a part of the body of `new_interpreters` that is not about their start."""
    kept, _state["new"] = _state["new"], 0
    try:
        yield
    finally:
        _state["new"] = kept


def _template() -> _Template | None:
    """The template of this process, started at its first use; it must live as long as the thread that starts it."""
    if _state["template"] is None and threading.current_thread() is threading.main_thread():
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, new_interpreters():
            process = subprocess.Popen(
                [sys.executable, "-P", __file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,  # a stream that cannot seek, as of commands whose output is read
                stderr=subprocess.STDOUT,
                env=os.environ | ONE_THREAD,
            )
        _state["template"] = _Template(ours, dict(os.environ), process)
    found: _Template | None = _state["template"]
    return found


def _start(*given: Any) -> int:  # noqa: ANN401 -- what `subprocess` gives to the function of C
    """Fork a process of this program, or start another program; stands for `_posixsubprocess.fork_exec`."""
    (
        words,
        _,
        closes,
        kept,
        cwd,
        variables,
        stdin,
        _,
        _,
        stdout,
        _,
        stderr,
        _,
        errors,
        _,
        leads,
        group,
        *rest,
    ) = given
    namespaces, words = _namespaces([os.fsdecode(word) for word in words])
    module = _module(words)
    is_plain = closes and group in (None, -1) and rest[:5] == [None, None, None, -1, None]
    if module is None or not is_plain or _state["new"] or (template := _template()) is None:
        return _fork_exec(*given)
    environment = dict(os.environ) if variables is None else _parsed(variables)
    if not template.suits(environment):
        return _fork_exec(*given)
    numbers = [0, 1, 2, *(one for one in kept if one != errors)]
    streams = [
        number if file < 0 else file for number, file in enumerate((stdin, stdout, stderr))
    ]  # -1: inherited
    if any(
        os.isatty(stream) for stream in streams
    ):  # what Python prints on is made for what is open at its start
        return _fork_exec(*given)
    request = Request(
        module=module,
        arguments=words[4:],
        environment=environment,
        cwd=str(Path.cwd()) if cwd is None else os.fsdecode(cwd),
        leads=bool(leads),
        numbers=numbers,
        blocked=[int(one) for one in signal.pthread_sigmask(signal.SIG_BLOCK, ())],
        ignored=[
            int(one)
            for one in signal.valid_signals()
            if one not in _AT_START_IGNORED and signal.getsignal(one) == signal.SIG_IGN
        ],
        limits=[(one, *resource.getrlimit(one)) for one in _LIMITS],
        namespaces=namespaces,
    )
    try:
        return template.fork(request, [*streams, *numbers[3:]])
    except OSError:  # a stream that is not open, or an environment too large
        return _fork_exec(*given)


def _namespaces(words: list[str]) -> tuple[list[str], list[str]]:
    """Return the namespaces that nsenter(1) would enter, and the command that it would run there; none for any other command."""
    if words[:2] != ["nsenter", "-t"] or len(words) < 5 or words[3] not in _NAMESPACES:
        return [], words
    return [f"/proc/{words[2]}/ns/{_NAMESPACES[words[3]]}"], words[5:] if words[4] == "--" else words[4:]


def _module(words: Sequence[str]) -> str | None:
    """Return the module of this program that a command runs; None for any other command."""
    if words[:3] == [sys.executable, "-P", "-m"] and words[3].partition(".")[0] == PACKAGE:
        return words[3]
    return None


def _parsed(variables: Sequence[bytes]) -> dict[str, str]:
    """Return the variables of an environment, by name."""
    pairs = [os.fsdecode(variable).partition("=") for variable in variables]
    return {name: value for name, _, value in pairs}


def _fork_sibling() -> int:
    """Fork a child of this process's parent with clone(2) and CLONE_PARENT; return as fork(2) does."""
    ctypes.pythonapi.PyOS_BeforeFork()
    pid: int = _libc.syscall(
        ctypes.c_long(_CLONE[platform.machine()]),
        ctypes.c_long(_CLONE_PARENT | signal.SIGCHLD),
        *(ctypes.c_long(0) for _ in range(4)),
    )
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
    else:
        ctypes.pythonapi.PyOS_AfterFork_Parent()
    return pid


def _serve(requests: socket.socket) -> tuple[Request, list[int]]:
    """Fork for each request; return in the forked process alone, with the request and its descriptors."""
    while True:
        message, descriptors, _, _ = socket.recv_fds(requests, MAX_REQUEST_BYTES, MAX_FILES)
        if not message:
            os._exit(0)
        pid = _fork_sibling()
        if pid == 0:
            requests.close()
            return Request(**json.loads(message)), descriptors
        for descriptor in descriptors:
            os.close(descriptor)
        requests.send(str(pid).encode())


def _become(request: Request, descriptors: list[int]) -> None:
    """Give this process the descriptors, environment, limits and signals that `subprocess` would have set."""
    above = max(*request.numbers, *descriptors) + 1
    held = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, above) for descriptor in descriptors]
    for descriptor in descriptors:
        os.close(descriptor)
    for descriptor, number in zip(held, request.numbers, strict=True):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request.environment)
    sys.dont_write_bytecode = bool(request.environment.get(NOT_WRITTEN))
    _take_weights(request.environment)
    os.chdir(request.cwd)
    for namespace in request.namespaces:  # may change the working directory, as in nsenter(1)
        with Path(namespace).open("rb") as file:
            if _libc.setns(file.fileno(), 0):
                raise OSError(namespace)
    if request.leads:
        os.setsid()
    for one, soft, hard in request.limits:
        if resource.getrlimit(one) != (soft, hard):
            resource.setrlimit(one, (soft, hard))
    for number in request.ignored:
        signal.signal(number, signal.SIG_IGN)
    if signal.SIGINT not in request.ignored:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, request.blocked)


def _take_weights(environment: Mapping[str, str]) -> None:
    """Have this process find its packaged model in `WEIGHTS`, if it is there."""
    weights = Path(environment.get("XDG_DATA_HOME", "."), WEIGHTS)
    if weights.is_dir():
        sys.modules["cutoutd.models.catalog"]._HOMES = (weights,)  # type: ignore[attr-defined] # noqa: SLF001 -- found at each use


def _starts_others(request: Request) -> bool:
    """Return whether the requested process starts further processes of this program."""
    if request.module == PACKAGE:
        return request.arguments[:1] != [] and request.arguments[0] in STARTS_OTHERS
    return request.module in ("cutoutd.cli.companions", "cutoutd.pool.cluster_proxy")


def _fork_template() -> socket.socket | None:
    """Fork a template for this process; return its socket in the template, and None in this process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    parent = os.getpid()
    if os.fork() == 0:
        ours.close()
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(0)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for its parent
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(nothing, number)
        os.closerange(3, theirs.fileno())
        os.closerange(theirs.fileno() + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        return theirs
    theirs.close()
    _state["template"] = _Template(ours, dict(os.environ))
    subprocess._fork_exec = _start  # type: ignore[attr-defined] # noqa: SLF001 -- see above
    return None


def _load() -> None:
    """Import the modules, and keep garbage collections from touching their objects."""
    from cutoutd.cli.app import build  # noqa: PLC0415 -- for the tests' own process it is too much

    build()
    for module in LOADED:
        import_module(module)
        if module.endswith((".worker", ".process", ".companions", ".request_worker")):
            del sys.modules[module]  # it is run as a program
    gc.collect()
    gc.freeze()  # what never changes is copied by none


def _main() -> None:
    """Load all modules, then fork for each request; the forked process runs the requested module."""
    requests: socket.socket | None = socket.socket(fileno=int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _load()
    while requests is not None:
        request, descriptors = _serve(requests)
        requests = None
        _become(request, descriptors)
        if _starts_others(request):
            requests = _fork_template()
    sys.argv = ["-m", *request.arguments]
    sys.orig_argv = [sys.executable, "-P", "-m", request.module, *request.arguments]
    try:
        runpy.run_module(request.module, run_name="__main__", alter_sys=True)
    except SystemExit as exiting:
        if exiting.code is None or isinstance(exiting.code, int):
            _end(exiting.code or 0)
        raise


def _end(code: int) -> None:
    """End this process in the order of Py_FinalizeEx; return if its output cannot be flushed, since that changes its exit code."""
    threading._shutdown()  # type: ignore[attr-defined] # noqa: SLF001 -- waits for threads, as the interpreter does
    atexit._run_exitfuncs()  # noqa: SLF001 -- as above
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            return
    os._exit(code)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        _main()
