"""A line on a terminal that says what is being done, and is gone once it is done: seconds of silence look like a fault."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Final, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

_Item = TypeVar("_Item")

_CLEAR: Final = "\r\x1b[K"


class Passing:
    """Says on a terminal what goes on, on stderr; says nothing anywhere else."""

    def __init__(self) -> None:
        self._shows = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shows:
            print(_CLEAR, end="", file=sys.stderr, flush=True)

    def say(self, words: str) -> None:
        """What is being done now, in the place of what was said before."""
        if self._shows:
            width = shutil.get_terminal_size().columns
            print(f"{_CLEAR}{words[: width - 1]}", end="", file=sys.stderr, flush=True)

    def count(self, items: Iterable[_Item], total: int, doing: str) -> Iterator[_Item]:
        """Pass items on, and say how many of all are done."""
        self.say(f"{doing} 0/{total}")
        for number, item in enumerate(items, 1):
            yield item
            self.say(f"{doing} {number}/{total}")
