"""The page's methods: their context, and what is declared of each. They must not return anything that the page may not show."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from cutoutd.page.backend import requests
from cutoutd.webserver.backend.method import MethodOf
from cutoutd.webserver.backend.shared_state import SharedState

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
        shared: what methods keep between calls.
    """

    settings: Settings | None
    config: Path | None
    open_store: Callable[[], Store | None]
    clock: Clock
    cache: Path
    tell: Callable[[str, Any], None]
    watched: threading.Event = field(default_factory=threading.Event)
    shared: SharedState = field(default_factory=SharedState)


Method: TypeAlias = MethodOf[Backend]
"""Raises `RefusedError`; anything else is an internal error, and is logged."""

MAX_BODY: Final = 1 << 18
"""Of a request's body, in bytes, unless its endpoint says otherwise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """A method, and what is checked before it runs.

    Attributes:
        run: the method.
        parameters: names of its parameters; others are refused.
        is_change: it changes something, so a cookie is not enough: it needs a token as well.
        is_slow: it looks at people's folders or has a worker do something, and runs in threads of its own: a share that hangs
            holds up no list.
        max_body: largest body of a request, in bytes.
    """

    run: Method
    parameters: frozenset[str]
    is_change: bool
    is_slow: bool
    max_body: int


def read(run: Method, *parameters: str, is_slow: bool = False) -> Endpoint:
    """Return the endpoint of a method that changes nothing."""
    return Endpoint(
        run=run, parameters=frozenset(parameters), is_change=False, is_slow=is_slow, max_body=MAX_BODY
    )


def change(run: Method, *parameters: str, is_slow: bool = False, max_body: int = MAX_BODY) -> Endpoint:
    """Return the endpoint of a method that changes something: its requests have a name, so that one may be sent again."""
    known = frozenset((*parameters, requests.REQUEST))
    return Endpoint(run=run, parameters=known, is_change=True, is_slow=is_slow, max_body=max_body)
