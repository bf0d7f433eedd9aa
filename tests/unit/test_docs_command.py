"""`cutoutd docs`: pages of the documentation, by name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cutoutd import documentation
from cutoutd.cli.app import build
from cutoutd.errors import UsageError

ROOT = Path(__file__).parents[2]
NAMED = re.compile(r"cutoutd docs ([a-z][a-z-]*)")


def run(*arguments: str) -> str:
    """Run the command, and return its output."""
    result = CliRunner().invoke(build("docs"), ["docs", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_each_page_is_listed_with_its_title() -> None:
    """Except the site's table of contents, which is no page."""
    listed = run()
    assert re.search(r"^operating +\S", listed, re.MULTILINE)
    assert "index" not in documentation.pages()
    for name, path in documentation.pages().items():
        assert f"{name:<14} {documentation.title(path.read_text('utf-8'))}\n" in listed


def test_the_pages_that_the_readme_lists_are_listed_but_the_last_three() -> None:
    """It says so above its list."""
    text = (ROOT / "README.md").read_text("utf-8")
    said, _, rest = text.partition("`cutoutd docs` lists these pages but the last three")[2].partition("\n\n")
    assert said
    linked = re.findall(r"\]\(([^)]+)\)", rest.partition("\n## ")[0])
    names = {Path(one).stem for one in linked[:-3]}
    assert names == documentation.pages().keys()
    assert not any(one.startswith("docs/") and one.count("/") == 1 for one in linked[-3:])


def test_a_page_is_printed_as_it_is_where_there_is_no_terminal() -> None:
    """In Markdown, for a pipe."""
    assert run("cluster") == (ROOT / "docs/cluster.md").read_text("utf-8")


def test_a_page_that_does_not_exist_is_refused_with_the_names_of_all() -> None:
    """A typing mistake is seen at once."""
    with pytest.raises(UsageError, match="no page 'clusters'") as refused:
        run("clusters")
    assert "cluster, " in refused.value.advice


def test_a_package_without_its_pages_reports_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Instead of printing an empty list."""
    monkeypatch.setattr(documentation, "_HOMES", (tmp_path,))
    with pytest.raises(UsageError, match="without its documentation"):
        run()


def test_each_page_that_a_message_names_exists() -> None:
    """In the source, its texts and the reference configuration; none names a path that only a checkout has."""
    sources = [*(ROOT / "src").rglob("*.py"), ROOT / "config/cutoutd.toml", ROOT / "README.md"]
    named = {name for path in sources for name in NAMED.findall(path.read_text("utf-8"))}
    assert {"cluster", "serve", "automation", "quality"} <= named <= documentation.pages().keys()
