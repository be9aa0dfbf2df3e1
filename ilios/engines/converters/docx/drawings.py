"""Drawings: the pictures, text boxes, charts and diagrams in them, in order."""

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from ilios.engines.converters.docx.wordml import Element, R, W, local_name
from ilios.engines.converters.markdown import one_line

Kind = Literal["picture", "text", "chart", "diagram", "object", "label"]

_CONTENTS: dict[str, Kind] = {
    "blip": "picture",
    "imagedata": "picture",
    "txbxContent": "text",
    "chart": "chart",
    "relIds": "diagram",
    "OLEObject": "object",
    "textpath": "label",
}


class Shown(Struct, frozen=True):
    """One thing in a drawing: its element, the id of its part, its description."""

    kind: Kind
    element: Element
    relation: str = ""
    text: str = ""


def contents(drawing: Element) -> Iterator[Shown]:
    """Yield what a drawing shows. Text boxes are not looked into: they have texts and drawings."""
    alternative = ""
    stack = [drawing]
    while stack:
        element = stack.pop()
        name = local_name(element)
        if name in ("docPr", "cNvPr", "shape", "rect"):
            alternative = _description(element) or ("" if name != "cNvPr" else alternative)
        kind = _CONTENTS.get(name)
        if kind is None or (kind == "text" and element.tag != f"{W}txbxContent"):
            stack += reversed(element)
            continue
        yield _shown(kind, element, alternative)
        if kind == "picture":
            alternative = ""


def _shown(kind: Kind, element: Element, alternative: str) -> Shown:
    match kind:
        case "picture":
            related = element.get(f"{R}embed") or element.get(f"{R}id") or element.get(f"{R}pict")
            title = _attribute(element, "title")
            return Shown(kind, element, related or "", alternative or one_line(title))
        case "chart" | "object":
            program = element.get("ProgID", "")
            return Shown(kind, element, element.get(f"{R}id", ""), alternative or program)
        case "diagram":
            return Shown(kind, element, element.get(f"{R}dm", ""), alternative)
        case "label":
            return Shown(kind, element, text=one_line(element.get("string", "")))
        case "text":
            return Shown(kind, element)


def _description(element: Element) -> str:
    for name in ("descr", "alt", "title"):
        if text := one_line(element.get(name, "")):
            return text
    return ""


def _attribute(element: Element, name: str) -> str:
    return next((v for key, v in element.items() if key.rpartition("}")[2] == name), "")
