"""A receiver of webhooks beside a campaign, and whether it was told of each end: at least once, and under one name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.webhook_receiver import SECRET, WebhookReceiver

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SWITCHED_ON = ("[webhooks]", "enabled = true")
"""Lines of TOML."""


def tables(receiver: WebhookReceiver, root: Path) -> tuple[str, ...]:
    """Lines of TOML for the folder; the secret lies in a directory of the campaign's."""
    root.mkdir(parents=True, exist_ok=True)
    secret = root / "webhook.secret"
    secret.write_text(SECRET, encoding="ascii")
    secret.chmod(0o600)
    return (
        "[[folder.webhook]]",
        f'url = "{receiver.url}"',
        f'secret_file = "{secret}"',
        "allow_private = true",
    )


def untold(receiver: WebhookReceiver, rows: Iterable[dict[str, Any]]) -> list[str]:
    """Which ends the receiver was not told of, or under more names than one.

    Args:
        receiver: of all messages.
        rows: of the journal, of jobs that have ended.
    """
    told: dict[tuple[int, str], set[str]] = {}
    for one in receiver.seen:
        data = one.document["data"]
        told.setdefault((data["job"], data["state"]), set()).add(one.id)
    wrong = []
    for row in rows:
        ids = told.get((row["id"], row["state"]), set())
        if len(ids) != 1:
            wrong.append(f"job {row['id']} is {row['state']}, which was told under {len(ids)} names")
    return wrong
