"""Seccomp: system calls that the kernel refuses this process from now on. Linux only.

The filter is a program for the kernel's packet filter, made of a profile; the numbers are those of
linux/filter.h and linux/seccomp.h. The call is found by binary search, so that an allowed one
costs some ten steps; newer kernels cache those whose arguments do not matter.
"""

import ctypes
import errno
import os
from typing import NamedTuple

from ilios.engines.sandbox import system_calls
from ilios.engines.sandbox.profiles import OWN_PID, Action, AllowIf, Check, Profile
from ilios.engines.sandbox.system_calls import Machine

SET_MODE_FILTER, GET_ACTION_AVAIL = 1, 2
FLAG_TSYNC = 1

LOAD, JUMP, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x05, 0x15, 0x35, 0x45, 0x06
"""Instructions: load 32 bits, jump, three kinds of conditional jumps, return."""

RET_ALLOW, RET_ERRNO = 0x7FFF0000, 0x00050000
"""Return values; the lower half of a refusal is the error number."""

NUMBER_AT, ARCHITECTURE_AT, ARGUMENTS_AT = 0, 4, 16
"""Offsets into struct seccomp_data. An argument has 8 bytes, on both machines the lower half
first."""

X32_BIT = 0x40000000
"""Numbers from here on are calls of the x32 interface, which would bypass the filter."""

MAX_JUMP = 255
"""Instructions that a conditional jump can skip."""


class Instruction(NamedTuple):
    """A BPF instruction: its code, the instructions to skip if true or false, and its operand."""

    code: int
    if_so: int
    if_not: int
    value: int


Steps = list[Instruction]
Span = tuple[int, Action]
"""The first number of a span of calls, and the action for all of them."""

_RETURNS: dict[str, Steps] = {
    "allow": [Instruction(RETURN, 0, 0, RET_ALLOW)],
    "refuse": [Instruction(RETURN, 0, 0, RET_ERRNO | errno.EPERM)],
    "absent": [Instruction(RETURN, 0, 0, RET_ERRNO | errno.ENOSYS)],
}


class _Filter(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_so", ctypes.c_uint8),
        ("if_not", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filters", ctypes.POINTER(_Filter)))


def available() -> bool:
    """Whether this kernel filters system calls, and the numbers of this machine are listed."""
    machine = system_calls.here()
    if machine is None:
        return False
    refusal = ctypes.c_uint32(RET_ERRNO)
    libc = ctypes.CDLL(None, use_errno=True)
    answer: int = libc.syscall(
        ctypes.c_long(machine.seccomp),
        ctypes.c_uint(GET_ACTION_AVAIL),
        0,
        ctypes.byref(refusal),
    )
    return answer == 0


def restrict(profile: Profile) -> None:
    """Restrict all threads of this process to the calls of a profile.

    :raises OSError: the kernel does not filter, or a container forbids it; then nothing has
        changed.
    """
    machine = system_calls.here()
    if machine is None:
        raise OSError(errno.ENOSYS, "unknown system call numbers on this machine")
    steps = compile_filter(profile, machine, os.getpid())
    filters = (_Filter * len(steps))(*(_Filter(*step) for step in steps))
    program = _Program(len(steps), filters)
    libc = ctypes.CDLL(None, use_errno=True)
    answer: int = libc.syscall(
        ctypes.c_long(machine.seccomp),
        ctypes.c_uint(SET_MODE_FILTER),
        ctypes.c_uint(FLAG_TSYNC),
        ctypes.byref(program),
    )
    if answer != 0:
        failure = ctypes.get_errno()
        raise OSError(failure, os.strerror(failure))


def compile_filter(profile: Profile, machine: Machine, pid: int) -> Steps:
    """Return the filter of a profile for the process with this id."""
    return [
        Instruction(LOAD, 0, 0, ARCHITECTURE_AT),
        Instruction(EQUAL, 1, 0, machine.architecture),
        *_RETURNS["refuse"],
        Instruction(LOAD, 0, 0, NUMBER_AT),
        *_binary_search(_spans(profile, machine), pid),
    ]


def _spans(profile: Profile, machine: Machine) -> list[Span]:
    """Return the actions in the order of the numbers; equal neighbours are merged."""
    actions = {
        number: action
        for name, action in profile.actions.items()
        if (number := machine.number(name)) is not None
    }
    newer = max(system_calls.NEWEST_KNOWN, *actions) + 1
    spans: list[Span] = []
    for number in range(newer):
        default = profile.default if number <= system_calls.NEWEST_KNOWN else profile.default_newer
        action = actions.get(number, default)
        if not spans or spans[-1][1] != action:
            spans.append((number, action))
    return [*spans, (newer, profile.default_newer), (X32_BIT, "refuse")]


def _binary_search(spans: list[Span], pid: int) -> Steps:
    if len(spans) == 1:
        return _action_steps(spans[0][1], pid)
    middle = len(spans) // 2
    below, above = _binary_search(spans[:middle], pid), _binary_search(spans[middle:], pid)
    first = spans[middle][0]
    if len(below) <= MAX_JUMP:
        return [Instruction(AT_LEAST, len(below), 0, first), *below, *above]
    over = Instruction(JUMP, 0, 0, len(below))
    return [Instruction(AT_LEAST, 0, 1, first), over, *below, *above]


def _action_steps(action: Action, pid: int) -> Steps:
    if not isinstance(action, AllowIf):
        return _RETURNS[action]
    steps: Steps = []
    for checks in action.any_of:
        way = _RETURNS["allow"]
        for check in reversed(checks):
            way = _check_steps(check, way, pid)
        steps += way
    return [*steps, *_RETURNS["refuse"]]


def _check_steps(check: Check, then: Steps, pid: int) -> Steps:
    """Return steps that continue with ``then`` if the check is true, and after it if not."""
    place = ARGUMENTS_AT + 8 * check.argument
    load, miss = Instruction(LOAD, 0, 0, place), len(then)
    values = [pid if value == OWN_PID else value for value in check.values]
    match check.kind:
        case "one of":
            rest = len(values) - 1
            found = [Instruction(EQUAL, rest - at, 0, value) for at, value in enumerate(values)]
            found[-1] = found[-1]._replace(if_not=miss)
            return [load, *found, *then]
        case "none of":
            rest = len(values) - 1
            barred = [
                Instruction(EQUAL, rest - at + miss, 0, value) for at, value in enumerate(values)
            ]
            return [load, *barred, *then]
        case "none of the bits":
            return [load, *(Instruction(ANY_BIT, miss, 0, bits) for bits in values), *then]
        case "all of the bits":
            rest = len(values) - 1
            needed = [
                Instruction(ANY_BIT, 0, rest - at + miss, bit) for at, bit in enumerate(values)
            ]
            return [load, *needed, *then]
        case "zero":
            upper = Instruction(LOAD, 0, 0, place + 4)
            return [
                load,
                Instruction(EQUAL, 0, miss + 2, 0),
                upper,
                Instruction(EQUAL, 0, miss, 0),
                *then,
            ]
