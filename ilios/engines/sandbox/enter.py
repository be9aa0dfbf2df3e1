"""The sandbox of a child process: Landlock for files, seccomp for system calls.

A child can read its libraries and write in one directory; it cannot reach the network or other
processes. Where the kernel or container lacks one of the two, ``auto`` uses the other, and
``strict`` refuses to convert.
"""

import ctypes
import os
import site
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Literal

from ilios.engines.sandbox import landlock, profiles, seccomp
from ilios.engines.sandbox.profiles import Profile

SandboxMode = Literal["auto", "strict", "off"]
"""``auto``: the parts that the kernel has; ``strict``: all parts or no conversion."""

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
"""Readable files below /proc/self. Others list connections and mounts of the machine."""

DEV_NULL = Path(os.devnull)

NO_LANDLOCK = "no Landlock: an engine process can read and write every file that the service can"
NO_SECCOMP = "no seccomp: an engine process can reach the network and other processes"
WIDE_FILTER = (
    "no narrow filter of system calls: converters do not work under it on this machine, "
    "so the wide one holds"
)


class SandboxIncomplete(Exception):
    """A part of the sandbox is missing in mode ``strict``."""


def missing_features() -> tuple[str, ...]:
    """Return a sentence for each part of the sandbox that this machine lacks."""
    return (
        *((NO_LANDLOCK,) if not landlock.version() else ()),
        *((NO_SECCOMP,) if not seccomp.available() else ()),
    )


def sandbox_warnings(mode: SandboxMode) -> list[str]:
    """Return warnings for the operator about the sandbox on this machine."""
    if mode == "off":
        return ["ILIOS_SANDBOX: off; a document that takes over its engine process has the service"]
    remedy = "; nothing will be converted" if mode == "strict" else ""
    return [f"ILIOS_SANDBOX: {mode}, but {what}{remedy}" for what in missing_features()]


def enter_sandbox(
    mode: SandboxMode,
    scratch: Path,
    staging_dir: Path,
    profile: Profile,
    more_readable: Iterable[Path] = (),
) -> tuple[str, ...]:
    """Restrict this process irrevocably; call it before there is a second thread.

    :param scratch: the one directory it may write in.
    :param staging_dir: the directory with the documents to read.
    :param profile: the system calls it may make.
    :param more_readable: what it may read beside libraries and fonts.
    :returns: a sentence for each part that this machine lacks.
    :raises SandboxIncomplete: there is one, and ``mode`` is strict.
    """
    if mode == "off":
        return ()
    absent = []
    _preallocate_callbacks()
    try:
        landlock.restrict(
            (*_readable(scratch, staging_dir), staging_dir, *more_readable), (scratch, DEV_NULL)
        )
    except OSError as error:
        absent.append(f"{NO_LANDLOCK} ({error.strerror})")
    try:
        seccomp.restrict(profile)
    except OSError as error:
        absent.append(f"{NO_SECCOMP} ({error.strerror})")
    if absent and mode == "strict":
        raise SandboxIncomplete("; ".join(absent))
    # The engine has decided by its self-test that the wide profile is needed.
    return (*((WIDE_FILTER,) if profile is profiles.WIDE else ()), *absent)


@cache
def _preallocate_callbacks() -> object:
    """Allocate a page for ctypes callbacks while memory may still be made executable.

    A page has room for dozens of callbacks, and is not freed while this one exists.
    """
    return ctypes.CFUNCTYPE(None)(lambda: None)


def _readable(scratch: Path, staging_dir: Path) -> Iterator[Path]:
    """Yield the paths a child needs to run and to load converters and models later."""
    yield from map(Path, (*LIBRARIES, *SHARED, *CONFIGURATION, *KERNEL))
    yield from (Path("/proc/self", name) for name in OWN_PROC_FILES)
    yield from (ROOT / package for package in PACKAGES)
    for found in {*_interpreter(), *_loaded_library_dirs()}:
        # A parent of the writable directories contains those of others, and perhaps the data.
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
    """Yield the directories of the loaded libraries, which may be unusual ones."""
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        for line in maps:
            _, slash, path = line.rstrip("\n").partition("/")
            if slash and ".so" in path:
                yield Path(f"/{path}").parent
