"""Tries, in a process of its own, what a hostile decoder would try, and prints how each attempt ended.

Usage: ``python sandbox_attempts.py CONFINEMENT DIRECTORY``. DIRECTORY holds ``input`` (to be read),
``staging`` (to be written) and ``outside`` (neither); the result is one JSON object: the layers in force,
and for each attempt "done" or the name of the errno or exception it ended with.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import mmap
import os
import resource
import signal
import socket
import subprocess
import sys
import sysconfig
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cutoutd.errors import CutoutdError
from cutoutd.sandbox import calls, landlock, limits, seccomp
from cutoutd.sandbox.worker import confine_supervisor, confine_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MEMORY_MB = 512
OPEN_SOCKET = "import socket; socket.socket()"
_PR_GET_DUMPABLE = 3
_LIBC = ctypes.CDLL(None, use_errno=True)


def raw(call: str | int, *arguments: int) -> None:
    """Make a system call without the C library's help."""
    machine = calls.this_machine()
    assert machine is not None
    number = machine.number(call) if isinstance(call, str) else call
    words = [ctypes.c_long(word) for word in (number or -1, *arguments)]
    if _LIBC.syscall(*words) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def open_socket(family: int, kind: int = socket.SOCK_DGRAM) -> None:
    """Make a socket and close it."""
    socket.socket(family, kind).close()


def pair_sockets() -> None:
    """Make two sockets that are joined, and close them."""
    for end in socket.socketpair():
        end.close()


def bind_tcp() -> None:
    """Listen on a port of the system's choice."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))


def compat_socket() -> None:
    """Make an INET socket through the 32-bit system-call table of x86: socket is 359 there."""
    code = bytes.fromhex("53 b867010000 bb02000000 b902000000 31d2 31f6 31ff cd80 5b c3")
    memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    result = ctypes.CFUNCTYPE(ctypes.c_int)(address)()
    if result < 0:
        raise OSError(-result, os.strerror(-result))


def fork() -> None:
    """Start a process and wait for it."""
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)


def run(*command: str) -> None:
    """Run a program; a failure inside it counts as EPERM only if it says so."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise OSError(errno.EPERM if "PermissionError" in ended.stderr else errno.EIO, ended.stderr)


def aim_signals() -> None:
    """Have the kernel send this process's parent a signal of our choice when a pipe has data."""
    reading, writing = os.pipe()
    try:
        fcntl.fcntl(reading, fcntl.F_SETOWN, os.getppid())
    finally:
        os.close(reading)
        os.close(writing)


def change_process(pid: int) -> None:
    """Choose the processors another process runs on (the same as before)."""
    os.sched_setaffinity(pid, os.sched_getaffinity(pid))


def reach_into(pid: int) -> None:
    """Open another process's memory for writing."""
    os.close(os.open(f"/proc/{pid}/mem", os.O_RDWR))


def raise_limit() -> None:
    """Change a limit to what it is."""
    resource.setrlimit(resource.RLIMIT_NOFILE, resource.getrlimit(resource.RLIMIT_NOFILE))


def outlive_parent() -> None:
    """Take back PR_SET_PDEATHSIG."""
    raw("prctl", 1, 0, 0, 0, 0)


def allocate(mib: int) -> None:
    """Ask for memory, and let it go."""
    assert len(bytes(mib << 20)) == mib << 20  # zeroed by the kernel, and so never touched


def start_thread() -> None:
    """Start a thread and wait for its end."""
    done = threading.Event()
    thread = threading.Thread(target=done.set)
    thread.start()
    thread.join()
    assert done.is_set()


def import_late() -> None:
    """Import a module that nobody has imported yet, with a part in C."""
    assert "xml.etree.ElementTree" not in sys.modules
    import xml.etree.ElementTree as ET  # noqa: PLC0415 -- late on purpose

    assert ET.Element("a").tag == "a"


def overwrite(path: Path) -> None:
    """Change the first byte of a file that exists."""
    with path.open("r+b") as file:
        file.write(b"X")


def truncate_by_reading(path: Path) -> None:
    """Empty a file by opening it for reading only."""
    os.close(os.open(path, os.O_RDONLY | os.O_TRUNC))


class EarlyThread:
    """A thread that is there before the sandbox, and makes an attempt on request."""

    def __init__(self) -> None:
        self._work: Callable[[], object] | None = None
        self._go = threading.Event()
        self._outcome = ""
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        self._go.wait()
        assert self._work is not None
        self._outcome = outcome(self._work)

    def attempt(self, work: Callable[[], object]) -> str:
        """Make the attempt in that thread, and say how it ended."""
        self._work = work
        self._go.set()
        self._thread.join()
        return self._outcome


def network_attempts() -> dict[str, Callable[[], object]]:
    """Ways to a socket."""
    return {
        "inet": partial(open_socket, socket.AF_INET),
        "inet6": partial(open_socket, socket.AF_INET6),
        "packet": partial(open_socket, socket.AF_PACKET, socket.SOCK_RAW),
        "vsock": partial(open_socket, socket.AF_VSOCK, socket.SOCK_STREAM),
        "netlink": partial(open_socket, socket.AF_NETLINK),
        "unix": partial(open_socket, socket.AF_UNIX),
        "socketpair": pair_sockets,
        "inet by raw call": partial(raw, "socket", socket.AF_INET, socket.SOCK_DGRAM, 0),
        "inet by raw call, dirty upper half": partial(
            raw, "socket", socket.AF_INET | 1 << 32, socket.SOCK_DGRAM, 0
        ),
        "io_uring": partial(raw, "io_uring_setup", 1, 0),
        "tcp bind": bind_tcp,
    }


def process_attempts() -> dict[str, Callable[[], object]]:
    """Ways to other processes, and out of the limits."""
    parent = os.getppid()
    return {
        "spawn a program": partial(run, "/bin/true"),
        "inet in a program": partial(run, sys.executable, "-c", OPEN_SOCKET),
        "execve": partial(raw, "execve", 0, 0, 0),
        "fork": fork,
        "ptrace": partial(raw, "ptrace", 16, 2**22 + 1, 0, 0),
        "signal the parent": partial(os.kill, parent, 0),
        "signal the parent's thread": partial(raw, "tgkill", parent, parent, 0),
        "signal every process": partial(raw, "kill", -1, 0),
        "aim signals at the parent": aim_signals,
        "processors of the parent": partial(change_process, parent),
        "priority of the parent": partial(
            os.setpriority, os.PRIO_PROCESS, parent, os.getpriority(os.PRIO_PROCESS, parent)
        ),
        "memory of the parent": partial(reach_into, parent),
        "raise a limit": raise_limit,
        "outlive the parent": outlive_parent,
        "type into the terminal": partial(raw, "ioctl", -1, 0x5412, 0),
        "more memory": partial(allocate, 2 * MEMORY_MB),
        "signal itself": partial(os.kill, os.getpid(), 0),
        "signal itself by thread": partial(
            signal.pthread_kill, threading.main_thread().ident or 0, signal.SIGCONT
        ),
        "processors of its own": partial(change_process, 0),
        "read a limit": lambda: resource.getrlimit(resource.RLIMIT_AS),
        "start a thread": start_thread,
        "import late": import_late,
        "some memory": partial(allocate, 16),
    }


def file_attempts(directory: Path) -> dict[str, Callable[[], object]]:
    """Ways to files, each with a victim of its own."""
    source, staging, secret = directory / "input", directory / "staging", directory / "outside" / "secret"

    def victim(name: str) -> Path:
        path = source / name
        path.write_bytes(b"original")
        return path

    (source / "escape").symlink_to(secret)
    return {
        "read the input": lambda: read_file(source / "photo.jpg"),
        "list the input": lambda: list(source.iterdir()),
        "read outside": lambda: read_file(secret),
        "read through a symlink": lambda: read_file(source / "escape"),
        "read through /proc/self/root": lambda: read_file(Path(f"/proc/self/root{secret}")),
        "read /etc/passwd": lambda: read_file(Path("/etc/passwd")),
        "write to the input": partial(overwrite, victim("overwritten.jpg")),
        "create in the input": partial((source / "new.jpg").write_bytes, b"new"),
        "remove from the input": victim("removed.jpg").unlink,
        "move out of the input": partial(victim("moved.jpg").rename, staging / "moved.jpg"),
        "truncate an original": partial(os.truncate, victim("truncated.jpg"), 0),
        "truncate by reading": partial(truncate_by_reading, victim("emptied.jpg")),
        "link an original to staging": partial((staging / "linked").hardlink_to, victim("linked.jpg")),
        "symlink in staging": partial((staging / "pointer").symlink_to, secret),
        "fifo in staging": partial(os.mkfifo, staging / "fifo"),
        "chmod an original": partial(victim("shared.jpg").chmod, 0o666),
        "date an original": partial(os.utime, victim("dated.jpg"), (0, 0)),
        "tag an original": partial(os.setxattr, victim("tagged.jpg"), "user.x", b"x"),
        "watch the input": partial(raw, "inotify_init1", 0),
        "write in staging": partial((staging / "a.png").write_bytes, b"png"),
        "make a directory in staging": partial((staging / "sub").mkdir),
        "rename in staging": partial((staging / "a.png").rename, staging / "b.png"),
        "rename between directories of staging": partial(
            (staging / "b.png").rename, staging / "sub" / "c.png"
        ),
        "remove from staging": (staging / "sub" / "c.png").unlink,
        "random bytes": lambda: read_file(Path("/dev/urandom"), 8),
        "write to /dev/null": partial(Path("/dev/null").write_bytes, b"x"),
        "read its own state": lambda: read_file(Path("/proc/self/status")),
    }


def raw_attempts() -> dict[str, Callable[[], object]]:
    """Calls that are refused whatever their arguments, where nonsense does no harm."""
    machine = calls.this_machine()
    assert machine is not None
    names = (*calls.SOCKETS, *calls.RINGS, *calls.INTRUSION, *calls.FILES, *calls.BY_POINTER)
    attempts = {name: partial(raw, name, *[-1] * 6) for name in names if machine.number(name) is not None}
    if machine.has_x32:
        attempts["socket of x32"] = partial(raw, 0x40000000 + 41, socket.AF_INET, socket.SOCK_DGRAM, 0)
    return {f"raw {name}": attempt for name, attempt in attempts.items()}


def read_file(path: Path, count: int = -1) -> None:
    """Read a file."""
    with path.open("rb") as file:
        assert file.read(count)


def outcome(attempt: Callable[[], object]) -> str:
    """Make an attempt, and name its end."""
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    except Exception as error:  # noqa: BLE001 -- its name is the result
        return type(error).__name__
    return "done"


def confine(how: str, directory: Path) -> Iterable[str]:
    """Put up what is to be tried; returns the layers' names."""
    read = [directory / "input", directory / "gone", Path(sysconfig.get_path("stdlib"))]
    read += [Path(entry) for entry in sys.path if Path(entry).is_dir()]
    write = [directory / "staging"]
    match how:
        case "worker":
            limits.die_with_parent(os.getppid())
            return confine_worker(read=read, write=write, memory_mb=MEMORY_MB, nice=5)
        case "supervisor":
            return confine_supervisor()
        case "seccomp":
            return ["seccomp"] if seccomp.refuse_all_sockets() else []
        case "landlock":
            restriction = landlock.restrict(read, write)
            return [str(restriction.abi), *restriction.missing] if restriction else []
        case _:
            return []


def restrict_threaded(early: EarlyThread, directory: Path) -> dict[str, str]:
    """Put up Landlock beside a thread; either it refuses, or it binds that thread too."""
    try:
        landlock.restrict([directory / "input"], [])
    except CutoutdError as error:
        return {"refused": str(error)}
    return {"refused": "", "thread": early.attempt(partial(read_file, directory / "outside" / "secret"))}


def facts() -> dict[str, str]:
    """What the kernel says about this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    state = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    state["Dumpable"] = str(_LIBC.prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0))
    state["Nice"] = str(os.getpriority(os.PRIO_PROCESS, 0))
    state["OpenFiles"] = str(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    state["Core"] = str(resource.getrlimit(resource.RLIMIT_CORE)[1])
    return state


def main() -> None:
    """Confine, try, tell."""
    how, directory = sys.argv[1], Path(sys.argv[2])
    if how.startswith("compat "):
        confine(how.removeprefix("compat "), directory)
        sys.stdout.write(json.dumps({"compat": outcome(compat_socket)}))
        return
    attempts = network_attempts() | process_attempts() | file_attempts(directory)
    # Landlock and the capabilities refuse to be put up beside another thread; that has a test of its own.
    early = None if how in ("worker", "landlock") else EarlyThread()
    if how == "landlock threaded" and early is not None:
        sys.stdout.write(json.dumps(restrict_threaded(early, directory)))
        return
    layers = list(confine(how, directory))
    told = {name: outcome(attempt) for name, attempt in (attempts | raw_attempts()).items()}
    if early is not None:
        told["inet from an early thread"] = early.attempt(partial(open_socket, socket.AF_INET))
    sys.stdout.write(json.dumps({"layers": layers, "facts": facts(), "outcomes": told}))


if __name__ == "__main__":
    main()
