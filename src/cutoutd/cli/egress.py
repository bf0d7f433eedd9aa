"""What leaves this machine by a configuration, in words, and whether what it takes is installed.

It must not import the uploader: a command that only asks needs no HTTP client.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from cutoutd.errors import UsageError
from cutoutd.settings.types import Route

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.settings.schema import Folder, Settings

_NEEDED: Final = ("httpcore", "certifi")


def require_extra(chosen: Settings) -> None:
    """Check that the uploader could be started, if it is needed.

    Raises:
        UsageError: a folder is tagged, and what the extra brings is not installed.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None] if chosen.tagged else []
    if missing:
        folders = ", ".join(f'"{folder.name}"' for folder in chosen.tagged)
        raise UsageError(
            f"pictures of {folders} are to be sent away, and what sends them is not installed: {' and '.join(missing)}",
            advice='Install it with `pip install "cutoutd[hosted]"`, or write route = "local".',
        )


def what_leaves(chosen: Settings) -> Iterator[str]:
    """Which folders' pictures leave this machine, when, where to, and what that may cost."""
    for folder in chosen.folder:
        if folder not in chosen.tagged:
            yield f"{folder.name}: nothing leaves this machine"
            continue
        when = _when(folder) if folder.route is Route.LOCAL_THEN_HOSTED else "every picture"
        size = f", reduced to {chosen.hosted.max_upload_px} px" if chosen.hosted.max_upload_px else ""
        yield (
            f"{folder.name}: PICTURES LEAVE THIS MACHINE: {when} is sent{size} to {chosen.hosted.address} "
            f"({chosen.hosted.provider}; {_cost(folder, chosen)})"
        )


def _when(folder: Folder) -> str:
    reasons = ["that cannot be cut here"]
    if folder.escalate_below:
        reasons.append(f"whose cutout scores below {folder.escalate_below}")
    if folder.escalate_backlog_s:
        reasons.append(f"that comes while the queue is longer than {folder.escalate_backlog_s} s")
    return f"a picture {' or '.join(reasons)}"


def _cost(folder: Folder, chosen: Settings) -> str:
    hosted = chosen.hosted
    if not hosted.expected_credits:
        return "it is expected to charge nothing"
    own = folder.max_credits_per_day
    most = hosted.max_credits_per_day if own is None else min(own, hosted.max_credits_per_day)
    if not most:
        return "no credits may be spent, so pictures wait; set max_credits_per_day"
    return f"{hosted.expected_credits:g} credits a picture, at most {most:g} a day"
