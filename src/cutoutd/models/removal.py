"""Removes a model of one's own from the catalog it was added to: its entry first, then its file, so that both are whole.

What else stands in the catalog stays as it is written. It must not touch what the package brings.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, Final

from cutoutd.errors import ModelError, UsageError
from cutoutd.fs.atomic_text import write_text
from cutoutd.fs.durable import sync_directory
from cutoutd.models import catalog
from cutoutd.settings import places

if TYPE_CHECKING:
    from pathlib import Path

_TABLE: Final = re.compile(r"^\[\[model\]\][ \t]*(?:#.*)?\n", re.MULTILINE)


def remove(name: str) -> Path:
    """Remove a model.

    Args:
        name: of a model that was added.

    Returns:
        The path of its file, which has gone if nothing else uses it.

    Raises:
        UsageError: there is no such model, or it is the package's.
        ModelError: the catalog cannot be read or written, or the entry cannot be told from the others.
    """
    model = catalog.find(name)
    directory = next((one for one in places.model_dirs() if model.file.parent == one), None)
    if directory is None:
        raise UsageError(
            f"the model {name!r} was not added by `cutoutd models add`",
            path=model.file,
            advice="Only models of your own can be removed.",
        )
    path = directory / catalog.CATALOG
    try:
        left = _without(path.read_text(encoding="utf-8"), name)
        if left is None:
            raise ModelError(
                f"the entry of {name!r} cannot be told from the others",
                path=path,
                advice="Remove its table by hand, and then its file.",
            )
        if left:
            write_text(path, [left])
        else:
            path.unlink()
        sync_directory(directory)
        if not any(one["file"] == model.file.name for one in _entries(left)):
            model.file.unlink(missing_ok=True)
            sync_directory(directory)
    except OSError as error:
        raise ModelError(f"it cannot be removed ({error.strerror})", path=path, advice="") from error
    return model.file


def _entries(written: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tomllib.loads(written).get("model", [])
    return found


def _without(written: str, name: str) -> str | None:
    """A catalog without one entry, empty if none is left; None if what is left would not be all the others."""
    head, *tables = _TABLE.split(written)
    kept = [table for table in tables if name not in (one["name"] for one in _entries(f"[[model]]\n{table}"))]
    before = _entries(written)
    wanted = [one for one in before if one["name"] != name]
    left = "\n[[model]]\n".join((head.rstrip("\n"), *kept)) if kept else ""
    if not kept and tomllib.loads(head):
        return None
    return left if _entries(left) == wanted and len(wanted) < len(before) else None
