"""A streaming parser of a JSON object whose texts may be whole pictures in base64, with the events of a form.

The events are those of the other readers in `cutoutd.serve.web.forms`. Numbers, truths and null count as their text, and null
as no field; an array or an object inside is refused.
"""

from __future__ import annotations

import json
import re
from enum import Enum, auto
from typing import Any, Final

MAX_NAME: Final = 200
MAX_LITERAL: Final = 64

_SPACE: Final = b" \t\r\n"
_STOP: Final = re.compile(rb'["\\]')
_ESCAPE_BYTES: Final = 2
_UNICODE_BYTES: Final = 6


class NoObjectError(ValueError):
    """The body is not a JSON object of texts, numbers and booleans."""


class _At(Enum):
    START = auto()
    NAME_OR_END = auto()
    NAME = auto()
    COLON = auto()
    VALUE = auto()
    TEXT = auto()
    LITERAL = auto()
    COMMA_OR_END = auto()
    END = auto()


class JsonReader:
    """Reads one object."""

    def __init__(self) -> None:
        self._at = _At.START
        self._events: list[tuple[str, Any]] = []
        self._name = bytearray()
        self._literal = bytearray()
        self._rest = b""
        self._is_first = True

    @property
    def is_whole(self) -> bool:
        """Whether the object has ended."""
        return self._at is _At.END

    def write(self, data: bytes) -> None:
        """Parse some more bytes.

        Raises:
            NoObjectError: it is none.
        """
        data, self._rest, at = self._rest + data, b"", 0
        while at < len(data):
            taken = self._in_text(data, at) if self._at in (_At.NAME, _At.TEXT) else self._outside(data, at)
            if taken == at:  # an escape that is not whole yet
                self._rest = data[at:]
                return
            at = taken

    def end(self) -> None:
        """End the input; `is_whole` tells whether the object is complete."""

    def taken(self) -> list[tuple[str, Any]]:
        """Return the events since the last call."""
        taken, self._events = self._events, []
        return taken

    def _outside(self, data: bytes, at: int) -> int:
        byte = data[at : at + 1]
        if self._at is _At.LITERAL and byte not in b",}" + _SPACE:
            self._literal += byte
            if len(self._literal) > MAX_LITERAL:
                raise NoObjectError
            return at + 1
        if self._at is _At.LITERAL:
            self._end_literal()
        if byte in _SPACE:
            return at + 1
        self._sign(byte)
        return at + 1

    def _sign(self, byte: bytes) -> None:
        match self._at, byte:
            case _At.START, b"{":
                self._at = _At.NAME_OR_END
            case (_At.NAME_OR_END, b'"'):
                self._name.clear()
                self._at, self._is_first = _At.NAME, False
            case (_At.NAME_OR_END, b"}") if self._is_first:
                self._at = _At.END
            case _At.COLON, b":":
                self._at = _At.VALUE
            case _At.VALUE, b'"':
                self._begin()
                self._at = _At.TEXT
            case _At.VALUE, _ if byte not in (b"{", b"[", b",", b"}"):
                self._literal[:] = byte
                self._at = _At.LITERAL
            case _At.COMMA_OR_END, b",":
                self._at = _At.NAME_OR_END
            case _At.COMMA_OR_END, b"}":
                self._at = _At.END
            case _:
                raise NoObjectError

    def _in_text(self, data: bytes, at: int) -> int:
        found = _STOP.search(data, at)
        end = len(data) if found is None else found.start()
        if end > at:
            self._said(data[at:end])
            return end
        if data[at : at + 1] == b'"':
            self._at = _At.COLON if self._at is _At.NAME else self._ended()
            return at + 1
        if len(data) - at < _ESCAPE_BYTES:
            return at
        size = _UNICODE_BYTES if data[at + 1 : at + 2] == b"u" else _ESCAPE_BYTES
        if len(data) - at < size:
            return at
        try:
            self._said(json.loads(b'"' + data[at : at + size] + b'"').encode("utf-8", "replace"))
        except ValueError:
            raise NoObjectError from None
        return at + size

    def _said(self, text: bytes) -> None:
        if self._at is _At.TEXT:
            self._events.append(("data", text))
            return
        self._name += text
        if len(self._name) > MAX_NAME:
            raise NoObjectError

    def _begin(self) -> None:
        self._events.append(("begin", (self._name.decode("utf-8", "replace"), "")))

    def _ended(self) -> _At:
        self._events.append(("end", None))
        return _At.COMMA_OR_END

    def _end_literal(self) -> None:
        text = bytes(self._literal)
        try:
            value = json.loads(text)
        except ValueError:
            raise NoObjectError from None
        if value is not None:
            self._begin()
            self._events.append(("data", text))
            self._ended()
        self._at = _At.COMMA_OR_END
