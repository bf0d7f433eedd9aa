"""What the web process may ask of the backend: named methods, with checked parameters and a reply.

The web process answers browsers and is assumed to be taken over: a method checks all that it is given, as if a stranger
had sent it. It must not return anything that the page may not show.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

    from cutoutd.clock import Clock
    from cutoutd.journal.store import Store
    from cutoutd.settings.schema import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What a method answers.

    Attributes:
        data: what becomes JSON. Beside a body: a few short values by name, which become headers (``changed``: ``X-Changed``).
        body: bytes that are sent as they are, such as a tile.
        media_type: of the body.
        immutable: the same request gives the same body for ever, so a browser may keep it.
    """

    data: Any = None
    body: bytes = b""
    media_type: str = "application/json"
    immutable: bool = False


class RefusedError(Exception):
    """A method cannot do what it was asked.

    Args:
        status: HTTP status: 400 for a wrong request, 404, 409 for something that has changed, 422 for a value that is
            refused, 503 for what is not there just now.
        code: stable, short; the catalogue of texts has it as ``error.CODE``.
        text: for a person, in English, with what to do.
        named: values that the text names, for its translations.
    """

    def __init__(self, status: int, code: str, text: str, **named: object) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.text = text
        self.named = named


@dataclass(kw_only=True, slots=True)
class Backend:
    """What methods work with; shared by threads.

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


Parameters: TypeAlias = Mapping[str, Any]
"""As they came: JSON of a stranger."""

Method: TypeAlias = Callable[[Backend, Parameters], Reply]
"""Raises `RefusedError`; anything else is a fault of ours, and is logged."""
