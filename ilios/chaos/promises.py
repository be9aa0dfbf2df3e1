"""What clients were promised, and what they have seen since: the book the service is audited by."""

from collections import Counter
from typing import Literal

from msgspec import Struct, field

from ilios.chaos.papers import Paper

ENDED = frozenset({"completed", "failed", "archived", "cancelled", "deleted"})
"""States of a document that nothing changes any more but its removal."""
REMOVED = frozenset({"cancelled", "deleted"})

Door = Literal["submit", "batch", "convert", "bus"]
Outcome = Literal["waiting", "accepted", "refused", "unanswered"]


class Violation(Struct, frozen=True):
    """A promise that was broken: ``kind`` is one of ``judging.PROMISES``."""

    kind: str
    name: str
    what: str


class Submission(Struct):
    """A document that was handed in, and what was answered."""

    paper: Paper
    door: Door
    outcome: Outcome = "waiting"


class Document(Struct):
    """An accepted document. Times are ``time.monotonic`` seconds.

    ``state`` is what was seen last, at ``seen_at``; ``ended_at`` is when it was first seen to have
    ended. ``removal`` is none, asked for, or what the receipt says.
    """

    name: str
    paper: Paper
    door: Door
    accepted_at: float
    state: str = "pending"
    code: str | None = None
    seen_at: float = 0.0
    ended_at: float | None = None
    removal: Literal["none", "asked", "cancelled", "deleted"] = "none"


class Book(Struct):
    """Everything that was promised and seen in one run."""

    submissions: dict[str, Submission] = field(default_factory=dict)
    documents: dict[str, Document] = field(default_factory=dict)
    batches: dict[str, list[str]] = field(default_factory=dict)
    refusals: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)
    ended: int = 0

    @property
    def progress(self) -> int:
        """How many documents were accepted, and how many have ended, together."""
        return len(self.documents) + self.ended

    @property
    def open(self) -> list[Document]:
        """The accepted documents that were not seen to have ended, the oldest first."""
        return [one for one in self.documents.values() if one.ended_at is None]

    def hand_in(self, paper: Paper, door: Door) -> Submission:
        """Note that a document is about to be submitted."""
        submission = Submission(paper, door)
        self.submissions[paper.sha256] = submission
        return submission

    def accept(self, name: str, submission: Submission, now: float) -> None:
        """Note that a document was accepted under this id."""
        submission.outcome = "accepted"
        other = self.documents.get(name)
        if other is not None and other.paper != submission.paper:
            what = f"its id was given to document {submission.paper.number} as well"
            self.complain("mixed up", name, what)
        elif other is None:
            self.documents[name] = Document(name, submission.paper, submission.door, now)

    def see(self, name: str, state: str, code: str | None, *, asked_at: float, now: float) -> None:
        """Note what a client was told of an accepted document, and whether that can be."""
        document = self.documents[name]
        before = document.state
        if asked_at < document.seen_at:
            return  # answers may overtake each other: this one is older than what is known
        if not _may_follow(before, state, document.removal):
            self.complain("regressed", name, f"it was {before}, and then {state}")
        if state in ENDED and document.ended_at is None:
            document.ended_at = now
            self.ended += 1
        if state in ENDED or before not in ENDED:
            document.state, document.code, document.seen_at = state, code, now

    def miss(self, name: str) -> None:
        """Note that a client was told that an accepted document is unknown."""
        self.complain("lost", name, "it was accepted, and is unknown (404)")

    def complain(self, kind: str, name: str, what: str) -> None:
        """Note a broken promise, each once."""
        violation = Violation(kind, name, what)
        if violation not in self.violations:
            self.violations.append(violation)


def _may_follow(before: str, state: str, removal: str) -> bool:
    if before == state or before not in ENDED:
        return True
    return state in REMOVED and before not in REMOVED and removal != "none"
