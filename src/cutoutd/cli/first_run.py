"""`cutoutd run` before there is a configuration: the page helps to make one, and the daemon begins when it is there."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Final

from cutoutd.cli import browser
from cutoutd.page import announcement
from cutoutd.settings import loader

if TYPE_CHECKING:
    from pathlib import Path

_LOOK_S: Final = 0.3
_SOON_S: Final = 15.0


def wait_for_configuration(state_dir: Path) -> None:
    """Open the page where there is a desktop, and wait until a configuration is where one is looked for.

    Args:
        state_dir: whose page is served meanwhile.
    """
    print("There is no configuration yet. Choose folders on the page; Ctrl-C ends.", flush=True)
    begun_s = time.monotonic()
    is_open = not browser.has_desktop()
    while loader.find(None, os.environ) is None:
        if not is_open and (address := announcement.running(state_dir)) is not None:
            print(
                f"The page, for one browser and a minute: {browser.open_page(state_dir, address)}", flush=True
            )
            is_open = True
        is_open = is_open or time.monotonic() - begun_s > _SOON_S
        time.sleep(_LOOK_S)
