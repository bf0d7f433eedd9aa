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
import queue
import resource
import signal
import socket
import stat
import subprocess
import sys
import sysconfig
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cutoutd.errors import CutoutdError
from cutoutd.sandbox import calls, capabilities, landlock, limits, seccomp
from cutoutd.sandbox.worker import confine_supervisor, confine_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MEMORY_MB = 512
OPEN_SOCKET = "import socket; socket.socket()"
_PR_GET_DUMPABLE = 3
_LIBC = ctypes.CDLL(None, use_errno=True)


def raw(call: str | int, *arguments: int) -> int:
    """Make a system call without the C library's help, and return its result."""
    machine = calls.this_machine()
    assert machine is not None
    number = machine.number(call) if isinstance(call, str) else call
    words = [ctypes.c_long(word) for word in (number or -1, *arguments)]
    result: int = _LIBC.syscall(*words)
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


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


def compat(number: int, first: int, second: int) -> None:
    """Make a call through the 32-bit system-call table of x86, whose numbers are others."""
    words = (word.to_bytes(4, "little", signed=True).hex() for word in (number, first, second))
    code = bytes.fromhex("53 b8{} bb{} b9{} 31d2 31f6 31ff cd80 5b c3".format(*words))
    memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    result = ctypes.CFUNCTYPE(ctypes.c_int)(address)()
    if result < 0:
        raise OSError(-result, os.strerror(-result))


# Of that table: what it is, with arguments by which the kernel shows that it looked at them.
COMPAT = {
    "socket": (359, 2, 2),
    "socketcall": (102, -1, 0),
    "socketpair": (360, 2, 2),
    "execve": (11, 0, 0),
    "ptrace": (26, 16, 2**22 + 1),
    "kill": (37, 2**22 + 1, 0),
    "getpid": (20, 0, 0),
}


def reads_memory(pid: int) -> None:
    """Read another process's memory where nothing is: EFAULT, once the kernel has allowed it."""
    buffer = ctypes.create_string_buffer(8)
    here = (ctypes.c_ulong * 2)(ctypes.addressof(buffer), 8)
    there = (ctypes.c_ulong * 2)(0x10, 8)
    raw("process_vm_readv", pid, ctypes.addressof(here), 1, ctypes.addressof(there), 1, 0)


def take_descriptor(pid: int) -> None:
    """Take a copy of another process's standard error."""
    pidfd = raw("pidfd_open", pid, 0)
    try:
        os.close(raw("pidfd_getfd", pidfd, 2, 0))
    finally:
        os.close(pidfd)


def run_from_memory() -> None:
    """Run a program that has no name: EFAULT for its arguments, once the kernel has allowed it."""
    program = os.memfd_create("program")
    try:
        os.write(program, Path("/bin/true").read_bytes())
        nothing = ctypes.create_string_buffer(1)
        raw("execveat", program, ctypes.addressof(nothing), 8, 0, 0x1000)  # AT_EMPTY_PATH, arguments at 8
    finally:
        os.close(program)


def change_user() -> None:
    """Become nobody, in a process that ends then."""
    pid = os.fork()
    if not pid:
        try:
            os.setuid(65534)
        except OSError as error:
            os._exit(error.errno or 1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise OSError(code, os.strerror(code))


def raise_hard_limit() -> None:
    """Allow oneself more than is allowed, and take it back."""
    before = resource.getrlimit(resource.RLIMIT_RTPRIO)
    resource.setrlimit(resource.RLIMIT_RTPRIO, (before[0], before[1] + 1))
    resource.setrlimit(resource.RLIMIT_RTPRIO, before)


def open_many() -> None:
    """Hold a thousand descriptors."""
    held: list[int] = []
    try:
        held.extend(os.open("/dev/null", os.O_RDONLY) for _ in range(1000))
    finally:
        for descriptor in held:
            os.close(descriptor)


def reopen(path: Path) -> None:
    """Open a file without any right, and again through that, with one."""
    handle = os.open(path, os.O_PATH)
    try:
        os.close(os.open(f"/proc/self/fd/{handle}", os.O_RDONLY))
    finally:
        os.close(handle)


def read_below(directory: int) -> None:
    """Read what is beside the input through a descriptor of it that was there before."""
    handle = os.open("../outside/secret", os.O_RDONLY, dir_fd=directory)
    os.close(handle)


class Guarded:
    """Another process of the same user, whose memory is closed to others; it ends with this one."""

    def __init__(self) -> None:
        ready, say_ready = os.pipe()
        until_then, self._alive = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(self._alive)
            limits.hide_memory()
            os.write(say_ready, b"!")
            os.read(until_then, 1)  # its end: a bond by signal would be refused across Landlock's border
            os._exit(0)
        os.read(ready, 1)
        for descriptor in (ready, say_ready, until_then):
            os.close(descriptor)


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


EARLY = (
    "inet",
    "unix",
    "packet",
    "io_uring",
    "execve",
    "ptrace",
    "run a program from memory",
    "signal the parent",
    "chmod an original",
    "bpf",
)


class EarlyThread:
    """A thread that is there before the sandbox, and makes attempts on request."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            self._outcomes.put(outcome(self._work.get()))

    def attempt(self, work: Callable[[], object]) -> str:
        """Make the attempt in that thread, and say how it ended."""
        self._work.put(work)
        return self._outcomes.get(timeout=20)


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


def process_attempts(guarded: int) -> dict[str, Callable[[], object]]:
    """Ways to other processes, and out of the limits."""
    parent = os.getppid()
    return {
        "run a program from memory": run_from_memory,
        "read the parent's memory": partial(reads_memory, parent),
        "descriptor of the parent": partial(take_descriptor, parent),
        "memory of a guarded process": partial(reach_into, guarded),
        "environment of the parent": lambda: read_file(Path(f"/proc/{parent}/environ")),
        "namespace": partial(raw, "unshare", 0),
        "namespace of the parent": partial(raw, "setns", -1, 0),
        "bpf": partial(raw, "bpf", -1, 0, 0),
        "userfaultfd": partial(raw, "userfaultfd", 0),
        "keys": partial(raw, "keyctl", 0, -2, 0),
        "mount": partial(raw, "mount", 0, 0, 0, 0, 0),
        "chroot": partial(os.chroot, "/"),
        "become another user": change_user,
        "raise a hard limit": raise_hard_limit,
        "many descriptors": open_many,
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
    (source / "way-out").symlink_to(directory / "outside", target_is_directory=True)
    os.chdir(source)
    inherited = os.open(source, os.O_RDONLY | os.O_DIRECTORY)
    return {
        "read outside by ..": lambda: read_file(source / ".." / "outside" / "secret"),
        "read through a linked directory": lambda: read_file(source / "way-out" / "secret"),
        "read through /proc/self/cwd": lambda: read_file(Path("/proc/self/cwd/../outside/secret")),
        "read through an inherited directory": partial(read_below, inherited),
        "read through a handle": partial(reopen, secret),
        "list outside": lambda: list(secret.parent.iterdir()),
        "link a secret to staging": partial((staging / "secret").hardlink_to, secret),
        "write outside": partial(overwrite, secret),
        "create outside": partial((secret.parent / "new").write_bytes, b"new"),
        "move out of staging": partial(moved_out, staging / "going", secret.parent / "gone"),
        "own an original": partial(os.chown, victim("owned.jpg"), os.getuid(), -1),
        "give an original away": partial(os.chown, victim("given.jpg"), 65534, -1),
        "device in staging": partial(os.mknod, staging / "null", stat.S_IFCHR | 0o600, os.makedev(1, 3)),
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


def moved_out(path: Path, target: Path) -> None:
    """Make a file and move it to another directory."""
    path.write_bytes(b"x")
    path.rename(target)


# With nonsense for arguments these would do something: fork, hang a terminal up, leave a queue behind.
NOT_TRIED = frozenset({"fork", "vfork", "vhangup", "msgget", "semget"})


def raw_attempts() -> dict[str, Callable[[], object]]:
    """Calls that are refused whatever their arguments, where nonsense does no harm."""
    machine = calls.this_machine()
    assert machine is not None
    names = calls.NUMBERS.keys() - calls.BY_ARGUMENT.keys() - NOT_TRIED
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


def confine(how: str, directory: Path) -> Iterable[str]:  # noqa: PLR0911 -- a table of cases
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
        case "worker over Landlock 1":
            # As on Linux 5.13: asking the kernel for less is all that it takes.
            landlock.abi = lambda: 1
            limits.die_with_parent(os.getppid())
            return confine_worker(read=read, write=write, memory_mb=MEMORY_MB, nice=5)
        case "limits":
            return ["rlimits"] if limits.bound_resources(memory_mb=MEMORY_MB, nice=5) else []
        case "capabilities":
            return ["capabilities"] if capabilities.give_up() else []
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
        told = {name: outcome(partial(compat, *words)) for name, words in COMPAT.items()}
        sys.stdout.write(json.dumps(told))
        return
    guarded = Guarded()
    attempts = network_attempts() | process_attempts(guarded.pid) | file_attempts(directory)
    # Landlock and the capabilities refuse to be put up beside another thread; that has a test of its own.
    early = EarlyThread() if how in ("bare", "seccomp", "supervisor", "landlock threaded") else None
    if how == "landlock threaded" and early is not None:
        sys.stdout.write(json.dumps(restrict_threaded(early, directory)))
        return
    layers = list(confine(how, directory))
    told = {name: outcome(attempt) for name, attempt in (attempts | raw_attempts()).items()}
    if early is not None:
        told |= {f"{name} from an early thread": early.attempt(attempts[name]) for name in EARLY}
    sys.stdout.write(json.dumps({"layers": layers, "facts": facts(), "outcomes": told}))


if __name__ == "__main__":
    main()
