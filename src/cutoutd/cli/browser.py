"""Opens the page in a browser, paired by a code that no other user of the machine gets to see.

A browser's command line can be read by everybody on the machine, so it names a file of this user's, which leads on.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from cutoutd.fs.atomic_write import atomic_write
from cutoutd.page import pairing

if TYPE_CHECKING:
    from pathlib import Path

_LEADS_ON: Final = """<!doctype html>
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
<meta http-equiv="refresh" content="0; url={address}">
<title>cutoutd</title>
<p><a href="{address}">cutoutd</a></p>
"""


def open_page(state_dir: Path, address: str) -> str:
    """Open the page on a desktop.

    Args:
        state_dir: of the daemon.
        address: of the page.

    Returns:
        The address with a code, which pairs a browser within a minute.

    Raises:
        NotPrivateError: the state directory is not safe from others.
        OSError: the disk refuses.
    """
    paired = f"{address}/#{pairing.offer(state_dir)}"
    if has_desktop():
        import webbrowser  # noqa: PLC0415 -- only here, and it looks for browsers when it is loaded

        # An address and a code have no character that means anything here.
        leading = pairing.directory(state_dir) / "open.html"
        atomic_write(leading, [_LEADS_ON.format(address=paired).encode()], synced=False)
        webbrowser.open(leading.as_uri())
    return paired


def has_desktop() -> bool:
    """Whether a browser would be seen: on a Mac, or where a display is named; not for root, whose browser refuses."""
    is_shown = sys.platform == "darwin" or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())
    return is_shown and os.geteuid() != 0 and "SSH_CONNECTION" not in os.environ
