"""Named SQL statements: each is used, each used name exists, and each fits the schema."""

from __future__ import annotations

import ast
import sqlite3
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cutoutd.hosted.ledger import SQL as OF_LEDGER
from cutoutd.hosted.ledger import Ledger
from cutoutd.journal.store import SQL, make

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cutoutd.database import Queries

SOURCE = Path(__file__).parents[2] / "src" / "cutoutd"
ELSEWHERE = {"copies_of_tables"}  # it asks of an attached database


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """A connection to an empty journal."""
    path = tmp_path_factory.mktemp("state") / "journal.sqlite"
    make(path)
    with closing(sqlite3.connect(path)) as connection:
        yield connection


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """A connection to an empty ledger."""
    path = tmp_path_factory.mktemp("hosted") / "ledger.sqlite"
    Ledger(path, create=True).close_file()
    with closing(sqlite3.connect(path)) as connection:
        yield connection


def used(package: str) -> set[str]:
    """Return the names of statements that a package's modules use."""
    return {
        node.attr
        for file in (SOURCE / package).glob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "SQL"
    } - {"script"}


@pytest.mark.parametrize(("package", "known"), [("journal", SQL), ("hosted", OF_LEDGER)])
def test_each_statement_that_is_used_is_there_and_each_that_is_there_is_used(
    package: str, known: Queries
) -> None:
    """A misspelt name is found here instead of at run time."""
    assert used(package) == set(known.statements)


@pytest.mark.parametrize("name", sorted(set(SQL.statements) - ELSEWHERE))
def test_no_statement_is_refused_by_the_schema(journal: sqlite3.Connection, name: str) -> None:
    """SQLite prepares each one: tables, columns and indices exist."""
    for one in SQL.statements[name].split(";"):
        journal.execute(f"EXPLAIN {one}", defaultdict(int)).fetchall()


@pytest.mark.parametrize("name", sorted(OF_LEDGER.statements))
def test_no_statement_of_the_ledger_is_refused_by_its_schema(ledger: sqlite3.Connection, name: str) -> None:
    """SQLite prepares each one."""
    ledger.execute(f"EXPLAIN {OF_LEDGER.statements[name]}", defaultdict(int)).fetchall()


@pytest.mark.parametrize("text", ["{", "}", "--", "?"])
def test_nothing_is_left_in_a_statement_that_sqlite_would_not_understand(text: str) -> None:
    """No fragment mark, no comment, and no unnamed parameter."""
    left = {
        name: sql.replace("'{}'", "").replace("""'{"again": true}'""", "")
        for name, sql in SQL.statements.items()
    }
    assert [name for name, sql in left.items() if text in sql and name != "replace_waiting"] == []


def test_an_unknown_name_is_reported_with_the_files() -> None:
    """Instead of giving an empty statement."""
    with pytest.raises(AttributeError, match=r"no statement 'nothing' in queue\.sql, reader\.sql"):
        assert SQL.nothing
