"""What a key takes, what was given, and which key may have been meant, in plain words.

All of it is derived from the schema, so that no message can be behind it. It must not decide what is right.
"""

from __future__ import annotations

import json
from difflib import get_close_matches
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel

from cutoutd.settings.schema import Settings
from cutoutd.settings.spelling import AUTO

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pydantic.fields import FieldInfo

_SHOWN_CHARACTERS: Final = 60


def takes(field: FieldInfo, *, quoted: bool = True) -> str:
    """What would be right for a key.

    Args:
        field: the key's.
        quoted: texts stand in quotes, as in a file; not so in an environment variable.
    """
    kind = _kind(field)
    if get_origin(kind) is tuple:
        return 'a list of texts such as ["*.jpg", "*.png"]'
    if get_origin(kind) is Literal:
        return " or ".join(str(one) for one in get_args(kind))
    if issubclass(kind, BaseModel):
        return "a table"
    if issubclass(kind, StrEnum):
        words = [f'"{word.value}"' if quoted else word.value for word in kind]
        return f"one of {', '.join(words)}" if len(words) > 1 else f"only {words[0]} in this version"
    if kind in (int, float):
        number = f"a {'whole ' if kind is int else ''}number{_range(field)}"
        return f'{number}, or "{AUTO}"' if field.default is None else number
    in_quotes = " in quotes" if quoted else ""
    plain = {bool: "true or false", Path: f"a path{in_quotes}", str: f"a text{in_quotes}{_length(field)}"}
    return plain[kind]


def shown(value: object) -> str:
    """A value as it was written, or nearly so."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."


def stands_bare(field: FieldInfo) -> bool:
    """Whether nothing that a key takes stands in quotes: it is a number or a truth value."""
    kind = _kind(field)
    return get_origin(kind) is Literal or (kind in (int, float, bool) and field.default is not None)


def unknown_key(key: str, table: type[BaseModel]) -> str:
    """What to say of a key that a table does not have."""
    elsewhere = _homes().get(key)
    if elsewhere:
        return f"there is no such key here; it belongs to {' or '.join(elsewhere)}"
    near = nearest(key, table.model_fields)
    if near is not None:
        return f'there is no such key; did you mean "{near}"?'
    far = nearest(key, _homes())
    if far is not None:
        return f'there is no such key; did you mean "{far}" of {_homes()[far][0]}?'
    return f"there is no such key; this table has {', '.join(table.model_fields)}"


def unknown_table(name: str) -> str:
    """What to say of a table, or of a key above the first table, that does not exist."""
    belongs = _homes().get(name)
    if belongs:
        return f"stands in no table; it belongs to {' or '.join(belongs)}"
    near = nearest(name, Settings.model_fields)
    known = f"did you mean {heading(near)}?" if near else f"there are {', '.join(_tables())}"
    return f"there is no such table; {known}"


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The word that was probably meant."""
    lower = {one.lower(): one for one in words}
    found = get_close_matches(word.lower(), lower, n=1)
    return lower[found[0]] if found else None


def heading(table: str) -> str:
    """How a table of the first level is headed."""
    return next(title for title in _tables() if title.strip("[]") == table)


def item_type(field: FieldInfo) -> type[BaseModel] | None:
    """The table that a key holds, once or in a list; None if it holds a plain value."""
    kind = _kind(field)
    kind = get_args(kind)[0] if get_origin(kind) is tuple else kind
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


@cache
def _tables() -> Mapping[str, type[BaseModel]]:
    """All tables by their headings."""
    return dict(_tables_below("", Settings))


def _tables_below(prefix: str, table: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    for key, field in table.model_fields.items():
        inner = item_type(field)
        if inner is not None:
            many = get_origin(_kind(field)) is tuple
            yield f"[[{prefix}{key}]]" if many else f"[{prefix}{key}]", inner
            yield from _tables_below(f"{prefix}{key}.", inner)


@cache
def _homes() -> Mapping[str, list[str]]:
    """For each key that holds a plain value, the headings of the tables that have it."""
    homes: dict[str, list[str]] = {}
    for title, table in _tables().items():
        for key, field in table.model_fields.items():
            if item_type(field) is None:
                homes.setdefault(key, []).append(title)
    return homes


def _kind(field: FieldInfo) -> Any:  # noqa: ANN401 -- an annotation may be a class or a generic alias
    kind: Any = field.annotation
    if isinstance(kind, UnionType):
        return next(one for one in get_args(kind) if one is not type(None))
    return kind


def _range(field: FieldInfo) -> str:
    low, high = (f"{_bound(field, name):_}" for name in ("ge", "le"))
    return f" from {low} to {high}"


def _length(field: FieldInfo) -> str:
    most = _bound(field, "max_length")
    return f" of {_bound(field, 'min_length') or 0} to {most} characters" if most is not None else ""


def _bound(field: FieldInfo, name: str) -> Any:  # noqa: ANN401 -- an int or a float, as the schema has it
    return next((getattr(one, name) for one in field.metadata if hasattr(one, name)), None)
