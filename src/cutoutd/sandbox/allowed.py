"""The system calls that a worker or the uploader may make, by what they are for, with their numbers on the architectures we know.

Recorded by strace over every format, recipe and kind of damage in the tests (Python 3.11, onnxruntime 1.32, numpy, Pillow,
OpenCV, libheif, LibRaw, glibc 2.36), and read in the sources of glibc and Linux for what newer ones use in their stead: such
calls are allowed where they reach nothing but this process and what it has open. Everything else is refused.

Sources of the numbers: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h of Linux 6.18. None: the
architecture never had the call. It must not say what is refused.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TypeAlias

# Of each call its number on x86_64, then on aarch64.
Numbers: TypeAlias = MappingProxyType[str, tuple[int | None, int | None]]

# A process's own memory: the allocator, libraries that are loaded late, threads' stacks, huge pages; the policy of NUMA
# nodes, which an encoder in libheif asks for. Newer C libraries seal what they have loaded and keep a shadow stack.
MEMORY: Numbers = MappingProxyType(
    {
        "mmap": (9, 222),
        "mprotect": (10, 226),
        "munmap": (11, 215),
        "mremap": (25, 216),
        "brk": (12, 214),
        "madvise": (28, 233),
        "msync": (26, 227),
        "get_mempolicy": (239, 236),
        "set_mempolicy": (238, 237),
        "mbind": (237, 235),
        "pkey_alloc": (330, 289),
        "pkey_free": (331, 290),
        "pkey_mprotect": (329, 288),
        "map_shadow_stack": (453, 453),
        "mseal": (462, 462),
    }
)

# Threads and their locks, and which processor they run on: decoders of AVIF and HEIC start some. Newer C libraries wait by
# futex2 and register each thread with the kernel.
THREADS: Numbers = MappingProxyType(
    {
        "futex": (202, 98),
        "futex_waitv": (449, 449),
        "futex_wake": (454, 454),
        "futex_wait": (455, 455),
        "futex_requeue": (456, 456),
        "set_robust_list": (273, 99),
        "rseq": (334, 293),
        "set_tid_address": (218, 96),
        "gettid": (186, 178),
        "exit": (60, 93),
        "exit_group": (231, 94),
        "membarrier": (324, 283),
        "arch_prctl": (158, None),
        "sched_yield": (24, 124),
        "sched_get_priority_max": (146, 125),
        "sched_get_priority_min": (147, 126),
        "getcpu": (309, 168),
        "restart_syscall": (219, 128),
    }
)

# Signals that this process gets: Python's handlers, a fault in a library.
SIGNALS: Numbers = MappingProxyType(
    {
        "rt_sigaction": (13, 134),
        "rt_sigprocmask": (14, 135),
        "rt_sigreturn": (15, 139),
        "rt_sigpending": (127, 136),
        "rt_sigsuspend": (130, 133),
        "rt_sigtimedwait": (128, 137),
        "sigaltstack": (131, 132),
        "pause": (34, None),
    }
)

# Clocks, where the processor does not read them without the kernel, and sleeping.
TIME: Numbers = MappingProxyType(
    {
        "nanosleep": (35, 101),
        "gettimeofday": (96, 169),
        "time": (201, None),
        "times": (100, 153),
        "getitimer": (36, 102),
    }
)

# What a process is told about itself and its machine, and random bytes.
ITSELF: Numbers = MappingProxyType(
    {
        "getpid": (39, 172),
        "getppid": (110, 173),
        "getpgrp": (111, None),
        "getuid": (102, 174),
        "geteuid": (107, 175),
        "getgid": (104, 176),
        "getegid": (108, 177),
        "getresuid": (118, 148),
        "getresgid": (120, 150),
        "getgroups": (115, 158),
        "capget": (125, 90),
        "getrlimit": (97, 163),
        "getrusage": (98, 165),
        "uname": (63, 160),
        "sysinfo": (99, 179),
        "getrandom": (318, 278),
        "umask": (95, 166),
    }
)

# Files, pipes and sockets that are open: pictures, modules and results. Copying between them is how Python copies files.
OPENED: Numbers = MappingProxyType(
    {
        "read": (0, 63),
        "pread64": (17, 67),
        "readv": (19, 65),
        "preadv": (295, 69),
        "preadv2": (327, 286),
        "write": (1, 64),
        "pwrite64": (18, 68),
        "writev": (20, 66),
        "pwritev": (296, 70),
        "pwritev2": (328, 287),
        "lseek": (8, 62),
        "close": (3, 57),
        "close_range": (436, 436),
        "dup": (32, 23),
        "dup2": (33, None),
        "dup3": (292, 24),
        "fstat": (5, 80),
        "fstatfs": (138, 44),
        "ftruncate": (77, 46),
        "fsync": (74, 82),
        "fdatasync": (75, 83),
        "copy_file_range": (326, 285),
        "sendfile": (40, 71),
        "getdents": (78, None),
        "getdents64": (217, 61),
        "pipe": (22, None),
        "pipe2": (293, 59),
    }
)

# What a name stands for, without opening it: Python looks for modules that are imported late.
NAMES: Numbers = MappingProxyType(
    {
        "stat": (4, None),
        "lstat": (6, None),
        "newfstatat": (262, 79),
        "statx": (332, 291),
        "statfs": (137, 43),
        "access": (21, None),
        "faccessat": (269, 48),
        "faccessat2": (439, 439),
        "readlink": (89, None),
        "readlinkat": (267, 78),
        "getcwd": (79, 17),
    }
)

# Waiting for what is open.
WAITING: Numbers = MappingProxyType(
    {
        "poll": (7, None),
        "ppoll": (271, 73),
        "select": (23, None),
        "pselect6": (270, 72),
        "epoll_create": (213, None),
        "epoll_create1": (291, 20),
        "epoll_ctl": (233, 21),
        "epoll_wait": (232, None),
        "epoll_pwait": (281, 22),
        "epoll_pwait2": (441, 441),
        "eventfd": (284, None),
        "eventfd2": (290, 19),
    }
)

# Names of files: of the uploader's boxes, and of its database's journal. Landlock says where. A worker has none of them.
DIRECTORY: Numbers = MappingProxyType(
    {
        "unlink": (87, None),
        "unlinkat": (263, 35),
        "mkdir": (83, None),
        "mkdirat": (258, 34),
        "rmdir": (84, None),
        "rename": (82, None),
        "renameat": (264, 38),
        "renameat2": (316, 276),
    }
)
