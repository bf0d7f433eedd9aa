"""Property lists for launchd, as text. It must not examine the machine, nor run anything."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cutoutd.errors import UsageError
from cutoutd.service.unit import NAME, PAGE, Scope, Unit, fill, template

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_INDENT: Final = "\t\t"


def log_file(unit: Unit, name: str = NAME) -> Path:
    """Return the log file of a service; launchd itself keeps no log."""
    root = unit.home if unit.scope is Scope.USER else Path("/")
    return root / "Library" / "Logs" / f"{name}.log"


def render(unit: Unit) -> str:
    """Return the text of ``cutoutd.plist``.

    Raises:
        UsageError: a path contains characters that a property list cannot hold.
    """
    name = "agent" if unit.scope is Scope.USER else "daemon"
    return fill(
        template(f"launchd/{name}.plist.in"),
        {
            "LABEL": NAME,
            "OWNER": _text(unit.owner),
            "LOG": _text(os.fspath(log_file(unit))),
            "ENVIRONMENT": list(_environment(unit)),
            "ARGUMENTS": _arguments(unit.command),
        },
    )


def render_page(unit: Unit) -> str:
    """Return the text of ``cutoutd-page.plist``. The unit must have a page.

    Raises:
        UsageError: a path contains characters that a property list cannot hold.
    """
    assert unit.page is not None  # noqa: S101 -- required above
    owner = ["\t<key>UserName</key>", f"\t<string>{_text(unit.owner)}</string>"]
    return fill(
        template("launchd/page.plist.in"),
        {
            "LABEL": PAGE,
            "USER": owner if unit.scope is Scope.SYSTEM else [],
            "LOG": _text(os.fspath(log_file(unit, PAGE))),
            "ENVIRONMENT": list(_environment(unit)),
            "ARGUMENTS": _arguments(unit.page.command),
        },
    )


def _arguments(command: Sequence[str]) -> list[str]:
    return [f"{_INDENT}<string>{_text(part)}</string>" for part in command]


def _environment(unit: Unit) -> Iterator[str]:
    if unit.environment:
        yield "\t<key>EnvironmentVariables</key>"
        yield "\t<dict>"
        for name, value in unit.environment.items():
            yield f"\t\t<key>{name}</key>"
            yield f"\t\t<string>{_text(value)}</string>"
        yield "\t</dict>"


def _text(text: str) -> str:
    if not text.isprintable():
        raise UsageError(
            f"{text!r} cannot stand in a property list", advice="Give the folder a name of printable letters."
        )
    return escape(text, quote=False)
