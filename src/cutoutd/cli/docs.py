"""`cutoutd docs`: the documentation, which came with cutoutd."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cutoutd import documentation
from cutoutd.errors import UsageError


def docs(
    page: Annotated[str | None, typer.Argument(help="Name of a page, such as operating.")] = None,
) -> None:
    """Show a page of the documentation, which came with cutoutd, or list all pages."""
    found = documentation.pages()
    if not found:
        raise UsageError("this package was built without its documentation", advice="Install it again.")
    if page is None:
        for name, path in found.items():
            print(f"{name:<14} {documentation.title(path.read_text('utf-8'))}")
        print(
            f"\n`cutoutd docs PAGE` shows one; with their pictures they are in {next(iter(found.values())).parent}"
        )
        return
    if page not in found:
        raise UsageError(f"there is no page {page!r}", advice=f"There are: {', '.join(found)}.")
    _show(found[page].read_text("utf-8"))


def _show(text: str) -> None:
    """Print Markdown: laid out and by pages on a terminal, as it is elsewhere."""
    if not sys.stdout.isatty():
        print(text, end="")
        return
    from rich.console import Console  # noqa: PLC0415 -- 0.1 s that only a person at a terminal pays for
    from rich.markdown import Markdown  # noqa: PLC0415

    console = Console(highlight=False)
    with console.pager():
        console.print(Markdown(text, hyperlinks=False))
