"""Every picture that was sent to another machine, one line each, in a file for each day (UTC): what `cutoutd audit` reads.

A line is written before its picture is sent. It is not synced: a power cut may take those of the last seconds.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DAY: Final = 10
_LAST_DAYS: Final = 2
_LAST_BYTES: Final = 1 << 20
"""Of a day's end that is looked through: some five thousand pictures, and no more are under way at a time than a few hundred."""

_KEYS: Final = frozenset({"at", "folder", "job", "bytes", "sha256", "scheduler"})


class SentLog:
    """The log of one gateway.

    Args:
        directory: STATE/cluster/sent.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def append(self, entry: dict[str, Any]) -> None:
        """Write one line.

        Args:
            entry: with its time, RFC 3339, as ``at``.

        Raises:
            OSError: the disk refuses: the picture must not be sent then.
        """
        path = self._directory / f"{entry['at'][:_DAY]}.jsonl"
        descriptor = os.open(path, _FLAGS, 0o600)
        try:
            line = json.dumps(entry).encode("ascii") + b"\n"
            if os.write(descriptor, line) != len(line):
                raise OSError(28, "No space left on device", os.fspath(path))
        finally:
            os.close(descriptor)


@dataclass(frozen=True, kw_only=True, slots=True)
class SentTotals:
    """Pictures sent, summed up.

    Attributes:
        pictures: times one was sent.
        bytes: of them and what went with them.
        first, last: when, RFC 3339; empty if none was.
        newest: the last lines, the newest first.
    """

    pictures: int
    bytes: int
    first: str
    last: str
    newest: tuple[dict[str, Any], ...]


def totals(directory: Path, newest: int) -> SentTotals:
    """Sum up all lines; days that are over are read once.

    Args:
        directory: STATE/cluster/sent.
        newest: how many lines to give.

    Raises:
        OSError: they cannot be read.
    """
    paths = sorted(directory.glob("*.jsonl")) if directory.is_dir() else []
    days = [_day(path, path.stat().st_size, newest) for path in paths]
    lines = [line for day in days for line in day.newest]
    return SentTotals(
        pictures=sum(day.pictures for day in days),
        bytes=sum(day.bytes for day in days),
        first=next((day.first for day in days if day.first), ""),
        last=next((day.last for day in reversed(days) if day.last), ""),
        newest=tuple(sorted(lines, key=lambda one: str(one["at"]), reverse=True)[:newest]),
    )


@lru_cache(maxsize=1000)
def _day(path: Path, size: int, newest: int) -> SentTotals:  # noqa: ARG001 -- a file that grows is read anew
    lines = list(_lines(path))
    return SentTotals(
        pictures=len(lines),
        bytes=sum(line["bytes"] for line in lines),
        first=str(lines[0]["at"]) if lines else "",
        last=str(lines[-1]["at"]) if lines else "",
        newest=tuple(lines[-newest:]),
    )


def last_of(directory: Path, folder: str, job: int, since: str) -> dict[str, Any] | None:
    """The last line about a job; None if it was not sent, or long before the last ones.

    Args:
        directory: STATE/cluster/sent.
        folder: the job's folder.
        job: the journal's id.
        since: when the job came, RFC 3339: an earlier journal may have had the number.
    """
    needle = b'"job": %d,' % job
    with suppress(OSError):  # what cannot be read is told by `cutoutd audit`
        for path in sorted(directory.glob("*.jsonl"), reverse=True)[:_LAST_DAYS]:
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - _LAST_BYTES))
                lines = [line for line in file if needle in line]
            for line in reversed(lines):
                entry = _entry(line)
                if entry is not None and (entry["folder"], entry["job"]) == (folder, job):
                    return entry if str(entry["at"]) >= since else None
    return None


def entries(directory: Path) -> Iterator[dict[str, Any]]:
    """All lines, the oldest first; one that is torn is passed over.

    Raises:
        OSError: they cannot be read.
    """
    if not directory.is_dir():
        return
    for path in sorted(directory.glob("*.jsonl")):
        yield from _lines(path)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        yield from filter(None, map(_entry, file))


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    is_ours = isinstance(entry, dict) and entry.keys() >= _KEYS and type(entry["bytes"]) is int
    return entry if is_ours else None
