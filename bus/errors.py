"""What can be wrong with the bus, in the words of the service."""


class BusUnavailable(Exception):
    """The bus cannot be reached or does not answer. Try again later."""


class BusMisconfigured(BusUnavailable):
    """The bus answers and refuses: credentials, permissions or a version have to be changed."""


class NotPublished(BusUnavailable):
    """The same, and it is certain: the event was never handed to the bus, nor will it be."""


class BusFull(Exception):
    """The log takes no more events: its stream or its volume has reached its limit."""


class EventTooLarge(Exception):
    """The event is larger than the log takes."""


class AlreadyPublished(Exception):
    """Somebody has said it before, so nothing was said now."""
