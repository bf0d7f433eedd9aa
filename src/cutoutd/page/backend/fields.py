"""Configuration keys as fields of a form: kind, bounds and explanation.

All of it is derived from the schema and from the reference configuration. Values are as TOML has them, but for lists,
which are one text with commas, and for numbers that may be ``auto``, which are a text.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

from cutoutd.page.backend.admission import allows
from cutoutd.settings import presets, reference
from cutoutd.settings.types import AUTO, Written
from cutoutd.webserver.backend.method import RefusedError

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

MAX_TEXT: Final = 1000
MAX_ITEMS: Final = 100
MAX_ITEM: Final = 200

_BETWEEN: Final = ","
_MAX_DIGITS: Final = 16
_UNITS: Final = {"_s": "s", "_kb": "kB", "_px": "px", "dpi": "dpi", "shadow": "%"}


@dataclass(frozen=True, kw_only=True, slots=True)
class SettingField:
    """One field of the form.

    Attributes:
        key: as the page names it, such as ``matte.refine``.
        path: where it stands in a folder's table: keys, and numbers from 0 in lists of tables.
        kind: ``bool``, ``int``, ``float``, ``text`` or ``choice``.
        value: now.
        default: where it is not set.
        choices: of a choice; else empty.
        explanation: of the reference configuration.
        unit: of a number; empty: none.
        least: of a number.
        most: of a number.
        takes: ``list``, ``auto`` or ``whole`` where a text stands for something else; else empty.
    """

    key: str
    path: tuple[str | int, ...]
    kind: str
    value: Any
    default: Any
    explanation: str
    choices: tuple[str, ...] = ()
    unit: str = ""
    least: float | None = None
    most: float | None = None
    takes: str = ""


def describe(
    table: type[BaseModel], name: str, key: str, value: object, *, prefix: str, path: tuple[str | int, ...]
) -> SettingField | None:
    """A key as a field; None for one whose value no field can show.

    Args:
        table: that has the key.
        name: of the table, as ``folder.matte``.
        key: in the table.
        value: that it has.
        prefix: of the field's key.
        path: of the table in the folder's.
    """
    info = table.model_fields[key]
    kind, choices, takes = _kind(info, key, f"{name}.{key}")
    shown = _json_value(value)
    if choices and str(shown) not in choices:  # set by hand to what the page may not set
        choices = (str(shown), *choices)
    if takes == "list" and any(_BETWEEN in one for one in shown):
        return None
    default = _json_value(info.get_default(call_default_factory=True))
    is_number = kind in ("int", "float") or takes == "auto"
    return SettingField(
        key=f"{prefix}{key}",
        path=(*path, key),
        kind=kind,
        value=_as_text(shown, takes),
        default=_as_text(default, takes),
        explanation=reference.explanations().get(f"{name}.{key}", info.description or ""),
        choices=choices,
        unit=next((unit for end, unit in _UNITS.items() if key.endswith(end)), "") if is_number else "",
        least=_bound(info, "ge") if kind in ("int", "float") else None,
        most=_bound(info, "le") if kind in ("int", "float") else None,
        takes=takes,
    )


def as_json(field: SettingField) -> dict[str, Any]:
    """Return the field as a JSON object for the page."""
    return {
        "key": field.key,
        "kind": field.kind,
        "value": field.value,
        "default": field.default,
        "choices": list(field.choices),
        "explanation": field.explanation,
        "unit": field.unit,
        "min": field.least,
        "max": field.most,
    }


def from_json(field: SettingField, value: object) -> Any:  # noqa: ANN401 -- any value of TOML
    """A value from a page as TOML has it; whether it is possible, the loader says.

    Raises:
        RefusedError: it is of another kind than the field's.
    """
    read = {"list": _items, "auto": _number_or_auto, "whole": _whole, "": _plain}[field.takes]
    return read(field, value)


def _kind(info: FieldInfo, key: str, name: str) -> tuple[str, tuple[str, ...], str]:
    """Return kind, choices, and the meaning of a text."""
    kind: Any = info.annotation
    if isinstance(kind, UnionType):
        return "text", (), AUTO  # a number, or None
    if get_origin(kind) is Literal:
        return "choice", tuple(map(str, get_args(kind))), "whole"
    if get_origin(kind) is tuple:
        return "text", (), "list"
    if key == presets.KEY:
        return "choice", ("", *presets.names()), ""
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return "choice", tuple(one.value for one in kind if allows(name, one)), ""
    return {bool: "bool", int: "int", float: "float"}.get(kind, "text"), (), ""


def _json_value(value: object) -> Any:  # noqa: ANN401 -- as TOML has it
    if value is None:
        return AUTO
    if isinstance(value, tuple):
        return [str(one) for one in value]
    if isinstance(value, StrEnum | Written | Path):
        return str(value)
    return value


def _as_text(value: Any, takes: str) -> Any:  # noqa: ANN401 -- as TOML has it
    if takes == "list":
        return f"{_BETWEEN} ".join(value)
    return f"{value:g}" if takes and isinstance(value, float) else str(value) if takes else value


def _plain(field: SettingField, value: object) -> Any:  # noqa: ANN401 -- as TOML has it
    if field.kind == "int":
        return _whole(field, value)
    if field.kind in ("text", "choice"):
        return _text(field, value, MAX_TEXT)
    if isinstance(value, bool):
        fits = field.kind == "bool"
    else:
        fits = field.kind == "float" and isinstance(value, int | float) and _is_usual(value)
    if not fits:
        raise _wrong(field)
    return value


def _items(field: SettingField, value: object) -> list[str]:
    listed = [one.strip() for one in value.split(_BETWEEN)] if isinstance(value, str) else value
    if not isinstance(listed, list) or len(listed) > MAX_ITEMS:
        raise _wrong(field)
    return [_text(field, one, MAX_ITEM) for one in listed if one != ""]


def _number_or_auto(field: SettingField, value: object) -> Any:  # noqa: ANN401 -- a number or a text
    if isinstance(value, int | float) and not isinstance(value, bool) and _is_usual(value):
        return value
    text = _text(field, value, MAX_TEXT).strip()
    if text in ("", AUTO):
        return AUTO
    for read in (int, float):
        try:
            number = read(text)
        except ValueError:
            continue
        if _is_usual(number):
            return number
    return text  # the loader says what would be right


def _whole(field: SettingField, value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < _MAX_DIGITS:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not _is_usual(value):
        raise _wrong(field)
    return value


def _is_usual(number: float) -> bool:
    """A number that TOML, JSON and the schema take for the same."""
    return abs(number) < 10**_MAX_DIGITS  # no infinity, nor what is not a number


def _text(field: SettingField, value: object, longest: int) -> str:
    if not isinstance(value, str) or len(value) > longest or "\0" in value:
        raise _wrong(field)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _wrong(field) from None
    return value


def _wrong(field: SettingField) -> RefusedError:
    text = f"{field.key} cannot have this value."
    return RefusedError(422, "value_refused", text, key=field.key, why=text)


def _bound(info: FieldInfo, name: str) -> float | None:
    return next((getattr(one, name) for one in info.metadata if hasattr(one, name)), None)
