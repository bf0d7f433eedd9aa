"""Messages about configuration errors: the place, what the key takes, and which key was probably meant.

Messages are derived from the schema, so that they stay up to date. This module must not decide what is valid.
"""

from __future__ import annotations

from difflib import get_close_matches
from enum import StrEnum
from functools import cache
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel

from cutoutd.settings.document import TABLES_WITH_SECRETS
from cutoutd.settings.problem import Problem, UnfitValueError
from cutoutd.settings.schema import Settings
from cutoutd.settings.types import AUTO, format_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pydantic import ValidationError
    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

_GROUPED: Final = 10_000
"""From this number on, digits are grouped, as in the reference configuration."""

_ELSEWHERE: Final = 0.8
"""How similar a key of another table must be to be suggested, 0 to 1: there are many, and some are similar by chance."""

_CONTAINERS: Final = {
    tuple: 'a list of texts such as ["*.jpg", "*.png"]',
    dict: "names with a text, a number, true or false each, such as { a = true, af = 240 }",
}


def of_folder(name: object, number: int) -> str:
    """Return the title of a folder's table: with its name, or its number (from 1) if it has none."""
    return (
        f'[[folder]] "{name}"'
        if name and isinstance(name, str) and name.isprintable()
        else f"[[folder]] number {number}"
    )


def problems_of(
    error: ValidationError, table: str, model: type[BaseModel], *, from_file: frozenset[str] | None = None
) -> Iterator[Problem]:
    """Translate pydantic's errors about a table to problems in plain words.

    Args:
        error: as pydantic raised it.
        table: title of the table.
        model: pydantic model of the table.
        from_file: keys that come from a file, where texts are quoted; None: all.
    """
    for one in error.errors(include_url=False):
        yield _problem(one, table, model, from_file)


def _problem(
    error: ErrorDetails, table: str, model: type[BaseModel], from_file: frozenset[str] | None
) -> Problem:
    *outer, last = error["loc"]
    # A table in the table, such as ("matte", "refine") or ("rendition", 0, "format"), or an item of a list.
    if outer:
        holder = str(outer[0])
        inner = item_type(model.model_fields[holder])
        if inner is None or isinstance(last, int):
            last = holder
        else:
            table = _inner_title(table, holder, outer[1] if len(outer) > 1 else None)
            model = inner
    key = str(last)
    if error["type"] == "extra_forbidden":
        return Problem(table=table, key=key, text=_unknown_key(key, model))
    field = model.model_fields[key]
    quoted = from_file is None or key in from_file
    if error["type"] == "value_error":
        cause = error["ctx"]["error"]
        code = cause.code if isinstance(cause, UnfitValueError) else None
        return Problem(table=table, key=key, text=str(cause), code=code)
    takes = _takes(field, quoted=quoted)
    if error["type"] == "missing":
        return Problem(table=table, key=key, text=f"is missing; it takes {takes}")
    given = error["input"]
    unquote = ", without quotes" if quoted and isinstance(given, str) and _stands_bare(field) else ""
    is_secret = isinstance(given, str) and table.strip("[] ").partition(".")[0] in TABLES_WITH_SECRETS
    written = "this value" if is_secret else format_value(given)
    return Problem(table=table, key=key, text=f"{written} is not possible; it takes {takes}{unquote}")


def _inner_title(table: str, holder: str, index: int | str | None) -> str:
    """``[folder.matte] of "to-cut"`` for the table ``matte`` of ``[[folder]] "to-cut"``."""
    kind, _, which = table.partition("]] ")
    kind = kind.strip("[]")
    if isinstance(index, int):
        return f"[[{kind}.{holder}]] number {index + 1} of {which}"
    return f"[{kind}.{holder}] of {which}"


def _takes(field: FieldInfo, *, quoted: bool = True) -> str:
    """Return what a key takes.

    Args:
        field: field of the key.
        quoted: texts are quoted, as in a file; False for an environment variable.
    """
    kind = _kind(field)
    origin = get_origin(kind)
    if origin in _CONTAINERS:
        return _CONTAINERS[origin]
    if origin is Literal:
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
    return plain.get(kind, f"a text{in_quotes}")


def _stands_bare(field: FieldInfo) -> bool:
    """Whether a key takes only unquoted values: numbers or booleans."""
    kind = _kind(field)
    return get_origin(kind) is Literal or (kind in (int, float, bool) and field.default is not None)


def _unknown_key(key: str, table: type[BaseModel]) -> str:
    """Return the message about a key that a table does not have."""
    elsewhere = _homes().get(key)
    if elsewhere:
        return f"there is no such key here; it belongs to {' or '.join(elsewhere)}"
    near = nearest(key, table.model_fields)
    if near is not None:
        return f'there is no such key; did you mean "{near}"?'
    far = nearest(key, _homes(), cutoff=_ELSEWHERE)
    if far is not None:
        return f'there is no such key; did you mean "{far}" of {_homes()[far][0]}?'
    return f"there is no such key; this table has {', '.join(table.model_fields)}"


def unknown_table(name: str) -> str:
    """Return the message about an unknown table, or an unknown key above the first table."""
    belongs = _homes().get(name)
    if belongs:
        return f"stands in no table; it belongs to {' or '.join(belongs)}"
    near = nearest(name, Settings.model_fields)
    known = f"did you mean {_heading(near)}?" if near else f"there are {', '.join(_tables())}"
    return f"there is no such table; {known}"


def nearest(word: str, words: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the word that was probably meant; ``cutoff`` is its least similarity, 0 to 1."""
    lower = {one.lower(): one for one in words}
    found = get_close_matches(word.lower(), lower, n=1, cutoff=cutoff)
    return lower[found[0]] if found else None


def _heading(table: str) -> str:
    """Return the heading of a top-level table."""
    return next(title for title in _tables() if title.strip("[]") == table)


def item_type(field: FieldInfo) -> type[BaseModel] | None:
    """Return the table model that a key holds, once or in a list; None if it holds a plain value."""
    kind = _kind(field)
    kind = get_args(kind)[0] if get_origin(kind) is tuple else kind
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


@cache
def _tables() -> Mapping[str, type[BaseModel]]:
    """Return all tables by their headings."""
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
    """Return, for each key with a plain value, the headings of the tables that have it."""
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
    low, high = (_readable(_bound(field, name)) for name in ("ge", "le"))
    return f" from {low} to {high}"


def _readable(bound: float) -> str:
    return f"{bound:_}" if bound >= _GROUPED else f"{bound}"


def _length(field: FieldInfo) -> str:
    most = _bound(field, "max_length")
    return f" of {_bound(field, 'min_length') or 0} to {most} characters" if most is not None else ""


def _bound(field: FieldInfo, name: str) -> Any:  # noqa: ANN401 -- an int or a float, as the schema has it
    return next((getattr(one, name) for one in field.metadata if hasattr(one, name)), None)
