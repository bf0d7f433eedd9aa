"""What is wrong with a line of TOML, in words for people who do not know TOML.

The standard library says what its parser expected; which slip led to that is seen from the line. It must not decide
whether a line is right.
"""

from __future__ import annotations

import re
from typing import Final

_CURLY: Final = re.compile("[\u201c\u201d\u201e\u2018\u2019\u00ab\u00bb]")
_TRUTHS: Final = {
    "yes": "true",
    "no": "false",
    "on": "true",
    "off": "false",
    "True": "true",
    "False": "false",
}
_BARE: Final = re.compile(r"[A-Za-z_~/.][^#\"']*")
_SLIPS: Final = (
    ("Cannot overwrite", "KEY is set twice in this table; take one out"),
    ("Cannot declare", "this table is there twice, or stands in for one; put both together"),
    (
        r"Invalid hex|Unescaped|.*escape",
        "in \"...\" a \\ has a meaning of its own; write '...', or / in its place",
    ),
    (r"Illegal character '\\n'", "the closing quote is missing"),
    ("Expected ']'", "the closing ] is missing"),
    ("Expected '='", "after a name belongs a = and a value"),
    ("Expected newline", "there is more on this line than one value"),
)
"""How what the parser says begins, and the slip behind it."""


def plain(said: str, line: str) -> str:
    """What is wrong.

    Args:
        said: by the parser, without the place.
        line: where it stopped.
    """
    key, _, value = (part.strip() for part in line.partition("="))
    if _CURLY.match(key) or _CURLY.match(value):
        return "these are typographic quotes; use straight ones"
    if said.startswith("Invalid value"):
        return _value(value)
    words = next((words for begin, words in _SLIPS if re.match(begin, said)), f"this is not TOML: {said}")
    return words.replace("KEY", key)


def _value(value: str) -> str:
    word = value.partition("#")[0].strip()
    if word in _TRUTHS:
        return f"{word} is written {_TRUTHS[word]}"
    if not word:
        return "the value is missing"
    if _BARE.fullmatch(word):
        return f'texts need quotes: "{word}"'
    return "this is no value; texts need quotes, and numbers have none"
