"""The filter of system calls, as the kernel would run it."""

import errno
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from ilios.engines.sandbox import profiles, seccomp, system_calls
from ilios.engines.sandbox.profiles import CONVERTER, WIDE, Profile

PROCESS = 4711
REFUSED = seccomp.RET_ERRNO | errno.EPERM
ABSENT = seccomp.RET_ERRNO | errno.ENOSYS
THREAD = 0x003D0F00  # as the C library makes one
NEWEST = 500
"""A number that no kernel has yet."""

HEADERS = (
    Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    Path("/usr/include/asm-generic/unistd.h"),
)

both_machines = pytest.mark.parametrize("machine", sorted(system_calls.MACHINES))


def trace_filter(
    steps: Sequence[seccomp.Instruction], number: int, machine: int, *given: int
) -> Iterator[seccomp.Instruction]:
    """Yield the instructions that the kernel goes through for a system call."""
    words = {seccomp.NUMBER_AT: number, seccomp.ARCHITECTURE_AT: machine}
    for place, argument in enumerate((*given, 0, 0, 0, 0, 0, 0)[:6]):
        words[seccomp.ARGUMENTS_AT + 8 * place] = argument & 0xFFFFFFFF
        words[seccomp.ARGUMENTS_AT + 8 * place + 4] = argument >> 32 & 0xFFFFFFFF
    holds: dict[int, Callable[[int, int], bool]] = {
        seccomp.EQUAL: lambda word, value: word == value,
        seccomp.AT_LEAST: lambda word, value: word >= value,
        seccomp.ANY_BIT: lambda word, value: bool(word & value),
    }
    word = place = 0
    while True:
        step = code, if_so, if_not, value = steps[place]
        yield step
        assert max(if_so, if_not) <= seccomp.MAX_JUMP
        place += 1
        if code == seccomp.RETURN:
            return
        if code == seccomp.LOAD:
            word = words[value]
        elif code == seccomp.JUMP:
            place += value
        else:
            place += if_so if holds[code](word, value) else if_not


def evaluate(steps: Sequence[seccomp.Instruction], number: int, machine: int, *given: int) -> int:
    """Return what the kernel answers to a system call with these arguments."""
    return list(trace_filter(steps, number, machine, *given))[-1].value


class FilterEvaluator:
    """Answers calls by name as a kernel of one machine under one profile."""

    def __init__(self, machine: str, profile: Profile) -> None:
        self.machine = system_calls.MACHINES[machine]
        self.steps = seccomp.compile_filter(profile, self.machine, PROCESS)

    def __call__(self, name: str | int, *given: int) -> int:
        number = self.machine.number(name) if isinstance(name, str) else name
        assert number is not None
        return evaluate(self.steps, number, self.machine.architecture, *given)

    def allows(self, name: str, *given: int) -> bool:
        return self(name, *given) == seccomp.RET_ALLOW


@both_machines
@pytest.mark.parametrize("profile", [CONVERTER, WIDE], ids=lambda profile: profile.name)
def test_every_system_call_number_gets_the_action_of_its_name(
    machine: str, profile: Profile
) -> None:
    evaluator = FilterEvaluator(machine, profile)
    names = {evaluator.machine.number(name): name for name in system_calls.NUMBERS}
    answers: dict[object, int] = {"allow": seccomp.RET_ALLOW, "refuse": REFUSED, "absent": ABSENT}
    for number in range(NEWEST):
        default = profile.default if number <= system_calls.NEWEST_KNOWN else profile.default_newer
        verdict = profile.actions.get(names.get(number, ""), default)
        if not isinstance(verdict, profiles.AllowIf):
            assert evaluator(number) == answers[verdict], (number, names.get(number))


@both_machines
def test_unlisted_calls_are_refused_and_newer_ones_are_absent(machine: str) -> None:
    evaluator = FilterEvaluator(machine, CONVERTER)
    for name in system_calls.NUMBERS:
        if name not in CONVERTER.actions and (number := evaluator.machine.number(name)) is not None:
            assert evaluator(number) == (
                REFUSED if number <= system_calls.NEWEST_KNOWN else ABSENT
            ), name
    assert evaluator(NEWEST) == ABSENT
    for attack in ("memfd_create", "inotify_add_watch", "ptrace", "sendmsg", "socket", "execve"):
        assert evaluator(attack) == REFUSED


@both_machines
@pytest.mark.parametrize("profile", [CONVERTER, WIDE], ids=lambda profile: profile.name)
def test_calls_of_other_machines_are_refused(machine: str, profile: Profile) -> None:
    evaluator = FilterEvaluator(machine, profile)
    assert evaluate(evaluator.steps, 0, 0x40000003) == REFUSED  # calls of 32 bits
    assert evaluator(seccomp.X32_BIT + 41) == REFUSED  # calls of x32
    assert evaluator(0xFFFFFFFF) == REFUSED


@both_machines
def test_calls_with_unlisted_arguments_are_refused(machine: str) -> None:
    evaluator = FilterEvaluator(machine, CONVERTER)
    held: dict[tuple[str, tuple[int, ...]], bool] = {
        ("clone", (THREAD,)): True,
        ("clone", (0x01200011,)): False,  # a process, as fork makes it
        ("clone", (THREAD | 0x10000000,)): False,  # in a user namespace
        ("clone", (THREAD & ~0x100,)): False,  # without the memory of its process
        ("kill", (PROCESS,)): True,
        ("kill", (0,)): False,
        ("kill", (-1,)): False,
        ("tgkill", (PROCESS, 5, 6)): True,
        ("tgkill", (1, 1, 9)): False,
        ("prlimit64", (0, 7, 0)): True,
        ("prlimit64", (PROCESS, 7, 0)): True,
        ("prlimit64", (0, 0, 0x7FFE00001000)): True,  # its processor time
        ("prlimit64", (0, 7, 0x7FFE00001000)): False,
        ("prlimit64", (0, 7, 1 << 32)): False,  # a pointer whose lower half is zero
        ("prlimit64", (1, 7, 0)): False,
        ("prlimit64", (1, 0, 0x7FFE00001000)): False,
        ("fcntl", (3, 1030, 3)): True,
        ("fcntl", (3, 4, 0o4000)): True,  # F_SETFL, O_NONBLOCK
        ("fcntl", (3, 4, 0o20000 | 0o4000)): False,  # O_ASYNC
        ("fcntl", (3, 8, 1)): False,  # F_SETOWN
        ("fcntl", (3, 10, 9)): False,  # F_SETSIG
        ("fcntl", (3, 15, 0)): False,  # F_SETOWN_EX
        ("fcntl", (3, 1024, 1)): False,  # F_SETLEASE
        ("fcntl", (3, 1031, 1 << 20)): False,  # F_SETPIPE_SZ
        ("ioctl", (1, 0x5401)): True,  # TCGETS
        ("ioctl", (1, 0x5412)): False,  # TIOCSTI
        ("ioctl", (1, 0x5452)): False,  # FIOASYNC
        ("mmap", (0, 4096, 3, 0x22, -1, 0)): True,
        ("mmap", (0, 4096, 5, 0x2, 7, 0)): True,  # the code of a library
        ("mmap", (0, 4096, 7, 0x22, -1, 0)): False,
        ("mmap", (0, 4096, 5, 0x22, -1, 0)): False,
        ("mmap", (0, 4096, 7, 0x2, 7, 0)): False,
        ("mmap", (0, 4096, 3, 0x40022, -1, 0)): False,  # MAP_HUGETLB
        ("mmap", (0, 4096, 3, 0x21, -1, 0)): False,  # to be shared, and of no file
        ("mmap", (0, 4096, 3, 0x23, -1, 0)): False,
        ("mmap", (0, 4096, 3, 0x1, 7, 0)): True,  # a file
        ("mprotect", (0, 4096, 3)): True,
        ("mprotect", (0, 4096, 5)): False,
        ("madvise", (0, 4096, 4)): True,
        ("madvise", (0, 4096, 12)): False,  # MADV_MERGEABLE
        ("prctl", (15,)): True,
        ("prctl", (1,)): False,  # PR_SET_PDEATHSIG
        ("prctl", (4,)): False,  # PR_SET_DUMPABLE
        ("socketpair", (1, 0x80801, 0)): True,
        ("socketpair", (1, 2, 0)): False,  # datagrams
        ("socketpair", (1, 5, 0)): False,
        ("socketpair", (16, 1, 0)): False,
        ("sendto", (3, 0x1000, 1, 0, 0, 0)): True,
        ("sendto", (3, 0x1000, 1, 0, 0x7FFE00000000, 16)): False,
        ("sendto", (3, 0x1000, 1, 0, 1 << 32, 16)): False,
    }
    assert {case: evaluator.allows(case[0], *case[1]) for case in held} == held
    assert evaluator("clone3") == ABSENT  # the C library then uses clone, whose flags can be seen


@both_machines
def test_the_wide_profile_refuses_calls_that_reach_other_processes(machine: str) -> None:
    evaluator = FilterEvaluator(machine, WIDE)
    assert (
        evaluator("fcntl", 3, 8, 1)
        == evaluator("socketpair", 1, 2, 0)
        == evaluator("prctl", 1)
        == REFUSED
    )
    assert (
        evaluator("kill", 1)
        == evaluator("memfd_create")
        == evaluator("clone", 0x01200011)
        == REFUSED
    )
    assert evaluator("mmap", 0, 4096, 3, 0x21, -1, 0) == REFUSED
    assert evaluator.allows("mmap", 0, 4096, 7, 0x22, -1, 0)
    assert evaluator.allows("mmap", 0, 4096, 3, 0x1, 7, 0)
    assert evaluator.allows("clone", THREAD)
    assert evaluator.allows("prctl", 15)
    assert evaluator.allows("sysinfo")
    assert evaluator("clone3") == ABSENT


@both_machines
def test_an_allowed_call_costs_few_steps(machine: str) -> None:
    evaluator = FilterEvaluator(machine, CONVERTER)
    for name in ("read", "munmap", "futex", "clock_gettime", "rseq"):
        number = evaluator.machine.number(name)
        assert number is not None
        assert len(list(trace_filter(evaluator.steps, number, evaluator.machine.architecture))) < 16


@pytest.mark.parametrize("column", [0, 1], ids=["x86_64", "aarch64"])
def test_the_numbers_are_those_of_the_kernels_headers(column: int) -> None:
    try:
        text = HEADERS[column].read_text()
    except FileNotFoundError:
        pytest.skip(f"{HEADERS[column]} is not installed")
    numbers = {
        name: int(number)
        for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+([0-9]+)", text)
    }
    numbers.setdefault("newfstatat", numbers.get("fstatat", 0))
    compared = 0
    for name, ours in system_calls.NUMBERS.items():
        if name in numbers:
            assert ours[column] == numbers[name], name
            compared += 1
        else:  # newer than the headers, or not of this machine
            assert (ours[column] or max(numbers.values()) + 1) > max(numbers.values()), name
    assert compared > 150
