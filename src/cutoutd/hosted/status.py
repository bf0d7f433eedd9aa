"""What the uploader says of itself, for `cutoutd status` and whoever else looks: STATE/hosted/status.json.

    schema, pid (null once it has ended), at, provider, host, sandbox (active layers)
    route          open | waiting | offline | paused; why: in words; wait_s: until it is tried again
    failures       uploads in a row that came to nothing; trouble: what the last of them met
    in_flight, waiting          requests in hand, and in the outbox
    today          uploads, bytes, credits, of the day in UTC, without those under way
    folders        by name: uploads, bytes, credits, in_flight, waiting, why (its money is used up)

It is written at most once a second, and when something has changed. `cutoutd.spool` reads it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cutoutd.fs.durable import replace_file
from cutoutd.spool import STATUS_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.spool import SpoolPaths


def write(paths: SpoolPaths, status: Mapping[str, Any]) -> None:
    """Put it where it is looked for, whole; a disk that refuses is no reason to stop.

    Args:
        paths: where it is looked for.
        status: all but the schema.
    """
    content = json.dumps({"schema": STATUS_SCHEMA} | dict(status), indent=2).encode("ascii")
    with suppress(OSError):
        replace_file(paths.status, content, synced=False)
