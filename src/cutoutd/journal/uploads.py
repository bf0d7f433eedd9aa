"""What the journal knows of uploads, so that a ledger that is gone or was cut short is noticed.

A count, the last one, and the credits of its day; all else stands in the ledger. It must not decide whether anything
is sent.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

    from cutoutd.journal.store import Store

_FACT: Final = "uploaded"
_DAY: Final = slice(0, 10)


@dataclass(frozen=True, kw_only=True, slots=True)
class Uploaded:
    """What is known.

    Attributes:
        count: requests for which a picture left this machine.
        last: the last of them, by its parcel's id.
        at: when it began, RFC 3339.
        day: of UTC, as in RFC 3339, that ``credits`` is about; empty where an earlier version wrote it.
        credits: that the uploads of this day count, by folder.
        unsettled: ids of parcels that are counted and whose jobs may still wait for their answer: a run that is killed
            before the job is written down has the same reply told again by the next one, in any order.
    """

    count: int
    last: str
    at: str
    day: str = ""
    credits: dict[str, float] = field(default_factory=dict)
    unsettled: list[str] = field(default_factory=list)


def uploaded(store: Store) -> Uploaded | None:
    """What a journal knows; None if it knows of no upload."""
    row = store.row("SELECT value FROM fact WHERE name = ?", (_FACT,))
    return Uploaded(**json.loads(row["value"])) if row is not None else None


def note_upload(
    store: Store,
    parcel: str,
    at: str,
    *,
    folder: str = "",
    counted: float = 0.0,
    awaited: Collection[str] = (),
) -> None:
    """Count a picture that left for a parcel; a parcel is counted once, however often its reply is told.

    Args:
        store: the journal's.
        parcel: its id.
        at: when it began, RFC 3339.
        folder: whose picture it is.
        counted: credits that it counts in the limits.
        awaited: ids of all parcels whose jobs wait for an answer; only their replies can be told again.
    """
    before = uploaded(store) or Uploaded(count=0, last="", at="")
    if parcel == before.last or parcel in before.unsettled:
        return
    day = max(at[_DAY], before.day)  # an answer that comes after midnight is about the day before
    spent = dict(before.credits) if before.day == day else {}
    if counted and at[_DAY] == day:
        spent[folder] = round(spent.get(folder, 0.0) + counted, 6)
    unsettled = [one for one in before.unsettled if one in awaited]
    now = Uploaded(
        count=before.count + 1, last=parcel, at=at, day=day, credits=spent, unsettled=[*unsettled, parcel]
    )
    with store.transaction():
        store.write(
            "INSERT OR REPLACE INTO fact (name, value) VALUES (?, ?)", (_FACT, json.dumps(asdict(now)))
        )
