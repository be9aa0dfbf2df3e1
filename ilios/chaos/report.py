"""The report of a run: figures, and for each promise whether it was kept."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec import Struct

from ilios.chaos.plan import KILLS, InjectedFault
from ilios.chaos.record import RunRecord, Violation
from ilios.chaos.verify import VIOLATION_KINDS, unaccepted_documents
from ilios.database.recovery.audit import Audit

MAX_LISTED = 10  # violations of one kind in the table; the JSON report has all
_WIDTH = 40


class Percentiles(Struct, frozen=True):
    """Percentiles of ``count`` durations in seconds."""

    count: int
    p50: float
    p99: float
    most: float

    def __str__(self) -> str:
        return f"p50 {self.p50:.1f}  p99 {self.p99:.1f}  max {self.most:.1f} s  (of {self.count})"


class Report(Struct, frozen=True, kw_only=True):
    """The figures of one run. Times are seconds.

    ``ends_after`` is from the last fault, or from a document's acceptance if that was later, to its
    end; the bars are ``within`` for all of them and half of that for 99 of 100. ``lasted`` is from
    acceptance to end over the whole run; ``up_after`` from a kill until the service is ready;
    ``on_after`` from a fault until a document was accepted or ended, by target. ``landed`` are
    documents in the database whose acceptance reached no client.
    """

    seed: int
    kills: int
    pauses: int
    others: int = 0
    elapsed: float
    accepted: int
    completed: int
    failed: Mapping[str, int]
    removed: int
    refused: Mapping[str, int]
    unanswered: int
    landed: Mapping[str, int]
    violations: Sequence[Violation]
    within: float
    ends_after: Percentiles | None
    lasted: Percentiles | None
    up_after: Percentiles | None
    on_after: Mapping[str, Percentiles]
    orphans: int

    @property
    def is_late(self) -> bool:
        """Whether the p99 of ``ends_after`` is above its bar."""
        return self.ends_after is not None and self.ends_after.p99 > self.within / 2

    @property
    def passed(self) -> bool:
        """Whether every promise was kept."""
        return not self.violations and not self.is_late


def percentiles(seconds: Sequence[float]) -> Percentiles | None:
    """Return the percentiles of these durations; None without any."""
    if not seconds:
        return None
    ordered = sorted(seconds)

    def rank(share: float) -> float:
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

    return Percentiles(len(ordered), rank(0.5), rank(0.99), ordered[-1])


def late_documents(
    record: RunRecord, last_at: float | None, within: float, now: float
) -> list[Violation]:
    """Return the accepted documents that took longer than ``within`` after the last fault."""
    found = []
    for document in record.documents.values():
        seconds = (document.ended_at or now) - max(last_at or 0.0, document.accepted_at)
        if seconds > within:
            how = "ended only" if document.ended_at else f"is still {document.state}"
            what = f"it {how} {seconds:.1f} s after the last fault, or after it was accepted"
            found.append(Violation("stuck", document.name, what))
    return found


def ends_after(record: RunRecord, last_at: float | None) -> Percentiles | None:
    """Return how long the documents that had not ended by the last fault took from there."""
    return percentiles(
        [
            one.ended_at - max(last_at, one.accepted_at)
            for one in record.documents.values()
            if last_at is not None and one.ended_at is not None and one.ended_at > last_at
        ]
    )


def lasted(record: RunRecord) -> Percentiles | None:
    """Return how long documents took from their acceptance."""
    ended = [one for one in record.documents.values() if one.ended_at is not None]
    return percentiles(
        [one.ended_at - one.accepted_at for one in ended if one.ended_at is not None]
    )


def on_after(injected: Sequence[InjectedFault]) -> dict[str, Percentiles]:
    """Return how long after a fault there was progress again, by target and action."""
    seconds: dict[str, list[float]] = {}
    for one in injected:
        if one.recovered_after is not None:
            done = {"pause": " paused"} | dict.fromkeys(KILLS, "")
            action = done.get(one.fault.action, f" {one.fault.action}")
            seconds.setdefault(f"{one.target}{action}", []).append(one.recovered_after)
    return {name: found for name in sorted(seconds) if (found := percentiles(seconds[name]))}


def landed(record: RunRecord, audit: Audit) -> dict[str, int]:
    """Count the documents in the database whose acceptance reached no client."""
    rows = audit.documents
    return dict(
        Counter(
            f"{submission.outcome}, {rows[name].code or rows[name].state}"
            for name, submission in unaccepted_documents(record, audit).items()
        )
    )


def render(report: Report) -> str:
    """Return the report as text for a terminal."""
    lines = [
        _faults(report),
        "",
        _row("accepted", report.accepted),
        _row("  completed", report.completed),
        _row("  failed", sum(report.failed.values()), _counted(report.failed)),
        _row("  cancelled or deleted", report.removed),
        _row("refused", sum(report.refused.values()), _counted(report.refused)),
        _row("not answered", report.unanswered),
        _row("landed, but never accepted", sum(report.landed.values()), _counted(report.landed)),
        _row("blobs that no row refers to", report.orphans, "swept by the janitor after a day"),
        "",
        f"{'from acceptance to the end':<{_WIDTH}}{report.lasted or '-'}",
        f"{'from kill to ready again':<{_WIDTH}}{report.up_after or '-'}",
    ]
    lines += [
        f"{f'{who}: until work went on':<{_WIDTH}}{of}" for who, of in report.on_after.items()
    ]
    lines.append("")
    counted = Counter(one.kind for one in report.violations)
    for kind, meaning in VIOLATION_KINDS.items():
        lines.append(_row(kind, counted[kind], "ok" if not counted[kind] else f"BROKEN: {meaning}"))
        found = [one for one in report.violations if one.kind == kind]
        lines += [f"    {one.name}  {one.what}" for one in found[:MAX_LISTED]]
        if len(found) > MAX_LISTED:
            lines.append(f"    and {len(found) - MAX_LISTED} more; --json has all")
    late = f"TOO LATE: p99 {report.within / 2:.0f} s" if report.is_late else "ok"
    bars = f"(at most {report.within:.0f} s, p99 {report.within / 2:.0f} s)"
    lines.append(
        f"{'from the last fault to the end':<{_WIDTH}}{report.ends_after or '-'}  {late} {bars}"
    )
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _faults(report: Report) -> str:
    others = f" and {report.others} other faults" if report.others else ""
    return f"{report.kills} kills and {report.pauses} pauses{others} in {report.elapsed:.0f} s"


def _row(what: str, count: int, more: str = "") -> str:
    return f"{what:<{_WIDTH}}{count:>6}  {more}"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
