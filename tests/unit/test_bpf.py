"""The seccomp filters' programs, run by a small interpreter for both architectures on any host."""

from __future__ import annotations

import errno
import os
import struct
from functools import cache
from typing import TYPE_CHECKING

import pytest

from cutoutd.sandbox import calls, seccomp
from cutoutd.sandbox.bpf import Instruction, Operation, assemble
from cutoutd.sandbox.policy import ALLOW, REFUSE, UNKNOWN, Check, Policy, translate

if TYPE_CHECKING:
    from cutoutd.sandbox.calls import Machine

PID = 4242
MACHINES = [pytest.param(machine, id=machine.name) for machine in (calls.X86_64, calls.AARCH64)]
AUDIT_I386, AUDIT_ARM = 0x40000003, 0x40000028


@cache
def decode(program: bytes) -> list[tuple[int, int, int, int]]:
    """Return the program as tuples of code, jump if true, jump if false and operand."""
    return list(struct.iter_unpack("<HBBI", program))


def run(program: bytes, data: bytes) -> int:
    """Run a program over a struct seccomp_data as the kernel would, and return its verdict."""
    lines = decode(program)
    accumulator, here = 0, 0
    while True:
        code, then, otherwise, operand = lines[here]
        here += 1
        match code:
            case 0x20:
                assert operand % 4 == 0
                (accumulator,) = struct.unpack_from("<I", data, operand)
            case 0x54:
                accumulator &= operand
            case 0x15:
                here += then if accumulator == operand else otherwise
            case 0x25:
                here += then if accumulator > operand else otherwise
            case 0x05:
                here += operand
            case 0x06:
                return operand
            case _:
                pytest.fail(f"the kernel knows no instruction {code:#x} here")


def verdict_on(
    program: bytes, machine: Machine, call: str | int, *arguments: int, audit: int | None = None
) -> int:
    """Return the verdict on one system call."""
    number = machine.number(call) if isinstance(call, str) else call
    assert number is not None
    words = [word & 0xFFFFFFFFFFFFFFFF for word in (*arguments, *[0] * 6)][:6]
    data = struct.pack("<IIQ6Q", number, machine.audit if audit is None else audit, 0, *words)
    return run(program, data)


def worker(machine: Machine, tasks: int | None = None, *, graphics: bool = False) -> bytes:
    """Return the worker's program."""
    return translate(seccomp.worker_policy(PID, tasks, graphics=graphics), machine)


def uploader(machine: Machine) -> bytes:
    """Return the uploader's program."""
    return translate(seccomp.uploader_policy(PID), machine)


def supervisor(machine: Machine) -> bytes:
    """Return the supervisor's program."""
    return translate(seccomp.supervisor_policy(), machine)


PROGRAMS = [
    pytest.param(worker(calls.X86_64), id="worker-x86_64"),
    pytest.param(worker(calls.AARCH64), id="worker-aarch64"),
    pytest.param(uploader(calls.X86_64), id="uploader-x86_64"),
    pytest.param(uploader(calls.AARCH64), id="uploader-aarch64"),
    pytest.param(supervisor(calls.X86_64), id="supervisor-x86_64"),
    pytest.param(supervisor(calls.AARCH64), id="supervisor-aarch64"),
]


def test_instructions_are_encoded_as_the_kernel_reads_them() -> None:
    """The bytes are those of struct sock_filter, worked out by hand."""
    program = assemble(
        [
            Instruction(operation=Operation.LOAD, operand=4),
            Instruction(operation=Operation.IF_EQUAL, operand=0xC000003E, otherwise="bad"),
            Instruction(operation=Operation.RETURN, operand=0x7FFF0000),
            "bad",
            Instruction(operation=Operation.RETURN, operand=0x00050001),
        ]
    )
    assert program.hex(" ", 8) == "2000000004000000 150000013e0000c0 060000000000ff7f 0600000001000500"


@pytest.mark.parametrize(
    ("program", "complaint"),
    [
        ([], "instructions, not 0"),
        (["a", "a"], "twice"),
        ([Instruction(operation=Operation.IF_EQUAL, operand=1, then="nowhere")], "no label"),
        (["back", Instruction(operation=Operation.IF_EQUAL, operand=1, then="back")], "out of reach"),
        (
            [
                Instruction(operation=Operation.IF_EQUAL, operand=1, then="far"),
                *[Instruction(operation=Operation.RETURN, operand=0)] * 256,
                "far",
                Instruction(operation=Operation.RETURN, operand=0),
            ],
            "256 instructions ahead",
        ),
    ],
)
def test_a_program_that_would_jump_astray_is_not_assembled(
    program: list[Instruction | str], complaint: str
) -> None:
    """A wrong jump in a filter is a hole, so the assembler refuses it."""
    with pytest.raises(ValueError, match=complaint):
        assemble(program)


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_way_through_a_program_ends_in_a_verdict(program: bytes) -> None:
    """What the kernel's own check demands: jumps stay inside, and the last instruction is a verdict."""
    lines = decode(program)
    assert len(lines) <= 4096
    assert lines[-1][0] == Operation.RETURN
    for here, (code, then, otherwise, _) in enumerate(lines):
        if code in (Operation.IF_EQUAL, Operation.IF_ABOVE):
            assert here + 1 + max(then, otherwise) < len(lines)


@pytest.mark.parametrize("machine", MACHINES)
def test_no_two_calls_have_the_same_number(machine: Machine) -> None:
    """A typing error in the tables would refuse the wrong call and allow the right one."""
    numbers = [number for number in map(machine.number, calls.NUMBERS) if number is not None]
    assert len(numbers) == len(set(numbers))
    assert max(numbers) <= calls.NEWEST


@pytest.mark.parametrize("machine", MACHINES)
def test_a_worker_is_refused_every_call_that_its_policy_names(machine: Machine) -> None:
    """Each of them gets EPERM, whatever its arguments."""
    program, policy = worker(machine), seccomp.worker_policy(PID)
    refused = [name for name in policy.refused if machine.number(name) is not None]
    assert {"socket", "connect", "sendmsg", "execve", "ptrace", "io_uring_setup"} <= set(refused)
    for name in refused:
        assert verdict_on(program, machine, name) == REFUSE == 0x00050000 | errno.EPERM, name
        assert verdict_on(program, machine, name, PID, -1, -1, -1, -1, -1) == REFUSE, name


@pytest.mark.parametrize("machine", MACHINES)
def test_unlisted_calls_are_refused_and_newer_calls_do_not_exist(machine: Machine) -> None:
    """With any arguments: a call missing from the lists, and one added by a later kernel."""
    for program in (worker(machine), uploader(machine)):
        named = {machine.number(name) for name in calls.NUMBERS}
        rest = [number for number in range(calls.NEWEST + 1) if number not in named]
        assert len(rest) > 100
        for number in rest:
            verdict = UNKNOWN if number >= calls.YOUNG else REFUSE
            assert (
                verdict_on(program, machine, number, 0, 0, 0)
                == verdict_on(program, machine, number, -1, -1)
                == verdict
            )


@pytest.mark.parametrize("machine", MACHINES)
def test_the_calls_that_a_worker_needs_are_allowed(machine: Machine) -> None:
    """Every call is on exactly one list."""
    program, policy = worker(machine), seccomp.worker_policy(PID)
    assert {"read", "write", "mmap", "futex", "madvise", "exit_group", "futex_wait"} <= set(policy.allowed)
    for name in policy.allowed:
        if machine.number(name) is not None:
            assert (
                verdict_on(program, machine, name, -1, -1, -1) == verdict_on(program, machine, name) == ALLOW
            ), name
    lists = [*policy.allowed, *policy.refused, *policy.hidden, *policy.checked]
    assert sorted(lists) == sorted(calls.NUMBERS)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    "call", ["setsid", "setpgid", "sync", "syncfs", "flock", "fadvise64", "memfd_create", "splice"]
)
def test_neither_worker_nor_uploader_disturbs_others(machine: Machine, call: str) -> None:
    """Scheduling, locks, the whole disk and locked memory are out of reach."""
    for program in (worker(machine), uploader(machine)):
        assert verdict_on(program, machine, call, 3) == REFUSE


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("call", ["clone3", "openat2", calls.NEWEST + 1, 512, 520, 547, 0x3FFFFFFF])
def test_calls_that_a_filter_cannot_judge_do_not_exist(machine: Machine, call: str | int) -> None:
    """Flags behind a pointer, calls of later kernels, x32 numbers without their bit: ENOSYS."""
    assert verdict_on(worker(machine), machine, call) == UNKNOWN == 0x00050000 | errno.ENOSYS


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("audit", [AUDIT_I386, AUDIT_ARM, 0])
def test_another_abi_is_refused_whatever_it_asks(program: bytes, audit: int) -> None:
    """Its numbers mean other calls: 41 and 198 are no sockets there, and sockets are not refused there."""
    for number in (0, 1, 41, 198, 359, 0xFFFFFFFF):
        assert verdict_on(program, calls.X86_64, number, 1, audit=audit) == REFUSE


@pytest.mark.parametrize("program", [worker(calls.X86_64), supervisor(calls.X86_64)])
def test_x32_is_refused_although_it_has_the_same_audit_value(program: bytes) -> None:
    """Its calls carry a bit in their number that would slip past comparisons."""
    for number in (0, 41, 59, 520, 0x3FFFFFFF):
        assert verdict_on(program, calls.X86_64, 0x40000000 | number, 1) == REFUSE
    assert verdict_on(program, calls.X86_64, 0xFFFFFFFF, 1) == REFUSE


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("call", "arguments", "verdict"),
    [
        # Threads may be made, processes not: fork is clone with a signal and no CLONE_THREAD.
        ("clone", (0x3D0F00,), ALLOW),
        ("clone", (17,), REFUSE),
        ("clone", (0x10000000 | 17,), REFUSE),
        ("clone", (0x3D0F00 | 0x10000000,), REFUSE),
        # Signals reach the worker itself only. The kernel reads a pid as 32 bits.
        ("kill", (PID, 9), ALLOW),
        ("kill", (PID | 7 << 32, 9), ALLOW),
        ("kill", (PID + 1, 9), REFUSE),
        ("kill", (0, 9), REFUSE),
        ("kill", (-1, 9), REFUSE),
        ("kill", (-PID, 9), REFUSE),
        ("tgkill", (PID, PID + 3, 6), ALLOW),
        ("tgkill", (1, PID, 6), REFUSE),
        ("rt_sigqueueinfo", (1, 9), REFUSE),
        ("rt_tgsigqueueinfo", (1, PID, 9), REFUSE),
        ("sched_setaffinity", (0, 8), ALLOW),
        ("sched_setaffinity", (PID, 8), ALLOW),
        ("sched_setaffinity", (1, 8), REFUSE),
        # What can be asked about one process can be asked about itself alone.
        *((call, (who,), ALLOW) for call in calls.OF_A_PROCESS for who in (0, PID)),
        *((call, (who,), REFUSE) for call in calls.OF_A_PROCESS for who in (1, PID + 1, -1)),
        ("getpriority", (0, 0), ALLOW),
        ("getpriority", (0, PID + 1), REFUSE),
        ("getpriority", (1, 0), REFUSE),  # PRIO_PGRP
        *((call, (clock,), ALLOW) for call in calls.CLOCKS for clock in (0, 1, 2, 3, 7)),
        *((call, (~(PID + 1) << 3 | 2,), REFUSE) for call in calls.CLOCKS),
        # Limits can be read, not set; a pointer has 64 bits.
        ("prlimit64", (0, 7, 0, 0x7FFF00001000), ALLOW),
        ("prlimit64", (0, 7, 0x7FFF00001000, 0), REFUSE),
        ("prlimit64", (1, 7, 0, 0x7FFF00001000), REFUSE),
        ("prlimit64", (0, 7, 0x7FFF00000000, 0), REFUSE),
        # What is written comes opened.
        ("openat", (-100, 1, os.O_RDONLY), ALLOW),
        ("openat", (-100, 1, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY, 0o4755), ALLOW),
        ("openat", (-100, 1, os.O_RDONLY | os.O_TRUNC), REFUSE),
        ("openat", (-100, 1, os.O_RDONLY | os.O_CREAT), REFUSE),
        ("openat", (-100, 1, os.O_WRONLY), REFUSE),
        ("openat", (-100, 1, os.O_RDWR | 1 << 40), REFUSE),
        ("openat", (-100, 1, 3), REFUSE),
        ("openat", (-100, 1, 0o20000000 | os.O_DIRECTORY), REFUSE),  # O_TMPFILE
        ("unlinkat", (-100, 1, 0), REFUSE),
        ("renameat2", (-100, 1, -100, 2, 0), REFUSE),
        ("fcntl", (3, 1), ALLOW),
        ("fcntl", (3, 4, 0o4000 | 0o100000 | 2), ALLOW),  # O_NONBLOCK
        ("fcntl", (3, 4, 0o20000), REFUSE),  # O_ASYNC
        ("fcntl", (3, 4, 0o1000000), REFUSE),  # O_NOATIME
        ("fcntl", (3, 5), REFUSE),
        ("fcntl", (3, 6), REFUSE),
        ("fcntl", (3, 1024), REFUSE),  # F_SETLEASE
        ("fcntl", (3, 1031), REFUSE),  # F_SETPIPE_SZ
        ("fcntl", (3, 1033), REFUSE),  # F_ADD_SEALS
        ("fcntl", (3, 8, 1), REFUSE),
        ("fcntl", (3, 10 | 1 << 32, 9), REFUSE),
        ("fcntl", (3, 15), REFUSE),
        ("ioctl", (0, 0x5401), ALLOW),
        ("ioctl", (0, 0x5412), REFUSE),
        ("ioctl", (0, 0x5412 | 1 << 32), REFUSE),
        ("ioctl", (0, 0x541C), REFUSE),
        ("ioctl", (0, 0x5410), REFUSE),  # TIOCSPGRP
        ("ioctl", (3, 0x40087602), REFUSE),  # FS_IOC_SETVERSION
        ("ioctl", (3, 0x40086602), REFUSE),  # FS_IOC_SETFLAGS
        ("ioctl", (3, 0x4600), REFUSE),
        ("prctl", (15,), ALLOW),
        ("prctl", (22, 2), REFUSE),  # PR_SET_SECCOMP
        ("prctl", (36, 1), REFUSE),  # PR_SET_CHILD_SUBREAPER
        ("prctl", (1, 0), REFUSE),
        ("prctl", (4, 1), REFUSE),
    ],
)
def test_a_worker_s_calls_are_judged_by_their_arguments(
    machine: Machine, call: str, arguments: tuple[int, ...], verdict: int
) -> None:
    """What is harmless in one form and not in another."""
    assert verdict_on(worker(machine), machine, call, *arguments) == verdict


def test_the_old_open_is_judged_like_openat() -> None:
    """x86_64 has both, with the flags in different places."""
    program = worker(calls.X86_64)
    assert verdict_on(program, calls.X86_64, "open", 1, os.O_RDONLY) == ALLOW
    assert verdict_on(program, calls.X86_64, "open", 1, os.O_RDONLY | os.O_TRUNC) == REFUSE


@pytest.mark.parametrize("machine", MACHINES)
def test_the_uploader_makes_plain_files_alone(machine: Machine) -> None:
    """No setuid bits, and no truncation of a file opened for reading."""
    program = uploader(machine)
    assert (
        verdict_on(program, machine, "openat", -100, 1, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600) == ALLOW
    )
    assert (
        verdict_on(program, machine, "openat", -100, 1, os.O_RDONLY, 0o4755) == ALLOW
    )  # what is left in a register
    assert verdict_on(program, machine, "openat", -100, 1, os.O_WRONLY | os.O_CREAT, 0o4755) == REFUSE
    assert verdict_on(program, machine, "openat", -100, 1, os.O_WRONLY | os.O_CREAT, 0o2755) == REFUSE
    assert verdict_on(program, machine, "openat", -100, 1, os.O_RDWR | 0o20000000, 0o4755) == REFUSE
    assert verdict_on(program, machine, "openat", -100, 1, os.O_RDONLY | os.O_TRUNC) == REFUSE


@pytest.mark.parametrize("machine", MACHINES)
def test_the_supervisor_has_unix_sockets_only(machine: Machine) -> None:
    """Every other family is refused, whatever the ignored half of the register contains."""
    program = supervisor(machine)
    for call in ("socket", "socketpair"):
        assert verdict_on(program, machine, call, 1, 1) == ALLOW
        for family in (*range(2, 64), 0, 0xFFFFFFFF, 2 | 1 << 32):
            assert verdict_on(program, machine, call, family, 1) == REFUSE, family


@pytest.mark.parametrize("machine", MACHINES)
def test_the_supervisor_may_start_programs_but_not_reach_into_them(machine: Machine) -> None:
    """Taking a socket out of another process, or an io_uring around the filter, is refused."""
    program = supervisor(machine)
    for call in ("execve", "clone", "clone3", "connect", "sendmsg", "kill", "prlimit64", "fchmod"):
        assert verdict_on(program, machine, call, -1, -1, -1) == ALLOW, call
    for call in ("io_uring_setup", "io_uring_enter", "io_uring_register", "ptrace", "pidfd_getfd"):
        assert verdict_on(program, machine, call) == REFUSE, call


@pytest.mark.parametrize("machine", MACHINES)
def test_a_worker_receives_from_its_own_socket_alone(machine: Machine) -> None:
    """And from none where the worker has no socket."""
    assert verdict_on(worker(machine), machine, "recvmsg", 3) == REFUSE
    program = worker(machine, 3)
    assert verdict_on(program, machine, "recvmsg", 3, -1, -1) == ALLOW
    assert verdict_on(program, machine, "recvmsg", 4) == REFUSE
    for call in (
        "socket",
        "connect",
        "sendmsg",
        "sendto",
        "recvfrom",
        "recvmmsg",
        "accept4",
        "bind",
        "shutdown",
    ):
        assert verdict_on(program, machine, call, 3) == REFUSE, call


@pytest.mark.parametrize("machine", MACHINES)
def test_ioctls_of_graphics_processors_are_allowed_only_where_they_are_used(machine: Machine) -> None:
    """The ioctls of their drivers are allowed, none of a terminal or a file system."""
    program = worker(machine, graphics=True)
    for command in (0xC020462A, 0x30000001, 25, 0xC0404B01, 0xC0106400, 0x5401):
        assert verdict_on(program, machine, "ioctl", 5, command) == ALLOW, command
    for command in (0x5412, 0x40087602, 0x40086602, 0x401C5820, 0x8901, 0x40049409):
        assert verdict_on(program, machine, "ioctl", 5, command) == REFUSE, command


@pytest.mark.parametrize("machine", MACHINES)
def test_the_uploader_calls_out_and_locks_its_ledger(machine: Machine) -> None:
    """These calls are allowed beyond a worker's."""
    program = uploader(machine)
    for call in ("connect", "sendto", "recvfrom", "setsockopt", "linkat", "bind"):
        assert verdict_on(program, machine, call, -1, -1) == ALLOW, call
    assert verdict_on(program, machine, "fcntl", 3, 6) == ALLOW
    assert verdict_on(program, machine, "fcntl", 3, 1024) == REFUSE
    assert verdict_on(program, machine, "socket", 10, 1, 6) == ALLOW
    assert verdict_on(program, machine, "socket", 1, 1, 0) == REFUSE
    assert verdict_on(program, machine, "ioctl", 3, 0x4600) == REFUSE


def test_a_program_is_short() -> None:
    """Each judged call passes a few comparisons, and loading does not delay a worker's start."""
    program = worker(calls.X86_64)
    assert len(decode(program)) < 512
    steps = {number: count_instructions(program, number) for number in range(calls.NEWEST + 1)}
    assert max(steps.values()) < 40
    assert sum(steps.values()) / len(steps) < 14


def count_instructions(program: bytes, number: int) -> int:
    """Return the number of instructions that a call without arguments runs through."""
    lines, here, count, accumulator = decode(program), 0, 0, 0
    data = struct.pack("<IIQ6Q", number, calls.X86_64.audit, 0, *[0] * 6)
    while True:
        code, then, otherwise, operand = lines[here]
        here, count = here + 1, count + 1
        match code:
            case Operation.LOAD:
                (accumulator,) = struct.unpack_from("<I", data, operand)
            case Operation.MASK:
                accumulator &= operand
            case Operation.JUMP:
                here += operand
            case Operation.RETURN:
                return count
            case Operation.IF_EQUAL:
                here += then if accumulator == operand else otherwise
            case _:
                here += then if accumulator > operand else otherwise


def test_a_policy_that_names_an_unknown_call_is_refused() -> None:
    """A misspelt name must not allow the call."""
    with pytest.raises(KeyError, match="sokcet"):
        translate(Policy(allowed=(), refused=("sokcet",), hidden=(), checked={}), calls.X86_64)
    unknown = {"sokcet": ((Check(argument=0, values=(1,), only=True),),)}
    with pytest.raises(KeyError, match="sokcet"):
        translate(Policy(allowed=(), refused=(), hidden=(), checked=unknown), calls.X86_64)


def test_a_policy_with_contradicting_entries_is_refused() -> None:
    """Two contradicting entries are refused instead of one of them winning."""
    with pytest.raises(ValueError, match="two things"):
        translate(Policy(allowed=("read",), refused=("read",), hidden=(), checked={}), calls.X86_64)
