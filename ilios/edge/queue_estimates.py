"""Estimates of when documents end: what former ones took, and a simulation of the queue.

A document is taken to need as long as those of its engine, type and size before it. Tenants have
turns within a lane, and lanes by their weights, as in the queue itself.
"""

import heapq
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TypeVar

from msgspec import Struct

from bus.consumers import LANES, lane_for
from schemas.records import QueuedDocument

WEIGHT = 0.2
"""Of the newest document in the mean of its kind."""
GROWTH = 2**0.5
"""Of the expected time for each further binary digit of the size."""
LEAST_SAMPLES = 5
"""Documents that have ended before anything is estimated."""
RECENT_SECONDS = 30.0
"""In which ended conversions show how many of them run at once."""
PRIOR_SECONDS = 3.0
"""Time for which all engine processes are assumed to have been busy before."""
LEAST_SHARE = 0.1
"""Of the expected time that a document is taken to need further, however long it has taken."""
SLOWEST, FASTEST = 0.1, 3.0
"""Least and greatest rate of an engine process, in expected seconds per second."""
MAX_KINDS = 1000

DocumentName = tuple[str, str]
Kind = tuple[str, str, int]
"""Engine, content type, and the number of binary digits of the size."""

_N = TypeVar("_N", bound=Hashable)


class Running(Struct, frozen=True):
    """A document in work: pages that are done, of how many, and the seconds it has taken."""

    page: int
    of: int
    seconds: float


class Estimate(Struct, frozen=True):
    """How many documents of its tenant go before a document, and seconds until it ends."""

    position: int
    seconds: float | None


class Means:
    """Means of the seconds that documents took, the newest with the most weight."""

    def __init__(self) -> None:
        self._count = 0
        self._by_kind: dict[Kind, float] = {}
        self._by_type: dict[tuple[str, str], float] = {}
        self._by_engine: dict[str, float] = {}

    def add(self, kind: Kind, seconds: float) -> None:
        """Add a document that has ended."""
        self._count += 1
        engine, content_type, _ = kind
        _mix(self._by_kind, kind, seconds)
        _mix(self._by_type, (engine, content_type), seconds)
        _mix(self._by_engine, engine, seconds)

    def expected(self, kind: Kind) -> float | None:
        """Return the seconds of a document, by the closest kind that has ended; None without one.

        In a type without its size the time is taken to grow with the size, but less than that.
        """
        if self._count < LEAST_SAMPLES:
            return None
        found = self._by_kind.get(kind)
        if found is not None:
            return found
        engine, content_type, digits = kind
        near = [
            (abs(one[2] - digits), mean * GROWTH ** (digits - one[2]))
            for one, mean in self._by_kind.items()
            if one[:2] == (engine, content_type)
        ]
        if near:
            return min(near)[1]
        return self._by_type.get((engine, content_type), self._by_engine.get(engine))


def _mix(means: dict[_N, float], name: _N, seconds: float) -> None:
    before = means.pop(name, seconds)
    means[name] = before + WEIGHT * (seconds - before)
    while len(means) > MAX_KINDS:
        del means[next(iter(means))]


class Throughput:
    """Conversions done in a second, in their expected seconds, by those that have ended lately.

    What they are expected to take now: where all take longer than they did, both this and what
    waits grow, and the time of the queue remains that of the last moments.
    """

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._busy_since: float | None = None
        self._ended: deque[tuple[float, Kind]] = deque()

    def add(self, now: float, kind: Kind) -> None:
        """Add a conversion that has ended."""
        self._ended.append((now, kind))

    def observe(self, now: float, *, busy: bool) -> None:
        """Note whether documents wait for a process; idle times do not count."""
        if not busy:
            self._busy_since = None
            self._ended.clear()
        elif self._busy_since is None:
            self._busy_since = now

    def rate(
        self, now: float, running: Iterable[float], expected: Callable[[Kind], float | None]
    ) -> float:
        """Return the expected seconds of conversions that are done in a second.

        ``running`` are those that conversions in work have done.
        """
        since = now - RECENT_SECONDS
        while self._ended and self._ended[0][0] < since:
            self._ended.popleft()
        began = max(since, self._busy_since if self._busy_since is not None else now)
        elapsed = now - began
        done = sum(expected(kind) or 0.0 for at, kind in self._ended if at > began)
        done += sum(min(one, elapsed) for one in running)
        prior = self._processes * PRIOR_SECONDS
        rate = (prior + done) / (PRIOR_SECONDS + elapsed)
        return min(max(rate, SLOWEST * self._processes), FASTEST * self._processes)


def in_order(documents: Sequence[QueuedDocument]) -> Iterator[QueuedDocument]:
    """Yield documents in the order in which they are converted, about."""
    lanes = {lane.name: _by_turns(documents, lane.name) for lane in LANES}
    credit = {lane.name: 0 for lane in LANES}
    heads = {name: next(queue, None) for name, queue in lanes.items()}
    while ready := [lane for lane in LANES if heads[lane.name] is not None]:
        for lane in ready:
            credit[lane.name] += lane.weight
        best = max(ready, key=lambda lane: credit[lane.name])
        credit[best.name] -= sum(lane.weight for lane in ready)
        head = heads[best.name]
        assert head is not None  # it is ready
        yield head
        heads[best.name] = next(lanes[best.name], None)


def first_in_order(documents: Sequence[QueuedDocument], count: int) -> list[QueuedDocument]:
    """Return the documents that are converted first."""
    return list(islice(in_order(documents), max(0, count)))


def _by_turns(documents: Sequence[QueuedDocument], lane: str) -> Iterator[QueuedDocument]:
    """Yield the documents of a lane, tenant by tenant in turns."""
    tenants: dict[str, deque[QueuedDocument]] = defaultdict(deque)
    for document in sorted(documents, key=lambda one: one.sequence):
        if lane_for(document.priority).name == lane:
            tenants[document.tenant].append(document)
    while tenants:
        for tenant in list(tenants):
            yield tenants[tenant].popleft()
            if not tenants[tenant]:
                del tenants[tenant]


def estimate(
    documents: Sequence[QueuedDocument],
    running: Mapping[DocumentName, Running],
    expected: Mapping[DocumentName, float | None],
    processes: int,
    rate: float,
) -> dict[DocumentName, Estimate]:
    """Simulate the queue; without the seconds of a document before it one has no time."""
    ahead: dict[str, int] = defaultdict(int)
    found: dict[DocumentName, Estimate] = {}
    speed = rate / processes
    free = [0.0] * processes
    waiting: list[QueuedDocument] = []
    is_certain = True
    for document in documents:
        name = (document.tenant, document.document_id)
        if name not in running:
            waiting.append(document)
            continue
        left = remaining(running[name], expected.get(name))
        if left is not None:
            heapq.heapreplace(free, free[0] + left)
        found[name] = Estimate(ahead[document.tenant], left)
    for document in documents:
        if (document.tenant, document.document_id) in running:
            ahead[document.tenant] += 1
    for document in in_order(waiting):
        name = (document.tenant, document.document_id)
        seconds = expected.get(name)
        is_certain = is_certain and seconds is not None
        if is_certain and seconds is not None:
            end = free[0] + seconds / speed
            heapq.heapreplace(free, end)
            found[name] = Estimate(ahead[document.tenant], end)
        else:
            found[name] = Estimate(ahead[document.tenant], None)
        ahead[document.tenant] += 1
    return found


def remaining(running: Running, expected: float | None) -> float | None:
    """Return the seconds that a document in work still needs, by its pages and by its kind.

    Its pages count the more, the more of them are done: the first one waits until its batch is
    parsed, and seems to take as long as many.
    """
    share = min(running.page / running.of, 1.0) if running.of else 0.0
    by_pages = running.seconds / share if share else None
    if expected is None:
        return None if by_pages is None else by_pages - running.seconds
    least = LEAST_SHARE * expected * (1 - share)
    total = expected if by_pages is None else share * by_pages + (1 - share) * expected
    return max(total - running.seconds, least)


def done(running: Running, expected: float | None) -> float:
    """Return the expected seconds of a document in work that are done."""
    share = min(running.page / running.of, 1.0) if running.of else 0.0
    if expected is None:
        return running.seconds
    return max(share * expected, min(running.seconds, expected) * (1 - share))
