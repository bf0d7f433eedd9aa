"""The status of the uploader, for `cutoutd status` and others: STATE/hosted/status.json.

It is written when something has changed, at most once a second. `cutoutd.exchange.spool` reads it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from cutoutd.exchange.spool import STATUS_SCHEMA
from cutoutd.fs.atomic_write import atomic_write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cutoutd.exchange.spool import SpoolPaths


@dataclass(frozen=True, kw_only=True, slots=True)
class UploaderStatus:
    """The document, without its schema.

    Attributes:
        pid: process id of the uploader; None once it has ended.
        at: time of writing, RFC 3339.
        day: day (UTC) that ``today`` and ``folders`` refer to.
        provider, host: as in the configuration.
        sandbox: active layers.
        route: "open", "waiting", "offline" or "paused".
        why: reason, in words, unless it is open.
        wait_s: seconds until the next attempt.
        failures: failed uploads in a row.
        trouble: reason of the last failure.
        in_flight, waiting: requests that are being uploaded, and that wait in the outbox.
        today: uploads, bytes and credits of the day, without those under way.
        folders: by name: uploads, bytes, credits, in_flight, waiting, why (its budget is used up).
        webhooks: of each: id, folder, host, include, waiting, dead, off (it wants no more), failures, why.
    """

    pid: int | None
    at: str
    day: str
    provider: str
    host: str
    sandbox: Sequence[str]
    route: str
    why: str
    wait_s: float = 0.0
    failures: int = 0
    trouble: str = ""
    in_flight: int = 0
    waiting: int = 0
    today: Mapping[str, Any] = field(default_factory=dict)
    folders: Mapping[str, Any] = field(default_factory=dict)
    webhooks: Sequence[Mapping[str, Any]] = ()

    def write(self, paths: SpoolPaths) -> None:
        """Write the document atomically. A disk that refuses does not stop the uploader."""
        content = json.dumps({"schema": STATUS_SCHEMA} | asdict(self), indent=2).encode("ascii")
        with suppress(OSError):
            atomic_write(paths.status, [content], synced=False)
