"""One exiftool for all tests of a process: its start takes longer than its work."""

from __future__ import annotations

import atexit
import subprocess
import tempfile
from functools import cache
from typing import IO, TYPE_CHECKING, Final

from tests.integration.tools import need

if TYPE_CHECKING:
    from pathlib import Path

_READY: Final = b"{ready1}\n"  # with a number, since -q suppresses it without
_STATUS: Final = b"status="


class _Exiftool:
    """A running exiftool, which is given one command after the other."""

    def __init__(self) -> None:
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 -- closed by `_end`
        self._process = subprocess.Popen(
            ["exiftool", "-stay_open", "True", "-@", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
        )
        atexit.register(self._end)

    def call(self, *arguments: str) -> bytes:
        """Run a command. Returns its output."""
        words = [*arguments, "-echo3", "status=${status}", "-execute1", ""]
        assert not any("\n" in word for word in words)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n".join(words).encode())
        self._process.stdin.flush()
        lines: list[bytes] = []
        while not lines or lines[-1] != _READY:
            lines.append(self._process.stdout.readline())
            assert lines[-1], "exiftool has ended"
        said = b"".join(lines[:-1])
        output, _, status = said.rpartition(_STATUS)
        self._complaints.seek(0)
        complaint = self._complaints.read()
        self._complaints.seek(0)
        self._complaints.truncate()
        assert status.strip() == b"0", complaint.decode(errors="replace")
        return output

    def _end(self) -> None:
        self._process.communicate(b"-stay_open\nFalse\n")
        self._complaints.close()


@cache
def _running() -> _Exiftool:
    return _Exiftool()


def exiftool(*arguments: str) -> bytes:
    """Run exiftool, which must succeed. Returns its output; the test is skipped where it is not installed."""
    need("exiftool")
    return _running().call(*arguments)


def write_tags(file: Path, *tags: str) -> None:
    """Write metadata into a file, in place."""
    exiftool("-q", "-overwrite_original", *tags, str(file))
