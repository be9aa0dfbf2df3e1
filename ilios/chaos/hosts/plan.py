"""The faults of a run over several hosts, from a seed: each kind once before any comes again."""

import random
from collections.abc import Iterator

from msgspec import Struct

from ilios.chaos.plan import LONGEST_DELAY, Fault, spread

SHORTEST = 0.5  # seconds


class _Kind(Struct, frozen=True):
    """A kind of fault, and the seconds it lasts at most."""

    target: str
    action: str
    longest: float = 0.0
    needs_network: bool = False
    needs_server: bool = False


_KINDS = (
    _Kind("core", "kill"),
    _Kind("core", "kill twice", 1.0),
    _Kind("core", "pause", 12.0),
    _Kind("core", "cut", 14.0, needs_network=True),
    _Kind("core", "slow", 6.0, needs_network=True),
    _Kind("edge", "kill"),
    _Kind("engine", "kill"),
    _Kind("engine", "pause", 7.0),
    _Kind("worker", "kill", 3.0),
    _Kind("worker", "pause", 14.0),  # beyond the ack deadline: its documents go to others
    _Kind("worker", "cut", 14.0, needs_network=True),
    _Kind("worker", "slow", 6.0, needs_network=True),
    _Kind("worker", "restart"),
    _Kind("leader", "kill", 3.0),
    _Kind("leader", "pause", 12.0),
    _Kind("leader", "cut", 8.0, needs_network=True),
    _Kind("leader", "step down"),
    _Kind("our node", "kill", 3.0),
    _Kind("our node", "isolate", 16.0, needs_network=True),
    _Kind("node", "kill", 3.0),
    _Kind("node", "isolate", 10.0, needs_network=True),
    _Kind("node", "lame duck", 3.0),
    _Kind("two nodes", "kill", 6.0),
    _Kind("store", "pause", 8.0, needs_server=True),
    _Kind("store", "cut", 8.0, needs_network=True, needs_server=True),
)


def plan_over_hosts(
    documents: int, faults: int, seed: int, *, has_network: bool, has_server: bool
) -> list[Fault]:
    """Return so many faults; cuts need a network of its own, and those of the store a server."""
    rng = random.Random(seed)  # noqa: S311  # it is to be repeatable, not secret
    possible = [
        kind
        for kind in _KINDS
        if (has_network or not kind.needs_network) and (has_server or not kind.needs_server)
    ]
    deck = _shuffled_for_ever(possible, rng)
    found = [_fault(next(deck), rng) for _ in range(faults)]
    return spread(found, documents, rng)


def _shuffled_for_ever(kinds: list[_Kind], rng: random.Random) -> Iterator[_Kind]:
    while True:
        yield from rng.sample(kinds, len(kinds))


def _fault(kind: _Kind, rng: random.Random) -> Fault:
    duration = rng.uniform(min(SHORTEST, kind.longest), kind.longest)
    delay = rng.uniform(0, LONGEST_DELAY)
    return Fault(0, kind.target, kind.action, delay, duration)  # type: ignore[arg-type]
