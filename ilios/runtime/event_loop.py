"""The event loop of the service: that of uvloop where it is installed, else that of asyncio.

uvloop has no wheels for every platform, and the service needs nothing that only one of them has.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

try:
    import uvloop
except ImportError:
    NAME, _new_loop = "asyncio", asyncio.new_event_loop
else:
    NAME, _new_loop = "uvloop", uvloop.new_event_loop

_T = TypeVar("_T")


def run(main: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine to its end on a new event loop, as ``asyncio.run``."""
    with asyncio.Runner(loop_factory=_new_loop) as runner:
        return runner.run(main)
