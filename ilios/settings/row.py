"""What a setting is: one row of the table."""

from collections.abc import Callable
from typing import Any

from msgspec import Struct

MIB = 1024 * 1024


class Setting(Struct, frozen=True):
    """One row of the table: a variable, the field it fills, how its text is read, and why."""

    variable: str
    field: str
    parse: Callable[[str], Any]
    example: str
    description: str
    unit: int = 1

    def read(self, text: str) -> object:
        """Return what the field is to hold."""
        value = self.parse(text)
        return value if self.unit == 1 else value * self.unit

    def format(self, settings: object) -> str:
        """Return what the variable would hold; a secret shows as ``***``."""
        match getattr(settings, self.field):
            case None | ():
                return "-"
            case bool(value):
                return str(value).lower()
            case tuple(parts):
                return ",".join(map(str, parts))
            case float(value):
                return f"{value:.15g}"
            case int(value):
                return str(value // self.unit)
            case value:
                return str(value)
