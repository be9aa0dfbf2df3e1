"""Faults: of the next requests of an endpoint, or of a seeded share of all of them.

Which of the requests of a share fail depends on the seed, the document and the number of the
attempt alone, not on the order in which they happen to come in: a run can be repeated.
"""

import random
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Literal, get_args

import msgspec

from tests.mistral import errors
from tests.mistral.errors import ApiError

Endpoint = Literal[
    "ocr",
    "files.upload",
    "files.list",
    "files.retrieve",
    "files.delete",
    "files.content",
    "files.url",
    "batch.create",
    "batch.list",
    "batch.get",
    "batch.cancel",
    "batch.delete",
    "batch.item",  # one request of a batch job: its row becomes one of the error file
]

Kind = Literal[
    "429",
    "500",
    "502",
    "503",
    "504",
    "capacity",  # 429 as well, but not because of anything the caller did
    "quota",  # 402: the money is used up
    "file_not_found",
    "slow",
    "hang",  # no answer until the client goes away
    "reset",  # half of the answer, then RST
    "truncated",  # half of the answer, then FIN: Content-Length was longer
    "cut_json",  # half of the JSON, announced as if that were all
    "garbage",  # 200, with the type of JSON, but no JSON
    "html",  # 200, and a page for people
    "other_shape",  # 200, and JSON of something else
    "wrong_pages",  # 200, one page too few
    "wrong_order",  # 200, the last page first
]

CORRUPTING = frozenset(get_args(Kind)[get_args(Kind).index("reset") :])
"""The work is done and paid for; its answer is corrupted."""

ERROR_FAULTS: Mapping[str, Callable[[], ApiError]] = {
    "500": partial(errors.internal_error, 500),
    "502": partial(errors.gateway_error, 502, "Bad Gateway"),
    "503": partial(errors.internal_error, 503),
    "504": partial(errors.gateway_error, 504, "Gateway Time-out"),
    "capacity": errors.no_capacity,
    "quota": errors.budget_exhausted,
    "file_not_found": errors.file_not_found,
}

TRANSIENT: tuple[Kind, ...] = (
    "429", "500", "502", "503", "504", "capacity", "slow", "reset", "truncated", "cut_json",
)  # fmt: skip
"""Faults that a client survives by retrying."""


class Fault(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One fault; a 429 may have a Retry-After, a slow answer takes ``seconds``."""

    kind: Kind
    retry_after: float | None = None
    retry_after_ms: float | None = None
    seconds: float = 1.0

    @property
    def corrupts(self) -> bool:
        """Whether the answer is produced, and then corrupted."""
        return self.kind in CORRUPTING

    def error(self) -> ApiError | None:
        """Return the error response of this fault; None for another kind of fault."""
        if self.kind == "429":
            return errors.rate_limited(
                retry_after=self.retry_after, retry_after_ms=self.retry_after_ms
            )
        made = ERROR_FAULTS.get(self.kind)
        return made() if made else None


class Share(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """So many of all requests fail, each in one of these ways."""

    share: float
    faults: tuple[Fault, ...]


class Faults:
    """Decides for every request whether it fails, and how."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._next: dict[str, deque[Fault]] = {}
        self._shares: dict[str, Share] = {}
        self._attempts: Counter[tuple[str, str]] = Counter()

    def fail_next(
        self,
        endpoint: Endpoint,
        kind: Kind,
        times: int = 1,
        *,
        retry_after: float | None = None,
        retry_after_ms: float | None = None,
        seconds: float = 1.0,
    ) -> None:
        """Let the next requests of this endpoint fail, after those that are to fail already."""
        self.add(endpoint, Fault(kind, retry_after, retry_after_ms, seconds), times)

    def add(self, endpoint: Endpoint, fault: Fault, times: int = 1) -> None:
        """Let the next requests of this endpoint fail with this fault."""
        self._next.setdefault(endpoint, deque()).extend([fault] * times)

    def fail_share(
        self, endpoint: Endpoint, share: float, kinds: Sequence[Kind | Fault] = TRANSIENT
    ) -> None:
        """Let this share of the requests of the endpoint fail, each with one of these faults."""
        faults = tuple(kind if isinstance(kind, Fault) else Fault(kind) for kind in kinds)
        self._shares[endpoint] = Share(share, faults)

    def remaining(self, endpoint: Endpoint) -> int:
        """Return how many of the next requests of this endpoint are still to fail."""
        return len(self._next.get(endpoint, ()))

    def pick(self, endpoint: Endpoint, key: str) -> Fault | None:
        """Return the fault of this request, if any; ``key`` names its document."""
        if waiting := self._next.get(endpoint):
            return waiting.popleft()
        share = self._shares.get(endpoint)
        if share is None or not share.faults:
            return None
        self._attempts[endpoint, key] += 1
        chance = random.Random(f"{self.seed} {endpoint} {key} {self._attempts[endpoint, key]}")
        return chance.choice(share.faults) if chance.random() < share.share else None
