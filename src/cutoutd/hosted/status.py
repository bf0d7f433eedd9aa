"""What the uploader says of itself, for `cutoutd status` and whoever else looks: STATE/hosted/status.json.

    schema, pid (null once it has ended), at, provider, host, sandbox (active layers)
    route          open | waiting | offline | paused; why: in words; wait_s: until it is tried again
    in_flight, waiting          requests in hand, and in the outbox
    today          uploads, bytes, credits, of the day in UTC, without those under way
    folders        by name: uploads, bytes, credits, in_flight, waiting, why (its money is used up)

It is written at most once a second, and when something has changed. It must not import the HTTP client: reading it takes none.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SCHEMA: Final = "cutoutd.hosted/1"
FILE_NAME: Final = "status.json"
_MAX_BYTES: Final = 1 << 20


def write(root: Path, status: Mapping[str, Any]) -> None:
    """Put it where it is looked for, whole; a disk that refuses is no reason to stop.

    Args:
        root: STATE/hosted.
        status: all but the schema.
    """
    path = root / FILE_NAME
    draft = path.with_suffix(".new")
    try:
        draft.write_text(json.dumps({"schema": SCHEMA} | dict(status), indent=2), encoding="ascii")
        draft.replace(path)
    except OSError:
        return


def read(root: Path) -> dict[str, Any]:
    """What a living uploader says; empty if none lives.

    Args:
        root: STATE/hosted.
    """
    try:
        with (root / FILE_NAME).open("rb") as file:
            found = json.loads(file.read(_MAX_BYTES))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict) or found.get("schema") != SCHEMA or not _lives(found.get("pid")):
        return {}
    return found


def _lives(pid: object) -> bool:
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
