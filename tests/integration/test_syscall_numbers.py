"""The tables of system calls, compared with the headers of the C library's development package if it is installed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cutoutd.sandbox import calls

INCLUDE = Path("/usr/include")
HEADERS = [
    pytest.param(calls.X86_64, ("x86_64-linux-gnu/asm/unistd_64.h", "asm/unistd_64.h"), id="x86_64"),
    pytest.param(
        calls.AARCH64,
        ("../aarch64-linux-gnu/include/asm-generic/unistd.h", "asm-generic/unistd.h"),
        id="aarch64",
    ),
]


OTHER_NAMES = {"fstatat": "newfstatat"}
"""Names in the header that architectures of 64 and of 32 bits share."""


@pytest.mark.parametrize(("machine", "headers"), HEADERS)
def test_the_numbers_are_those_of_the_kernel_s_headers(
    machine: calls.Machine, headers: tuple[str, ...]
) -> None:
    """A wrong number would refuse a harmless call, and allow the intended one."""
    path = next((INCLUDE / header for header in headers if (INCLUDE / header).is_file()), None)
    if path is None:
        pytest.skip(f"no {headers[0]} in {INCLUDE}")
    defined = re.findall(
        r"^#define __NR(?:3264)?_(\w+)\s+(\d+)$", path.read_text(encoding="ascii"), re.MULTILINE
    )
    theirs = {OTHER_NAMES.get(name, name): int(number) for name, number in defined if name != "syscalls"}
    ours = {name: number for name in calls.NUMBERS if (number := machine.number(name)) is not None}
    both = ours.keys() & theirs.keys()
    assert len(both) > 100
    assert {name: ours[name] for name in both} == {name: theirs[name] for name in both}
    # What the headers lack is younger than they are, not misspelt.
    assert all(ours[name] > max(theirs.values()) for name in ours.keys() - both)


def test_younger_calls_have_one_number_everywhere() -> None:
    """From 424 on, all architectures use the same numbers; the newest ones are in few headers yet."""
    young = {name: numbers for name, numbers in calls.NUMBERS.items() if max(n or 0 for n in numbers) >= 424}
    assert all(x86 == arm for x86, arm in young.values())
    newest = {name: numbers[0] for name, numbers in young.items() if (numbers[0] or 0) > 450}
    assert newest == {
        "fchmodat2": 452,
        "map_shadow_stack": 453,
        "futex_wake": 454,
        "futex_wait": 455,
        "futex_requeue": 456,
        "statmount": 457,
        "listmount": 458,
        "mseal": 462,
        "setxattrat": 463,
        "removexattrat": 466,
        "open_tree_attr": 467,
        "file_setattr": 469,
    }
