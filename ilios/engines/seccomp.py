"""Seccomp: system calls that the kernel refuses this process from now on. Linux only.

The filter is a program for the kernel's packet filter, written here by hand; the numbers are those
of linux/filter.h and linux/seccomp.h.
"""

import ctypes
import errno
import os
from collections.abc import Iterator
from typing import NamedTuple

from ilios.engines import system_calls

PR_SET_SECCOMP, MODE_FILTER = 22, 2
SET_MODE_FILTER, ASK_ACTION = 1, 2
ON_ALL_THREADS = 1

LOAD, EQUAL, AT_LEAST, ANY_BIT, ANSWER = 0x20, 0x15, 0x35, 0x45, 0x06
"""Instructions: load a word, three kinds of jumps, return."""

ALLOW, REFUSE = 0x7FFF0000, 0x00050000
"""Answers; the error number stands in the lower half of a refusal."""

NUMBER_AT, ARCHITECTURE_AT, FIRST_ARGUMENT_AT = 0, 4, 16
"""Offsets into struct seccomp_data; of an argument the lower half, both machines begin with it."""

FOREIGN = 0x40000000
"""Numbers from here on are calls of the x32 interface, which would slip by under other names."""

NEW_THREAD = 0x00010000  # CLONE_THREAD
PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG


class Instruction(NamedTuple):
    """One step: what to do, how many to skip if it holds or does not, and with what value."""

    code: int
    if_so: int
    if_not: int
    value: int


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
    """Tell whether this kernel filters system calls, and we know the numbers of this machine."""
    table = system_calls.here()
    if table is None:
        return False
    refusal = ctypes.c_uint32(REFUSE)
    libc = ctypes.CDLL(None, use_errno=True)
    answer: int = libc.syscall(
        ctypes.c_long(table.seccomp), ctypes.c_uint(ASK_ACTION), 0, ctypes.byref(refusal)
    )
    return answer == 0


def restrict() -> None:
    """Refuse this process, whatever its threads, the calls in :mod:`ilios.engines.system_calls`.

    :raises OSError: the kernel does not filter, or a container around us does not let it; then
        nothing has changed.
    """
    table = system_calls.here()
    if table is None:
        raise OSError(errno.ENOSYS, "the system calls of this machine are not known")
    steps = tuple(_steps(table, os.getpid()))
    filters = (_Filter * len(steps))(*(_Filter(*step) for step in steps))
    program = _Program(len(steps), filters)
    libc = ctypes.CDLL(None, use_errno=True)
    answer: int = libc.syscall(
        ctypes.c_long(table.seccomp),
        ctypes.c_uint(SET_MODE_FILTER),
        ctypes.c_uint(ON_ALL_THREADS),
        ctypes.byref(program),
    )
    if answer != 0:
        failure = ctypes.get_errno()
        raise OSError(failure, os.strerror(failure))


def _steps(table: system_calls.Table, pid: int) -> Iterator[Instruction]:
    refusal = Instruction(ANSWER, 0, 0, REFUSE | errno.EPERM)
    allowed = Instruction(ANSWER, 0, 0, ALLOW)
    argument = Instruction(LOAD, 0, 0, FIRST_ARGUMENT_AT)
    yield Instruction(LOAD, 0, 0, ARCHITECTURE_AT)
    yield Instruction(EQUAL, 1, 0, table.architecture)
    yield refusal
    yield Instruction(LOAD, 0, 0, NUMBER_AT)
    yield Instruction(AT_LEAST, 0, 1, FOREIGN)
    yield refusal
    for number in table.refused:
        yield Instruction(EQUAL, 0, 1, number)
        yield refusal
    # What it asks for lies in memory, where no filter can look; libc then asks in the old way.
    yield Instruction(EQUAL, 0, 1, table.clone3)
    yield Instruction(ANSWER, 0, 0, REFUSE | errno.ENOSYS)
    yield from (Instruction(EQUAL, 0, 4, table.clone), argument)
    yield from (Instruction(ANY_BIT, 0, 1, NEW_THREAD), allowed, refusal)
    for number in table.only_to_itself:
        yield from (Instruction(EQUAL, 0, 4, number), argument)
        yield from (Instruction(EQUAL, 0, 1, pid), allowed, refusal)
    yield from (Instruction(EQUAL, 0, 5, table.prlimit), argument)
    yield from (Instruction(EQUAL, 1, 0, 0), Instruction(EQUAL, 0, 1, pid), allowed, refusal)
    yield from (Instruction(EQUAL, 0, 4, table.prctl), argument)
    yield from (Instruction(EQUAL, 0, 1, PARENT_DEATH_SIGNAL), refusal, allowed)
    yield allowed
