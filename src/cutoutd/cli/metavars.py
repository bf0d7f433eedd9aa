"""What stands for the value of an option in help and manual: a user's word, in the place of a type of Python's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

HELP_NAMES: Final = ["-h", "--help"]

VALUES: Final = {
    "background": "COLOUR|FILE",
    "canvas": "WxH",
    "config": "FILE",
    "every": "SECONDS",
    "folder": "NAME",
    "model": "NAME",
    "output": "DIR|FILE|-",
    "output_format": "FORMAT",
    "preset": "SHOP",
    "quality": "1-100",
    "reason": "TEXT",
    "run_as": "USER",
    "sort": "time|score",
    "state": "STATE",
    "timeout": "SECONDS",
    "to": "FILE",
    "when": "TIME",
}


def value_of(name: str) -> str:
    """The word for a parameter's value, by the parameter's name."""
    if name.endswith("_dir"):
        return "DIR"
    return VALUES.get(name, name.upper())


def put(command: Any) -> Any:  # noqa: ANN401 -- Typer's own click, which has no public types
    """Have a command and all below it show these words; a flag has no value."""
    for one in _all(command):
        # The option for help is made when it is asked for, and kept.
        helping = one.get_help_option(typer.Context(one, help_option_names=HELP_NAMES))
        for param in (*one.params, helping):
            if param.param_type_name == "argument":
                param.metavar, param.display_type_rich = value_of(param.name), _untyped
            else:
                param.metavar = "" if param.is_flag else value_of(param.name)
    return command


def _untyped(ctx: object) -> None:
    """An argument's name says it all."""


def _all(command: Any) -> Iterator[Any]:  # noqa: ANN401 -- as above
    yield command
    for below in getattr(command, "commands", {}).values():
        yield from _all(below)
