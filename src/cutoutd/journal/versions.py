"""What the journal knows of the newest versions of sources: values of `cutoutd.journal.sources`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class BytesRead:
    """What is known of the bytes of a version.

    Attributes:
        is_over: whether its job has ended, so that it may be compared with the file there now.
        has_failed: whether the job ended without a result.
        sha256: SHA-256 of the bytes; None if they were not read whole.
        is_cleanup_pending: whether its original is still to be moved or deleted, or its failure to be recorded.
    """

    is_over: bool
    has_failed: bool
    sha256: str | None
    is_cleanup_pending: bool


@dataclass(kw_only=True, slots=True)
class KnownVersion:
    """The newest version of a source, as it is held in memory.

    Attributes:
        size, mtime_ns, provisional, stamp: as in `Version`.
        scan: number of the last scan that found it.
        missing_us: since when it is missing, UTC microseconds; None if it is not.
        is_open: whether it vanished before its turn, so that a file that comes back is accepted again.
    """

    size: int
    mtime_ns: int
    provisional: bool
    stamp: int | None
    scan: int = 0
    missing_us: int | None = None
    is_open: bool = False
