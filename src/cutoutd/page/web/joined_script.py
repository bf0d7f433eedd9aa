"""Joins the page's JavaScript modules to a single one: each would cost the browser a request, and a phone a round trip.

The modules are written in a part of ECMAScript's syntax: an import is one line that names what it takes, or takes all by one name;
a function, a class or a constant is exported where it is declared. A module then is a function that returns its exports.
"""

from __future__ import annotations

import re
from posixpath import dirname, join, normpath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_IMPORT: Final = re.compile(r'^import (?:\{ ([^}]+) \}|\* as (\w+)) from "(\.[^"]+)";$', re.MULTILINE)
_EXPORT: Final = re.compile(r"^export (?=(?:async function|function|class|const) (\w+))", re.MULTILINE)
_LEFT: Final = re.compile(r"^(?:import|export)\b.*|\bimport(?:\(|\.meta\b)", re.MULTILINE)


def joined(sources: Mapping[str, str], first: str) -> str:
    """Return one module that runs another one and all that it imports, in the order in which a browser runs them.

    It exports `modules`, an object that has the exports of each module by its path.

    Args:
        sources: texts of the modules, by their paths, such as ``core/dom.js``.
        first: path of the module that imports the others.

    Raises:
        ValueError: a module has an import or export of another form.
        KeyError: a module imports one that is not there.
    """
    parts = [_as_function(module, sources[module]) for module in _in_order(sources, first, set())]
    return "\n".join(["export const modules = {};", *parts])


def _in_order(sources: Mapping[str, str], module: str, seen: set[str]) -> Iterator[str]:
    """Yield a module after those that it imports, each once."""
    seen.add(module)
    for found in _IMPORT.finditer(sources[module]):
        if (other := _path(module, found[3])) not in seen:
            yield from _in_order(sources, other, seen)
    yield module


def _as_function(module: str, source: str) -> str:
    """Return a statement that runs a module and keeps its exports."""

    def taken(found: re.Match[str]) -> str:
        names = found[2] or f"{{ {found[1].replace(' as ', ': ')} }}"
        return f'const {names} = modules["{_path(module, found[3])}"];'

    body = _EXPORT.sub("", _IMPORT.sub(taken, source))
    if left := _LEFT.search(body):
        message = f"{module} has an import or export of a form that is not known here: {left[0]}"
        raise ValueError(message)
    exports = ", ".join(found[1] for found in _EXPORT.finditer(source))
    return f'modules["{module}"] = (() => {{\n{body}\nreturn {{ {exports} }};\n}})();'


def _path(module: str, address: str) -> str:
    """Return the path of a module that another one imports."""
    return normpath(join(dirname(module), address))
