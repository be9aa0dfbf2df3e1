"""Profiles: the system calls that a sandboxed program may make.

:mod:`ilios.engines.sandbox.seccomp` compiles a profile to a filter. Each program has a profile of
its own: a call that one needs is never added to that of another.
"""

from typing import Literal

from msgspec import Struct

ALLOW: Literal["allow"] = "allow"
REFUSE: Literal["refuse"] = "refuse"
"""Answered with EPERM."""

ABSENT: Literal["absent"] = "absent"
"""Answered with ENOSYS, as by an older kernel: libraries then use an older call."""

OWN_PID = -1
"""Placeholder in the values of a check for the id of the filtered process."""


class Check(Struct, frozen=True):
    """A condition on one argument, counted from 0.

    ``zero`` looks at all 64 bits, for a pointer that is not there; the others at the lower 32, as
    the kernel does with the arguments they are used for.
    """

    argument: int
    kind: Literal["one of", "none of", "none of the bits", "all of the bits", "zero"]
    values: tuple[int, ...] = ()


class AllowIf(Struct, frozen=True):
    """Allowed if all checks of one of the alternatives are true, and refused otherwise."""

    any_of: tuple[tuple[Check, ...], ...]


Action = Literal["allow", "refuse", "absent"] | AllowIf


class Profile(Struct, frozen=True):
    """Actions by the names of calls.

    ``default`` is the action for all others, ``default_newer`` for those that are newer than the
    table of numbers.
    """

    name: str
    actions: dict[str, Action]
    default: Action
    default_newer: Action


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _one_of(argument: int, *values: int) -> Check:
    return Check(argument, "one of", values)


def _no_bits(argument: int, bits: int) -> Check:
    return Check(argument, "none of the bits", (bits,))


# Numbers of linux/fcntl.h: duplicates, flags, locks. Not F_SETOWN, F_SETSIG, F_SETLEASE and
# F_NOTIFY, by which the kernel sends signals to others, nor F_SETPIPE_SZ and seals.
_FCNTL_PLAIN = (0, 1, 2, 3, 5, 6, 7, 36, 37, 38, 1030)
_SET_FLAGS, _ASYNC = 4, 0o20000

# linux/sched.h: what makes a thread, and what would make namespaces or something to trace.
_THREAD_BITS = (0x00000100, 0x00000800, 0x00010000)  # CLONE_VM, CLONE_SIGHAND, CLONE_THREAD
_NOT_A_THREAD = 0x7E020000 | 0x00002000 | 0x00004000 | 0x00000080

# asm/ioctls.h: questions to terminals and descriptors, and flags of a descriptor. TIOCGWINSZ,
# TCGETS, TCGETS2, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX.
_IOCTL = (0x5413, 0x5401, 0x802C542A, 0x541B, 0x5421, 0x5450, 0x5451)

# linux/mman.h. Pages of MAP_HUGETLB are not counted by our limits. Of shared memory the kernel
# retains all as long as one page of it is mapped: the others would not be counted either.
_WRITE, _EXECUTE, _SHARED, _ANONYMOUS, _HUGE = 0x2, 0x4, 0x1, 0x20, 0x40000

# Advice that neither merges pages with those of other processes nor poisons them.
_MADVISE = (0, 1, 2, 3, 4, 8, 10, 11, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 102, 103)

# linux/prctl.h: names of threads and of memory, and questions. PR_GET_DUMPABLE, PR_SET_NAME,
# PR_GET_NAME, PR_GET_SECCOMP, PR_GET_NO_NEW_PRIVS, PR_SVE_GET_VL,
# PR_GET_TAGGED_ADDR_CTRL, PR_PAC_GET_ENABLED_KEYS, PR_SME_GET_VL, PR_SET_VMA.
_PRCTL = (3, 15, 16, 21, 39, 51, 56, 61, 64, 0x53564D41)

# asm/prctl.h: registers of the thread, the matrix unit of the processor, shadow stacks.
_REGISTERS, _MATRICES = (0x1001, 0x1002, 0x1003, 0x1004), (0x1021, 0x1022, 0x1023)
_SHADOW_STACKS = (0x3001, 0x5001, 0x5002, 0x5003, 0x5005)

_UNIX, _STREAM = 1, (1, 0x801, 0x80001, 0x80801)  # with SOCK_NONBLOCK, SOCK_CLOEXEC
_CPU_LIMIT = 0  # RLIMIT_CPU

_TO_ITSELF = _one_of(0, OWN_PID)
_ON_ITSELF = _one_of(0, 0, OWN_PID)

_FCNTL = AllowIf(
    any_of=(
        (_one_of(1, *_FCNTL_PLAIN),),
        (_one_of(1, _SET_FLAGS), _no_bits(2, _ASYNC)),
    )
)
_CLONE = AllowIf(any_of=((Check(0, "all of the bits", _THREAD_BITS), _no_bits(0, _NOT_A_THREAD)),))
_PAIR = AllowIf(any_of=((_one_of(0, _UNIX), _one_of(1, *_STREAM)),))
"""Streams only: the ends of a pair of datagrams reach every such socket of the machine."""

_CONDITIONAL: dict[str, Action] = {
    "fcntl": _FCNTL,
    "ioctl": AllowIf(any_of=((_one_of(1, *_IOCTL),),)),
    "mmap": AllowIf(
        any_of=(
            (_no_bits(2, _EXECUTE), _no_bits(3, _HUGE | _SHARED)),
            (_no_bits(2, _EXECUTE), _no_bits(3, _HUGE | _ANONYMOUS)),
            (_no_bits(2, _WRITE), _no_bits(3, _HUGE | _ANONYMOUS)),
        )
    ),
    "mprotect": AllowIf(any_of=((_no_bits(2, _EXECUTE),),)),
    "madvise": AllowIf(any_of=((_one_of(2, *_MADVISE),),)),
    "mbind": AllowIf(any_of=((Check(5, "zero"),),)),
    "clone": _CLONE,
    "prctl": AllowIf(any_of=((_one_of(0, *_PRCTL),),)),
    "arch_prctl": AllowIf(any_of=((_one_of(0, *_REGISTERS, *_MATRICES, *_SHADOW_STACKS),),)),
    # Limits can be read; that of CPU time is set for each document.
    "prlimit64": AllowIf(
        any_of=((_ON_ITSELF, Check(2, "zero")), (_ON_ITSELF, _one_of(1, _CPU_LIMIT))),
    ),
    "kill": AllowIf(any_of=((_TO_ITSELF,),)),
    "tgkill": AllowIf(any_of=((_TO_ITSELF,),)),
    "socketpair": _PAIR,
    "sendto": AllowIf(any_of=((Check(4, "zero"),),)),
}

# Recorded over every converter, the sample and the hostile documents, on x86-64 with glibc 2.36;
# and what other versions of the C library, of Python and of the kernel use in its place.
_ALLOWED = _names("""
    read readv pread64 preadv write writev pwrite64 pwritev close lseek dup dup2 dup3 flock
    open openat stat lstat fstat newfstatat statx statfs fstatfs access faccessat faccessat2
    getdents64 getcwd readlink readlinkat mkdir mkdirat rmdir unlink unlinkat rename renameat
    renameat2 symlink symlinkat ftruncate fadvise64 fsync fdatasync umask
    brk munmap mremap get_mempolicy membarrier
    exit exit_group set_tid_address set_robust_list rseq futex restart_syscall getrlimit
    rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigsuspend rt_sigtimedwait sigaltstack
    getpid gettid getppid getuid geteuid getgid getegid getresuid getresgid
    poll ppoll select pselect6 epoll_create1 epoll_ctl epoll_wait epoll_pwait eventfd2 recvfrom
    clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time times getrusage
    sched_yield sched_getaffinity sched_getscheduler sched_getparam sched_get_priority_max
    sched_get_priority_min getcpu uname sysinfo getrandom
""")

# Their arguments are in memory, where a filter cannot read, or the C library works without them.
_ABSENT = ("clone3", "openat2", "close_range", "epoll_pwait2")

CONVERTER = Profile(
    name="converter",
    actions={**dict.fromkeys(_ALLOWED, ALLOW), **_CONDITIONAL, **dict.fromkeys(_ABSENT, ABSENT)},
    default=REFUSE,
    default_newer=ABSENT,
)
"""The calls that converters need, and no others."""

# fcntl.h: O_CLOEXEC and O_NONBLOCK. Not O_NOTIFICATION_PIPE, through which the kernel sends news.
_PIPE_FLAGS = (0, 0o2000000, 0o4000, 0o2004000)

OFFICE = Profile(
    name="office",
    actions={
        **CONVERTER.actions,
        "pipe2": AllowIf(any_of=((_one_of(1, *_PIPE_FLAGS),),)),
        # It makes the code of its bridges between languages as it starts.
        "mprotect": ALLOW,
    },
    default=REFUSE,
    default_newer=ABSENT,
)
"""The calls of LibreOffice: those of converters, pipes, and memory that is made executable."""

_DANGEROUS = _names("""
    socket connect accept bind listen accept4 sendmsg sendmmsg
    execve execveat fork vfork ptrace process_vm_readv process_vm_writev process_madvise
    process_mrelease kcmp pidfd_open pidfd_getfd pidfd_send_signal tkill rt_sigqueueinfo
    rt_tgsigqueueinfo setpriority ioprio_set sched_setaffinity sched_setparam sched_setscheduler
    sched_setattr migrate_pages move_pages
    shmget shmat semget msgget mq_open memfd_create memfd_secret
    inotify_init inotify_init1 inotify_add_watch fanotify_init
    chmod fchmod fchmodat fchmodat2 chown lchown fchown fchownat setxattr lsetxattr fsetxattr
    setxattrat removexattr lremovexattr fremovexattr removexattrat utime utimes futimesat utimensat
    truncate mknod mknodat file_setattr open_by_handle_at name_to_handle_at
    mount umount2 pivot_root chroot open_tree move_mount fsopen fsconfig fsmount fspick
    mount_setattr open_tree_attr unshare setns quotactl quotactl_fd
    bpf userfaultfd perf_event_open io_uring_setup io_uring_enter io_uring_register add_key
    request_key keyctl syslog personality modify_ldt vmsplice
    init_module finit_module delete_module kexec_load kexec_file_load reboot swapon swapoff acct
    settimeofday clock_settime adjtimex clock_adjtime sethostname setdomainname
""")

WIDE = Profile(
    name="wide",
    actions={
        **dict.fromkeys(_DANGEROUS, REFUSE),
        "clone3": ABSENT,
        "clone": _CLONE,
        "mmap": AllowIf(any_of=((_no_bits(3, _SHARED),), (_no_bits(3, _ANONYMOUS),))),
        "fcntl": _FCNTL,
        "socketpair": _PAIR,
        "sendto": _CONDITIONAL["sendto"],
        "kill": _CONDITIONAL["kill"],
        "tgkill": _CONDITIONAL["tgkill"],
        "prlimit64": AllowIf(any_of=((_ON_ITSELF,),)),
        # All but PR_SET_PDEATHSIG: the process ends with the service.
        "prctl": AllowIf(any_of=((Check(0, "none of", (1,)),),)),
    },
    default=ALLOW,
    default_newer=ALLOW,
)
"""Refuses dangerous calls and allows the rest: for machines on which converters do not work under
:data:`CONVERTER`."""

BY_NAME = {profile.name: profile for profile in (CONVERTER, OFFICE, WIDE)}
