"""Where an event lies on the log, and under which ``Nats-Msg-Id``, never changes.

An older service may have published the same before; what it looks for lies where it left it. The
events are those of ``tests/schemas/golden``.
"""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus.publisher import message_id
from bus.subjects import dead_letter_subject, subject_for
from schemas.events import AnyEvent

EVENTS = Path(__file__).parents[1] / "schemas" / "golden"
GOLDEN: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parent / "golden" / "names.json").read_text()
)


def named(file: str, changed: dict[str, Any]) -> dict[str, str]:
    """Return the names of an event, with these members changed."""
    members = json.loads((EVENTS / file).read_text()) | changed
    event: AnyEvent = msgspec.json.decode(json.dumps(members), type=AnyEvent)
    lies = subject_for(event)
    return {
        "subject": lies,
        "message_id": message_id(event),
        "dead_letter": dead_letter_subject(lies, 7),
    }


@pytest.mark.parametrize("case", GOLDEN.values(), ids=GOLDEN)
def test_an_event_has_the_names_it_always_had(case: dict[str, Any]) -> None:
    assert named(case["event"], case["changed"]) == case["named"]
