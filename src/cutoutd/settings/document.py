"""The configuration file as TOML: reading, plain messages about syntax errors, and writing.

The tables are not interpreted here.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

from cutoutd.errors import ConfigurationError
from cutoutd.settings.types import AUTO

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cutoutd.settings.schema import Settings

# tomllib gives the place as text alone before Python 3.14.
_PLACE: Final = re.compile(r" \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$")

_CURLY: Final = re.compile("[\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb]")
_TRUTHS: Final = {
    "yes": "true",
    "no": "false",
    "on": "true",
    "off": "false",
    "True": "true",
    "False": "false",
}
_BARE: Final = re.compile(r"[A-Za-z_~/.][^#\"']*")
_SLIPS: Final = (
    ("Cannot overwrite", "KEY is set twice in this table; take one out"),
    ("Cannot declare", "this table is there twice, or stands in for one; put both together"),
    (
        r"Invalid hex|Unescaped|.*escape",
        "in \"...\" a \\ has a meaning of its own; write '...', or / in its place",
    ),
    (r"Illegal character '\\n'", "the closing quote is missing"),
    ("Expected ']'", "the closing ] is missing"),
    ("Expected '='", "after a name belongs a = and a value"),
    ("Expected newline", "there is more on this line than one value"),
)
"""How what the parser says begins, and the slip behind it."""

_ONE_OR_MORE: Final = frozenset({"worker_port"})
"""Keys that take a value or a list; a list of one is written as the value."""

TABLES_WITH_SECRETS: Final = frozenset({"hosted", "serve", "page", "cluster"})
"""Tables in which somebody may write a key or a password by mistake: those belong into files of their own."""

WITHHELD: Final = "..."
"""Stands for a value that may be a secret."""

_SECRET: Final = re.compile(r"key|token|secret|passw", re.IGNORECASE)
_HEADER: Final = re.compile(r"\s*\[+([^\]#=]+)\]")
_KEY: Final = re.compile(r"[a-z][a-z_.]*")

_SURROGATES: Final = re.compile("[\ud800-\udfff]")


def read(path: Path) -> dict[str, Any]:
    """Read a configuration file as nested dictionaries.

    Raises:
        ConfigurationError: the file is missing, unreadable, not UTF-8 or not TOML; with line and column.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise ConfigurationError(
            "there is no such file", path=path, advice="Give the right one with --config FILE."
        ) from None
    except OSError as error:
        raise ConfigurationError(
            f"it cannot be read ({error.strerror})",
            path=path,
            advice="It must be a file that this user may read.",
        ) from error
    return parse(raw, path)


def parse(raw: bytes, path: Path) -> dict[str, Any]:
    """Parse the bytes of a configuration file to nested dictionaries.

    Args:
        raw: content of the file.
        path: path of the file, for messages; the file is not opened.

    Raises:
        ConfigurationError: the bytes are not UTF-8 or not TOML; with line and column.
    """
    try:
        text = raw.decode("utf-8-sig")  # some editors begin a file with the mark this passes over
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(
            f"line {line} is not UTF-8 text", path=path, advice="Save it again with the encoding UTF-8."
        ) from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(path, text, str(error)) from error
    except RecursionError:
        raise ConfigurationError("brackets are nested too deeply in it", path=path) from None


def as_toml(settings: Settings) -> str:
    """Return the whole configuration as a TOML file.

    A path that is not UTF-8, as ``--input`` may name one, cannot stand in TOML; U+FFFD takes the place of what is not.
    """
    return "\n\n".join(_tables(settings, "")) + "\n"


def _syntax_error(path: Path, text: str, said: str) -> ConfigurationError:
    place = _PLACE.search(said)
    what = said[: place.start()] if place is not None else said
    lines = text.rstrip().split("\n") if place is None or place["line"] is None else text.split("\n")
    number = len(lines) if place is None or place["line"] is None else int(place["line"])
    line = _without_secret(lines[number - 1].strip(), lines[: number - 1])
    said = _plain(what, line)
    if place is None or place["line"] is None:
        return ConfigurationError(f"the last line is not finished: {said}, in `{line}`", path=path)
    return ConfigurationError(f"line {number}, column {place['column']}: {said}, in `{line}`", path=path)


def _without_secret(line: str, above: Sequence[str]) -> str:
    """Return a line without its value, if that may be a key for a service: this text reaches the log."""
    table = next((found[1] for one in reversed((*above, line)) if (found := _HEADER.match(one))), "")
    key, is_value, _ = line.partition("=")
    has_secrets = any(_first_part(name) in TABLES_WITH_SECRETS for name in (table, key)) or "webhook" in table
    if _HEADER.match(line) or not (has_secrets or _SECRET.search(key)):
        return line
    # What is not a key as ours are may be the rest of a value of several lines.
    return f"{key.strip()} = {WITHHELD}" if is_value and _KEY.fullmatch(key.strip()) else WITHHELD


def _first_part(name: str) -> str:
    return name.partition(".")[0].strip(" \t\"'")


def _plain(said: str, line: str) -> str:
    """Return a message about a syntax error, for people who do not know TOML.

    The parser says what it expected; which slip led to that is seen from the line.
    """
    key, _, value = (part.strip() for part in line.partition("="))
    if _CURLY.match(key) or _CURLY.match(value):
        return "these are typographic quotes; use straight ones"
    if said.startswith("Invalid value"):
        return _slip(value)
    words = next((words for begin, words in _SLIPS if re.match(begin, said)), f"this is not TOML: {said}")
    return words.replace("KEY", key)


def _slip(value: str) -> str:
    word = value.partition("#")[0].strip()
    if word == WITHHELD:
        return "this is not a value; texts need quotes before and after, and numbers have none"
    if word in _TRUTHS:
        return f"{word} is written {_TRUTHS[word]}"
    if not word:
        return "the value is missing"
    if _BARE.fullmatch(word):
        return f'texts need quotes: "{word}"'
    return "this is not a value; texts need quotes, and numbers have none"


def _tables(table: BaseModel, prefix: str) -> Iterator[str]:
    """Yield the sub-tables of a table; the caller writes its plain keys, which come first in TOML."""
    for key, value in table:
        name = f"{prefix}{key}"
        if isinstance(value, BaseModel):
            yield _table(f"[{name}]", value)
            yield from _tables(value, f"{name}.")
        elif _is_tables(value):
            for item in value:
                yield _table(f"[[{name}]]", item)
                yield from _tables(item, f"{name}.")


def _table(heading: str, table: BaseModel) -> str:
    lines = [
        f"{key} = {_value(key, value)}"
        for key, value in table
        if not isinstance(value, BaseModel) and not _is_tables(value)
    ]
    return "\n".join((heading, *lines))


def _is_tables(value: object) -> bool:
    return isinstance(value, tuple) and bool(value) and isinstance(value[0], BaseModel)


def _value(key: str, value: object) -> str:
    if value is None:
        # A path or address that is not set is written as nothing, a number that the machine chooses as such.
        return '""' if key.endswith(("_dir", "_file", "_url", "_cert", "_key")) else f'"{AUTO}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        pairs = ", ".join(f"{_quote(name)} = {_value(name, one)}" for name, one in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, tuple) and len(value) == 1 and key in _ONE_OR_MORE:
        return _value("", value[0])
    if isinstance(value, tuple):
        return f"[{', '.join(_value('', item) for item in value)}]"
    return str(value) if isinstance(value, int | float) else _quote(str(value))


def _quote(text: str) -> str:
    """Quote a text as JSON, which is valid TOML except for DEL."""
    return json.dumps(_SURROGATES.sub("\ufffd", text), ensure_ascii=False).replace("\x7f", "\\u007f")
