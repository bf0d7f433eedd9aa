"""What is known of uploads, in a small file: by it the uploader sees whether its ledger is whole.

It must not decide whether anything is sent.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from cutoutd.durable import replace_file
from cutoutd.private import read_small

if TYPE_CHECKING:
    from pathlib import Path

_MAX_BYTES: Final = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """Uploads that are known of.

    Attributes:
        count: how many.
        last: the last of them, by its parcel's id.
        at: when it began, RFC 3339.
    """

    count: int
    last: str
    at: str


def write_known(path: Path, known: Known) -> None:
    """Say what is known; synced when this returns.

    Raises:
        OSError: the disk refuses.
    """
    replace_file(path, json.dumps(asdict(known)).encode("ascii"), synced=True)


def read_known(path: Path) -> Known | None:
    """What was said to be known; None if nothing was."""
    try:
        found = json.loads(read_small(path, _MAX_BYTES))
        return Known(count=int(found["count"]), last=str(found["last"]), at=str(found["at"]))
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
