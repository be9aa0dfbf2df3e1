"""What may go wrong with an attachment, and costs only that attachment."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from actors.engines import Unconvertible


@contextmanager
def unreadable_part() -> Iterator[None]:
    """Turn errors of a converter into one that is about its document.

    :raises Unconvertible: with the reason.
    """
    try:
        yield
    except (Unconvertible, MemoryError, SystemExit, KeyboardInterrupt):
        raise
    # Broad, because parsers raise anything; not Exception, because panics of Rust libraries are
    # BaseExceptions.
    except BaseException as error:
        if isinstance(error, ImportError) or (
            isinstance(error, OSError) and error.errno is not None
        ):
            raise  # of the machine, not of the document
        traceback.print_exc()
        raise Unconvertible("corrupt", "It is damaged.") from error
