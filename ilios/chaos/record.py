"""The record of a run: what clients submitted, were promised and have seen since."""

from collections import Counter
from typing import Literal

from msgspec import Struct, field

from ilios.chaos.documents import SampleDocument
from schemas.states import REMOVED_STATES, TERMINAL_STATES

Channel = Literal["submit", "batch", "convert", "bus"]
Outcome = Literal["waiting", "accepted", "refused", "unanswered"]


class Violation(Struct, frozen=True):
    """A broken promise; ``kind`` is one of ``verify.VIOLATION_KINDS``."""

    kind: str
    name: str
    what: str


class Submission(Struct):
    """A submitted document, and how that was answered."""

    sample: SampleDocument
    channel: Channel
    outcome: Outcome = "waiting"


class Document(Struct):
    """An accepted document. Times are ``time.monotonic`` seconds.

    ``state`` was seen last at ``seen_at``; a final one first at ``ended_at``. ``removal`` is none,
    asked for, or the state that the receipt names.
    """

    name: str
    sample: SampleDocument
    channel: Channel
    accepted_at: float
    state: str = "pending"
    code: str | None = None
    seen_at: float = 0.0
    ended_at: float | None = None
    removal: Literal["none", "asked", "cancelled", "deleted"] = "none"


class RunRecord(Struct):
    """Everything that was promised and seen in one run, by id; submissions by SHA-256."""

    submissions: dict[str, Submission] = field(default_factory=dict)
    documents: dict[str, Document] = field(default_factory=dict)
    batches: dict[str, list[str]] = field(default_factory=dict)
    refusals: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    ended: int = 0

    @property
    def progress(self) -> int:
        """The number of accepted documents plus that of ended ones."""
        return len(self.documents) + self.ended

    @property
    def unfinished(self) -> list[Document]:
        """The accepted documents that were not seen to have ended, oldest first."""
        return [one for one in self.documents.values() if one.ended_at is None]

    def add_submission(self, sample: SampleDocument, channel: Channel) -> Submission:
        """Record that a document is about to be submitted."""
        submission = Submission(sample, channel)
        self.submissions[sample.sha256] = submission
        return submission

    def record_accepted(self, name: str, submission: Submission, now: float) -> None:
        """Record that a document was accepted under this id."""
        submission.outcome = "accepted"
        other = self.documents.get(name)
        if other is not None and other.sample != submission.sample:
            what = f"its id was given to document {submission.sample.number} as well"
            self.add_violation("mixed up", name, what)
        elif other is None:
            self.documents[name] = Document(name, submission.sample, submission.channel, now)

    def record_state(
        self, name: str, state: str, code: str | None, *, asked_at: float, now: float
    ) -> None:
        """Record the state a client has read; one that cannot follow the last is a violation."""
        document = self.documents[name]
        before = document.state
        if asked_at < document.seen_at:
            return  # responses may overtake each other: this one is older
        if not _is_valid_transition(before, state, document.removal):
            self.add_violation("regressed", name, f"it was {before}, and then {state}")
        if state in TERMINAL_STATES and document.ended_at is None:
            document.ended_at = now
            self.ended += 1
        if state in TERMINAL_STATES or before not in TERMINAL_STATES:
            document.state, document.code, document.seen_at = state, code, now

    def record_unknown(self, name: str) -> None:
        """Record that the service answered 404 for an accepted document."""
        self.add_violation("lost", name, "it was accepted, and is unknown (404)")

    def add_violation(self, kind: str, name: str, what: str) -> None:
        """Record a broken promise, each once."""
        violation = Violation(kind, name, what)
        if violation not in self.violations:
            self.violations.append(violation)


def _is_valid_transition(before: str, state: str, removal: str) -> bool:
    if before == state or before not in TERMINAL_STATES:
        return True
    return state in REMOVED_STATES and before not in REMOVED_STATES and removal != "none"
