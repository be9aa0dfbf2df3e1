"""The names of what did the reading, as they stand in a conversion's ``model``."""

from importlib.metadata import version


def model_name(*distributions: str) -> str:
    """Return ``liteparse-2.18+rapidocr-3.10`` for these installed distributions."""
    return "+".join(f"{name}-{'.'.join(version(name).split('.')[:2])}" for name in distributions)
