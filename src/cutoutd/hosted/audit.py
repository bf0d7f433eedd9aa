"""What ever left this machine, from the ledger: one by one, and summed up.

It must not need the HTTP client, nor hold up the uploader that writes meanwhile.
"""

from __future__ import annotations

import csv
import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TextIO

from cutoutd.clock import rfc3339, utc_day
from cutoutd.settings.hosted import stays_here
from cutoutd.spreadsheet import cell

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cutoutd.hosted.ledger import Ledger

SCHEMA: Final = "cutoutd.audit/1"

_UNDER_WAY: Final = "under way"

COLUMNS: Final = (
    "at",
    "folder",
    "job",
    "end",
    "bytes",
    "host",
    "provider",
    "options",
    "credits",
    "counted",
    "status",
    "took_ms",
    "width",
    "height",
    "sha256",
    "source_sha256",
    "why",
    "again",
    "reply_bytes",
    "reply_sha256",
    "request",
    "cause",
)


WEBHOOK_COLUMNS: Final = (
    "at",
    "folder",
    "job",
    "end",
    "bytes",
    "host",
    "on_this_machine",
    "type",
    "what",
    "attempt",
    "status",
    "took_ms",
    "sha256",
    "message",
    "webhook",
    "cause",
)


class GroupBy(StrEnum):
    """What uploads are summed up by."""

    DAY = "day"  # of UTC, as the limits go
    FOLDER = "folder"  # by whose tag


@dataclass(kw_only=True, slots=True)
class Total:
    """Uploads summed up.

    Attributes:
        uploads: times a picture was sent, whole or in part.
        bytes: of pictures that left.
        credits: as they count in the limits.
        unknown: how many may have been billed for nothing.
    """

    uploads: int = 0
    bytes: int = 0
    credits: float = 0.0
    unknown: int = 0

    def add(self, one: dict[str, Any]) -> None:
        """Count one more."""
        self.uploads += 1
        self.bytes += one["bytes"]
        self.credits = round(self.credits + one["counted"], 6)
        self.unknown += one["end"] == "unknown"


def uploads(ledger: Ledger) -> Iterator[dict[str, Any]]:
    """Every upload, the oldest first, as people and programs are told: the bytes are those that left."""
    for row in ledger.all():
        sent = row["sent"]
        told = {
            **row,
            "at": rfc3339(row["began_us"]),
            "end": row["outcome"] or _UNDER_WAY,
            # Where the end is not known all of it may have left.
            "bytes": row["bytes"] if sent is None else sent,
            "again": bool(row["again"]),
            "cause": row["cause"] or "",
        }
        yield {name: told[name] for name in COLUMNS}


def webhooks(ledger: Ledger) -> Iterator[dict[str, Any]]:
    """Every request to a webhook, the oldest first, as people and programs are told: the bytes are those that left this process."""
    for row in ledger.webhooks():
        told = {
            **row,
            "at": rfc3339(row["began_us"]),
            "end": row["outcome"] or _UNDER_WAY,
            "bytes": row["bytes"] if row["sent"] is None else row["sent"],
            "on_this_machine": stays_here(row["host"]),
            "cause": row["cause"] or "",
        }
        yield {name: told[name] for name in WEBHOOK_COLUMNS}


def totals(found: Iterable[dict[str, Any]], by: GroupBy) -> dict[str, Total]:
    """Sums by day or folder, in the order of their names."""
    sums: dict[str, Total] = {}
    for one in found:
        name = utc_day(one["at"]) if by is GroupBy.DAY else one["folder"]
        sums.setdefault(name, Total()).add(one)
    return dict(sorted(sums.items()))


def as_json(
    found: Iterable[dict[str, Any]],
    by: GroupBy | None,
    out: TextIO,
    *,
    told: Iterable[dict[str, Any]] = (),
) -> None:
    """Write one document; what is long is written as it is read.

    Args:
        found: the uploads.
        by: what is summed up by; None: all are written one by one.
        out: where to.
        told: the requests to webhooks; sums are about uploads alone.
    """
    if by is not None:
        sums = {name: asdict(total) for name, total in totals(found, by).items()}
        json.dump({"schema": SCHEMA, "by": by.value, "totals": sums}, out, indent=2)
        out.write("\n")
        return
    out.write(f'{{"schema": "{SCHEMA}", "uploads": [')
    out.writelines(f"{',' if number else ''}\n{json.dumps(one)}" for number, one in enumerate(found))
    out.write('\n], "webhooks": [')
    out.writelines(f"{',' if number else ''}\n{json.dumps(one)}" for number, one in enumerate(told))
    out.write("\n]}\n")


def webhooks_as_csv(told: Iterable[dict[str, Any]], out: TextIO) -> None:
    """Write the requests to webhooks as a table, as `as_csv` does uploads."""
    table = csv.writer(out, lineterminator="\n")
    table.writerow(WEBHOOK_COLUMNS)
    for one in told:
        table.writerow([cell(one[name]) for name in WEBHOOK_COLUMNS])


def as_csv(found: Iterable[dict[str, Any]], by: GroupBy | None, out: TextIO) -> None:
    """Write a table, with its headings; a text that a spreadsheet would take for a formula is made harmless."""
    table = csv.writer(out, lineterminator="\n")
    if by is not None:
        table.writerow((by.value, "uploads", "bytes", "credits", "unknown"))
        for name, total in totals(found, by).items():
            table.writerow((cell(name), *asdict(total).values()))
        return
    table.writerow(COLUMNS)
    for one in found:
        table.writerow([cell(one[name]) for name in COLUMNS])
