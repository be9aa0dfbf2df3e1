"""Spares the garbage collector the looking at what lives as long as the process does."""

import gc

YOUNG, MIDDLE, OLD = 20_000, 20, 50
"""Allocations, and collections of the younger, after which each generation is looked at.

Python's own 700, 10 and 10 are for small programs: a service with its libraries loaded looks at
half a million objects again and again that nobody will ever let go of.
"""


def freeze() -> None:
    """Take what there is now for lasting. To be called once, when all is up."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
