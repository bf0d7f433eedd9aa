"""The policy of a seccomp filter, as a value, and its translation into a BPF program.

A policy names the calls that are allowed, always or depending on their arguments; all others are refused. Only the policy of
the supervisor is the other way round. A refused call kills nothing: it gets EPERM, or, if it is one of Linux 5.1 or later,
ENOSYS as from an older kernel, since every library can do without those. So a newer C library loses speed or a feature, but
the process lives on; and a new call that reaches a network is refused from the start.

A program finds a call by binary search, in about eight comparisons; from Linux 5.11 on the kernel remembers which calls pass
whatever their arguments, and skips the filter for them.

It must not install anything.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

from cutoutd.sandbox.bpf import Instruction, Operation, assemble
from cutoutd.sandbox.calls import NEWEST, NUMBERS, YOUNG

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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
    """A condition on one argument of a call.

    Attributes:
        argument: position of the argument, 0..5.
        values: values to compare with, 32 bits each.
        only: True lets only these values pass, False all others.
        mask: the bits that count.
        upper: whether bits 32..63 are compared; the kernel ignores them where the argument is an int.
    """

    argument: int
    values: tuple[int, ...]
    only: bool
    mask: int = 0xFFFFFFFF
    upper: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """The system calls that a process may make.

    Attributes:
        allowed: names of calls that pass, whatever their arguments.
        refused: names of calls that get EPERM; for the reader, where all others are refused anyway.
        hidden: names of calls that get ENOSYS, where libraries fall back to an older call that a filter can judge.
        checked: calls that pass if every check of one of these groups holds; otherwise they get EPERM.
        passes_others: whether all other calls pass, as far as they are known here.
    """

    allowed: tuple[str, ...]
    refused: tuple[str, ...]
    hidden: tuple[str, ...]
    checked: Mapping[str, tuple[tuple[Check, ...], ...]]
    passes_others: bool = False


def translate(policy: Policy, machine: Machine, *, refusal: int = REFUSE, hiding: int = UNKNOWN) -> bytes:
    """Return the BPF program that enforces a policy on one architecture.

    Args:
        policy: the policy.
        machine: the architecture, which decides the numbers of calls.
        refusal: action on a refused call, as in seccomp(2).
        hiding: action on a hidden call.

    Raises:
        KeyError: the policy names a call that `cutoutd.sandbox.calls` does not list.
        ValueError: the policy names a call twice.
    """
    return assemble(list(_Translation(policy, machine, refusal=refusal, hiding=hiding).program()))


_BY_ARGUMENT: Final = -1
"""In place of an action: it depends on the arguments."""


class _Translation:
    def __init__(self, policy: Policy, machine: Machine, *, refusal: int, hiding: int) -> None:
        self._machine = machine
        self._refusal = refusal
        self._hiding = hiding
        self._ways = {
            number: ways
            for name, ways in policy.checked.items()
            if (number := machine.number(name)) is not None
        }
        self._actions = self._table(policy)

    def program(self) -> Iterator[Instruction | str]:
        # In another ABI numbers mean other calls, so a call through one is refused here, whichever it is.
        yield Instruction(operation=Operation.LOAD, operand=_ARCHITECTURE)
        yield Instruction(operation=Operation.IF_EQUAL, operand=self._machine.audit, then="native")
        yield Instruction(operation=Operation.RETURN, operand=REFUSE)
        yield "native"
        yield Instruction(operation=Operation.LOAD, operand=_CALL)
        if self._machine.has_x32:
            yield Instruction(operation=Operation.IF_ABOVE, operand=_X32_BIT - 1, otherwise="not-x32")
            yield Instruction(operation=Operation.RETURN, operand=REFUSE)
            yield "not-x32"
        yield from self._tree(self._ranges())
        for number, ways in self._ways.items():
            yield from self._block(number, ways)

    def _table(self, policy: Policy) -> list[int]:
        """Return the action on each call by its number, and last the action on all later calls."""
        named = [*policy.allowed, *policy.refused, *policy.hidden, *policy.checked]
        if unlisted := [name for name in named if name not in NUMBERS]:
            raise KeyError(unlisted[0])
        if len(named) != len(set(named)):
            raise ValueError("a policy says two things of one call")
        if policy.passes_others:
            actions = [ALLOW] * (NEWEST + 1)
        else:
            actions = [self._refusal] * YOUNG + [self._hiding] * (NEWEST + 1 - YOUNG)
        for action, names in (
            (ALLOW, policy.allowed),
            (self._refusal, policy.refused),
            (self._hiding, policy.hidden),
            (_BY_ARGUMENT, policy.checked),
        ):
            for number in map(self._machine.number, names):
                if number is not None:
                    actions[number] = action
        return [*actions, self._hiding]

    def _ranges(self) -> list[tuple[int, int, int]]:
        """Return the ranges of adjacent numbers that share an action: first, last, action."""
        keyed = [
            (number, action, number if action == _BY_ARGUMENT else -1)
            for number, action in enumerate(self._actions)
        ]
        grouped = [list(group) for _, group in groupby(keyed, key=lambda one: one[1:])]
        return [(group[0][0], group[-1][0], group[0][1]) for group in grouped]

    def _tree(self, ranges: Sequence[tuple[int, int, int]]) -> Iterator[Instruction | str]:
        """Find the range of a number by binary search."""
        if len(ranges) == 1:
            ((first, _, action),) = ranges
            if action == _BY_ARGUMENT:
                yield Instruction(operation=Operation.JUMP, then=f"check-{first}")
            else:
                yield Instruction(operation=Operation.RETURN, operand=action)
            return
        half = len(ranges) // 2
        upper = f"from-{ranges[half][0]}"
        yield Instruction(operation=Operation.IF_ABOVE, operand=ranges[half - 1][1], then=upper)
        yield from self._tree(ranges[:half])
        yield upper
        yield from self._tree(ranges[half:])

    def _block(self, number: int, ways: tuple[tuple[Check, ...], ...]) -> Iterator[Instruction | str]:
        """Check the arguments of one call: it passes if all checks of one group hold."""
        yield f"check-{number}"
        for index, checks in enumerate(ways):
            missed = f"missed-{number}-{index}"
            for position, check in enumerate(checks):
                passed = f"passed-{number}-{index}-{position}"
                offset = _ARGUMENTS + 8 * check.argument + (4 if check.upper else 0)
                yield Instruction(operation=Operation.LOAD, operand=offset)
                yield Instruction(operation=Operation.MASK, operand=check.mask)
                *others, last = check.values
                hit, miss = (passed, missed) if check.only else (missed, passed)
                for value in others:
                    yield Instruction(operation=Operation.IF_EQUAL, operand=value, then=hit)
                yield Instruction(operation=Operation.IF_EQUAL, operand=last, then=hit, otherwise=miss)
                yield passed
            yield Instruction(operation=Operation.RETURN, operand=ALLOW)
            yield missed
        yield Instruction(operation=Operation.RETURN, operand=self._refusal)
