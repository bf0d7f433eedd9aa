"""The context of the page's methods. Methods must not return anything that the page may not show."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from cutoutd.webserver.backend.method import MethodOf

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cutoutd.clock import Clock
    from cutoutd.journal.store import Store
    from cutoutd.settings.schema import Settings


@dataclass(kw_only=True, slots=True)
class Backend:
    """The context of methods; shared by threads.

    Attributes:
        settings: as the configuration says now; None as long as there is none. Replaced whole when the file changes.
        config: the configuration's file; None where folders come from the command line.
        open_store: the journal, opened for the thread that calls; None as long as there is no journal.
        clock: of this machine.
        cache: a directory of our own for pictures to look at, which outlives a restart; bounded by whoever writes there.
        tell: sends an event to all browsers: its name, and what becomes JSON.
        watched: set while a browser listens for events; whoever looks for news waits for it first.
        parts: what methods keep between calls, by their module's name; closed at the end, where it has ``close``.
    """

    settings: Settings | None
    config: Path | None
    open_store: Callable[[], Store | None]
    clock: Clock
    cache: Path
    tell: Callable[[str, Any], None]
    watched: threading.Event = field(default_factory=threading.Event)
    parts: dict[str, Any] = field(default_factory=dict)


Method: TypeAlias = MethodOf[Backend]
"""Raises `RefusedError`; anything else is an internal error, and is logged."""
