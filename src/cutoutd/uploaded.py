"""What is known of uploads, in a small file: by it the uploader sees whether its ledger is whole.

It must not decide whether anything is sent.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from cutoutd.durable import sync, sync_directory

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
    draft = path.with_suffix(".new")
    with draft.open("w", encoding="ascii") as file:
        json.dump(asdict(known), file)
        file.flush()
        sync(file.fileno())
    draft.replace(path)
    sync_directory(path.parent)


def read_known(path: Path) -> Known | None:
    """What was said to be known; None if nothing was."""
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(_MAX_BYTES))
        return Known(count=int(found["count"]), last=str(found["last"]), at=str(found["at"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
