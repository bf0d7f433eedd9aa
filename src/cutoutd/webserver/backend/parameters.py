"""Parameters of a method, checked: a query's values are texts, a list where one is repeated; a JSON object's are of any type.

Each function raises `RefusedError` with status 400 for what is wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cutoutd.webserver.backend.method import RefusedError

if TYPE_CHECKING:
    from cutoutd.webserver.backend.method import Parameters

MAX_TEXT = 4096
MAX_NUMBER = 2**53
"""What a browser counts exactly."""


def text(params: Parameters, name: str, default: str | None = None, *, longest: int = MAX_TEXT) -> str:
    """Return a text; without a default it is required."""
    value = params.get(name, default)
    if not isinstance(value, str) or len(value) > longest:
        raise _wrong(name, "a text")
    return value


def texts(params: Parameters, name: str, *, most: int = 100) -> list[str]:
    """Return texts; there may be none."""
    value = params.get(name, [])
    listed = value if isinstance(value, list) else [value]
    if len(listed) > most or not all(isinstance(one, str) and len(one) <= MAX_TEXT for one in listed):
        raise _wrong(name, "a list of texts")
    return listed


def whole(
    params: Parameters, name: str, default: int | None = None, *, least: int = 0, most: int = MAX_NUMBER
) -> int:
    """Return an integer; without a default it is required."""
    value = params.get(name, default)
    if isinstance(value, str) and len(value) <= 20 and value.isascii():  # noqa: PLR2004 -- digits of any such number
        try:
            value = int(value)
        except ValueError:
            value = None
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise _wrong(name, f"a whole number from {least} to {most}")
    return value


def number(
    params: Parameters, name: str, default: float | None = None, *, least: float, most: float
) -> float:
    """Return a number; without a default it is required."""
    value = params.get(name, default)
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = None
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        raise _wrong(name, f"a number from {least:g} to {most:g}")
    return float(value)


def truth(params: Parameters, name: str, default: bool | None = None) -> bool:  # noqa: FBT001 -- as of `dict.get`
    """Return a boolean; without a default it is required."""
    value = params.get(name, default)
    if isinstance(value, str):
        value = {"true": True, "false": False, "1": True, "0": False}.get(value)
    if not isinstance(value, bool):
        raise _wrong(name, "true or false")
    return value


def _wrong(name: str, right: str) -> RefusedError:
    return RefusedError(400, "parameter", f"The parameter {name} must be {right}.", name=name, right=right)
