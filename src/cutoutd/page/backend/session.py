"""The first method that the page calls: version of cutoutd, and whether it is configured and runs."""

from __future__ import annotations

import os
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from cutoutd.journal.commands import Commands
from cutoutd.page.backend.method import read
from cutoutd.page.backend.overview import daemon_status
from cutoutd.webserver.backend.journal import journal
from cutoutd.webserver.backend.method import RefusedError, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.page.backend.method import Backend, Endpoint
    from cutoutd.webserver.backend.method import Parameters


def session(backend: Backend, _: Parameters) -> Reply:
    """What the page has to know before anything else; it is answered whatever has become of the journal."""
    settings, trouble, paused = backend.settings, None, False
    try:
        with journal(backend) as store:
            paused = store is not None and Commands(store, backend.clock).is_paused()
    except RefusedError as refused:
        trouble = {"code": refused.code, "text": refused.text}
    return Reply(
        data={
            "version": version("cutoutd"),
            "configured": bool(settings and settings.folder),
            "changeable": backend.config is not None,
            "language": "",  # the browser's
            "roots": [os.fspath(one) for one in getattr(getattr(settings, "page", None), "roots", ())],
            "paused": paused,
            "running": daemon_status(backend)[0],
            "trouble": trouble,
        }
    )


ENDPOINTS: Final[Mapping[str, Endpoint]] = {"session": read(session)}
