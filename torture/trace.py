"""The state-changing calls of a daemon, by thread, from a log of strace, and how to kill at each of them again.

strace counts the uses of a system call in each thread separately, and with ``-P`` only those on one path: so a call is addressed
by its name, a count and perhaps a path. Pure: nothing is started here.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

CALLS = (
    "?mkdir,?mkdirat,write,pwrite64,fsync,fdatasync,ftruncate,?unlink,unlinkat,?rmdir,?rename,?renameat,renameat2,"
    "?link,linkat,openat,execve,?chmod,?fchmodat,utimensat"
)
"""All calls by which the daemon changes a disk, and those that identify its threads."""

_LINE = re.compile(
    r"(?:(?P<tid>\d+)\s+)?(?:(?P<call>\w+)\((?P<args>.*)|<\.\.\. (?P<resumed>\w+) resumed>(?P<rest>.*))"
)
_PATHS = re.compile(r'"((?:[^"\\]|\\.)*)"|<(/[^>]*)>')
_RUN = re.compile(r"[0-9a-f]{32}")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")
_LONE_FILES = ("journal.sqlite", "journal.sqlite-journal", "lock")


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A call that changes what is on the disk.

    Attributes:
        tid: thread id.
        name: name of the call.
        path: absolute path; of a rename, the new name.
        nth: number of this use of the call in its thread, from 1.
        nth_on_path: the same among uses on the same path.
        failed: whether it failed, and so changed nothing.
    """

    tid: int
    name: str
    path: str
    nth: int
    nth_on_path: int
    failed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Strike:
    """How to tell strace to kill at a call.

    Attributes:
        call: name of the call.
        when: its count.
        only: path on which it is counted; empty: all.
    """

    call: str
    when: int
    only: str = ""

    def options(self, fault: str = "signal=SIGKILL") -> list[str]:
        """Return options for strace's command line."""
        path = ["-P", self.only] if self.only else []
        return ["-e", f"inject={self.call}:{fault}:when={self.when}", *path]


def calls(log: Path, *roots: str) -> list[Call]:
    """Return the calls in a log of strace -f -y, in the order in which they began."""
    found: list[Call] = []
    counts: Counter[tuple[int, str]] = Counter()
    on_path: Counter[tuple[int, str, str]] = Counter()
    pending: dict[int, int] = {}
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        match = _LINE.match(line)
        if match is None or match["tid"] is None:
            continue  # of a single thread that was followed
        tid = int(match["tid"])
        if match["resumed"]:
            if "= -1 " in match["rest"] and tid in pending:
                found[pending[tid]] = _as_failed(found[pending[tid]])
            continue
        name, args = match["call"], match["args"]
        counts[tid, name] += 1
        path = _path(name, args)
        on_path[tid, name, path] += 1
        is_open = name == "openat"
        if not path.startswith(roots) or (is_open and "O_CREAT" not in args) or name == "execve":
            continue
        if is_open and not path.endswith(_LONE_FILES):
            continue  # the call after it finds the same state, except for an empty file
        pending[tid] = len(found)
        found.append(
            Call(
                tid=tid,
                name=name,
                path=path,
                nth=counts[tid, name],
                nth_on_path=on_path[tid, name, path],
                failed="= -1 " in args,
            )
        )
    return found


def _as_failed(call: Call) -> Call:
    return Call(
        tid=call.tid,
        name=call.name,
        path=call.path,
        nth=call.nth,
        nth_on_path=call.nth_on_path,
        failed=True,
    )


def _path(name: str, args: str) -> str:
    """Return the path of a call: the file of a descriptor, or the last name, which for a rename is the new one."""
    if name in ("write", "pwrite64", "fsync", "fdatasync", "ftruncate"):
        described = re.match(r"\d+<(/[^>]*)>", args)
        return described[1] if described else ""
    directory, path = "", ""
    for name_, of_descriptor in _PATHS.findall(args):
        if of_descriptor:
            directory = of_descriptor
        elif name_:
            path = name_ if name_.startswith("/") else f"{directory}/{name_}"
    return path


def plain(path: str, root: str) -> str:
    """Return a path without the parts that differ in every run."""
    return _UUID.sub("UUID", _RUN.sub("RUN", path.removeprefix(root)))


def role_names(found: Iterable[Call], known: Mapping[int, str]) -> dict[int, str]:
    """Return the role of each thread: as known, or else by its calls."""
    calls = list(found)
    # First: of a rename out of this directory, only the new name is known.
    names = {call.tid: "watcher" for call in calls if "/.cutoutd-incoming" in call.path} | dict(known)
    for call in calls:
        if call.name == "pwrite64" and call.path.endswith("/lock"):
            names.setdefault(call.tid, "supervisor")
        elif "/hosted/ledger" in call.path:
            names.setdefault(call.tid, "uploader")
        elif "/hosted/events/" in call.path:
            continue
        elif call.name.startswith(("mkdir", "link")) and "/.cutoutd-" in call.path:
            names.setdefault(call.tid, "watcher")
        elif call.name.startswith("rename") or call.path.endswith((".json", ".original")) or _sweeps(call):
            names.setdefault(call.tid, "delivery")
    for call in calls:  # last: a delivery thread handles results too, and is recognised by its other calls
        if call.path.endswith(".png"):
            names.setdefault(call.tid, "worker")
        elif "/hosted/events/" in call.path:  # an uploader does this too, and is known by its ledger
            names.setdefault(call.tid, "handover")
    return names


def _sweeps(call: Call) -> bool:
    return call.name == "unlinkat" and "/.cutoutd-staging" in call.path


def reachable(call: Call, everything: Iterable[Call]) -> Strike | None:
    """Return how to kill at a call when all threads are followed; None if another thread reaches the same count first."""
    others = []
    for one in everything:
        if one is call:
            break
        if one.tid != call.tid and one.name == call.name:
            others.append(one)
    if call.name != "openat" and not any(one.nth >= call.nth for one in others):
        return Strike(call=call.name, when=call.nth)
    lone = [one for one in others if one.path == call.path]
    if is_stable(call.path) and not any(one.nth_on_path >= call.nth_on_path for one in lone):
        return Strike(call=call.name, when=call.nth_on_path, only=call.path)
    return None


def alone(call: Call) -> Strike:
    """Return how to kill at a call when only its thread is followed."""
    if is_stable(call.path) and not call.name.startswith(("rename", "link", "unlinkat")):
        return Strike(call=call.name, when=call.nth_on_path, only=call.path)
    return Strike(call=call.name, when=call.nth)


def is_stable(path: str) -> bool:
    """Whether a path is the same in every run."""
    return _RUN.search(path) is None and _UUID.search(path) is None


def points(found: list[Call]) -> list[Call]:
    """Return the calls worth a kill: of several equal ones in a row, which write one file, the first and the last."""
    worth = []
    for before, call, after in zip([None, *found], found, [*found[1:], None], strict=False):
        same = [
            one is not None and (one.tid, one.name, one.path) == (call.tid, call.name, call.path)
            for one in (before, after)
        ]
        if not call.failed and not all(same):
            worth.append(call)
    return worth


def killed_at(log: Path, root: str) -> str:
    """Return the call that a killed thread was about to make, without its role, and with a normalised path."""
    for line in reversed(log.read_text(encoding="utf-8", errors="replace").splitlines()):
        match = _LINE.match(line)
        if match is not None and match["call"] and ("= ?" in line or "<unfinished" in line):
            return f"{match['call']} {plain(_path(match['call'], match['args']), root)}"
    return "nothing"
