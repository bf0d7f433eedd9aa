"""The system calls that a policy can name, grouped by what they do, with their numbers on each supported architecture.

They are read from ``system_calls.tbl`` beside this module, which documents the source of the numbers and each group. It
must not decide what is refused.
"""

from __future__ import annotations

import platform
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

# The last call of Linux 6.18, file_setattr: later calls are not in the table.
NEWEST = 469

# From here on the architectures share their numbers: calls of Linux 5.1 and later, which every library can do without.
YOUNG = 424

# Number of each call on x86_64 and on aarch64; None: the architecture never had it.
Numbers: TypeAlias = MappingProxyType[str, tuple[int | None, int | None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """An architecture.

    Attributes:
        name: name, as from `platform.machine`.
        audit: AUDIT_ARCH value, of linux/audit.h.
        column: column in the tables of numbers.
        seccomp: number of seccomp(2), which installs a filter.
        has_x32: whether there is a second set of calls under the same audit value.
    """

    name: str
    audit: int
    column: int
    seccomp: int
    has_x32: bool

    def number(self, call: str) -> int | None:
        """Return the number of a call, or None where the architecture never had it.

        Raises:
            KeyError: no table lists the call.
        """
        return NUMBERS[call][self.column]


X86_64 = Machine(name="x86_64", audit=0xC000003E, column=0, seccomp=317, has_x32=True)
AARCH64 = Machine(name="aarch64", audit=0xC00000B7, column=1, seccomp=277, has_x32=False)


def this_machine() -> Machine | None:
    """Return the architecture of this process, or None if there is no filter for it."""
    if sys.platform != "linux" or struct.calcsize("P") != struct.calcsize("Q"):
        return None
    return {known.name: known for known in (X86_64, AARCH64)}.get(platform.machine())


def _read_table(path: Path) -> dict[str, Numbers]:
    """Read the groups of a table, by their names.

    Raises:
        OSError: the file cannot be read.
        ValueError: a line is neither a comment, nor the name of a group, nor a call with two numbers; or a call is listed twice.
    """
    groups: dict[str, dict[str, tuple[int | None, int | None]]] = {}
    seen: set[str] = set()
    calls: dict[str, tuple[int | None, int | None]] = {}
    for line in path.read_text(encoding="ascii").splitlines():
        if line.startswith("["):
            calls = groups[line.strip("[]")] = {}
        elif line and not line.startswith("#"):
            name, x86_64, aarch64 = line.split()
            if name in seen:
                raise ValueError(f"{path}: {name} is there twice")
            seen.add(name)
            calls[name] = (_number(x86_64), _number(aarch64))
    return {name: MappingProxyType(calls) for name, calls in groups.items()}


def _number(text: str) -> int | None:
    return None if text == "-" else int(text)


_GROUPS = _read_table(Path(__file__).with_name("system_calls.tbl"))

# Allowed whatever the arguments. None of these names a file.
MEMORY, THREADS, SIGNALS, TIME, ITSELF = (
    _GROUPS[name] for name in ("MEMORY", "THREADS", "SIGNALS", "TIME", "ITSELF")
)
OPENED, NAMES, WAITING, DIRECTORY = (_GROUPS[name] for name in ("OPENED", "NAMES", "WAITING", "DIRECTORY"))

# Refused whatever the arguments.
SOCKETS, RINGS, INTRUSION, PROCESSES = (
    _GROUPS[name] for name in ("SOCKETS", "RINGS", "INTRUSION", "PROCESSES")
)
FILES, HINTS, SHARED, MACHINE, BY_POINTER = (
    _GROUPS[name] for name in ("FILES", "HINTS", "SHARED", "MACHINE", "BY_POINTER")
)

OF_A_PROCESS, CLOCKS = _GROUPS["OF_A_PROCESS"], _GROUPS["CLOCKS"]
BY_ARGUMENT: Numbers = MappingProxyType(OF_A_PROCESS | CLOCKS | _GROUPS["BY_ARGUMENT"])
"""Allowed or not, depending on an argument."""

REFUSED: Numbers = MappingProxyType(
    SOCKETS | RINGS | INTRUSION | PROCESSES | FILES | HINTS | SHARED | MACHINE | BY_POINTER
)
"""Calls that no worker may make, whatever the arguments."""

NUMBERS: Numbers = MappingProxyType(
    REFUSED | BY_ARGUMENT | MEMORY | THREADS | SIGNALS | TIME | ITSELF | OPENED | NAMES | WAITING | DIRECTORY
)
