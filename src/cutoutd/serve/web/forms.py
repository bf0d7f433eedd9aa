"""Streaming parsers of forms: multipart/form-data (RFC 7578) and urlencoded. Files are passed on part by part, never held.

Names and texts are bounded; longer ones are refused. This module must not know which fields there are.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias
from urllib.parse import unquote_to_bytes

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, QuerystringParser, parse_options_header

from cutoutd.serve.web.answers import RefusalError
from cutoutd.serve.web.json_form import JsonReader, NoObjectError
from cutoutd.serve.web.requests import body_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

MAX_FIELDS: Final = 100
MAX_TEXT: Final = 65_536
"""Bytes of all fields that are not files, together with their names."""

MULTIPART: Final = "multipart/form-data"
URLENCODED: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"

FORM_ROOM: Final = 1 << 20
"""Bytes of a form's body beside its picture."""

_DATA_URL: Final = re.compile(rb"data:[\w/+.-]{0,80};base64,")
_SPACE: Final = bytes.maketrans(b"-_", b"+/")
_LONGEST_PREFIX: Final = 100


class PartSink(Protocol):
    """Destination of the bytes of a file."""

    async def write(self, data: bytes) -> None:
        """Write some bytes."""


class Base64Sink:
    """Decodes base64 (RFC 4648, either alphabet), with or without a ``data:`` URL prefix, and passes the bytes on.

    Args:
        sink: destination of the bytes.
    """

    def __init__(self, sink: PartSink) -> None:
        self._sink = sink
        self._rest = b""
        self._is_started = False

    async def write(self, data: bytes) -> None:
        """Decode some more text.

        Raises:
        RefusalError: 400; the text is not base64.
        """
        text = self._rest + data.translate(_SPACE, b" \t\r\n")
        if not self._is_started:
            if len(text) < _LONGEST_PREFIX:
                self._rest = text
                return
            text = self._without_prefix(text)
        whole = len(text) // 4 * 4
        self._rest = text[whole:]
        await self._sink.write(_decoded(text[:whole]))

    async def end(self) -> None:
        """Decode the rest at the end of the text.

        Raises:
        RefusalError: 400; the text is not base64.
        """
        text = self._rest if self._is_started else self._without_prefix(self._rest)
        self._rest = b""
        if text:
            await self._sink.write(_decoded(text + b"=" * (-len(text) % 4)))

    def _without_prefix(self, text: bytes) -> bytes:
        self._is_started = True
        found = _DATA_URL.match(text)
        return text[found.end() :] if found else text


def _decoded(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise RefusalError(400, "base64", "The picture is not base64.") from None


OpenFile: TypeAlias = "Callable[[str, str], Awaitable[PartSink | None]]"
"""Is given a field's name and the file's (empty: none), and returns what takes it; None: the field is text."""


async def read_form(request: Request, open_file: OpenFile) -> dict[str, str]:
    """Read a form, or an equivalent JSON object: files are passed on, other fields returned.

    Args:
        request: request with the form as its body.
        open_file: see `OpenFile`.

    Raises:
        RefusalError: it is not a form, or its texts are too long; or as `open_file` and what it returns.
    """
    reader = _reader(request)
    fields = _Fields(open_file)
    async for part in body_of(request):
        for at in range(0, len(part), MAX_TEXT):
            try:
                reader.write(part[at : at + MAX_TEXT])
            except (FormParserError, NoObjectError) as error:
                raise _no_form() from error
            await fields.take(reader.taken())
    try:
        reader.end()
    except FormParserError as error:
        raise _no_form() from error
    await fields.take(reader.taken())
    if not reader.is_whole:
        raise _no_form()
    return fields.texts


def _reader(request: Request) -> _MultipartReader | _QueryReader | JsonReader:
    kind = kind_of(request)
    if kind == MULTIPART:
        return _MultipartReader(request)
    return JsonReader() if kind == JSON else _QueryReader()


def kind_of(request: Request) -> str:
    """Return the media type of a request's body, in lower case and without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _no_form() -> RefusalError:
    return RefusalError(
        400, "form", "The request's body is not a form of the kind that its Content-Type names."
    )


class _Fields:
    """Fields, assembled from parser events."""

    def __init__(self, open_file: OpenFile) -> None:
        self._open_file = open_file
        self._name = ""
        self._sink: PartSink | None = None
        self._text = bytearray()
        self._left = MAX_TEXT
        self._count = 0
        self.texts: dict[str, str] = {}

    async def take(self, events: list[tuple[str, Any]]) -> None:
        for kind, value in events:
            if kind == "begin":
                self._count += 1
                self._spend(len(value[0]) + len(value[1]) if self._count <= MAX_FIELDS else MAX_TEXT + 1)
                self._name = value[0]
                self._sink = await self._open_file(*value)
                self._text.clear()
            elif kind == "data" and self._sink is not None:
                await self._sink.write(value)
            elif kind == "data":
                self._spend(len(value))
                self._text += value
            elif isinstance(self._sink, Base64Sink):
                await self._sink.end()
            elif self._sink is None:
                self.texts[self._name] = self._text.decode("utf-8", "replace")

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise _too_long()


class _ParsedReader:
    """Reads a form by a parser, which reports to the methods of a subclass."""

    is_whole = True
    _parser: MultipartParser | QuerystringParser

    def __init__(self) -> None:
        self._events: list[tuple[str, Any]] = []

    def write(self, data: bytes) -> None:
        self._parser.write(data)

    def end(self) -> None:
        self._parser.finalize()

    def taken(self) -> list[tuple[str, Any]]:
        taken, self._events = self._events, []
        return taken


class _MultipartReader(_ParsedReader):
    def __init__(self, request: Request) -> None:
        _, options = parse_options_header(request.headers.get("content-type", ""))
        boundary = options.get(b"boundary", b"")
        if not 0 < len(boundary) <= 200:  # noqa: PLR2004 -- RFC 2046 has 70
            raise _no_form()
        super().__init__()
        self.is_whole = False
        self._field, self._value = bytearray(), bytearray()
        self._disposition = b""
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, start, end: _grow(self._field, data[start:end]),
                "on_header_value": lambda data, start, end: _grow(self._value, data[start:end]),
                "on_header_end": self._header,
                "on_headers_finished": self._headers,
                "on_part_data": lambda data, start, end: self._events.append(("data", data[start:end])),
                "on_part_end": lambda: self._events.append(("end", None)),
                "on_end": self._whole,
            },
        )

    def _begin(self) -> None:
        self._disposition = b""

    def _header(self) -> None:
        if bytes(self._field).lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._field.clear()
        self._value.clear()

    def _headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        name, filename = (options.get(one, b"").decode("utf-8", "replace") for one in (b"name", b"filename"))
        self._events.append(("begin", (name, filename)))

    def _whole(self) -> None:
        self.is_whole = True


class _QueryReader(_ParsedReader):
    def __init__(self) -> None:
        super().__init__()
        self._name = bytearray()
        self._rest = b""
        self._is_named = False
        self._parser = QuerystringParser(
            {
                "on_field_start": self._begin,
                "on_field_name": lambda data, start, end: _grow(self._name, data[start:end]),
                "on_field_data": lambda data, start, end: self._data(data[start:end]),
                "on_field_end": self._end,
            }
        )

    def _begin(self) -> None:
        self._name.clear()
        self._rest = b""
        self._is_named = False

    def _named(self) -> None:
        if not self._is_named:
            self._is_named = True
            name = _plain(bytes(self._name)).decode("utf-8", "replace")
            self._events.append(("begin", (name, "")))

    def _data(self, data: bytes) -> None:
        self._named()
        text = self._rest + data
        # An escape that is not whole waits for the rest of it.
        cut = text.rfind(b"%", max(0, len(text) - 2))
        self._rest = text[cut:] if cut >= 0 else b""
        self._events.append(("data", _plain(text[:cut] if cut >= 0 else text)))

    def _end(self) -> None:
        self._named()
        if self._rest:
            self._events.append(("data", _plain(self._rest)))
        self._events.append(("end", None))


def _grow(into: bytearray, data: bytes) -> None:
    into += data
    if len(into) > MAX_TEXT:
        raise _too_long()


def _too_long() -> RefusalError:
    return RefusalError(413, "form", "The form has too many fields, or too long ones.")


def _plain(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" "))
