"""An assembler for the few instructions of classic BPF that a seccomp filter needs.

A program is a list of instructions and labels (plain strings) to jump to. Jumps go forward only, as the kernel demands;
those of a comparison span at most 255 instructions. Encoding: struct sock_filter of linux/filter.h.

It must not know any system call.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_FARTHEST_JUMP = 255
_MOST_INSTRUCTIONS = 4096


class Operation(IntEnum):
    """Operation on the accumulator, a word of 32 bits."""

    LOAD = 0x20  # fetch the word at this offset of struct seccomp_data
    MASK = 0x54  # keep the bits that are set in the operand
    IF_EQUAL = 0x15
    IF_ABOVE = 0x25  # unsigned
    JUMP = 0x05  # to the label in `then`, however far
    RETURN = 0x06  # end with the operand as the action


@dataclass(frozen=True, kw_only=True, slots=True)
class Instruction:
    """One instruction.

    Attributes:
        operation: the operation.
        operand: an offset, a mask, a value to compare with or an action; 0..2**32-1.
        then, otherwise: labels that a comparison continues at; empty for the next instruction. A jump uses ``then`` alone.
    """

    operation: Operation
    operand: int = 0
    then: str = ""
    otherwise: str = ""


def assemble(program: Sequence[Instruction | str]) -> bytes:
    """Encode a program as the kernel takes it, 8 bytes for each instruction.

    Raises:
        ValueError: a label is missing, defined twice, behind its jump or too far ahead, or the program is too long.
    """
    code: list[Instruction] = []
    places: dict[str, int] = {}
    for item in program:
        if isinstance(item, Instruction):
            code.append(item)
        elif item in places:
            raise ValueError(f"label {item!r} is there twice")
        else:
            places[item] = len(code)
    if not 0 < len(code) <= _MOST_INSTRUCTIONS:
        raise ValueError(f"a program has 1 to {_MOST_INSTRUCTIONS} instructions, not {len(code)}")
    return b"".join(_encode(line, here, places) for here, line in enumerate(code))


def _encode(line: Instruction, here: int, places: dict[str, int]) -> bytes:
    if line.operation is Operation.JUMP:
        return struct.pack("<HBBI", line.operation, 0, 0, _distance(line.then, here, places))
    ways = [_distance(label, here, places) for label in (line.then, line.otherwise)]
    for label, distance in zip((line.then, line.otherwise), ways, strict=True):
        if distance > _FARTHEST_JUMP:
            raise ValueError(f"label {label!r} is {distance} instructions ahead, out of reach")
    return struct.pack("<HBBI", line.operation, *ways, line.operand)


def _distance(label: str, here: int, places: dict[str, int]) -> int:
    """Return the distance of a label from the next instruction."""
    if not label:
        return 0
    if label not in places:
        raise ValueError(f"no label {label!r}")
    distance = places[label] - here - 1
    if distance < 0:
        raise ValueError(f"label {label!r} is {distance} instructions ahead, out of reach")
    return distance
