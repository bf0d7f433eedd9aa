"""A receiver of webhooks beside a campaign: whether it got a message about the end of each job, at least once and under one id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.webhook_receiver import SECRET, WebhookReceiver

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

ENABLED = ("[webhooks]", "enabled = true")
"""Lines of TOML of the whole configuration."""


def tables(receiver: WebhookReceiver, root: Path) -> tuple[str, ...]:
    """Return lines of TOML for the folder, and write the secret into a directory of the campaign."""
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


def missing(receiver: WebhookReceiver, rows: Iterable[dict[str, Any]]) -> list[str]:
    """Return the jobs about whose end there was no message, or messages with several ids.

    Args:
        receiver: receiver of all messages.
        rows: rows of the journal, of jobs that have ended.
    """
    received: dict[tuple[int, str], set[str]] = {}
    for one in receiver.seen:
        data = one.document["data"]
        received.setdefault((data["job"], data["state"]), set()).add(one.id)
    wrong = []
    for row in rows:
        ids = received.get((row["id"], row["state"]), set())
        if len(ids) != 1:
            wrong.append(f"job {row['id']} is {row['state']}, and the messages about it have {len(ids)} ids")
    return wrong
