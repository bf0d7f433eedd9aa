"""The length limits of modules and functions, and unique class names, as CONTRIBUTING.md asks."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import cutoutd
from tests.conftest import LONG

if TYPE_CHECKING:
    from collections.abc import Iterator

MODULE_LINES = 400
FUNCTION_LINES = 60
SOURCES = {path: path.read_text(encoding="utf-8") for path in Path(cutoutd.__file__).parent.rglob("*.py")}


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all statements that can contain a class or a function; expressions contain none."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.stmt | ast.excepthandler | ast.match_case):
            yield node
            yield from statements(node)


def test_no_module_is_too_long() -> None:
    """A module beyond the limit is split by responsibility."""
    assert SOURCES
    assert [path.name for path, text in SOURCES.items() if text.count("\n") > MODULE_LINES] == []


def test_no_function_is_too_long_and_no_class_name_is_used_twice() -> None:
    """Limits and names are easily forgotten where several people work in parallel."""
    nodes = [(path, node) for path, text in SOURCES.items() for node in statements(ast.parse(text))]
    long = [
        f"{path.name}: {node.name}"
        for path, node in nodes
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= FUNCTION_LINES
    ]
    assert long == []
    names = Counter(node.name for _, node in nodes if isinstance(node, ast.ClassDef))
    assert [name for name, times in names.items() if times > 1] == []


def test_modules_that_begin_first_are_there() -> None:
    """One that was renamed would begin last again."""
    tests = Path(__file__).parents[1]
    assert [name for name in LONG if not (tests / f"{name}.py").is_file()] == []
