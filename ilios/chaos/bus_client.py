"""Submitting by the bus, as programs do: an event on the log, acknowledged or said again."""

from pathlib import Path

from bus.connection import connect
from bus.errors import BusUnavailable
from bus.publisher import Publisher
from ilios.chaos.documents import SampleDocument
from schemas.documents import DocumentSubmitted, Inline

ACK_TIMEOUT = 3.0  # seconds


async def publish(data_dir: Path, document_id: str, sample: SampleDocument) -> bool:
    """Say that a document is submitted; returns whether the log has acknowledged it.

    Whoever repeats it under the same ``name`` submits it once.
    """
    try:
        # Read each time: another start of the service is another address.
        url = (data_dir / "nats" / "operator.url").read_text().strip()
        async with connect(url, name="chaos") as connection:
            event = DocumentSubmitted(
                document_id=document_id, source=Inline(sample.content), file_name=sample.file_name
            )
            await Publisher(connection).publish(event, within=ACK_TIMEOUT)
    except (BusUnavailable, OSError):
        return False
    return True
