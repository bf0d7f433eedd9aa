"""How long modules and functions are at most, and that a class name has one meaning: what CONTRIBUTING.md asks for."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import cutoutd

if TYPE_CHECKING:
    from collections.abc import Iterator

MODULE_LINES = 400
FUNCTION_LINES = 60
SOURCES = {path: path.read_text(encoding="utf-8") for path in Path(cutoutd.__file__).parent.rglob("*.py")}


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """All that can hold a class or a function: expressions, which are most of a tree, hold none."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.stmt | ast.excepthandler | ast.match_case):
            yield node
            yield from statements(node)


def test_no_module_is_too_long() -> None:
    """One that grows beyond is split by what it is responsible for."""
    assert SOURCES
    assert [path.name for path, text in SOURCES.items() if text.count("\n") > MODULE_LINES] == []


def test_no_function_is_too_long_and_no_class_name_stands_twice() -> None:
    """Names and limits are easily forgotten where several people work side by side."""
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
