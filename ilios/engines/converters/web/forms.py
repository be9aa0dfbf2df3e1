"""Fields of forms: what a page shows in them."""

from typing import Any

from ilios.engines.converters.web.paragraphs import Inlines

_SILENT = frozenset({"hidden", "password", "file", "image", "color", "range"})
_BUTTONS = {"submit": "Submit", "reset": "Reset", "button": ""}


def add_field(name: str, element: Any, inlines: Inlines) -> None:
    """Add what a field shows."""
    if name == "input":
        add_input(element, inlines)
    elif name == "select":
        add_select(element, inlines)
    else:
        inlines.text("".join(element.itertext()))


def add_input(element: Any, inlines: Inlines) -> None:
    """Add what an ``input`` shows: its mark, its value, or the hint in its place."""
    kind = (element.get("type") or "text").strip().lower()
    if kind in _SILENT:
        return
    if kind in ("checkbox", "radio"):
        inlines.markup("[ ]" if element.get("checked") is None else "[x]")
    else:
        value = element.get("value") or ""
        inlines.text(value.strip() or element.get("placeholder") or _BUTTONS.get(kind, ""))
    inlines.separate()


def add_select(element: Any, inlines: Inlines) -> None:
    """Add the options of a ``select`` that are chosen; one is, where only one may be."""
    options = list(element.iter("option", "{*}option"))
    chosen = [option for option in options if option.get("selected") is not None]
    if element.get("multiple") is None:
        chosen = chosen[-1:] or options[:1]
    texts = (option.get("label") or "".join(option.itertext()).strip() for option in chosen)
    inlines.text(", ".join(filter(None, texts)))
    inlines.separate()
