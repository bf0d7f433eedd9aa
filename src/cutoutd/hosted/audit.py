"""Reports of everything that was sent from this machine, from the ledger: entry by entry, or summed up.

It must not need the HTTP client, nor block the uploader, which may write at the same time.
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


CLUSTER_COLUMNS: Final = ("at", "folder", "job", "bytes", "sha256", "scheduler")


class GroupBy(StrEnum):
    """How uploads are summed up."""

    DAY = "day"  # UTC, as for the limits
    FOLDER = "folder"  # the tagged folder


@dataclass(kw_only=True, slots=True)
class Total:
    """A sum of uploads.

    Attributes:
        uploads: number of times that a picture was sent, whole or in part.
        bytes: bytes of pictures that were sent.
        credits: credits that count towards the limits.
        unknown: number of uploads that may have been billed without a result.
    """

    uploads: int = 0
    bytes: int = 0
    credits: float = 0.0
    unknown: int = 0

    def add(self, one: dict[str, Any]) -> None:
        """Add an upload."""
        self.uploads += 1
        self.bytes += one["bytes"]
        self.credits = round(self.credits + one["counted"], 6)
        self.unknown += one["end"] == "unknown"


def uploads(ledger: Ledger) -> Iterator[dict[str, Any]]:
    """Yield every upload, the oldest first, as a record of `COLUMNS`; ``bytes`` are those that were sent."""
    for row in ledger.all():
        sent = row["sent"]
        fields = {
            **row,
            "at": rfc3339(row["began_us"]),
            "end": row["outcome"] or _UNDER_WAY,
            # If the end is unknown, everything may have been sent.
            "bytes": row["bytes"] if sent is None else sent,
            "again": bool(row["again"]),
            "cause": row["cause"] or "",
        }
        yield {name: fields[name] for name in COLUMNS}


def webhooks(ledger: Ledger) -> Iterator[dict[str, Any]]:
    """Yield every request to a webhook, the oldest first, as a record of `WEBHOOK_COLUMNS`; ``bytes`` left this process."""
    for row in ledger.webhooks():
        fields = {
            **row,
            "at": rfc3339(row["began_us"]),
            "end": row["outcome"] or _UNDER_WAY,
            "bytes": row["bytes"] if row["sent"] is None else row["sent"],
            "on_this_machine": stays_here(row["host"]),
            "cause": row["cause"] or "",
        }
        yield {name: fields[name] for name in WEBHOOK_COLUMNS}


def totals(found: Iterable[dict[str, Any]], by: GroupBy) -> dict[str, Total]:
    """Return the sums by day or folder, sorted by name."""
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
    webhooks: Iterable[dict[str, Any]] = (),
    cluster: Iterable[dict[str, Any]] = (),
) -> None:
    """Write one JSON document. Lists are written as they are read.

    Args:
        found: the uploads.
        by: key of the sums; None: all entries are written one by one.
        out: output.
        webhooks: the requests to webhooks; sums cover uploads only.
        cluster: the pictures that were sent to machines of a cluster.
    """
    if by is not None:
        sums = {name: asdict(total) for name, total in totals(found, by).items()}
        json.dump({"schema": SCHEMA, "by": by.value, "totals": sums}, out, indent=2)
        out.write("\n")
        return
    out.write(f'{{"schema": "{SCHEMA}", "uploads": [')
    out.writelines(f"{',' if number else ''}\n{json.dumps(one)}" for number, one in enumerate(found))
    out.write('\n], "webhooks": [')
    out.writelines(f"{',' if number else ''}\n{json.dumps(one)}" for number, one in enumerate(webhooks))
    out.write('\n], "cluster": [')
    out.writelines(f"{',' if number else ''}\n{json.dumps(one)}" for number, one in enumerate(cluster))
    out.write("\n]}\n")


def cluster_as_csv(cluster: Iterable[dict[str, Any]], out: TextIO) -> None:
    """Write the pictures that were sent to machines of a cluster as a table, as `as_csv` does uploads."""
    table = csv.writer(out, lineterminator="\n")
    table.writerow(CLUSTER_COLUMNS)
    for one in cluster:
        table.writerow([cell(one[name]) for name in CLUSTER_COLUMNS])


def webhooks_as_csv(webhooks: Iterable[dict[str, Any]], out: TextIO) -> None:
    """Write the requests to webhooks as a CSV table, as `as_csv` does uploads."""
    table = csv.writer(out, lineterminator="\n")
    table.writerow(WEBHOOK_COLUMNS)
    for one in webhooks:
        table.writerow([cell(one[name]) for name in WEBHOOK_COLUMNS])


def as_csv(found: Iterable[dict[str, Any]], by: GroupBy | None, out: TextIO) -> None:
    """Write a CSV table with headings. A text that a spreadsheet would take for a formula is made harmless."""
    table = csv.writer(out, lineterminator="\n")
    if by is not None:
        table.writerow((by.value, "uploads", "bytes", "credits", "unknown"))
        for name, total in totals(found, by).items():
            table.writerow((cell(name), *asdict(total).values()))
        return
    table.writerow(COLUMNS)
    for one in found:
        table.writerow([cell(one[name]) for name in COLUMNS])
