"""Opens the page in a browser, paired by a code that other users of the machine cannot see.

The command line of a browser is visible to all users, so it names a private file, which redirects to the page.
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
        state_dir: state directory of the daemon.
        address: address of the page.

    Returns:
        The address with a code, which pairs a browser within a minute.

    Raises:
        NotPrivateError: other users can write in the state directory.
        OSError: the disk refuses.
    """
    paired = f"{address}/#{pairing.offer(state_dir)}"
    if has_desktop():
        import webbrowser  # noqa: PLC0415 -- only needed here, and it looks for browsers when it is imported

        # Neither the address nor the code has a character that is special in HTML.
        leading = pairing.directory(state_dir) / "open.html"
        atomic_write(leading, [_LEADS_ON.format(address=paired).encode()], synced=False)
        webbrowser.open(leading.as_uri())
    return paired


def has_desktop() -> bool:
    """Whether a browser would be visible: on a Mac, or with a display; not for root, where browsers refuse to run."""
    is_shown = sys.platform == "darwin" or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())
    return is_shown and os.geteuid() != 0 and "SSH_CONNECTION" not in os.environ
