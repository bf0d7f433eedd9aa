"""The system calls that a policy can name, by what they do, with their numbers on the architectures we know.

Those that are refused in whole stand here for the reader, for what else a process is refused them by (the supervisor's
filter), and to be tried by the tests; those that are allowed in whole are in `cutoutd.sandbox.allowed`.

Sources: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h of Linux 6.18.
It must not say what is refused.
"""

from __future__ import annotations

import platform
import struct
import sys
from dataclasses import dataclass
from types import MappingProxyType

from cutoutd.sandbox.allowed import (
    DIRECTORY,
    ITSELF,
    MEMORY,
    NAMES,
    OPENED,
    SIGNALS,
    THREADS,
    TIME,
    WAITING,
    Numbers,
)

# The last call of Linux 6.18, file_setattr: what came later is not in these lists.
NEWEST = 469

# From here on the architectures share their numbers: calls of Linux 5.1 and later, which every library knows how to do without.
YOUNG = 424


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """An architecture, as the kernel tells them apart.

    Attributes:
        name: as `platform.machine` gives it.
        audit: its AUDIT_ARCH value, of linux/audit.h.
        column: its place in the tables of numbers.
        seccomp: the number of seccomp(2), which installs a filter.
        has_x32: whether it has a second set of calls under the same audit value.
    """

    name: str
    audit: int
    column: int
    seccomp: int
    has_x32: bool

    def number(self, call: str) -> int | None:
        """The number of a call, or None where the architecture never had it.

        Raises:
            KeyError: no table lists the call.
        """
        return NUMBERS[call][self.column]


X86_64 = Machine(name="x86_64", audit=0xC000003E, column=0, seccomp=317, has_x32=True)
AARCH64 = Machine(name="aarch64", audit=0xC00000B7, column=1, seccomp=277, has_x32=False)


def this_machine() -> Machine | None:
    """The architecture this process runs on, or None if we have no filter for it."""
    if sys.platform != "linux" or struct.calcsize("P") != struct.calcsize("Q"):
        return None
    return {known.name: known for known in (X86_64, AARCH64)}.get(platform.machine())


# Making, joining and using sockets.
SOCKETS: Numbers = MappingProxyType(
    {
        "socket": (41, 198),
        "socketpair": (53, 199),
        "connect": (42, 203),
        "bind": (49, 200),
        "listen": (50, 201),
        "accept": (43, 202),
        "accept4": (288, 242),
        "sendto": (44, 206),
        "sendmsg": (46, 211),
        "sendmmsg": (307, 269),
        "recvfrom": (45, 207),
        "recvmsg": (47, 212),
        "recvmmsg": (299, 243),
        "setsockopt": (54, 208),
        "getsockopt": (55, 209),
        "getsockname": (51, 204),
        "getpeername": (52, 205),
        "shutdown": (48, 210),
    }
)

# Queues of other calls, sockets among them, that are carried out where no filter sees them.
RINGS: Numbers = MappingProxyType(
    {
        "io_uring_setup": (425, 425),
        "io_uring_enter": (426, 426),
        "io_uring_register": (427, 427),
    }
)

# Reaching into another process, also for its sockets.
INTRUSION: Numbers = MappingProxyType(
    {
        "ptrace": (101, 117),
        "process_vm_readv": (310, 270),
        "process_vm_writev": (311, 271),
        "pidfd_getfd": (438, 438),
    }
)

# Starting programs and processes, and ruling over those that are there.
PROCESSES: Numbers = MappingProxyType(
    {
        "execve": (59, 221),
        "execveat": (322, 281),
        "fork": (57, None),
        "vfork": (58, None),
        "unshare": (272, 97),
        "setns": (308, 268),
        "kcmp": (312, 272),
        "process_madvise": (440, 440),
        "process_mrelease": (448, 448),
        "pidfd_open": (434, 434),
        "pidfd_send_signal": (424, 424),
        "tkill": (200, 130),
        "setrlimit": (160, 164),
        "setsid": (112, 157),
        "setpgid": (109, 154),
        "capset": (126, 91),
        "setuid": (105, 146),
        "setgid": (106, 144),
        "setreuid": (113, 145),
        "setregid": (114, 143),
        "setresuid": (117, 147),
        "setresgid": (119, 149),
        "setgroups": (116, 159),
        "setpriority": (141, 140),
        "ioprio_set": (251, 30),
        "sched_setscheduler": (144, 119),
        "sched_setparam": (142, 118),
        "sched_setattr": (314, 274),
        "migrate_pages": (256, 238),
        "move_pages": (279, 239),
    }
)

# What Landlock does not govern, in whole (attributes, watches) or before its third ABI (truncation), and
# second names for a file, for kernels without it.
FILES: Numbers = MappingProxyType(
    {
        "truncate": (76, 45),
        "link": (86, None),
        "linkat": (265, 37),
        "symlink": (88, None),
        "symlinkat": (266, 36),
        "mknod": (133, None),
        "mknodat": (259, 33),
        "chmod": (90, None),
        "fchmod": (91, 52),
        "fchmodat": (268, 53),
        "fchmodat2": (452, 452),
        "chown": (92, None),
        "fchown": (93, 55),
        "lchown": (94, None),
        "fchownat": (260, 54),
        "setxattr": (188, 5),
        "lsetxattr": (189, 6),
        "fsetxattr": (190, 7),
        "setxattrat": (463, 463),
        "removexattr": (197, 14),
        "lremovexattr": (198, 15),
        "fremovexattr": (199, 16),
        "removexattrat": (466, 466),
        "utime": (132, None),
        "utimes": (235, None),
        "futimesat": (261, None),
        "utimensat": (280, 88),
        "file_setattr": (469, 469),
        "name_to_handle_at": (303, 264),
        "open_by_handle_at": (304, 265),
        "inotify_init": (253, None),
        "inotify_init1": (294, 26),
        "fanotify_init": (300, 262),
        "fanotify_mark": (301, 263),
    }
)

# What changes how others meet a file or the whole disk, without changing its bytes: locks and leases, what is kept in
# memory, room on the disk, and a file without a name.
HINTS: Numbers = MappingProxyType(
    {
        "flock": (73, 32),
        "fadvise64": (221, 223),
        "readahead": (187, 213),
        "sync": (162, 81),
        "syncfs": (306, 267),
        "sync_file_range": (277, 84),
        "fallocate": (285, 47),
        "mincore": (27, 232),
        "splice": (275, 76),
        "vmsplice": (278, 75),
        "tee": (276, 77),
        "memfd_create": (319, 279),
        "getxattr": (191, 8),
        "lgetxattr": (192, 9),
        "fgetxattr": (193, 10),
        "listxattr": (194, 11),
        "llistxattr": (195, 12),
        "flistxattr": (196, 13),
        "io_setup": (206, 0),
        "mlock": (149, 228),
        "mlockall": (151, 230),
    }
)

# Memory, queues and keys that all processes of a user share.
SHARED: Numbers = MappingProxyType(
    {
        "shmget": (29, 194),
        "shmat": (30, 196),
        "shmctl": (31, 195),
        "msgget": (68, 186),
        "msgsnd": (69, 189),
        "msgrcv": (70, 188),
        "msgctl": (71, 187),
        "semget": (64, 190),
        "semop": (65, 193),
        "semctl": (66, 191),
        "semtimedop": (220, 192),
        "mq_open": (240, 180),
        "mq_unlink": (241, 181),
        "add_key": (248, 217),
        "request_key": (249, 218),
        "keyctl": (250, 219),
    }
)

# What concerns the whole machine, or has been the door to it in many a kernel bug.
MACHINE: Numbers = MappingProxyType(
    {
        "bpf": (321, 280),
        "perf_event_open": (298, 241),
        "userfaultfd": (323, 282),
        "mount": (165, 40),
        "umount2": (166, 39),
        "move_mount": (429, 429),
        "open_tree": (428, 428),
        "open_tree_attr": (467, 467),
        "fsopen": (430, 430),
        "fsconfig": (431, 431),
        "fsmount": (432, 432),
        "fspick": (433, 433),
        "mount_setattr": (442, 442),
        "statmount": (457, 457),
        "listmount": (458, 458),
        "pivot_root": (155, 41),
        "chroot": (161, 51),
        "quotactl": (179, 60),
        "quotactl_fd": (443, 443),
        "swapon": (167, 224),
        "swapoff": (168, 225),
        "kexec_load": (246, 104),
        "kexec_file_load": (320, 294),
        "init_module": (175, 105),
        "finit_module": (313, 273),
        "delete_module": (176, 106),
        "reboot": (169, 142),
        "acct": (163, 89),
        "syslog": (103, 116),
        "settimeofday": (164, 170),
        "clock_settime": (227, 112),
        "clock_adjtime": (305, 266),
        "adjtimex": (159, 171),
        "sethostname": (170, 161),
        "setdomainname": (171, 162),
        "iopl": (172, None),
        "ioperm": (173, None),
        "modify_ldt": (154, None),
        "personality": (135, 92),
        "vhangup": (153, 58),
    }
)

# What a process asks about one process, itself or another, by its number.
OF_A_PROCESS: Numbers = MappingProxyType(
    {
        "sched_setaffinity": (203, 122),
        "sched_getaffinity": (204, 123),
        "sched_getparam": (143, 121),
        "sched_getscheduler": (145, 120),
        "sched_getattr": (315, 275),
        "sched_rr_get_interval": (148, 127),
        "get_robust_list": (274, 100),
        "getpgid": (121, 155),
        "getsid": (124, 156),
    }
)

# Clocks by their number, which may be one of another process.
CLOCKS: Numbers = MappingProxyType(
    {
        "clock_gettime": (228, 113),
        "clock_getres": (229, 114),
        "clock_nanosleep": (230, 115),
    }
)

# Harmless or not by an argument.
BY_ARGUMENT: Numbers = MappingProxyType(
    OF_A_PROCESS
    | CLOCKS
    | {
        "clone": (56, 220),
        "kill": (62, 129),
        "tgkill": (234, 131),
        "rt_sigqueueinfo": (129, 138),
        "rt_tgsigqueueinfo": (297, 240),
        "prlimit64": (302, 261),
        "getpriority": (140, 141),
        "open": (2, None),
        "openat": (257, 56),
        "fcntl": (72, 25),
        "ioctl": (16, 29),
        "prctl": (157, 167),
    }
)

# Harmless or not by what an argument points to, which a filter cannot follow.
BY_POINTER: Numbers = MappingProxyType(
    {
        "clone3": (435, 435),
        "openat2": (437, 437),
    }
)

REFUSED: Numbers = MappingProxyType(
    SOCKETS | RINGS | INTRUSION | PROCESSES | FILES | HINTS | SHARED | MACHINE | BY_POINTER
)
"""What no worker may do, whatever the arguments."""

NUMBERS: Numbers = MappingProxyType(
    REFUSED | BY_ARGUMENT | MEMORY | THREADS | SIGNALS | TIME | ITSELF | OPENED | NAMES | WAITING | DIRECTORY
)
