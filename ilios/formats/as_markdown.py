"""The format ``markdown``: what is stored."""

from actors.engines import PAGE_SEPARATOR, Conversion
from ilios.formats.declaration import Format, FormatOptions
from ilios.visible import visible


def _print(_name: str, conversion: Conversion, _options: FormatOptions) -> str:
    return PAGE_SEPARATOR.join(conversion.pages).rstrip("\n") + "\n"


MARKDOWN = Format(
    "text/markdown; charset=utf-8",
    "md",
    None,
    _print,
    heading=lambda name: f"<!-- {visible(name)} -->\n\n",
)
