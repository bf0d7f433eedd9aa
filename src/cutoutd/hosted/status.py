"""What the uploader says of itself, for `cutoutd status` and whoever else looks: STATE/hosted/status.json.

It is written at most once a second, and when something has changed. `cutoutd.exchange.spool` reads it.
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
    """The document, but for its schema.

    Attributes:
        pid: of the uploader; None once it has ended.
        at: when this was said, RFC 3339.
        day: of UTC, that ``today`` and ``folders`` are about.
        provider, host: as in the configuration.
        sandbox: its active layers.
        route: "open", "waiting", "offline" or "paused".
        why: in words, unless it is open.
        wait_s: until it is tried again.
        failures: uploads in a row that came to nothing.
        trouble: what the last of them met.
        in_flight, waiting: requests that are being uploaded, and that wait in the outbox.
        today: uploads, bytes and credits of the day, without those under way.
        folders: by name: uploads, bytes, credits, in_flight, waiting, why (its money is used up).
        webhooks: of each: id, folder, host, include, waiting, dead, off (it wants nothing more), failures, why.
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
        """Put it where it is looked for, whole; a disk that refuses is no reason to stop."""
        content = json.dumps({"schema": STATUS_SCHEMA} | asdict(self), indent=2).encode("ascii")
        with suppress(OSError):
            atomic_write(paths.status, [content], synced=False)
