"""Kills the uploader at random moments, many times, and measures its speed when undisturbed.

    python -m torture.uploads [ROUNDS] [SEED]

A picture that was sent whole must not be sent again automatically, every one gets its reply, and the ledger records at least
what the service received.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

from tests import spooled
from tests.hosted_server import HostedServer
from tests.integration.uploading import KEY, UploaderSetup, picture

from cutoutd.exchange.spool import UploadOutcome, UploadReply
from torture.figures import Figures, note, report

PROMISE: Final = "killed at any moment: no picture sent whole twice, no reply lost, every byte in the ledger"
ROUNDS: Final = 20
PICTURES: Final = 40
MOST_S: Final = 0.9
SMALL: Final = 200
IN_S: Final = 30.0


class Campaign:
    """Counts, and what went wrong."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.counts: dict[str, Any] = {"seed": seed, "kills": 0, "pictures": 0, "unknown": 0}
        self.violations: list[str] = []

    def round(self, directory: Path) -> None:
        """Run one configuration, killed until all its pictures have their reply."""
        with (
            HostedServer(key=KEY, delay_s=0.15) as server,
            UploaderSetup(directory, server.url, hosted={"concurrency": "4"}) as uploader_setup,
        ):
            requests = [uploader_setup.request(picture(number)) for number in range(PICTURES)]
            replies: dict[str, UploadReply] = {}
            while len(replies) < len(requests):
                uploader_setup.start()
                end_s = time.monotonic() + self.random.uniform(0.0, MOST_S)
                while time.monotonic() < end_s:
                    time.sleep(0.01)
                uploader_setup.kill()
                self.counts["kills"] += 1
                self.collect(uploader_setup, replies)
            rows = uploader_setup.rows()
            self.counts["pictures"] += len(requests)
            self.counts["unknown"] += sum(one.outcome is UploadOutcome.UNKNOWN for one in replies.values())
            self.judge(server, rows)

    def collect(self, uploader_setup: UploaderSetup, replies: dict[str, UploadReply]) -> None:
        """Read the inbox, and check that replies do not change."""
        for reply in spooled.replies(uploader_setup.paths):
            earlier = replies.setdefault(reply.id, reply)
            if earlier.outcome is not reply.outcome:
                self.violations.append(f"first {earlier.outcome}, then {reply.outcome}")
            if reply.outcome is UploadOutcome.OK and not uploader_setup.body(reply).startswith(b"\x89PNG"):
                self.violations.append("a reply without its picture")

    def judge(self, server: HostedServer, rows: list[dict[str, Any]]) -> None:
        """Compare what the service received with the ledger."""
        whole = Counter(one.picture for one in server.seen if one.picture)
        if twice := sum(count > 1 for count in whole.values()):
            self.violations.append(f"{twice} pictures were sent whole more than once")
        if len(rows) < len(server.seen):
            self.violations.append(f"{len(server.seen)} requests came, and the ledger has {len(rows)}")
        got = sum(len(one.picture) for one in server.seen)
        if sum(row["bytes"] for row in rows) < got:
            self.violations.append("more bytes came than the ledger says")

    def rate(self, directory: Path) -> None:
        """Measure small pictures with a service that answers in 1 s and accepts 8 at once."""
        with (
            HostedServer(key=KEY, delay_s=1.0, at_once=8) as server,
            UploaderSetup(
                directory, server.url, hosted={"concurrency": "8", "timeout_s": "30.0"}
            ) as uploader_setup,
        ):
            for number in range(SMALL):
                uploader_setup.request(picture(number))
            uploader_setup.start()
            started_s = time.monotonic()
            while len(list(uploader_setup.paths.inbox.glob("*.json"))) < SMALL:
                time.sleep(0.05)
                if time.monotonic() > started_s + 2 * IN_S:
                    break
            took_s = time.monotonic() - started_s
            self.counts["small pictures"] = SMALL
            self.counts["in, s"] = round(took_s, 1)
            self.counts["connections"] = server.connections
            if took_s > IN_S or {one.status for one in server.seen} != {200}:
                self.violations.append(f"{SMALL} pictures took {took_s:.1f} s, or were refused")


def main(arguments: list[str]) -> int:
    """Run the campaign, and print the figures."""
    rounds = int(arguments[0]) if arguments else ROUNDS
    campaign = Campaign(int(arguments[1]) if len(arguments) > 1 else 1)
    root = Path(tempfile.mkdtemp(prefix="torture-uploads-"))
    for number in range(rounds):
        note(f"round {number + 1} of {rounds}: {campaign.counts}")
        campaign.round(root / str(number))
    campaign.rate(root / "rate")
    shutil.rmtree(root, ignore_errors=True)
    return report(
        Figures(
            campaign="uploads",
            promise=PROMISE,
            counts=campaign.counts,
            violations=tuple(campaign.violations),
        )
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
