"""Which system calls a filter refuses, as a value, and its translation into a BPF program.

A policy lists what is refused; everything else the kernel of its day knows is let through. Calls that are
newer than `cutoutd.sandbox.calls` get ENOSYS, the answer of an older kernel, which every library copes
with: a way to the network that is invented tomorrow is closed today.

It must not install anything.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cutoutd.sandbox.bpf import Instruction, Operation, assemble
from cutoutd.sandbox.calls import NEWEST

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cutoutd.sandbox.calls import Machine

ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
REFUSE = _ERRNO | errno.EPERM
UNKNOWN = _ERRNO | errno.ENOSYS

# Offsets in struct seccomp_data of linux/seccomp.h.
_CALL = 0
_ARCHITECTURE = 4
_ARGUMENTS = 16

_X32_BIT = 0x40000000


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """What one argument of a call must be to let the call through.

    Attributes:
        argument: its position, 0..5.
        values: to compare with, 32 bits each.
        only: True lets only these values through, False everything but them.
        mask: the bits that count.
        upper: look at bits 32..63; the kernel ignores them where the argument is an int.
    """

    argument: int
    values: tuple[int, ...]
    only: bool
    mask: int = 0xFFFFFFFF
    upper: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What a process may not ask of the kernel.

    Attributes:
        refused: names of calls that get EPERM.
        hidden: names of calls that get ENOSYS, where libraries fall back to an older one we can judge.
        checked: calls that pass only if every check does, else EPERM.
    """

    refused: tuple[str, ...]
    hidden: tuple[str, ...]
    checked: Mapping[str, tuple[Check, ...]]


def translate(policy: Policy, machine: Machine) -> bytes:
    """Give the BPF program that enforces a policy on one architecture.

    Raises:
        KeyError: a call is named that `cutoutd.sandbox.calls` does not list.
    """
    return assemble(list(_program(policy, machine)))


def _program(policy: Policy, machine: Machine) -> Iterator[Instruction | str]:
    # Numbers mean other calls in another ABI, so one that does not match ends here, whatever it asks.
    yield Instruction(operation=Operation.LOAD, operand=_ARCHITECTURE)
    yield Instruction(operation=Operation.IF_EQUAL, operand=machine.audit, then="native")
    yield Instruction(operation=Operation.RETURN, operand=REFUSE)
    yield "native"
    yield Instruction(operation=Operation.LOAD, operand=_CALL)
    if machine.has_x32:
        yield Instruction(operation=Operation.IF_ABOVE, operand=_X32_BIT - 1, otherwise="not-x32")
        yield Instruction(operation=Operation.RETURN, operand=REFUSE)
        yield "not-x32"
    yield Instruction(operation=Operation.IF_ABOVE, operand=NEWEST, otherwise="known")
    yield Instruction(operation=Operation.RETURN, operand=UNKNOWN)
    yield "known"
    for name, checks in policy.checked.items():
        number = machine.number(name)
        if number is not None:
            yield from _block(number, checks)
    # Last and before the verdicts, because every line of this list must reach them.
    for verdict, names in (("refuse", policy.refused), ("unknown", policy.hidden)):
        for number in map(machine.number, names):
            if number is not None:
                yield Instruction(operation=Operation.IF_EQUAL, operand=number, then=verdict)
    yield Instruction(operation=Operation.RETURN, operand=ALLOW)
    yield "refuse"
    yield Instruction(operation=Operation.RETURN, operand=REFUSE)
    yield "unknown"
    yield Instruction(operation=Operation.RETURN, operand=UNKNOWN)


def _block(number: int, checks: tuple[Check, ...]) -> Iterator[Instruction | str]:
    """The checks of one call; every way through them ends in a verdict."""
    after, refuse = f"after-{number}", f"refuse-{number}"
    yield Instruction(operation=Operation.IF_EQUAL, operand=number, otherwise=after)
    for position, check in enumerate(checks):
        passed = f"passed-{number}-{position}"
        offset = _ARGUMENTS + 8 * check.argument + (4 if check.upper else 0)
        yield Instruction(operation=Operation.LOAD, operand=offset)
        yield Instruction(operation=Operation.MASK, operand=check.mask)
        *others, last = check.values
        hit, miss = (passed, refuse) if check.only else (refuse, passed)
        for value in others:
            yield Instruction(operation=Operation.IF_EQUAL, operand=value, then=hit)
        yield Instruction(operation=Operation.IF_EQUAL, operand=last, then=hit, otherwise=miss)
        yield passed
    yield Instruction(operation=Operation.RETURN, operand=ALLOW)
    yield refuse
    yield Instruction(operation=Operation.RETURN, operand=REFUSE)
    yield after
