"""Enters the sandbox of a worker, then tries what a worker must not be able to do, and prints the outcome of each attempt.

It runs as a separate process, ``python -m cutoutd.doctor.sandbox_attempts DIRECTORY``, with ``input/picture`` open for
reading and ``staging/result`` for writing, as workers get them. It prints JSON documents: the active layers, then each
attempt with ``done`` or the name of its error. It must not judge; `cutoutd.doctor.confinement` does.
"""

from __future__ import annotations

import errno
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.errors import CutoutdError
from cutoutd.sandbox.confinement import confine_worker
from cutoutd.sandbox.kernel import call
from cutoutd.sandbox.limits import die_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable

DONE: Final = "done"

MEMORY_MB: Final = 512
_FAMILIES: Final = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16, "AF_PACKET": 17}
_STREAM, _RAW = 1, 3
_IO_URING_SETUP: Final = 425  # on every architecture
_TRACE_ME: Final = 0

MAY: Final = ("read a picture", "write a result")
"""What a worker must be able to do: without these, the refusals would prove nothing."""


def main(directory: Path) -> None:
    """Enter the sandbox and run all attempts."""
    attempts = _attempts(directory)
    die_with_parent(os.getppid())
    try:
        layers = confine_worker(read=(), memory_mb=MEMORY_MB, file_bytes=MEMORY_MB << 20, required=False)
    except CutoutdError as error:
        _say({"refused": str(error)})
        return
    _say({"layers": list(layers)})
    for name, attempt in attempts.items():
        _say({name: _outcome(attempt)})
    # Last, since it replaces this process.
    _say({"start a program": _outcome(lambda: os.execv("/bin/true", ["true"]))})  # noqa: S606 -- the attempt itself


def _attempts(directory: Path) -> dict[str, Callable[[], object]]:
    picture, secret = directory / "input" / "picture", directory / "outside" / "secret"
    neighbour, result = picture.with_name("neighbour"), directory / "staging" / "result"
    given = os.open(picture, os.O_RDONLY), os.open(result, os.O_WRONLY | os.O_CREAT, 0o600)
    return {
        "read a picture": lambda: os.read(given[0], 1),
        "write a result": lambda: os.write(given[1], b"x"),
        "read another picture of the folder": neighbour.read_bytes,
        "make another file where results go": lambda: result.with_name("another").write_bytes(b"x"),
        **{f"open a socket ({family})": partial(_socket, number) for family, number in _FAMILIES.items()},
        "use io_uring": lambda: _demand(call("syscall", _IO_URING_SETUP, 1, None), harmless=errno.EFAULT),
        "look into another process": lambda: _demand(call("ptrace", _TRACE_ME, 0, None, None)),
        "start a process": _fork,
        "read a file that it was not given": secret.read_bytes,
        "write a file that it was not given": lambda: (directory / "outside" / "new").write_bytes(b"x"),
        "change an original": lambda: picture.open("r+b").close(),
        "delete an original": picture.unlink,
        "take more memory than allowed": lambda: bytearray(2 * MEMORY_MB << 20),
    }


def _socket(family: int) -> None:
    descriptor = _demand(call("socket", family, _RAW if family in (16, 17) else _STREAM, 0))
    os.close(descriptor)


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)
    os.wait()


def _demand(result: int, *, harmless: int = 0) -> int:
    """Return the result of a call; ``harmless`` is the error of a call that the filter let through."""
    if result < 0 and -result != harmless:
        raise OSError(-result, os.strerror(-result))
    return result


def _outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "an error")
    except MemoryError:
        return "MemoryError"
    return DONE


def _say(document: dict[str, object]) -> None:
    print(json.dumps(document), flush=True)  # noqa: T201 -- that is what it is for


if __name__ == "__main__":
    main(Path(sys.argv[1]))
