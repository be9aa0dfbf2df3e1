"""Ids of events are the same on every edge, and show nothing to anybody else."""

from datetime import UTC, datetime

import pytest

from bus.reader import LOG_START, LogPosition
from ilios.edge.events.sealing import Scope, Sealer

SEALER = Sealer(b"a secret of this test")
POSITION = LogPosition(123_456, datetime(2026, 1, 15, 10, 30, 0, 123_456, UTC))
OURS = Scope("ours", "document", "a" * 24)


@pytest.mark.parametrize("position", [POSITION, LOG_START])
def test_an_id_is_opened_by_every_edge_with_the_secret(position: LogPosition) -> None:
    made = SEALER.seal_position(position, OURS)
    again = Sealer(b"a secret of this test")
    assert again.seal_position(position, OURS) == made
    assert again.open_position(made, OURS) == position


@pytest.mark.parametrize(
    "scope",
    [
        Scope("theirs", "document", "a" * 24),
        Scope("ours", "document", "b" * 24),
        Scope("ours", "batch", "a" * 24),
        Scope("ours", "tenant"),
    ],
)
def test_an_id_is_for_one_stream_of_one_tenant(scope: Scope) -> None:
    assert SEALER.open_position(SEALER.seal_position(POSITION, OURS), scope) is None


def test_ids_of_adjacent_events_have_nothing_in_common() -> None:
    ids = [SEALER.seal_position(LogPosition(n, POSITION.stored_at), OURS) for n in range(100)]
    assert len({one[:6] for one in ids}) == len({one[-6:] for one in ids}) == 100
    assert len({len(one) for one in ids}) == 1


@pytest.mark.parametrize("text", ["", "x", "?" * 43, "é" * 43, "A" * 43, "A" * 10_000])
def test_anything_else_is_no_id(text: str) -> None:
    assert SEALER.open_position(text, OURS) is None


def test_a_changed_id_is_none() -> None:
    made = SEALER.seal_position(POSITION, OURS)
    for place in range(len(made) - 1):  # of the last character some bits are padding
        changed = made[:place] + ("A" if made[place] != "A" else "B") + made[place + 1 :]
        assert SEALER.open_position(changed, OURS) is None


def test_another_secret_opens_nothing() -> None:
    made = SEALER.seal_position(POSITION, OURS)
    assert Sealer(b"another secret").open_position(made, OURS) is None
