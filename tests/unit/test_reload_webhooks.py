"""A reload changes whom a running daemon tells, where an uploader is there to do it, and takes back what nobody may send any more."""

from __future__ import annotations

from typing import Any

import pytest

from cutoutd.daemon.reload import check
from cutoutd.errors import ConfigurationError
from cutoutd.settings.loader import assemble

HOOK = {"url": "https://x.example/", "secret_file": "/s"}


def settings(*webhooks: dict[str, Any]) -> Any:  # noqa: ANN401 -- Settings
    """With one folder that has these."""
    folder = {"name": "a", "input": "/in", "output": "/out", "webhook": list(webhooks)}
    return assemble({"webhooks": {"enabled": True}, "folder": [folder]}, {}, origin="", base=None)


def test_the_first_webhook_takes_a_restart_and_others_a_reload() -> None:
    """The uploader is started with the daemon, which cannot start it later: it has no network."""
    with pytest.raises(
        ConfigurationError, match="that a folder has a webhook cannot change while cutoutd runs"
    ):
        check(settings(), settings(HOOK))
    check(settings(HOOK), settings(HOOK, HOOK | {"url": "https://y.example/", "include": "result"}))
    check(settings(HOOK), settings())
