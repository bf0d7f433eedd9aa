"""What leaves this machine by a configuration, in words, and whether the packages for that are installed.

It must not import the uploader: a command that only asks needs no HTTP client.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from cutoutd.errors import UsageError
from cutoutd.process.installer import how_to_add
from cutoutd.settings.hosted import stays_here
from cutoutd.settings.types import Route
from cutoutd.settings.webhooks import WebhookContent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.settings.schema import Folder, Settings
    from cutoutd.settings.webhooks import FolderWebhook

_NEEDED: Final = ("httpcore", "certifi")
_OF_CLUSTER: Final = ("distributed", "cryptography")


def require_extra(chosen: Settings) -> None:
    """Check that the uploader can be started, if it is needed.

    Raises:
        UsageError: it is needed, and the packages of the extra are not installed.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None] if chosen.needs_uploader else []
    if not missing:
        return
    named = {folder.name: None for folder in (*chosen.tagged, *chosen.with_webhooks)}
    folders = ", ".join(f'"{name}"' for name in named)
    what, instead = (
        ("pictures", 'write route = "local"') if chosen.tagged else ("results", "take the webhooks out")
    )
    raise UsageError(
        f"{what} of {folders} are to be sent away, and what sends them is not installed: {' and '.join(missing)}",
        advice=f"{how_to_add('hosted', _NEEDED)}, or {instead}.",
    )


def require_cluster(chosen: Settings | None = None) -> None:
    """Check that what speaks to a cluster is installed.

    Args:
        chosen: whose folders' pictures are to be sent there; None: this machine is to take part in one.

    Raises:
        UsageError: it is not.
    """
    missing = [name for name in _OF_CLUSTER if find_spec(name) is None]
    if not missing:
        return
    folders = ", ".join(f'"{folder.name}"' for folder in chosen.clustered) if chosen is not None else ""
    what = f"pictures of {folders} are to be sent to a cluster, and " if folders else ""
    raise UsageError(
        f"{what}what speaks to it is not installed: {' and '.join(missing)}",
        advice=how_to_add("cluster", _OF_CLUSTER) + (', or write route = "local".' if folders else "."),
    )


def describe_egress(chosen: Settings) -> Iterator[str]:
    """Yield which folders' pictures leave this machine, when, where to, and at what cost."""
    for folder in chosen.folder:
        yield from describe_webhooks(folder, chosen)
        if folder in chosen.clustered:
            yield _to_cluster(folder, chosen)
            continue
        if folder not in chosen.tagged:
            if all(stays_here(webhook.url.authority) for webhook in active_webhooks(folder, chosen)):
                yield f"{folder.name}: nothing leaves this machine"
            continue
        when = _when(folder) if folder.route is Route.LOCAL_THEN_HOSTED else "every picture"
        size = f", reduced to {chosen.hosted.max_upload_px} px" if chosen.hosted.max_upload_px else ""
        yield (
            f"{folder.name}: PICTURES LEAVE THIS MACHINE: {when} is sent{size} to {chosen.hosted.address} "
            f"({chosen.hosted.provider}; {_cost(folder, chosen)})"
        )


def _to_cluster(folder: Folder, chosen: Settings) -> str:
    away = (
        f"; cut here if the cluster cannot be reached for more than {chosen.cluster.fallback_after_s:g} s"
        if folder.route is Route.CLUSTER_THEN_LOCAL
        else ""
    )
    return (
        f"{folder.name}: PICTURES LEAVE THIS MACHINE: every picture is sent as it is, metadata and all, to the machines "
        f"of the cluster at {chosen.cluster.scheduler}{away}"
    )


def describe_webhooks(folder: Folder, chosen: Settings) -> Iterator[str]:
    """Yield which receivers get the results of a folder, and which part of them."""
    for webhook in active_webhooks(folder, chosen):
        events = ", ".join(webhook.events)
        kind, what = (
            ("RESULTS", "each sidecar and the published files are sent")
            if webhook.include is WebhookContent.RESULT
            else ("SIDECARS", "names and figures, and no picture, are sent")
        )
        where = (
            "are sent to another program on this machine"
            if stays_here(webhook.url.authority)
            else "LEAVE THIS MACHINE"
        )
        yield f"{folder.name}: {kind} {where}: {what} to {webhook.url.authority} ({events})"


def active_webhooks(folder: Folder, chosen: Settings) -> tuple[FolderWebhook, ...]:
    """The webhooks of a folder that are told."""
    return folder.webhook if folder in chosen.with_webhooks else ()


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
