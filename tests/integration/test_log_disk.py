"""A log on a disk that is full for a while: complete lines before and after, and the number of lost ones in between."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import structlog

from cutoutd import logs
from tests.acceptance.disks import Disks, empty, fill

if TYPE_CHECKING:
    from pathlib import Path

LOST = 200


def flush() -> None:
    """Wait until all log lines are written or lost."""
    structlog.get_config()["logger_factory"]().flush()


def test_a_log_on_a_full_disk_continues_when_there_is_space_and_counts_lost_lines(tmp_path: Path) -> None:
    """The system refuses in the middle of a line; the incomplete line is ended, and all others are complete."""
    with Disks() as disks:
        view = disks.mount(tmp_path / "disk", 64)
        with (view / "log").open("a", encoding="utf-8") as stream:
            logs.configure(level="info", log_format="json", stream=stream)
            try:
                logs.get().info("before")
                flush()
                fill(view)
                for number in range(LOST):
                    logs.get().info("meanwhile", number=number, text="x" * 100)
                flush()
                empty(view)
                logs.get().info("after")
                flush()
            finally:
                structlog.reset_defaults()
        lines = (view / "log").read_text(encoding="utf-8").splitlines()
    whole = [json.loads(line) for line in lines if line.endswith("}")]
    events = [line["event"] for line in whole]
    meanwhile = events.count("meanwhile")
    (lost,) = [line["lines"] for line in whole if line["event"] == "log.dropped"]
    assert events == ["before", *["meanwhile"] * meanwhile, "log.dropped", "after"]
    assert lost == LOST - meanwhile > 0
    assert len(lines) - len(whole) <= 1


def test_a_log_that_is_copied_and_truncated_continues_at_its_new_end(tmp_path: Path) -> None:
    """As logrotate does with ``copytruncate``: no incomplete line, no hole."""
    log = tmp_path / "log"
    with log.open("a", encoding="utf-8") as stream:
        logs.configure(level="info", log_format="json", stream=stream)
        try:
            for number in range(3):
                logs.get().info("event", number=number)
            flush()
            (tmp_path / "log.1").write_bytes(log.read_bytes())
            log.write_bytes(b"")
            logs.get().info("event", number=3)
            flush()
        finally:
            structlog.reset_defaults()
    lines = [
        json.loads(line) for part in ("log.1", "log") for line in (tmp_path / part).read_text().splitlines()
    ]
    assert [line["number"] for line in lines] == [0, 1, 2, 3]
