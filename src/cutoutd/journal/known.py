"""What is known of the newest version of a source. Values only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class BytesRead:
    """What is known of the bytes of a version.

    Attributes:
        is_over: its job has ended, and may be compared with what lies there now.
        has_failed: without a result.
        sha256: of its bytes; None where they were not read whole.
    """

    is_over: bool
    has_failed: bool
    sha256: str | None


@dataclass(kw_only=True, slots=True)
class Known:
    """The newest version of a source, as it is held in memory.

    Attributes:
        size, mtime_ns, provisional, stamp: as in `Version`.
        scan: number of the last scan that came by it.
        missing_us: since when it was not there, UTC microseconds.
        is_open: it vanished before its turn, so should it come back, it is accepted again.
    """

    size: int
    mtime_ns: int
    provisional: bool
    stamp: int | None
    scan: int = 0
    missing_us: int | None = None
    is_open: bool = False
