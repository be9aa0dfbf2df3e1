"""Settings of the garbage collector for a long-running process."""

import gc

YOUNG, MIDDLE, OLD = 20_000, 20, 50
"""Thresholds of the three generations.

Python's defaults (700, 10, 10) are for small programs: with all libraries loaded, half a million
objects that live as long as the process would be traversed again and again.
"""


def freeze() -> None:
    """Exempt all existing objects from collection; to be called once, after the start."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
