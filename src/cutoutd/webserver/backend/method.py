"""What the web process may ask of the process behind it: named methods, with checked parameters and a reply.

The web process answers strangers and is assumed to be taken over: a method checks all that it is given, as if a stranger
had sent it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    import threading

    from cutoutd.clock import Clock
    from cutoutd.journal.store import Store


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
        code: stable, short; the page's catalogue of texts has it as ``error.CODE``.
        text: for a person, in English, with what to do.
        named: values that the text names, for its translations.
    """

    def __init__(self, status: int, code: str, text: str, **named: object) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.text = text
        self.named = named


class Behind(Protocol):
    """What methods of any web process work with; shared by threads."""

    @property
    def clock(self) -> Clock:
        """Of this machine."""

    @property
    def watched(self) -> threading.Event:
        """Set while somebody listens for events."""

    @property
    def open_store(self) -> Callable[[], Store | None]:
        """The journal, opened for the thread that calls; None as long as there is no journal."""


BehindT = TypeVar("BehindT", bound=Behind)
_GivenT_contra = TypeVar("_GivenT_contra", contravariant=True)

Parameters: TypeAlias = Mapping[str, Any]
"""As they came: JSON of a stranger."""

MethodOf: TypeAlias = Callable[[BehindT, Parameters], Reply]
"""Raises `RefusedError`; anything else is a fault of ours, and is logged."""


@dataclass(frozen=True, slots=True)
class BytesMethod(Generic[_GivenT_contra]):
    """A method that is given a request's body as it came, such as a part of an upload.

    Attributes:
        run: likewise.
    """

    run: Callable[[_GivenT_contra, Parameters, bytes], Reply]
