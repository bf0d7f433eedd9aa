"""Records of uploads besides the ledger, in small files, so that a lost or incomplete ledger is noticed.

It must not decide whether anything is sent.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from cutoutd.clock import utc_day
from cutoutd.fs.atomic_write import atomic_write
from cutoutd.fs.private_directory import read_small

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

LEDGER: Final = "ledger.sqlite"
"""The ledger of the uploader, in STATE/hosted."""

BEGUN: Final = "ledger.json"
"""Beside the ledger since its first row: the id of the ledger, and the time of that row."""

UPLOADED: Final = "uploaded.json"
"""What the journal knows of uploads, written by the supervisor."""

_STATUS: Final = "status.json"
_REPLIES: Final = "replies"
_MAX_BYTES: Final = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownUploads:
    """The uploads that a source knows.

    Attributes:
        count: number of uploads.
        last: message id of the last one.
        at: time when the last one began, RFC 3339.
        day: day (UTC) that ``credits`` refers to, as in RFC 3339; empty for none.
        credits: credits that the uploads of this day count, by folder.
        unsettled: ids of messages that are counted and whose jobs may still wait for their answer: if a run is killed
            before the job is recorded, the next one reads the same replies again, in any order.
    """

    count: int
    last: str
    at: str
    day: str = ""
    credits: Mapping[str, float] = field(default_factory=dict)
    unsettled: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerStart:
    """The start of a ledger.

    Attributes:
        id: number of the ledger.
        at: time when its first row was written, or first found, RFC 3339.
    """

    id: int
    at: str


def write_known(path: Path, known: KnownUploads) -> None:
    """Write what is known. It is synced when this returns.

    Raises:
        OSError: the disk refuses.
    """
    atomic_write(path, [json.dumps(asdict(known)).encode("ascii")], synced=True)


def read_known(path: Path) -> KnownUploads | None:
    """Read what is known; None if nothing is."""
    found = read_document(path)
    try:
        return KnownUploads(
            count=int(found["count"]),
            last=str(found["last"]),
            at=str(found["at"]),
            day=str(found.get("day", "")),
            credits=_credits(found.get("credits")),
        )
    except (ValueError, KeyError, TypeError, OverflowError):
        return None


def write_begun(root: Path, begun: LedgerStart) -> None:
    """Record that a ledger has a row from now on. It is synced when this returns.

    Raises:
        OSError: the disk refuses.
    """
    atomic_write(root / BEGUN, [json.dumps(asdict(begun)).encode("ascii")], synced=True)


def read_begun(root: Path) -> LedgerStart | None:
    """Return the start of the ledger; None if there was none, or the file cannot be read."""
    found = read_document(root / BEGUN)
    number = found.get("id")
    return LedgerStart(id=number, at=str(found.get("at", ""))) if isinstance(number, int) and number else None


def last_status(root: Path) -> KnownUploads | None:
    """Return the uploads of the day of the uploader's last status, whether the uploader runs or not."""
    found = read_document(root / _STATUS)
    today, folders = found.get("today"), found.get("folders")
    count = today.get("uploads") if isinstance(today, dict) else None
    if not isinstance(count, int) or count <= 0:
        return None
    at = str(found.get("at", ""))
    spent = {
        name: one.get("credits")
        for name, one in (folders.items() if isinstance(folders, dict) else ())
        if isinstance(one, dict)
    }
    day = utc_day(str(found.get("day") or at))
    return KnownUploads(count=count, last="", at=at, day=day, credits=_credits(spent))


def read_document(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file; empty if there is none."""
    try:
        found = json.loads(read_small(path, _MAX_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def traces(root: Path) -> str:
    """Return what besides the ledger shows that pictures left this machine, in words; empty if nothing does.

    Args:
        root: STATE/hosted.
    """
    return "; ".join(_traces(root))


def _traces(root: Path) -> Iterator[str]:
    known, status, begun = read_known(root / UPLOADED), last_status(root), read_begun(root)
    if known is not None and known.count > 0:
        yield f"the journal knows of {known.count} pictures that were sent, the last on {known.at}"
    if begun is not None or (root / BEGUN).exists():
        since = f" since {begun.at}" if begun is not None and begun.at else ""
        yield f"uploads were recorded{since}"
    if status is not None:
        yield f"the uploader reported {status.count} uploads on {status.day}"
    if next((root / _REPLIES).glob("*.body"), None) is not None:
        yield "replies of the hosted service are kept"


def _credits(found: object) -> dict[str, float]:
    """Return the valid credits by folder."""
    if not isinstance(found, dict):
        return {}
    return {
        str(name): float(one)
        for name, one in found.items()
        if isinstance(one, int | float) and 0 < one <= sys.float_info.max
    }
