"""Which names in a hot folder are of interest, decided from the name alone.

It must not look at the file system, and knows nothing of what is inside a file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

JUNK: Final = (
    ".*",  # hidden, which includes our own marker and staging directory
    "._*",  # macOS: resource forks on foreign file systems
    ".DS_Store",
    ".syncthing.*",
    ".@__thumb",  # QNAP: thumbnails
    "@eaDir",  # Synology: thumbnails
    "#recycle",  # Synology: the bin
    "Thumbs.db",
    "~*",
    "*.part",
    "*.crdownload",
    "*.tmp",
    "CaptureOne/",
    "*.lrdata",
    "*.photoslibrary",
)
"""What is never a picture of the user's: unfinished downloads, and what programs keep for themselves."""

_IN_BRACKETS: Final = re.compile(r"\[(!?)(\]?[^]/]+|\])\]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What one folder takes, as its table of the configuration says.

    Paths are relative to the folder's input, with ``/`` between parts. A pattern that contains ``/`` is
    compared with the path from its start, any other with each part of it; what matches a directory matches
    all below it. ``*`` and ``?`` stay within a part, ``**`` does not, ``[abc]`` is any of these characters,
    a ``/`` at the end asks for a directory. Case does not matter.

    Attributes:
        include: a file must match one of these.
        exclude: and none of these, nor the junk that is always left out.
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
    _below: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not all(subtree.strip("/") for subtree in self.subtrees):
            raise ValueError("a subtree that is left out must have a name")
        everything = any(pattern in {"*", "**"} for pattern in self.include)
        # The only way to set a derived field of a frozen dataclass.
        object.__setattr__(self, "_wanted", None if everything else _compile(self.include))
        object.__setattr__(self, "_refused", _compile((*JUNK, *self.exclude)))
        object.__setattr__(self, "_below", tuple(f"{subtree.strip('/')}/" for subtree in self.subtrees))

    def takes_file(self, path: str) -> bool:
        """Whether a file of this path is of interest."""
        if not self.recursive and "/" in path:
            return False
        if self._refused.match(path) or path.startswith(self._below):
            return False
        return self._wanted is None or self._wanted.match(path) is not None

    def enters_directory(self, path: str) -> bool:
        """Whether files below the directory of this path can be of interest."""
        if not self.recursive:
            return False
        as_directory = f"{path}/"
        return not (self._refused.match(as_directory) or as_directory.startswith(self._below))


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
