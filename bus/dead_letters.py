"""Where an event goes that cannot be worked on: with its reason, its attempts and its body."""

from . import streams, subjects
from .delivery import Delivery
from .publisher import Publisher

REASON = "Ilios-Reason"
ACTOR = "Ilios-Actor"
ATTEMPTS = "Ilios-Attempts"
SUBJECT = "Ilios-Subject"
SEQUENCE = "Ilios-Sequence"

MAX_REASON = 1000  # characters


class DeadLetters:
    """The stream ``ILIOS_DEAD_LETTERS``."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def bury(self, actor: str, delivery: Delivery, reason: str) -> None:
        """File the delivery's event, once however often and by whomever it is filed.

        :raises BusUnavailable: it could not be filed; do not give the delivery up yet.
        """
        headers = {
            # By place on the log, not by actor: an event two actors choke on is one dead letter.
            "Nats-Msg-Id": f"dead:{streams.EVENTS}:{delivery.sequence}",
            REASON: header_value(reason),
            ACTOR: actor,
            ATTEMPTS: str(delivery.attempt),
            SUBJECT: delivery.subject,
            SEQUENCE: str(delivery.sequence),
        }
        subject = subjects.dead_letter_subject(delivery.subject, delivery.sequence)
        await self._publisher.publish(subject, delivery.body, headers)


def header_value(text: str) -> str:
    """Make text fit for a NATS header: one line of printable characters, bounded."""
    return "".join(c if c.isprintable() else " " for c in text)[:MAX_REASON]
