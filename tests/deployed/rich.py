"""Hides the package of this name, which tools for tests bring and structlog imports at a price.

First on the path of a service or command under test, which has it no more than a deployed one has.
"""

raise ImportError("rich is not part of a deployed service")
