"""Makes, in a process of its own, the attempts of a hostile decoder, and prints how each ended.

Usage: ``python -m tests.integration.sandbox_attempts CONFINEMENT DIRECTORY``. DIRECTORY holds ``input`` (readable),
``staging`` (writable) and ``outside`` (neither). A file of the input is open for reading and one in staging for
writing, as a worker receives them; a worker can reach nothing else of both. The result is one JSON object: the active layers,
and for each attempt "done" or the name of the errno or exception with which it ended.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import queue
import resource
import signal
import socket
import stat
import sys
import sysconfig
import threading
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cutoutd.cluster import certificates
from cutoutd.cluster import run as cluster_run
from cutoutd.errors import CutoutdError
from cutoutd.pool.cluster_proxy import FILE_BYTES as PROXY_FILE_BYTES
from cutoutd.sandbox import calls, capabilities, landlock, limits, seccomp
from cutoutd.sandbox.confinement import (
    confine_proxy,
    confine_supervisor,
    confine_uploader,
    confine_web,
    confine_worker,
)
from cutoutd.settings import loader
from tests.integration.ways_out import (
    COMPAT,
    FLAGS,
    GENERATION,
    Guarded,
    aim_signals,
    allocate,
    bind_tcp,
    change_process,
    change_user,
    compat,
    enlarge_pipe,
    fork,
    hint,
    import_late,
    lease,
    listening_abstractly,
    lock,
    make,
    moved_out,
    open_many,
    open_socket,
    outlive_parent,
    overwrite,
    pair_sockets,
    raise_hard_limit,
    raise_limit,
    raw,
    reach_into,
    read_below,
    read_file,
    reads_memory,
    reopen,
    reserve,
    run,
    run_from_memory,
    set_by_ioctl,
    set_flag,
    start_thread,
    take_descriptor,
    truncate_by_reading,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cutoutd.settings.schema import Settings

MEMORY_MB = 512
FILE_BYTES = 1 << 30
OPEN_SOCKET = "import socket; socket.socket()"
_PR_GET_DUMPABLE = 3
_LIBC = ctypes.CDLL(None, use_errno=True)
_WORD = ctypes.create_string_buffer(8)
_NAME = ctypes.create_string_buffer(b"attempts")


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
    """A thread that exists before the sandbox, and makes attempts on request."""

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._outcomes: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        """Make the requested attempts for ever."""
        while True:
            self._outcomes.put(outcome(self._work.get()))

    def attempt(self, work: Callable[[], object]) -> str:
        """Make an attempt in that thread, and return its outcome."""
        self._work.put(work)
        return self._outcomes.get(timeout=60)


def network_attempts() -> dict[str, Callable[[], object]]:
    """Return ways to a socket."""
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
        "abstract socket of somebody else": listening_abstractly(),
    }


def process_attempts(guarded: int) -> dict[str, Callable[[], object]]:
    """Return ways to other processes, and beyond the limits."""
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
        "which processors the parent has": partial(os.sched_getaffinity, parent),
        "which processors it has": partial(os.sched_getaffinity, 0),
        "how the parent is scheduled": partial(os.sched_getscheduler, parent),
        "slice of the parent": partial(os.sched_rr_get_interval, parent),
        "which priority the parent has": partial(os.getpriority, os.PRIO_PROCESS, parent),
        "which group the parent has": partial(os.getpgid, parent),
        "which session the parent has": partial(os.getsid, parent),
        "locks of the parent": partial(
            raw, "get_robust_list", parent, *map(ctypes.addressof, (_WORD, _WORD))
        ),
        # clock_getcpuclockid(3): what a process has used of its processors.
        "clock of the parent": partial(time.clock_gettime, ~parent << 3 | 2),
        "resolution of the parent's clock": partial(time.clock_getres, ~parent << 3 | 2),
        "its own clock": partial(time.clock_gettime, time.CLOCK_PROCESS_CPUTIME_ID),
        "priority of the parent": partial(
            os.setpriority, os.PRIO_PROCESS, parent, os.getpriority(os.PRIO_PROCESS, parent)
        ),
        "memory of the parent": partial(reach_into, parent),
        "raise a limit": raise_limit,
        "outlive the parent": outlive_parent,
        "type into the terminal": partial(raw, "ioctl", -1, 0x5412, 0),
        "foreground of the terminal": partial(raw, "ioctl", -1, 0x5410, 0),
        "larger pipe": enlarge_pipe,
        "group of the parent": partial(raw, "setpgid", os.getpid(), parent),
        "name of a thread": partial(raw, "prctl", 15, ctypes.addressof(_NAME), 0, 0, 0),
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
    """Return ways to files, each with its own file."""
    source, staging, secret = directory / "input", directory / "staging", directory / "outside" / "secret"

    def victim(name: str) -> Path:
        path = source / name
        path.write_bytes(b"original")
        return path

    (source / "escape").symlink_to(secret)
    (source / "way-out").symlink_to(directory / "outside", target_is_directory=True)
    os.chdir(source)
    inherited = os.open(source, os.O_RDONLY | os.O_DIRECTORY)
    picture = os.open(victim("given.jpg"), os.O_RDONLY)
    result = os.open(staging / "given.png", os.O_WRONLY | os.O_CREAT)
    return {
        "read what was given": lambda: os.pread(picture, 8, 0).index(b"original"),
        "write what was given": partial(os.pwrite, result, b"png", 0),
        "empty what was given": partial(os.ftruncate, result, 0),
        "sync what was given": partial(os.fsync, result),
        "write the original through what was given": partial(os.write, picture, b"x"),
        "open the original anew for writing": partial(os.open, f"/proc/self/fd/{picture}", os.O_RDWR),
        "open the result anew for reading": partial(os.open, f"/proc/self/fd/{result}", os.O_RDONLY),
        "write more than any result has": partial(os.pwrite, result, b"x", FILE_BYTES),
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
        "generation of an original": partial(set_by_ioctl, victim("generation.jpg"), GENERATION),
        "flags of an original": partial(set_by_ioctl, victim("flags.jpg"), FLAGS),
        "lock an original": partial(lock, victim("locked.jpg")),
        "lease on an original": partial(lease, victim("leased.jpg")),
        "hint about an original": partial(hint, victim("hinted.jpg")),
        "read an original without its time": partial(set_flag, victim("timeless.jpg"), os.O_NOATIME),
        "attributes of an original": partial(os.listxattr, victim("listed.jpg")),
        "program of its owner's in staging": partial(make, staging / "suid", 0o4755),
        "program of its group's in staging": partial(make, staging / "sgid", 0o2755),
        "room on the disk": partial(reserve, staging / "reserved"),
        "file without a name": lambda: os.close(os.memfd_create("nameless")),
        "all changes to the disk": partial(raw, "syncfs", inherited),
        "write in staging": partial((staging / "a.png").write_bytes, b"png"),
        "make a directory in staging": partial((staging / "sub").mkdir),
        "rename in staging": partial((staging / "a.png").rename, staging / "b.png"),
        "rename between directories of staging": partial(
            (staging / "b.png").rename, staging / "sub" / "c.png"
        ),
        "remove from staging": (staging / "sub" / "c.png").unlink,
        "random bytes": lambda: read_file(Path("/dev/urandom"), 8),
        "write to /dev/null": partial(Path("/dev/null").write_bytes, b"x"),
        "mounts of the machine": lambda: read_file(Path("/proc/self/mountinfo")),
        "mounts of the machine by a thread": lambda: read_file(Path("/proc/thread-self/mountinfo")),
        "connections of the machine": lambda: read_file(Path("/proc/self/net/unix")),
        "neighbours in the network": lambda: read_file(Path("/proc/self/net/arp")),
        "list its own threads": partial(os.listdir, "/proc/self/task"),
        "list what it has open": partial(os.listdir, "/proc/self/fd"),
        "read its own state": lambda: read_file(Path("/proc/self/status")),
    }


# With nonsense for arguments these would do something: fork, hang a terminal up, leave a queue behind, sync all disks.
NOT_TRIED = frozenset({"fork", "vfork", "vhangup", "msgget", "semget", "sync"})


def raw_attempts() -> dict[str, Callable[[], object]]:
    """Return calls that are refused whatever their arguments, tried with harmless nonsense."""
    machine = calls.this_machine()
    assert machine is not None
    names = calls.REFUSED.keys() - NOT_TRIED
    attempts = {name: partial(raw, name, *[-1] * 6) for name in names if machine.number(name) is not None}
    if machine.has_x32:
        attempts["socket of x32"] = partial(raw, 0x40000000 + 41, socket.AF_INET, socket.SOCK_DGRAM, 0)
    return {f"raw {name}": attempt for name, attempt in attempts.items()}


def outcome(attempt: Callable[[], object]) -> str:
    """Make an attempt, and return its outcome."""
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    except Exception as error:  # noqa: BLE001 -- its name is the result
        return type(error).__name__
    return "done"


def confine(how: str, directory: Path) -> Iterable[str]:  # noqa: C901, PLR0911, PLR0912 -- a table of cases
    """Confine this process as requested. Returns the names of the layers."""
    modules = [Path(sysconfig.get_path("stdlib")), *(Path(one) for one in sys.path if Path(one).is_dir())]
    read = [directory / "input", directory / "gone", *modules]
    write = [directory / "staging"]
    match how:
        case "worker":
            limits.die_with_parent(os.getppid())
            return confine_worker(read=modules, memory_mb=MEMORY_MB, file_bytes=FILE_BYTES, nice=5)
        case "supervisor":
            return confine_supervisor()
        case "keeper":
            limits.die_with_parent(os.getppid())
            return ["no-dump"] if limits.hide_memory() else []
        case "uploader":
            return confine_uploader(root=directory / "staging", ports=[int(os.environ["SERVICE_PORT"])])
        case "web":
            limits.die_with_parent(os.getppid())
            return confine_web()
        case "proxy":
            # In its box only two directories are its own: here the staging directory is one of them.
            (directory / "outbox").mkdir()
            (directory / "inbox").symlink_to("staging")
            limits.die_with_parent(os.getppid())
            ours, _ = socket.socketpair()
            return confine_proxy(exchange=directory, tasks=ours.fileno(), file_bytes=PROXY_FILE_BYTES)
        case "gateway":
            return cluster_run.confine(_tagged_for_cluster(directory), directory / "staging")
        case "worker over Landlock 1":
            # As on Linux 5.13: asking the kernel for less is all that it takes.
            landlock.abi = lambda: 1
            limits.die_with_parent(os.getppid())
            return confine_worker(read=modules, memory_mb=MEMORY_MB, file_bytes=FILE_BYTES, nice=5)
        case "limits":
            return ["rlimits"] if limits.bound_resources(memory_mb=MEMORY_MB, nice=5) else []
        case "capabilities":
            return ["capabilities"] if capabilities.drop() else []
        case "seccomp":
            return ["seccomp"] if seccomp.refuse_all_sockets() else []
        case "landlock":
            restriction = landlock.restrict(read, write)
            return [str(restriction.abi), *restriction.missing] if restriction else []
        case _:
            return []


def _tagged_for_cluster(directory: Path) -> Settings:
    """Return settings with a folder that is tagged for a cluster."""
    certs = directory / "certs"
    certificates.make(certs)
    (directory / "in").mkdir()
    config = directory / "cutoutd.toml"
    config.write_text(
        f"""
[service]
state_dir = "{directory}/state"
[cluster]
enabled = true
scheduler = "tls://127.0.0.1:{os.environ["SERVICE_PORT"]}"
tls_ca_file = "{certs}/ca.pem"
tls_cert = "{certs}/coordinator.pem"
tls_key = "{certs}/coordinator.key"
worker_port = {os.environ["SERVICE_PORT"]}
[[folder]]
name = "tagged"
input = "{directory}/in"
output = "{directory}/out"
route = "cluster"
""",
        encoding="utf-8",
    )
    return loader.load(config, {})


def restrict_threaded(early: EarlyThread, directory: Path) -> dict[str, str]:
    """Activate Landlock while another thread exists; either it refuses, or it binds that thread too."""
    try:
        landlock.restrict([directory / "input"], [])
    except CutoutdError as error:
        return {"refused": str(error)}
    return {"refused": "", "thread": early.attempt(partial(read_file, directory / "outside" / "secret"))}


def facts() -> dict[str, str]:
    """Return what the kernel says about this process."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    state = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    state["Dumpable"] = str(_LIBC.prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0))
    state["Nice"] = str(os.getpriority(os.PRIO_PROCESS, 0))
    state["OpenFiles"] = str(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    state["Core"] = str(resource.getrlimit(resource.RLIMIT_CORE)[1])
    return state


def main() -> None:
    """Confine this process, make the attempts, and print the outcomes."""
    how, directory = sys.argv[1], Path(sys.argv[2])
    if how.startswith("compat "):
        confine(how.removeprefix("compat "), directory)
        outcomes = {name: outcome(partial(compat, *words)) for name, words in COMPAT.items()}
        sys.stdout.write(json.dumps(outcomes))
        return
    guarded = Guarded()
    attempts = network_attempts() | process_attempts(guarded.pid) | file_attempts(directory)
    # Landlock and the capabilities refuse to be put up beside another thread; that has a test of its own.
    early = EarlyThread() if how in ("bare", "seccomp", "supervisor", "landlock threaded") else None
    if how == "landlock threaded" and early is not None:
        sys.stdout.write(json.dumps(restrict_threaded(early, directory)))
        return
    layers = list(confine(how, directory))
    outcomes = {name: outcome(attempt) for name, attempt in (attempts | raw_attempts()).items()}
    if early is not None:
        outcomes |= {f"{name} from an early thread": early.attempt(attempts[name]) for name in EARLY}
    sys.stdout.write(
        json.dumps({"layers": layers, "facts": {} if how == "web" else facts(), "outcomes": outcomes})
    )


if __name__ == "__main__":
    main()
