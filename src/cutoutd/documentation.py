"""The pages of the documentation, which come with the package, so that they can be read without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_HOMES: Final = (Path(__file__).parent / "docs", Path(__file__).parents[2] / "docs")
"""In an installed package, and in a checkout."""

_CONTENTS: Final = "index"
"""Makes the table of contents of the site, and says nothing itself."""


def pages() -> dict[str, Path]:
    """Return the path of each page by its name, such as ``operating``; empty if the package was built without them."""
    for home in _HOMES:
        if found := {path.stem: path for path in sorted(home.glob("*.md")) if path.stem != _CONTENTS}:
            return found
    return {}


def title(text: str) -> str:
    """Return the title of a page: its first heading; empty if it has none."""
    return next((line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ")), "")
