"""Runs attempts to leave a sandbox in a process of their own, for the tests of all sandboxes.

It asks the kernel what it supports without the code under test.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

Report = dict[str, Any]

ROOT = Path(__file__).parents[2]
REFUSALS = {"EPERM", "EACCES", "EXDEV", "ENOSYS", "EMFILE", "EFBIG", "ValueError"}
_ATTEMPTS = "tests.integration.sandbox_attempts"
_CONNECT = """
import socket, sys
from pathlib import Path
from tests.integration.sandbox_attempts import confine
confine(sys.argv[1], Path(sys.argv[2]))
for port in sys.argv[3:]:
    try:
        socket.create_connection(("127.0.0.1", int(port)), 5).close()
        print("reached")
    except PermissionError as error:
        print(error.strerror)
"""


def landlock_version() -> int:
    """Return the answer of landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION); 0 if there is no Landlock."""
    libc = ctypes.CDLL(None, use_errno=True)
    return max(0, int(libc.syscall(444, None, ctypes.c_size_t(0), 1)))


def has_seccomp() -> bool:
    """Return whether the kernel was built with filters; only then it writes this line (proc(5))."""
    return "Seccomp_filters:" in Path("/proc/self/status").read_text(encoding="ascii")


needs_landlock = pytest.mark.skipif(
    not landlock_version(), reason="this kernel has no Landlock, or it is off"
)
needs_seccomp = pytest.mark.skipif(not has_seccomp(), reason="this kernel has no seccomp filters")


def make_tree(directory: Path) -> Path:
    """Make the directories that the attempts are about, with a picture and a secret. Returns the directory."""
    for name in ("input", "staging", "outside"):
        (directory / name).mkdir()
    (directory / "input" / "photo.jpg").write_bytes(b"photo")
    (directory / "outside" / "secret").write_bytes(b"secret")
    return directory


def run_python(*arguments: str, port: int = 443) -> subprocess.CompletedProcess[str]:
    """Run Python to its end.

    Args:
        arguments: arguments of the interpreter.
        port: TCP port of the service, for confinements that allow one.
    """
    ended = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "SERVICE_PORT": str(port)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode <= 0, ended.stderr
    return ended


def attempts(confinement: str, directory: Path, *, port: int = 443) -> Report:
    """Make all attempts under a confinement.

    Args:
        confinement: a name that `tests.integration.sandbox_attempts` knows.
        directory: an empty directory.
        port: as in `run_python`.

    Returns:
        The active ``layers``, and the ``outcomes`` by attempt; ``died`` alone if a signal ended the process.
    """
    ended = run_python("-m", _ATTEMPTS, confinement, os.fspath(make_tree(directory)), port=port)
    if ended.returncode < 0:
        return {"died": signal.Signals(-ended.returncode).name}
    report: Report = json.loads(ended.stdout)
    return report


def connect(confinement: str, directory: Path, allowed: int, other: int) -> list[str]:
    """Connect to two ports of this machine under a confinement that allows one. Returns the outcomes."""
    arguments = (confinement, os.fspath(make_tree(directory)), str(allowed), str(other))
    return run_python("-c", _CONNECT, *arguments, port=allowed).stdout.splitlines()
