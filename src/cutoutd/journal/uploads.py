"""What the journal knows of uploads, so that a ledger that is gone or was cut short is noticed.

A count, the last one, and the credits of its day; all else stands in the ledger. It must not decide whether anything
is sent.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from cutoutd.clock import utc_day
from cutoutd.exchange.upload_records import KnownUploads

if TYPE_CHECKING:
    from collections.abc import Collection

    from cutoutd.journal.store import Store

_FACT: Final = "uploaded"


def uploaded(store: Store) -> KnownUploads | None:
    """What a journal knows; None if it knows of no upload."""
    said = store.fact(_FACT)
    return None if said is None else KnownUploads(**json.loads(said))


def note_upload(
    store: Store,
    message: str,
    at: str,
    *,
    folder: str = "",
    counted: float = 0.0,
    awaited: Collection[str] = (),
) -> None:
    """Count a picture that left for a request; a request is counted once, however often its reply is told.

    Args:
        store: the journal's.
        message: its id.
        at: when it began, RFC 3339.
        folder: whose picture it is.
        counted: credits that it counts in the limits.
        awaited: ids of all requests whose jobs wait for an answer; only their replies can be told again.
    """
    before = uploaded(store) or KnownUploads(count=0, last="", at="")
    if message == before.last or message in before.unsettled:
        return
    day = max(utc_day(at), before.day)  # an answer that comes after midnight is about the day before
    spent = dict(before.credits) if before.day == day else {}
    if counted and utc_day(at) == day:
        spent[folder] = round(spent.get(folder, 0.0) + counted, 6)
    still = [one for one in before.unsettled if one in awaited]
    now = KnownUploads(
        count=before.count + 1, last=message, at=at, day=day, credits=spent, unsettled=[*still, message]
    )
    with store.transaction():
        store.set_fact(_FACT, json.dumps(asdict(now)))
