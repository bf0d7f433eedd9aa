"""What the journal knows of uploads, so that a ledger that is gone or was cut short is noticed.

A count and the last one alone; all else stands in the ledger. It must not decide whether anything is sent.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cutoutd.journal.store import Store

_FACT: Final = "uploaded"


@dataclass(frozen=True, kw_only=True, slots=True)
class Uploaded:
    """What is known.

    Attributes:
        count: requests for which a picture left this machine.
        last: the last of them, by its parcel's id.
        at: when it began, RFC 3339.
    """

    count: int
    last: str
    at: str


def uploaded(store: Store) -> Uploaded | None:
    """What a journal knows; None if it knows of no upload."""
    row = store.row("SELECT value FROM fact WHERE name = ?", (_FACT,))
    return Uploaded(**json.loads(row["value"])) if row is not None else None


def note_upload(store: Store, parcel: str, at: str) -> None:
    """A picture left for a parcel; the same one is counted once, if it is told twice in a row."""
    before = uploaded(store)
    if before is not None and before.last == parcel:
        return
    now = Uploaded(count=1 if before is None else before.count + 1, last=parcel, at=at)
    with store.transaction():
        store.write(
            "INSERT OR REPLACE INTO fact (name, value) VALUES (?, ?)", (_FACT, json.dumps(asdict(now)))
        )
