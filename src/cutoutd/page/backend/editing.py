"""Edit the text of a configuration: comments, order and everything else are kept.

Each change is made twice, in the text and in the plain values that the text stands for; whoever writes the text sees that
both agree. So a value can never become more than a value, however it is spelt. It must not decide what may be changed.
"""

from __future__ import annotations

import tomllib
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import AoT, Table

from cutoutd.webserver.backend.method import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tomlkit.container import Container

_MARK: Final = "\ufeff"
"""Some editors begin a file with it."""

_HEADING: Final = """# The configuration of cutoutd, begun by its page. What is not here has its default.
# config/cutoutd.toml of the source explains every setting; `cutoutd check` says what is wrong, if anything is.

"""


class Draft:
    """The text of a configuration, for editing.

    Args:
        raw: bytes of the file, already accepted by the loader; empty for a new file.

    Attributes:
        means: parsed values of the text, edited in parallel.

    Raises:
        RefusedError: it is written in a way that cannot be changed here.
    """

    def __init__(self, raw: bytes = b"") -> None:
        text = raw.decode()
        self._mark = _MARK if text.startswith(_MARK) else ""
        text = text.removeprefix(_MARK) or _HEADING
        try:
            self.means: dict[str, Any] = tomllib.loads(text)
            self._document = tomlkit.parse(text)
        except (TOMLKitError, ValueError, RecursionError) as error:
            raise _unusual() from error

    @property
    def text(self) -> str:
        """Return the whole text."""
        return self._mark + tomlkit.dumps(self._document)

    def set(self, folder: int, path: tuple[str | int, ...], value: object) -> None:
        """Set a key of a folder; missing parent tables are created.

        Args:
            folder: number of the folder, from 0.
            path: keys and, in lists of tables, numbers from 0.
            value: as JSON has it, without tables.

        Raises:
            RefusedError: the text is written in a way that cannot be changed here.
        """
        try:
            _set_plain(self.means["folder"][folder], path, value)
            folders: Any = self._document["folder"]
            with _kept_at_end(folders[folder]):
                _set_in_text(folders[folder], path, value)
        except (TOMLKitError, KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
            raise _unusual() from error

    def add_folder(self, values: Mapping[str, object], renditions: tuple[Mapping[str, object], ...]) -> None:
        """Add a folder after all others.

        Args:
            values: its plain keys.
            renditions: tables of ``[[folder.rendition]]``.

        Raises:
            RefusedError: the text is written in a way that cannot be changed here.
        """
        new = tomlkit.table()
        for key, value in values.items():
            new.add(key, value)
        tables = tomlkit.aot()
        for rendition in renditions:
            table = tomlkit.table()
            for key, value in rendition.items():
                table.add(key, value)
            tables.append(table)
        new.add(tomlkit.nl())
        new.add("rendition", tables)
        try:
            folders = self.means.setdefault("folder", [])
            folders.append({**values, "rendition": [dict(one) for one in renditions]})
            known = self._document.get("folder")
            if known is None:
                known = tomlkit.aot()
                known.append(new)
                self._document.add("folder", known)
            else:
                ending = _taken_from_end(known[-1])
                _give_back(known[-1], [(None, tomlkit.nl())])
                known.append(new)
                _give_back(known[-1], ending)
        except (TOMLKitError, KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
            raise _unusual() from error


def _set_plain(table: dict[str, Any], path: tuple[str | int, ...], value: object) -> None:
    here: Any = table
    for step, following in pairwise(path):
        if isinstance(step, str) and step not in here:
            here[step] = [] if isinstance(following, int) else {}
        elif isinstance(step, int) and step == len(here):
            here.append({})
        here = here[step]
    here[path[-1]] = value


def _set_in_text(table: Any, path: tuple[str | int, ...], value: object) -> None:  # noqa: ANN401 -- as tomlkit has it
    here = table
    for step, following in pairwise(path):
        if isinstance(step, str) and step not in here:
            if isinstance(following, int):
                here.add(tomlkit.nl())
            here.add(step, tomlkit.aot() if isinstance(following, int) else tomlkit.table())
        elif isinstance(step, int) and step == len(here):
            here.append(tomlkit.table())
        here = here[step]
    with _kept_at_end(here):
        here[path[-1]] = value


@contextmanager
def _kept_at_end(table: Any) -> Iterator[None]:  # noqa: ANN401 -- as tomlkit has it
    """Keep trailing blank lines and comments of a table in place when keys are added: they head the next table."""
    ending = _taken_from_end(table)
    yield
    _give_back(table, ending)


def _taken_from_end(table: Any) -> list[Any]:  # noqa: ANN401 -- as tomlkit has it
    last = _last(table)
    taken: list[Any] = []
    while last is not None and last.body and last.body[-1][0] is None:
        taken.insert(0, last.body.pop())
    return taken


def _give_back(table: Any, lines: list[Any]) -> None:  # noqa: ANN401 -- as tomlkit has it
    last = _last(table)
    if last is not None:
        last.body.extend(lines)


def _last(table: Any) -> Container | None:  # noqa: ANN401 -- as tomlkit has it
    """Return the container of a table's last lines; None for an inline table."""
    if not isinstance(table, Table):
        return None
    for key, item in reversed(table.value.body):
        if key is None:
            continue
        if isinstance(item, AoT) and len(item):
            return _last(item[-1])
        if isinstance(item, Table):
            return _last(item)
        break
    return table.value


def _unusual() -> RefusedError:
    return RefusedError(
        409,
        "config_unusual",
        "The page cannot make this change in the way the configuration is written. Change it with an editor.",
    )
