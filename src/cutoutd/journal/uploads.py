"""What the journal knows of uploads, by which a lost or truncated ledger is noticed.

It stores their number, the last one, and the credits of its day; the ledger has everything else. It must not decide whether
anything is sent.
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
    """Return what the journal knows of uploads; None if there was none."""
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
    """Count an upload; a request is counted once, even if its reply is delivered several times.

    Args:
        store: the journal's file.
        message: id of the request.
        at: when it began, RFC 3339.
        folder: name of the folder that the picture belongs to.
        counted: credits that count towards the limits.
        awaited: ids of all requests whose jobs wait for an answer; only their replies can be delivered again.
    """
    before = uploaded(store) or KnownUploads(count=0, last="", at="")
    if message == before.last or message in before.unsettled:
        return
    day = max(utc_day(at), before.day)  # an answer after midnight belongs to the day before
    spent = dict(before.credits) if before.day == day else {}
    if counted and utc_day(at) == day:
        spent[folder] = round(spent.get(folder, 0.0) + counted, 6)
    still = [one for one in before.unsettled if one in awaited]
    now = KnownUploads(
        count=before.count + 1, last=message, at=at, day=day, credits=spent, unsettled=[*still, message]
    )
    with store.transaction():
        store.set_fact(_FACT, json.dumps(asdict(now)))
