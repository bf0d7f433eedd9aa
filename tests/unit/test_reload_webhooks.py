"""A reload changes a running daemon's webhooks where an uploader runs.

Messages that may not be sent any more are withdrawn.
"""

from __future__ import annotations

from typing import Any

import pytest

from cutoutd.daemon.reload import check
from cutoutd.errors import ConfigurationError
from cutoutd.settings.loader import assemble

HOOK = {"url": "https://x.example/", "secret_file": "/s"}


def settings(*webhooks: dict[str, Any]) -> Any:  # noqa: ANN401 -- Settings
    """Return settings with one folder that has these webhooks."""
    folder = {"name": "a", "input": "/in", "output": "/out", "webhook": list(webhooks)}
    return assemble({"webhooks": {"enabled": True}, "folder": [folder]}, {}, origin="", base=None)


def test_the_first_webhook_takes_a_restart_and_others_a_reload() -> None:
    """The uploader starts with the daemon, which cannot start it later: the daemon has no network."""
    with pytest.raises(
        ConfigurationError, match="that a folder has a webhook cannot change while cutoutd runs"
    ):
        check(settings(), settings(HOOK))
    check(settings(HOOK), settings(HOOK, HOOK | {"url": "https://y.example/", "include": "result"}))
    check(settings(HOOK), settings())
