"""Run in a process that shuts itself in as a child does, and then tries to get out.

If the sandbox is broken and an attempt succeeds, it does no harm.

``python confined.py MODE SCRATCH HANDOVER SECRET LISTENER``: prints as JSON what came of every
attempt.
"""

import contextlib
import ctypes
import errno
import fcntl
import json
import mmap
import os
import platform
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
from collections.abc import Callable
from pathlib import Path

from ilios.engines.local.limits import EngineLimits
from ilios.engines.sandbox import confinement, enter, profiles, system_calls
from ilios.runtime.parent_death import PR_SET_PDEATHSIG

PTRACE_SEIZE, CLONE_NEWUSER, O_PATH_OF_FD = 0x4206, 0x10000000, "/proc/self/fd"


def call(name: str, *arguments: object) -> None:
    """Make a system call by its number."""
    number = system_calls.MACHINES[platform.machine()].number(name)
    assert number is not None
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(ctypes.c_long(number), *arguments) < 0:
        raise OSError(ctypes.get_errno(), name)


def read_memory_of(pid: int) -> None:
    """Read a byte of the memory of a process, where there is none: EFAULT would be an answer."""

    class Piece(ctypes.Structure):
        _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))

    here, there = Piece(id(object()), 1), Piece(4096, 1)
    call("process_vm_readv", pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)


def connect(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        pass


def connect_with_what_is_there(port: int) -> None:
    """Reach out with a pair's end: connect itself has to be refused, too."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.connect(f"\0nobody-{port}")


def send_a_datagram(place: Path) -> None:
    """Send to a socket of the machine with one end of a pair, which needs no connect."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        ours.sendto(b"reached", str(place))


def send_with_what_is_there(place: Path) -> None:
    """Name an address to a stream: the call has to be refused before the socket refuses it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendto(b"reached", str(place))


def hold_memory() -> None:
    """Hold memory in a file without a name, which no limit of the process counts."""
    os.close(os.memfd_create("kept"))


def watch(place: Path) -> None:
    """Watch what others create below a directory that cannot be listed."""
    libc = ctypes.CDLL(None, use_errno=True)
    watcher = libc.inotify_init1(0)
    if watcher < 0 or libc.inotify_add_watch(watcher, os.fsencode(place), 0x100) < 0:
        raise OSError(ctypes.get_errno(), "inotify")


def order_signals(parent: int, number: int) -> None:
    """Have the kernel signal another process when something can be read: it does as ordered.

    Older kernels ask only what the owner of the descriptor might have done.
    """
    ours, theirs = socket.socketpair()
    with ours, theirs:
        fcntl.fcntl(ours, fcntl.F_SETSIG, number)
        fcntl.fcntl(ours, fcntl.F_SETOWN, parent)
        fcntl.fcntl(ours, fcntl.F_SETFL, os.O_ASYNC)


def set_owner(parent: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        fcntl.fcntl(ours, fcntl.F_SETOWN, parent)


def be_signalled() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        fcntl.fcntl(ours, fcntl.F_SETFL, os.O_ASYNC)


def order_asynchronously() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        fcntl.ioctl(ours, termios.FIOASYNC, b"\1\0\0\0")


def lease(scratch: Path) -> None:
    with (scratch / "leased").open("w") as file:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)


def type_into_a_terminal() -> None:
    ours, theirs = socket.socketpair()  # of a socket the kernel answers ENOTTY, the filter EPERM
    with ours, theirs:
        fcntl.ioctl(ours, termios.TIOCSTI, b"x")


def map_memory(protection: int, flags: int) -> None:
    mmap.mmap(-1, 2 * 1024 * 1024, flags=flags | mmap.MAP_PRIVATE, prot=protection).close()


def keep_what_is_unmapped() -> None:
    """Hold memory by one page of it: the rest is no longer in the address space, but there."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    length, flags = 2 * 1024 * 1024, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS
    place = libc.mmap(None, length, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0)
    if place == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "mmap")
    libc.munmap(ctypes.c_void_p(place + 4096), ctypes.c_size_t(length - 4096))


def make_executable() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    place = libc.mmap(None, 4096, mmap.PROT_READ, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    if libc.mprotect(ctypes.c_void_p(place), 4096, mmap.PROT_READ | mmap.PROT_EXEC) < 0:
        raise OSError(ctypes.get_errno(), "mprotect")


def call_back() -> None:
    """Have C call Python: that lies in executable memory, of which there is no more."""
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(lambda *_: 0)
    ctypes.CDLL(None).qsort((ctypes.c_int * 2)(), 2, 4, compare)


def do_not_wait() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)  # noqa: FBT003 it takes nothing by name


def allow_tracing() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0) < 0:  # PR_SET_PTRACER, by anybody
        raise OSError(ctypes.get_errno(), "prctl")


def start_thread() -> None:
    done = threading.Event()
    threading.Thread(target=done.set).start()
    assert done.wait(30)


def forbidden_attempts(
    scratch: Path, staging: Path, secret: Path, port: int
) -> dict[str, Callable[[], object]]:
    """Return the attempts that must be refused."""
    parent = os.getppid()
    document = staging / "document"
    descriptor = os.open(document, os.O_RDONLY)
    return {
        "read a file of the store": secret.read_bytes,
        "list the store": lambda: os.listdir(secret.parent),
        "write into the store": lambda: (secret.parent / "more").write_bytes(b"x"),
        "read it by a link": lambda: link_and_read(scratch, secret),
        "read it by the root of a process": lambda: Path(f"/proc/self/root{secret}").read_bytes(),
        "read the passwords": Path("/etc/passwd").read_bytes,
        "list a home": lambda: os.listdir(Path("~root").expanduser()),
        "list the root": lambda: os.listdir("/"),
        "write beside the scratch directory": lambda: tempfile.mkstemp(dir=scratch.parent),
        "write into the temporary directory": lambda: tempfile.TemporaryFile(dir="/tmp").close(),
        "write its own code": lambda: Path(enter.__file__).open("r+b"),
        "write into the document": lambda: document.open("r+b"),
        "reopen the document for writing": lambda: os.open(
            f"{O_PATH_OF_FD}/{descriptor}", os.O_RDWR
        ),
        "truncate the document": lambda: os.truncate(document, 0),
        "remove the document": document.unlink,
        "close the document to others": lambda: os.chmod(document, 0),
        "close the open document to others": lambda: os.fchmod(descriptor, 0),
        "give the document away": lambda: os.chown(document, 1, 1),
        "set the document's time": lambda: os.utime(document, (0, 0)),
        "mark the document": lambda: os.setxattr(document, "user.x", b"x"),
        "take the document along": lambda: os.link(document, scratch / "mine"),
        "make a device": lambda: os.mknod(scratch / "device", 0o20600, os.makedev(1, 1)),
        "open a socket": lambda: socket.socket(socket.AF_INET).close(),
        "open a UNIX socket": lambda: socket.socket(socket.AF_UNIX).close(),
        "open a netlink socket": lambda: socket.socket(socket.AF_NETLINK).close(),
        "connect to a port": lambda: connect(port),
        "connect to an abstract socket": lambda: connect_with_what_is_there(port),
        "run a program": lambda: os.execv("/bin/true", ["true"]),
        "start a process": lambda: subprocess.run(["/bin/true"], check=True),
        "fork": fork,
        "trace the parent": lambda: call("ptrace", PTRACE_SEIZE, parent, 0, 0),
        "read the parent's memory": lambda: read_memory_of(parent),
        "open the parent's memory": lambda: os.open(f"/proc/{parent}/mem", os.O_RDONLY),
        "read the parent's environment": Path(f"/proc/{parent}/environ").read_bytes,
        "read the parent's command": Path(f"/proc/{parent}/cmdline").read_bytes,
        "kill the parent": lambda: os.kill(parent, 0),
        "kill everybody": lambda: os.kill(-1, 0),
        "kill its group": lambda: os.killpg(0, 0),
        "slow the parent down": lambda: os.setpriority(os.PRIO_PROCESS, parent, 0),
        "limit the parent": lambda: resource.prlimit(parent, resource.RLIMIT_NOFILE),
        "raise its own limits": lambda: resource.setrlimit(
            resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        ),
        "outlive its parent": outlive,
        "hold the parent by a descriptor": lambda: os.pidfd_open(parent),
        "mount": lambda: call("mount", None, None, None, 0, None),
        "become another user's root": lambda: call("unshare", CLONE_NEWUSER),
        "load a kernel program": lambda: call("bpf", 0, None, 0),
        "set up io_uring": lambda: call("io_uring_setup", 1, None),
        "catch page faults": lambda: call("userfaultfd", 0),
        "ask for keys": lambda: call("keyctl", 0, 0, 0, 0, 0),
        "watch the processor": lambda: call("perf_event_open", None, 0, -1, -1, 0),
        "share memory by number": lambda: call("shmget", 0, 4096, 0o600),
        "hold memory outside all limits": hold_memory,
        "hold secret memory": lambda: call("memfd_secret", 0),
        "hold memory that is not mapped": keep_what_is_unmapped,
        "see the connections of the machine": Path("/proc/self/net/tcp").read_bytes,
        "see them by a thread": Path("/proc/thread-self/net/tcp").read_bytes,
        "see the sockets of the machine": Path("/proc/self/net/unix").read_bytes,
        "see what is mounted": Path("/proc/self/mountinfo").read_bytes,
        "map pages that are not counted": lambda: map_memory(mmap.PROT_READ, 0x40000 | 0x20),
        "make its memory executable": make_executable,
        "map memory to write and run": lambda: map_memory(7, mmap.MAP_ANONYMOUS),
        "send to a socket of the machine": lambda: send_a_datagram(secret.parent / "socket"),
        "send by a stream": lambda: send_with_what_is_there(secret.parent / "socket"),
        "watch the store": lambda: watch(secret.parent),
        "have the parent killed": lambda: order_signals(parent, signal.SIGKILL),
        "name the parent as an owner": lambda: set_owner(parent),
        "be signalled": be_signalled,
        "be signalled by order": order_asynchronously,
        "lease a file": lambda: lease(scratch),
        "type into a terminal": type_into_a_terminal,
        "let others trace it": allow_tracing,
        "list the marks of a file": lambda: os.listxattr(secret),
        "splice": lambda: os.splice(descriptor, os.open(os.devnull, os.O_WRONLY), 1),
    }


def allowed_operations(scratch: Path, staging: Path) -> dict[str, Callable[[], object]]:
    """Return what converters need."""
    document = staging / "document"
    descriptor = os.open(document, os.O_RDONLY)
    return {
        "read the document": document.read_bytes,
        "map the document": lambda: mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ).close(),
        "write in the scratch directory": lambda: write_and_remove(scratch),
        "make a temporary directory": lambda: shutil.rmtree(tempfile.mkdtemp(dir=scratch)),
        "start a thread": start_thread,
        "make a pair of sockets": socket.socketpair,
        "read random bytes": lambda: Path("/dev/urandom").open("rb", buffering=0).read(1),
        "write into nothing": lambda: Path("/dev/null").write_bytes(b"x"),
        "look at its own memory": lambda: 1 / confinement.resident_bytes(),
        "end itself": lambda: os.kill(os.getpid(), 0),
        "lock a file of its own": lambda: lock(scratch),
        "load a library late": lambda: __import__("sqlite3"),
        "be called back": call_back,
        "copy a descriptor": lambda: os.close(os.dup(descriptor)),
        "not wait for a socket": do_not_wait,
        "renew its processor time": lambda: confinement.extend_cpu_limit(300),
    }


def link_and_read(scratch: Path, secret: Path) -> None:
    (scratch / "link").symlink_to(secret)
    (scratch / "link").read_bytes()


def write_and_remove(scratch: Path) -> None:
    (scratch / "a").write_bytes(b"x")
    (scratch / "a").rename(scratch / "b")
    (scratch / "b").unlink()


def lock(scratch: Path) -> None:
    with (scratch / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)


def fork() -> None:
    if os.fork() == 0:
        os._exit(0)
    with contextlib.suppress(ChildProcessError):
        os.wait()


def outlive() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "prctl")


def attempt_all(attempts: dict[str, Callable[[], object]]) -> dict[str, str]:
    """Make all attempts; returns the name of the error of each, or "done"."""
    results = {}
    for name, attempt in attempts.items():
        try:
            attempt()
        except OSError as error:
            results[name] = errno.errorcode.get(error.errno or 0, str(error))
        except ValueError as error:  # Python's error for a limit that cannot be raised
            results[name] = str(error)
        else:
            results[name] = "done"
    return results


def main() -> None:
    mode, *rest, port = sys.argv[1:]
    scratch, staging, secret = map(Path, rest)
    refused = forbidden_attempts(scratch, staging, secret, int(port))
    needed = allowed_operations(scratch, staging)
    confinement.confine(EngineLimits(), os.getppid())
    enter.enter_sandbox(mode, scratch, staging, profiles.CONVERTER)  # type: ignore[arg-type]
    came = {"refused": attempt_all(refused), "needed": attempt_all(needed)}
    signal.raise_signal(0)  # a process may still abort itself
    print(json.dumps(came))


if __name__ == "__main__":
    main()
