"""Network namespaces on one machine, one for each host, joined by a bridge that can be cut.

The bridge is in a namespace of this process. Namespaces have no names and no files: the kernel
removes them, with all that is in them, when the last process in them has ended.
"""

import ctypes
import os
import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from shutil import which

CLONE_NEWNET = 0x40000000
LOOPBACK = "127.0.0.1"
SUBNET = "10.219.0"  # seen by nobody else
BRIDGE = "hosts"
SLOW_RATE = ("rate", "400kbit", "burst", "16kb", "latency", "2s")
# Loaded here: between fork and exec another thread may hold the import lock for ever.
_libc = ctypes.CDLL(None, use_errno=True)


class CannotConfigure(Exception):
    """A command of iproute2 has failed; the message has the reason."""


class Host:
    """A host with an address of its own. Without a namespace it is the loopback of the machine."""

    def __init__(self, name: str, address: str = LOOPBACK, namespace: int | None = None) -> None:
        self.name = name
        self.address = address
        self._namespace = namespace

    @property
    def is_apart(self) -> bool:
        """Whether the host has a namespace, so that it can be cut off."""
        return self._namespace is not None

    def enter(self) -> None:
        """Move this process to the host; usable in a ``preexec_fn``."""
        if self._namespace is not None and _libc.setns(self._namespace, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")

    def set_connected(self, connected: bool) -> None:  # noqa: FBT001
        """Plug the host in, or cut it off from all others."""
        _ip(f"link set {self.name} {'up' if connected else 'down'}")

    def set_reachable(self, others: "list[Host]", reachable: bool) -> None:  # noqa: FBT001
        """Let the host send to these others, or not; it can be reached by the rest."""
        action = "del" if reachable else "add"
        with suppress(CannotConfigure):  # the other way twice
            _ip(*(f"route {action} blackhole {one.address}/32" for one in others), within=self)

    def set_slow(self, slow: bool) -> None:  # noqa: FBT001
        """Limit what the host receives, or no longer."""
        with suppress(CannotConfigure):
            rate = ("tbf", *SLOW_RATE) if slow else ()
            _run("tc", "qdisc", "add" if slow else "del", "dev", self.name, "root", *rate)


class Network:
    """The hosts of one run."""

    def __init__(self, *, apart: bool) -> None:
        self.apart = apart
        self._hosts: list[Host] = []

    def add(self, name: str) -> Host:
        """Add a host, whose name is that of its end of the cable.

        :raises CannotConfigure: the kernel refuses it.
        """
        if not self.apart:
            return Host(name)
        address = f"{SUBNET}.{len(self._hosts) + 2}"
        host = Host(name, address, _new_namespace())
        self._hosts.append(host)
        # The cable is made inside, and its other end goes to the namespace of this process.
        ours = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _ip(
                "link set lo up",
                f"link add eth0 type veth peer name {name} netns /proc/self/fd/{ours}",
                f"addr add {address}/24 dev eth0",
                "link set eth0 up",
                within=host,
                inherited=(ours,),
            )
        finally:
            os.close(ours)
        _ip(f"link set {name} master {BRIDGE} up")
        return host

    def heal(self) -> None:
        """Undo every cut and every limit."""
        for host in self._hosts:
            host.set_connected(True)
            host.set_slow(False)
            host.set_reachable([one for one in self._hosts if one is not host], True)  # noqa: FBT003


def open_network() -> Network:
    """Move this process to a network of its own, if it may; to be called before it has threads.

    Otherwise all hosts are the loopback of the machine, and cannot be cut off.
    """
    if which("ip") is None or _libc.unshare(CLONE_NEWNET):
        return Network(apart=False)
    try:
        _ip(
            "link set lo up",
            f"link add {BRIDGE} type bridge",
            f"addr add {SUBNET}.1/24 dev {BRIDGE}",
            f"link set {BRIDGE} up",
        )
    except CannotConfigure:
        return Network(apart=False)
    return Network(apart=True)


def _new_namespace() -> int:
    """Return a descriptor of a new namespace, which exists as long as it is open."""
    opened: list[int] = []

    def unshare() -> None:
        if not _libc.unshare(CLONE_NEWNET):
            opened.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY))

    thread = threading.Thread(target=unshare)  # a namespace belongs to a thread
    thread.start()
    thread.join()
    if not opened:
        raise CannotConfigure("the kernel gives no further network namespace")
    return opened[0]


def _ip(*commands: str, within: Host | None = None, inherited: tuple[int, ...] = ()) -> None:
    """Run commands of ``ip``, in a host or in the namespace of this process."""
    _run(
        "ip",
        "-batch",
        "-",
        lines=commands,
        enter=within.enter if within else None,
        inherited=inherited,
    )


def _run(
    *words: str,
    lines: tuple[str, ...] = (),
    enter: Callable[[], None] | None = None,
    inherited: tuple[int, ...] = (),
) -> None:
    found = which(words[0])
    if found is None:
        raise CannotConfigure(f"{words[0]} is not installed")
    done = subprocess.run(  # noqa: S603
        [str(Path(found)), *words[1:]],
        input="".join(f"{line}\n" for line in lines).encode(),
        capture_output=True,
        check=False,
        preexec_fn=enter,
        pass_fds=inherited,
    )
    if done.returncode:
        raise CannotConfigure(f"{' '.join(words)}: {done.stderr.decode(errors='replace').strip()}")
