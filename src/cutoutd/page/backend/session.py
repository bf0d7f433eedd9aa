"""The method that the page asks first: which cutoutd this is, and whether it is configured."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from cutoutd.page.backend.method import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cutoutd.page.backend.method import Backend, Method, Parameters


def _session(backend: Backend, _: Parameters) -> Reply:
    settings = backend.settings
    return Reply(data={"version": version("cutoutd"), "configured": bool(settings and settings.folder)})


METHODS: Final[Mapping[str, Method]] = {"session": _session}
