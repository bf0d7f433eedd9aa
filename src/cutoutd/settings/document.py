"""Reading the configuration file as TOML; what its tables mean is not decided here."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, Final

from cutoutd.errors import ConfigurationError
from cutoutd.settings import toml_words

if TYPE_CHECKING:
    from pathlib import Path

# tomllib gives the place as text alone before Python 3.14.
_PLACE: Final = re.compile(r" \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$")


def read(path: Path) -> dict[str, Any]:
    """A configuration file as nested dictionaries.

    Raises:
        ConfigurationError: it is not there, cannot be read, is not UTF-8 or not TOML; with line and column.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise ConfigurationError(
            "there is no such file", path=path, advice="Give the right one with --config FILE."
        ) from None
    except OSError as error:
        raise ConfigurationError(
            f"it cannot be read ({error.strerror})",
            path=path,
            advice="It must be a file that this user may read.",
        ) from error
    try:
        text = raw.decode("utf-8-sig")  # some editors begin a file with the mark this passes over
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(
            f"line {line} is not UTF-8 text", path=path, advice="Save it again with the encoding UTF-8."
        ) from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(path, text, str(error)) from error


def _syntax_error(path: Path, text: str, said: str) -> ConfigurationError:
    place = _PLACE.search(said)
    what = said[: place.start()] if place is not None else said
    if place is None or place["line"] is None:
        last = text.rstrip().rpartition("\n")[2].strip()
        said = toml_words.plain(what, last)
        return ConfigurationError(f"the last line is not finished: {said}, in `{last}`", path=path)
    number = int(place["line"])
    lines = text.split("\n")
    line = lines[number - 1].strip()
    said = toml_words.plain(what, line)
    return ConfigurationError(f"line {number}, column {place['column']}: {said}, in `{line}`", path=path)
