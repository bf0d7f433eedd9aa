"""A backend for the page's methods without processes: a configuration, and the events to browsers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cutoutd.clock import Clock
from cutoutd.page.backend.method import Backend
from cutoutd.settings import loader

if TYPE_CHECKING:
    from pathlib import Path

CONFIGURATION = """# Ann's folders
[service]
state_dir = "state"   # beside this file

[hosted]
enabled = true
api_key_file = "key"

[hooks]
on_failed = ["tell-ann"]

[[folder]]
name = "shoot"        # the studio
input = "shoot"
output = "cutouts"
# what nobody needs to see
review_below = 0.1

# ---- what goes to the service ----
[[folder]]
name = "catalogue"
input = "catalogue"
output = "catalogue-out"
route = "hosted"
[folder.hooks]
on_done = ["into-the-shop", "--now"]

[[folder.rendition]]
format = "jpeg"
background = "white"

[[folder.rendition]]
preset = ["amazon", "ebay"]
"""


def backend_at(path: Path, text: str | None = CONFIGURATION) -> Backend:
    """Return a backend whose configuration file has this text; with None there is no file."""
    settings = None
    if text is not None:
        path.write_text(text, encoding="utf-8")
        settings = loader.load(path, {})
    backend = Backend(
        settings=settings,
        config=path,
        open_store=lambda: None,
        clock=Clock(),
        cache=path.parent,
        tell=lambda event, data: told(backend).append((event, data)),
    )
    return backend


class _Told(list[tuple[str, Any]]):
    """Events with their data."""


def told(backend: Backend) -> list[tuple[str, Any]]:
    """Return the events that browsers were told of."""
    return backend.shared.get(_Told, _Told)
