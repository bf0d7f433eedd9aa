"""The check of the page for `cutoutd doctor`: its listening address, password and sandbox.

The check listens for a moment and closes again. Call it while this process has a network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cutoutd.doctor.finding import Finding, ok
from cutoutd.page.backend.password import read_password
from cutoutd.page.pairing import directory
from cutoutd.webserver.backend import examination, listener

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.settings.schema import Settings

CHECK: Final = "page"


def judge(settings: Settings) -> Iterator[Finding]:
    """Check the page.

    Args:
        settings: settings of the configuration, or the defaults.
    """
    page = settings.page
    if not page.enabled:
        yield ok(CHECK, "it is switched off ([page] enabled = false): no process, no port")
        return
    address = examination.served_at(directory(settings.service.state_dir))
    yield from examination.place(
        page, CHECK, address, "; `cutoutd page` opens it", "`cutoutd page` finds it; or"
    )
    yield from examination.files(page, CHECK, read_password, listener.check_certificate)
    if page.password_file is not None and not page.address.is_loopback:
        who = f"other machines may come as {', '.join(page.hosts)}"
        if not page.hosts:
            who = "browsers on the machine of this container may come"
        yield ok(CHECK, f"{who}, with the password")
    yield from examination.layers(CHECK, "the page", "browsers", settings.pool.sandbox)
