"""The system calls that children are refused, with their numbers on the machines we know.

The numbers are those of the kernel's asm/unistd_64.h and asm-generic/unistd.h; a call that a
machine does not have is left out there.
"""

import platform
import sys

from msgspec import Struct

REFUSED: dict[str, tuple[int | None, int | None]] = {
    # the network, and all but pairs of sockets
    "socket": (41, 198), "connect": (42, 203), "accept": (43, 202), "bind": (49, 200),
    "listen": (50, 201), "accept4": (288, 242),
    # other programs and processes
    "execve": (59, 221), "execveat": (322, 281), "fork": (57, None), "vfork": (58, None),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "process_madvise": (440, 440), "process_mrelease": (448, 448), "kcmp": (312, 272),
    "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424),
    "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setaffinity": (203, 122),
    "sched_setparam": (142, 118), "sched_setscheduler": (144, 119), "sched_setattr": (314, 274),
    "migrate_pages": (256, 238), "move_pages": (279, 239),
    # memory and messages shared by number or name
    "shmget": (29, 194), "shmat": (30, 196), "semget": (64, 190), "msgget": (68, 186),
    "mq_open": (240, 180),
    # what a file is, whoever may write into it: documents are lent, not given
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, None), "lchown": (94, None), "fchown": (93, 55), "fchownat": (260, 54),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "setxattrat": (463, 463),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "removexattrat": (466, 466), "utime": (132, None), "utimes": (235, None),
    "futimesat": (261, None), "utimensat": (280, 88), "truncate": (76, 45),
    "mknod": (133, None), "mknodat": (259, 33), "file_setattr": (469, 469),
    "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264),
    # the file system as a whole, and namespaces
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "open_tree_attr": (467, 467), "unshare": (272, 97),
    "setns": (308, 268), "quotactl": (179, 60), "quotactl_fd": (443, 443),
    # wide interfaces to the kernel, where its own holes have been
    "bpf": (321, 280), "userfaultfd": (323, 282), "perf_event_open": (298, 241),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "fanotify_init": (300, 262), "syslog": (103, 116), "personality": (135, 92),
    "modify_ldt": (154, None), "vmsplice": (278, 75),
    # the machine
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142),
    "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "adjtimex": (159, 171), "clock_adjtime": (305, 266),
    "sethostname": (170, 161), "setdomainname": (171, 162),
}  # fmt: skip
"""Name, number on x86_64, number on aarch64."""


class Table(Struct, frozen=True):
    """The numbers of one machine."""

    architecture: int
    """AUDIT_ARCH_*, as the kernel tells it to the filter."""

    seccomp: int
    clone: int
    clone3: int
    prctl: int
    prlimit: int
    only_to_itself: tuple[int, ...]
    """kill and tgkill: their first argument has to be the caller's own process."""

    refused: tuple[int, ...]


def _column(place: int) -> tuple[int, ...]:
    return tuple(number for row in REFUSED.values() if (number := row[place]) is not None)


TABLES = {
    "x86_64": Table(0xC000003E, 317, 56, 435, 157, 302, (62, 234), _column(0)),
    "aarch64": Table(0xC00000B7, 277, 220, 435, 167, 261, (129, 131), _column(1)),
}


def here() -> Table | None:
    """Return the table of this machine, or None where we have none."""
    # A 32-bit interpreter on a 64-bit kernel would speak by other numbers.
    if sys.platform != "linux" or sys.maxsize < 2**32 or sys.byteorder != "little":
        return None
    return TABLES.get(platform.machine())
