"""Which refused system calls a process makes: found by a filter with a listener, without the log of the kernel."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cutoutd.doctor import system_calls
from cutoutd.models import catalog
from cutoutd.process.probe import ProbeResult
from cutoutd.sandbox import recording
from cutoutd.settings import loader
from tests.integration.confined import needs_seccomp
from tests.integration.ways_out import raw

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="these layers are Linux's")


def refused(*attempts: Callable[[], object]) -> tuple[list[str], list[str]]:
    """Return the refused calls of a process, and the result of each attempt."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child = os.fork()
    if child == 0:
        ours.close()
        reported = []
        try:
            listener = recording.install_reporting_filter(theirs.fileno())
            if listener is not None:
                socket.send_fds(theirs, [b" "], [listener])
                for attempt in attempts:
                    reported.append("done")
                    try:
                        attempt()
                    except OSError as error:
                        reported[-1] = errno.errorcode[error.errno or 0]
            socket.send_fds(theirs, [",".join(reported).encode()], [])
        finally:
            os._exit(0)
    theirs.close()
    with ours:
        try:
            _, listeners, _, _ = socket.recv_fds(ours, 100, 1)
            if not listeners:
                pytest.skip("this kernel has no filter with a listener")
            calls = list(recording.answer(listeners[0], ours.fileno()))
            os.close(listeners[0])
            outcomes, _, _, _ = socket.recv_fds(ours, 1000, 0)
        finally:
            os.waitpid(child, 0)
    return calls, outcomes.decode().split(",")


def start_thread() -> None:
    """Start a thread, which tries clone3 first."""
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()


@needs_seccomp
def test_calls_that_are_not_on_the_list_are_named_and_refused_as_ever() -> None:
    """By name, by command where that decides, and by number if the name is unknown; other calls work."""
    calls, outcomes = refused(
        lambda: Path("/proc/self/status").read_bytes(),
        lambda: socket.socket(socket.AF_INET),
        lambda: fcntl.ioctl(0, 0x5412, b"x"),
        lambda: fcntl.fcntl(0, fcntl.F_SETOWN, 1),
        lambda: raw(1000),
        lambda: raw(180),  # nfsservctl: no list names it
        start_thread,
        os.getppid,
    )
    wanted = ["socket", "ioctl 0x5412", "fcntl 0x8", "call 1000", "call 180"]
    if os.uname().machine == "x86_64":
        assert [name for name in calls if name not in ("clone3", "fcntl 0x10")] == wanted
        assert outcomes == ["done", "EPERM", "EPERM", "EPERM", "ENOSYS", "EPERM", "done", "done"]
    assert "socket" in calls


@needs_seccomp
def test_doctor_confirms_that_this_machines_libraries_need_only_listed_calls() -> None:
    """Every kind of picture that Pillow writes is decoded, and one is cut, without an unusual call."""
    settings = loader.defaults({})
    answer = system_calls.collect(settings, [catalog.find(name) for name in settings.models])
    document = answer.merged
    if "unknown" in document:
        pytest.skip(str(document["unknown"]))
    assert answer.ended, answer.why
    assert {"JPEG", "PNG", "WEBP", "TIFF"} <= set(document["kinds"])
    assert set(document["refused"]) <= {"clone3"}
    assert system_calls.judge(answer).level == "ok"


def test_doctor_names_what_was_refused() -> None:
    """Except calls that every C library does without."""

    def judged(**report: object) -> tuple[str, str]:
        finding = system_calls.judge(ProbeResult(documents=({"kinds": ["JPEG"], **report},), ended=True))
        return finding.level.value, finding.seen

    assert judged(refused=["clone3"])[0] == "ok"
    level, seen = judged(refused=["clone3", "fallocate"])
    assert level == "note"
    assert seen.endswith("which were refused: fallocate")
    level, seen = judged(refused=["mlock"], failed="OSError: no")
    assert level == "note"
    assert "failed (OSError: no); refused: mlock" in seen
    assert judged(unknown="it is old")[0] == "note"
