"""`cutoutd run` without a configuration: the page helps to make one, and the daemon starts once it exists.

The same process then continues as the daemon. Meanwhile it feeds the watchdog of a service manager, and sets its status.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from cutoutd.cli import browser
from cutoutd.cli.instance import as_options, last_pair
from cutoutd.cli.printing import printable, wrapped
from cutoutd.cli.registry import waiting
from cutoutd.daemon.assembly import handling_signals
from cutoutd.errors import ConfigurationError, CutoutdError
from cutoutd.page import announcement
from cutoutd.process.controlling_terminal import started_at_terminal
from cutoutd.process.stop_flag import StopFlag
from cutoutd.settings import loader, places

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.process.sd_notify import ServiceManager
    from cutoutd.settings.schema import Settings

_LOOK_S: Final = 0.3
_SOON_S: Final = 30.0
"""Time after which a page that is not served has printed the reason itself."""

_WAITS: Final = "there is no configuration yet; `cutoutd page` opens the page, on which folders are chosen"


def wait_for_configuration(state_dir: Path, manager: ServiceManager) -> Settings | None:
    """Print where the page is, and wait for a valid configuration in one of the usual places.

    Args:
        state_dir: state directory whose page is served meanwhile.
        manager: the service manager that started us, if there is one.

    Returns:
        The configuration; None: a signal asked to end.
    """
    ending = StopFlag()
    print("There is no configuration yet. Choose folders on the page; Ctrl-C ends.", flush=True)
    if (last := last_pair()) is not None:
        said = f"To go on with the folders that were used last: `cutoutd run {as_options(last)}`"
        print(wrapped(said, sys.stdout), flush=True)
    manager.ready()
    manager.status(_WAITS)
    # SIGHUP from a closed terminal ends us; elsewhere it asks for a reload, and there is nothing to reload yet.
    on_hangup = None if started_at_terminal() else _nothing
    with handling_signals(ending.set, on_hangup), waiting(places.registry()):
        opening = _PageOpener(state_dir)
        last_error = ""
        while not ending.wait(_LOOK_S):
            opening.poll()
            if manager.feed_every_s is not None:
                manager.feed()
            try:
                file = loader.find(None, os.environ)
                if file is not None:
                    return loader.load(file, os.environ)
            except ConfigurationError as error:
                if str(error) != last_error:
                    last_error = str(error)
                    said = f"cutoutd: {printable(f'{error.title}: {error}', keep=chr(10))}"
                    print(wrapped(said, sys.stderr), file=sys.stderr, flush=True)
    return None


class _PageOpener:
    """Opens the page once it is served, if a person can see it."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._end_s = time.monotonic() + _SOON_S
        # The code must never go into a log.
        self._is_over = not (sys.stdout.isatty() or browser.has_desktop())

    def poll(self) -> None:
        """Open the page, if it is served."""
        if self._is_over:
            return
        if time.monotonic() > self._end_s:
            self._is_over = True
            return
        with suppress(CutoutdError, OSError):  # the next call tries again
            address = announcement.running(self._state_dir)
            if address is None:
                return
            paired = browser.open_page(self._state_dir, address)
            if sys.stdout.isatty():
                print(f"The page, for one browser and a minute: {paired}", flush=True)
            self._is_over = True


def _nothing() -> None:
    """Ignore a reload: there is no configuration yet."""
