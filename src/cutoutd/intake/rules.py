"""Which names in a hot folder are of interest, decided from the name alone.

It must not look at the file system, and knows nothing of what is inside a file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cutoutd.intake import junk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_IN_BRACKETS: Final = re.compile(r"\[(!?)(\]?[^]/]+|\])\]")
_WILDCARDS: Final = frozenset("*?[")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What one folder takes, as its table of the configuration says.

    Paths are relative to the folder's input, with ``/`` between parts. A pattern that contains ``/`` is
    compared with the path from its start, any other with each part of it; what matches a directory matches
    all below it. ``*`` and ``?`` stay within a part, ``**`` does not, ``[abc]`` is any of these characters,
    a ``/`` at the end asks for a directory. Case does not matter.

    Junk (`cutoutd.intake.junk`) is left out unless ``include`` names it exactly: by the very pattern of the table
    (``*.thm``, ``@eaDir``), or a file by its own name without a wildcard (``poster.bak``). A ``*`` never asks for it.

    Attributes:
        include: a file must match one of these.
        exclude: and none of these, nor junk.
        recursive: whether sub-directories are entered.
        subtrees: directories that are left out as they are written, such as an output inside the input.

    Raises:
        ValueError: a pattern or subtree names nothing, or has a range that runs backwards.
    """

    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()
    recursive: bool = True
    subtrees: tuple[str, ...] = ()
    _wanted: re.Pattern[str] | None = field(init=False, repr=False, compare=False)
    _refused: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _junk: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _named: frozenset[str] = field(init=False, repr=False, compare=False)
    _below: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not all(subtree.strip("/") for subtree in self.subtrees):
            raise ValueError("a subtree that is left out must have a name")
        everything = any(pattern in {"*", "**"} for pattern in self.include)
        # The only way to set a derived field of a frozen dataclass.
        object.__setattr__(self, "_wanted", None if everything else _compile(self.include))
        object.__setattr__(self, "_refused", _compile((*junk.OURS, *self.exclude)))
        object.__setattr__(self, "_junk", _compile_junk(self.include))
        object.__setattr__(self, "_named", frozenset(_named_exactly(self.include)))
        object.__setattr__(self, "_below", tuple(f"{subtree.strip('/')}/" for subtree in self.subtrees))

    def takes_file(self, path: str) -> bool:
        """Whether a file of this path is of interest."""
        if not self.recursive and "/" in path:
            return False
        if self._refused.match(path) or path.startswith(self._below):
            return False
        if self._junk.match(path) and not self._is_asked_for(path):
            return False
        return self._wanted is None or self._wanted.match(path) is not None

    def enters_directory(self, path: str) -> bool:
        """Whether files below the directory of this path can be of interest."""
        if not self.recursive:
            return False
        as_directory = f"{path}/"
        return not (
            self._refused.match(as_directory)
            or self._junk.match(as_directory)
            or as_directory.startswith(self._below)
        )

    def _is_asked_for(self, path: str) -> bool:
        """Whether a file that is junk by its name is named exactly; where it lies must be no junk."""
        directory, slash, name = path.rpartition("/")
        if slash and self._junk.match(f"{directory}/"):
            return False
        return name.lower() in self._named or path.lower() in self._named


def _named_exactly(include: Iterable[str]) -> Iterator[str]:
    """The patterns that are a name or path and nothing else, in lower case."""
    for pattern in include:
        if not _WILDCARDS.intersection(pattern) and not pattern.endswith("/"):
            yield pattern.strip("/").lower()


def _compile_junk(include: Iterable[str]) -> re.Pattern[str]:
    """The names of junk: of directories anywhere in a path, of files at its end."""
    asked = frozenset(pattern.strip("/").lower() for pattern in include)
    directories, files = junk.patterns(asked)
    below = "|".join(map(_translate_name, directories))
    last = "|".join(map(_translate_name, files))
    choices = [f"(?:{below})/"] * bool(below) + [rf"(?:{last})\Z"] * bool(last)
    return re.compile(rf"(?:[^/]*/)*?(?:{'|'.join(choices) or '(?!)'})", re.IGNORECASE | re.DOTALL)


def _translate_name(pattern: str) -> str:
    """A pattern of the junk's table, which has no brackets."""
    return "".join({"*": "[^/]*", "?": "[^/]"}.get(c, re.escape(c)) for c in pattern)


def _compile(patterns: Iterable[str]) -> re.Pattern[str]:
    """One expression for all patterns, since 100,000 names are compared with it in a scan."""
    from_start: list[str] = []
    any_part: list[str] = []
    for pattern in patterns:
        bare = pattern.strip("/")
        if not bare:
            raise ValueError(f"the pattern {pattern!r} names nothing")
        end = "/" if pattern.endswith("/") else r"(?:/|\Z)"
        where = from_start if "/" in pattern.rstrip("/") else any_part
        where.append(_translate(bare) + end)
    choices = []
    if any_part:
        choices.append(rf"(?:[^/]*/)*?(?:{'|'.join(any_part)})")
    choices += from_start
    try:
        return re.compile("|".join(choices) or r"(?!)", re.IGNORECASE | re.DOTALL)
    except re.error as error:
        raise ValueError(f"a pattern cannot be understood: {error}") from error


def _translate(pattern: str) -> str:
    """A glob as a regular expression for ``re``, without its end."""
    out, at = "", 0
    while at < len(pattern):
        brackets = _IN_BRACKETS.match(pattern, at)
        if pattern.startswith("**/", at):
            out, at = out + "(?:[^/]*/)*", at + 3
        elif pattern.startswith("**", at):
            out, at = out + ".*", at + 2
        elif pattern[at] == "*":
            out, at = out + "[^/]*", at + 1
        elif pattern[at] == "?":
            out, at = out + "[^/]", at + 1
        elif brackets is not None:
            any_of = "".join(c if c == "-" else re.escape(c) for c in re.sub("-+", "-", brackets[2]))
            out += f"(?!/)[{'^' if brackets[1] else ''}{any_of}]"
            at = brackets.end()
        else:
            out, at = out + re.escape(pattern[at]), at + 1
    return out
