"""What of the machine a child can still reach once it has started: next to nothing.

Landlock leaves it its libraries to read and a directory to write in, seccomp leaves it no network
and no other process. A kernel or container that has one of them not gets what it has; ``strict``
refuses to work there instead.
"""

import ctypes
import os
import site
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Literal

from ilios.engines.sandbox import landlock, profiles, seccomp
from ilios.engines.sandbox.profiles import Profile

SandboxMode = Literal["auto", "strict", "off"]
"""As much as the kernel allows; all of it or no work; nothing."""

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("schemas", "bus", "actors", "ilios")
LIBRARIES = ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib")
SHARED = ("/usr/share", "/usr/local/share/fonts")  # fonts, time zones, names of characters
CONFIGURATION = (
    "/etc/ld.so.cache",
    "/etc/ld-musl-x86_64.path",
    "/etc/ld-musl-aarch64.path",
    "/etc/localtime",
    "/etc/os-release",
    "/etc/ssl/openssl.cnf",
)
KERNEL = (
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/sys/kernel/osrelease",
    "/proc/sys/vm/overcommit_memory",
    "/sys/devices/system/cpu",
    "/dev/urandom",
    "/dev/random",
    "/dev/zero",
)
OWN_PROC_FILES = ("cgroup", "cmdline", "maps", "stat", "statm", "status")
"""What is read of it below /proc. Not all: every connection and mount of the machine is there."""

DEV_NULL = Path(os.devnull)

NO_LANDLOCK = "no Landlock: an engine process can read and write every file that the service can"
NO_SECCOMP = "no seccomp: an engine process can reach the network and other processes"
WIDE_FILTER = (
    "no narrow filter of system calls: converters do not work under it on this machine, "
    "so the wide one holds"
)


class SandboxIncomplete(Exception):
    """A part of the sandbox is missing where all of it was asked for."""


def missing_features() -> tuple[str, ...]:
    """Return a sentence for each part of the sandbox that this machine does not have."""
    return (
        *((NO_LANDLOCK,) if not landlock.version() else ()),
        *((NO_SECCOMP,) if not seccomp.available() else ()),
    )


def sandbox_warnings(mode: SandboxMode) -> list[str]:
    """Return a sentence for each thing an operator should know of the sandbox on this machine."""
    if mode == "off":
        return ["ILIOS_SANDBOX: off; a document that takes over its engine process has the service"]
    remedy = "; nothing will be converted" if mode == "strict" else ""
    return [f"ILIOS_SANDBOX: {mode}, but {what}{remedy}" for what in missing_features()]


def enter_sandbox(
    mode: SandboxMode, scratch: Path, staging_dir: Path, profile: Profile
) -> tuple[str, ...]:
    """Shut this process in, for good; to be done before it has a second thread.

    :param scratch: the one directory it may write in.
    :param handover: where the documents are laid that it is to read.
    :param profile: the system calls of the program that this process is.
    :returns: a sentence for each part that this machine does not have.
    :raises Incomplete: there is one, and ``mode`` is strict.
    """
    if mode == "off":
        return ()
    absent = []
    _preallocate_callbacks()
    try:
        landlock.restrict((*_readable(scratch, staging_dir), staging_dir), (scratch, DEV_NULL))
    except OSError as error:
        absent.append(f"{NO_LANDLOCK} ({error.strerror})")
    try:
        seccomp.restrict(profile)
    except OSError as error:
        absent.append(f"{NO_SECCOMP} ({error.strerror})")
    if absent and mode == "strict":
        raise SandboxIncomplete("; ".join(absent))
    # Whether that will do is for the engine to decide, which tries both.
    return (*((WIDE_FILTER,) if profile is profiles.WIDE else ()), *absent)


@cache
def _preallocate_callbacks() -> object:
    """Have the memory in which callbacks lie that C gets of Python: later none is executable.

    It is taken by the page, dozens of callbacks each, and not given back while this one is there.
    """
    return ctypes.CFUNCTYPE(None)(lambda: None)


def _readable(scratch: Path, staging_dir: Path) -> Iterator[Path]:
    """Yield what a child needs to run and to load its converters and models when it needs them."""
    yield from map(Path, (*LIBRARIES, *SHARED, *CONFIGURATION, *KERNEL))
    yield from (Path("/proc/self", name) for name in OWN_PROC_FILES)
    yield from (ROOT / package for package in PACKAGES)
    for found in {*_interpreter(), *_loaded_library_dirs()}:
        # What holds our directory holds those of others as well, and perhaps the data.
        if found != ROOT and not any(
            place.is_relative_to(found) for place in (scratch.resolve(), staging_dir.resolve())
        ):
            yield found


def _interpreter() -> Iterator[Path]:
    for prefix in {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}:
        yield from (Path(prefix, "lib").resolve(), Path(prefix, "lib64").resolve())
        yield Path(prefix, "pyvenv.cfg")
    for entry in (*sys.path, *site.getsitepackages()):
        if entry:
            yield Path(entry).resolve()


def _loaded_library_dirs() -> Iterator[Path]:
    """Yield the directories of the libraries in use: not every system has them in the usual one."""
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        for line in maps:
            _, slash, path = line.rstrip("\n").partition("/")
            if slash and ".so" in path:
                yield Path(f"/{path}").parent
