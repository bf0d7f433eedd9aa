"""The interface of methods that the web process may call: named, with checked parameters and a reply.

The web process answers untrusted clients and is assumed to be compromised: a method checks every parameter as untrusted
input.
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
    """The reply of a method.

    Attributes:
        data: JSON-compatible value. Beside a body: a few short values by name, which become headers (``changed``: ``X-Changed``).
        body: raw bytes to send, such as a tile.
        media_type: media type of the body.
        immutable: the same request always gives the same body, so a browser may cache it.
    """

    data: Any = None
    body: bytes = b""
    media_type: str = "application/json"
    immutable: bool = False


class RefusedError(Exception):
    """A method refuses a request.

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
    """The context of methods; shared by threads."""

    @property
    def clock(self) -> Clock:
        """The clock of this machine."""

    @property
    def watched(self) -> threading.Event:
        """Set while a client listens for events."""

    @property
    def open_store(self) -> Callable[[], Store | None]:
        """Return the journal, opened for the calling thread; None as long as there is no journal."""


BehindT = TypeVar("BehindT", bound=Behind)
_GivenT_contra = TypeVar("_GivenT_contra", contravariant=True)

Parameters: TypeAlias = Mapping[str, Any]
"""As they came: JSON of a stranger."""

MethodOf: TypeAlias = Callable[[BehindT, Parameters], Reply]
"""Raises `RefusedError`; anything else is an internal error, and is logged."""


@dataclass(frozen=True, slots=True)
class BytesMethod(Generic[_GivenT_contra]):
    """A method that gets the raw body of a request, such as a part of an upload.

    Attributes:
        run: function that implements the method.
    """

    run: Callable[[_GivenT_contra, Parameters, bytes], Reply]
