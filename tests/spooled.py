"""The replies in a spool's inbox, for tests that check all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cutoutd.exchange import spool

if TYPE_CHECKING:
    from cutoutd.exchange.spool import SpoolPaths, UploadReply


def replies(paths: SpoolPaths) -> list[UploadReply]:
    """Return the replies in the inbox, ordered by name."""
    ids = sorted(path.stem for path in paths.inbox.glob("*.json"))
    return [one for id_ in ids if (one := spool.find_reply(paths, id_)) is not None]
