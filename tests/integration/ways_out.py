"""Single ways out of a sandbox: each function does one thing that a hostile decoder would try, or raises.

`tests.integration.sandbox_attempts` combines them and says under which confinement they are tried.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import resource
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from cutoutd.sandbox import calls, limits

if TYPE_CHECKING:
    from collections.abc import Callable

_LIBC = ctypes.CDLL(None, use_errno=True)


def raw(call: str | int, *arguments: int) -> int:
    """Make a system call without the C library. Returns its result."""
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
    """Make two connected sockets, and close them."""
    for end in socket.socketpair():
        end.close()


def listening_abstractly() -> Callable[[], None]:
    """Listen at a name that is in no file system. Returns an attempt to connect to it.

    Once this process is confined, the listener counts as another process.
    """
    listener = socket.socket(socket.AF_UNIX)
    name = f"\0cutoutd-test-{os.getpid()}"
    listener.bind(name)
    listener.listen(10)

    def reach(_: socket.socket = listener) -> None:
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(name)

    return reach


def bind_tcp() -> None:
    """Listen on a port that the system chooses."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))


def compat(number: int, first: int, second: int) -> None:
    """Make a call through the 32-bit system call table of x86, whose numbers differ."""
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
    """Read another process's memory at an unmapped address: EFAULT, once the kernel has allowed it."""
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
    """Run a program without a name: EFAULT for its arguments, once the kernel has allowed it."""
    program = os.memfd_create("program")
    try:
        os.write(program, Path("/bin/true").read_bytes())
        nothing = ctypes.create_string_buffer(1)
        raw("execveat", program, ctypes.addressof(nothing), 8, 0, 0x1000)  # AT_EMPTY_PATH, arguments at 8
    finally:
        os.close(program)


def change_user() -> None:
    """Become another user, in a process that then ends."""
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
    """Raise a hard limit, and lower it again."""
    before = resource.getrlimit(resource.RLIMIT_RTPRIO)
    resource.setrlimit(resource.RLIMIT_RTPRIO, (before[0], before[1] + 1))
    resource.setrlimit(resource.RLIMIT_RTPRIO, before)


def open_many() -> None:
    """Open a thousand descriptors."""
    held: list[int] = []
    try:
        held.extend(os.open("/dev/null", os.O_RDONLY) for _ in range(1000))
    finally:
        for descriptor in held:
            os.close(descriptor)


def reopen(path: Path) -> None:
    """Open a file without any right, and through that descriptor again with one."""
    handle = os.open(path, os.O_PATH)
    try:
        os.close(os.open(f"/proc/self/fd/{handle}", os.O_RDONLY))
    finally:
        os.close(handle)


def read_below(directory: int) -> None:
    """Read a file beside the input through a descriptor of the input that was open before."""
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
    """Run a program; a failure in it counts as EPERM only if it says so."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise OSError(errno.EPERM if "PermissionError" in ended.stderr else errno.EIO, ended.stderr)


def aim_signals() -> None:
    """Make the kernel send a chosen signal to the parent when a pipe has data."""
    reading, writing = os.pipe()
    try:
        fcntl.fcntl(reading, fcntl.F_SETOWN, os.getppid())
    finally:
        os.close(reading)
        os.close(writing)


GENERATION = (0x80087601, 0x40087602)  # FS_IOC_GETVERSION, FS_IOC_SETVERSION
FLAGS = (0x80086601, 0x40086602)  # FS_IOC_GETFLAGS, FS_IOC_SETFLAGS


def set_by_ioctl(path: Path, commands: tuple[int, int]) -> None:
    """Set inode flags of a file to their present value, through a descriptor for reading."""
    value = ctypes.create_string_buffer(8)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for command in commands:
            raw("ioctl", descriptor, command, ctypes.addressof(value))
    finally:
        os.close(descriptor)


def lock(path: Path) -> None:
    """Lock a file, which would keep others from locking it."""
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def lease(path: Path) -> None:
    """Take a lease on a file, which would make others wait when they open it for writing."""
    with path.open("rb") as file:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)


def hint(path: Path) -> None:
    """Make the kernel drop a file from its cache."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def set_flag(path: Path, flag: int) -> None:
    """Change the flags of an open file, for all who share its description."""
    with path.open("rb") as file:
        fcntl.fcntl(file, fcntl.F_SETFL, flag)


def make(path: Path, mode: int) -> None:
    """Make a file with a mode."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, mode))


def reserve(path: Path) -> None:
    """Reserve disk space without writing."""
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 1 << 16)


def enlarge_pipe() -> None:
    """Use more kernel memory for a pipe."""
    reading, writing = os.pipe()
    try:
        fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, 1 << 17)
    finally:
        os.close(reading)
        os.close(writing)


def change_process(pid: int) -> None:
    """Set the processors on which another process runs (to the same as before)."""
    os.sched_setaffinity(pid, os.sched_getaffinity(pid))


def reach_into(pid: int) -> None:
    """Open another process's memory for writing."""
    os.close(os.open(f"/proc/{pid}/mem", os.O_RDWR))


def raise_limit() -> None:
    """Set a limit to its present value."""
    resource.setrlimit(resource.RLIMIT_NOFILE, resource.getrlimit(resource.RLIMIT_NOFILE))


def outlive_parent() -> None:
    """Revoke PR_SET_PDEATHSIG."""
    raw("prctl", 1, 0, 0, 0, 0)


def allocate(mib: int) -> None:
    """Allocate memory, and free it."""
    assert len(bytes(mib << 20)) == mib << 20  # zeroed by the kernel, and so never touched


def start_thread() -> None:
    """Start a thread and wait for its end."""
    done = threading.Event()
    thread = threading.Thread(target=done.set)
    thread.start()
    thread.join()
    assert done.is_set()


def import_late() -> None:
    """Import a module that was not imported yet, with a part in C."""
    assert "xml.etree.ElementTree" not in sys.modules
    import xml.etree.ElementTree as ET  # noqa: PLC0415 -- late on purpose

    assert ET.Element("a").tag == "a"


def overwrite(path: Path) -> None:
    """Change the first byte of an existing file."""
    with path.open("r+b") as file:
        file.write(b"X")


def truncate_by_reading(path: Path) -> None:
    """Empty a file by opening it for reading only."""
    os.close(os.open(path, os.O_RDONLY | os.O_TRUNC))


def moved_out(path: Path, target: Path) -> None:
    """Make a file and move it to another directory."""
    path.write_bytes(b"x")
    path.rename(target)


def read_file(path: Path, count: int = -1) -> None:
    """Read a file."""
    with path.open("rb") as file:
        assert file.read(count)
