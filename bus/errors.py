"""Errors of the bus."""


class BusUnavailable(Exception):
    """The bus cannot be reached or does not answer. Try again later."""


class BusMisconfigured(BusUnavailable):
    """The bus answers and refuses: credentials, permissions or a version have to be changed."""


class Superseded(BusUnavailable):
    """Another core has taken the log over: this process publishes nothing more, and ends."""


class NotPublished(BusUnavailable):
    """The event was certainly not published, and will not be."""


class BusFull(Exception):
    """The log takes no more events: its stream or its volume has reached its limit."""


class EventTooLarge(Exception):
    """The event is larger than the log takes."""


class AlreadyPublished(Exception):
    """The same event was published before, so nothing was published."""


class NewerEvents(Exception):
    """The log has newer events about the document, so nothing was published."""
