"""What is seen of the hosted route: whether it is open, and whether the ledger of uploads is there.

It only reads; what the uploader says of itself is believed while it lives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cutoutd.doctor.finding import Finding, note, ok, problem
from cutoutd.spool import SpoolPaths, uploader_status
from cutoutd.upload_records import LEDGER, traces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.settings.schema import Settings

_LOST = (
    "Nothing is sent without it. Put it back, or a backup of it, or say `cutoutd resume --hosted` while cutoutd runs: a "
    "new one is begun then, and today's limits count what the journal knows."
)


def judge(settings: Settings) -> Iterator[Finding]:
    """The findings; none where no folder is tagged and nothing was ever sent."""
    paths = SpoolPaths.under(settings.service.state_dir)
    lost = ledger_lost(paths)
    if lost:
        yield problem("ledger", lost, _LOST)
    if not settings.tagged:
        return
    said = uploader_status(paths)
    if not said:
        yield note("hosted", "the uploader does not run; nothing leaves", "`cutoutd run` starts it.")
    elif said.get("route") == "open":
        yield ok("hosted", f"the hosted route is open, to {said.get('host')}")
    elif not lost:
        why = str(said.get("why") or "no reason is told")
        yield problem(
            "hosted", f"the hosted route is {said.get('route')}: {why}", "Nothing is sent meanwhile."
        )


def ledger_lost(paths: SpoolPaths) -> str:
    """What tells of uploads though there is no ledger of them; empty if there is one, or nothing tells of any."""
    path = paths.root / LEDGER
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        size = -1
    except OSError as error:
        return f"the ledger of uploads cannot be looked at ({path}: {error.strerror})"
    if size > 0 or not (told := traces(paths.root)):
        return ""
    return f"the ledger of uploads is {'gone' if size < 0 else 'empty'} ({path}), but {told}"
