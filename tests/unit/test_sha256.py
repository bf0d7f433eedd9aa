"""A SHA-256 as text."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

import cutoutd
from cutoutd.sha256 import PATTERN, is_sha256

VALID = hashlib.sha256(b"x").hexdigest()


@pytest.mark.parametrize(
    "value",
    [
        "",
        VALID[:-1],
        f"{VALID}0",
        VALID.upper(),
        f"{VALID}\n",
        f"x{VALID[1:]}",
        f"\u0661{VALID[1:]}",
        None,
        7,
        VALID.encode(),
    ],
)
def test_what_is_no_sha256_is_not_taken_for_one(value: object) -> None:
    """Whatever its type: values come from files and messages of others."""
    assert not is_sha256(value)


def test_what_hashlib_returns_is_one() -> None:
    """Also by the pattern, which schemas have."""
    assert is_sha256(VALID)
    assert re.fullmatch(PATTERN, VALID)


def test_no_other_module_has_a_pattern_of_its_own() -> None:
    """Seven had, which differed in what they took."""
    package = Path(cutoutd.__file__).parent
    having = [
        path for path in package.rglob("*.py") if re.search(r"[0-9a-f-]\]\{64\}", path.read_text("utf-8"))
    ]
    assert [path.name for path in having] == ["sha256.py"]
