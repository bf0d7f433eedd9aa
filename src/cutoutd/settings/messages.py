"""One thing that is wrong with a configuration: where, and what would be right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cutoutd.settings import wording

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """What is wrong.

    Attributes:
        table: its heading, and which one it is if there are several; empty for the whole file.
        key: in the table; empty for the whole table.
        text: what is wrong and what would be right, to follow the key and a colon.
    """

    table: str
    key: str
    text: str


def of_folder(name: object, number: int) -> str:
    """How a folder's table is called: by its name, or by its number (from 1) if it has none."""
    return (
        f'[[folder]] "{name}"'
        if name and isinstance(name, str) and name.isprintable()
        else f"[[folder]] number {number}"
    )


def problems_of(
    error: ValidationError, table: str, model: type[BaseModel], *, from_file: frozenset[str] | None = None
) -> Iterator[Problem]:
    """What pydantic found wrong with a table, in plain words.

    Args:
        error: as pydantic raised it.
        table: how the table is called.
        model: what it should be.
        from_file: the keys that stand in a file, where texts are in quotes; None: all.
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
        inner = wording.item_type(model.model_fields[holder])
        if inner is None or isinstance(last, int):
            last = holder
        else:
            table = _inner_title(table, holder, outer[1] if len(outer) > 1 else None)
            model = inner
    key = str(last)
    if error["type"] == "extra_forbidden":
        return Problem(table=table, key=key, text=wording.unknown_key(key, model))
    field = model.model_fields[key]
    quoted = from_file is None or key in from_file
    takes = wording.takes(field, quoted=quoted)
    if error["type"] == "missing":
        return Problem(table=table, key=key, text=f"is missing; it takes {takes}")
    if error["type"] == "value_error":
        return Problem(table=table, key=key, text=str(error["ctx"]["error"]))
    given = error["input"]
    unquote = ", without quotes" if quoted and isinstance(given, str) and wording.stands_bare(field) else ""
    return Problem(
        table=table, key=key, text=f"{wording.shown(given)} is not possible; it takes {takes}{unquote}"
    )


def _inner_title(table: str, holder: str, index: int | str | None) -> str:
    """``[folder.matte] of "to-cut"`` for the table ``matte`` of ``[[folder]] "to-cut"``."""
    kind, _, which = table.partition("]] ")
    kind = kind.strip("[]")
    if isinstance(index, int):
        return f"[[{kind}.{holder}]] number {index + 1} of {which}"
    return f"[{kind}.{holder}] of {which}"
