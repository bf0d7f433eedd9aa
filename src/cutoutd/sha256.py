"""A SHA-256 as text, as the whole program stores and sends it: 64 hexadecimal digits, in lower case."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import TypeGuard

PATTERN: Final = "[0-9a-f]{64}"
"""A regular expression without groups or anchors, for schemas."""

_SHA256: Final = re.compile(PATTERN)


def is_sha256(value: object) -> TypeGuard[str]:
    """Whether a value, of whatever type, is a SHA-256 as text."""
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None
