"""Submitting by the bus, as programs do: an event on the log, acknowledged or said again."""

from pathlib import Path

from bus.connection import connect
from bus.errors import BusUnavailable
from bus.publisher import Publisher
from ilios.chaos.papers import Paper
from schemas.documents import DocumentSubmitted, Inline

ACKNOWLEDGED_WITHIN = 3.0  # seconds


async def publish(data: Path, name: str, paper: Paper) -> bool:
    """Say that a document is submitted; returns whether the log has acknowledged it.

    Whoever repeats it under the same ``name`` submits it once.
    """
    try:
        # Read each time: another start of the service is another address.
        url = (data / "nats" / "operator.url").read_text().strip()
        async with connect(url, name="chaos") as connection:
            event = DocumentSubmitted(
                document_id=name, source=Inline(paper.content), file_name=paper.file_name
            )
            await Publisher(connection).say(event, within=ACKNOWLEDGED_WITHIN)
    except (BusUnavailable, OSError):
        return False
    return True
