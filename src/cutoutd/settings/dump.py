"""Settings as TOML, as they were resolved: every key, with absolute paths. It loads again to equal settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from cutoutd.settings.spelling import AUTO

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.settings.schema import Settings

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
_DELETE = "\x7f"


def as_toml(settings: Settings) -> str:
    """The whole configuration as a TOML file.

    A path that is not UTF-8, as ``--input`` may name one, cannot stand in TOML; U+FFFD takes the place of what is not.
    """
    return "\n\n".join(_tables(settings, "")) + "\n"


def _tables(table: BaseModel, prefix: str) -> Iterator[str]:
    """The tables below a table; its own plain keys are its caller's, since TOML wants them first."""
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
        # A path that is not set is written as nothing, a number that the machine chooses as such.
        return '""' if key.endswith(("_dir", "_file")) else f'"{AUTO}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        pairs = ", ".join(f"{_quoted(name)} = {_value(name, one)}" for name, one in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, tuple):
        return f"[{', '.join(_quoted(str(item)) for item in value)}]"
    if isinstance(value, str | Path):
        return _quoted(str(value))
    return str(value)


def _quoted(text: str) -> str:
    return '"' + "".join(_escaped(one) for one in text) + '"'


def _escaped(one: str) -> str:
    if one in _ESCAPES:
        return _ESCAPES[one]
    if "\ud800" <= one <= "\udfff":
        return "\ufffd"
    return f"\\u{ord(one):04x}" if one < " " or one == _DELETE else one
