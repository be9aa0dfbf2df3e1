"""SmartArt: the points of a diagram as a nested list."""

from typing import Any

from ilios.engines.converters.opc import Package, Relationship, UnreadablePart
from ilios.engines.converters.slides import text
from ilios.engines.converters.slides.names import DIAGRAM, R, integer, local
from ilios.engines.converters.slides.text import Links

MAX_POINTS = 10_000
MAX_DEPTH = 12
"""Deeper points are indented like those above them."""

_WITHOUT_TEXT = ("doc", "parTrans", "sibTrans", "pres")


def diagram(
    frame: Any, package: Package, relationships: dict[str, Relationship]
) -> tuple[str, bool]:
    """Return the texts of a diagram, and whether there are more than are read.

    If its model cannot be read, its drawing has the texts without their levels.

    :raises UnreadablePart: there is neither.
    """
    ids = frame.find(f".//{DIAGRAM}relIds")
    found = None if ids is None else relationships.get(ids.get(f"{R}dm", ""))
    name = found.target if found and not found.external else "diagram"
    try:
        return _list(package.xml(name))
    except UnreadablePart:
        drawings = [one.target for one in relationships.values() if one.type == "diagramDrawing"]
        for part in drawings:
            if len(drawings) == 1 or part.rpartition("drawing")[2] == name.rpartition("data")[2]:
                return _texts_of_drawing(package.xml(part))
        raise


def _list(model: Any) -> tuple[str, bool]:
    points = {
        point.get("modelId"): point
        for point in model.iterfind(f"{DIAGRAM}ptLst/{DIAGRAM}pt")
        if point.get("type", "node") != "pres"
    }
    children: dict[str | None, list[tuple[int, str | None]]] = {}
    below = set()
    for link in model.iterfind(f"{DIAGRAM}cxnLst/{DIAGRAM}cxn"):
        target = link.get("destId")
        if link.get("type", "parOf") == "parOf" and target in points and target not in below:
            below.add(target)
            order = integer(link.get("srcOrd"))
            children.setdefault(link.get("srcId"), []).append((order, target))
    tops = [name for name in points if name not in below]
    lines: list[str] = []
    pending = [(name, 0) for name in reversed(tops)]
    seen: set[str | None] = set()
    # A cycle has no top: what is not reached from one follows.
    for name in [*points, None]:
        while pending:
            name_below, depth = pending.pop()
            if name_below in seen:
                continue
            seen.add(name_below)
            shown = _text(points[name_below])
            if shown:
                lines.append(f"{'  ' * min(depth, MAX_DEPTH)}- {shown}")
            inner = sorted(children.get(name_below, ()), key=lambda one: one[0], reverse=True)
            pending += [(one, depth + bool(shown)) for _, one in inner]
        if name is not None and name not in seen:
            pending.append((name, 0))
    return "\n".join(lines[:MAX_POINTS]), len(lines) > MAX_POINTS


def _text(point: Any) -> str:
    if point.get("type", "node") in _WITHOUT_TEXT:
        return ""
    body = point.find(f"{DIAGRAM}t")
    return "" if body is None else text.list_item(body, Links({}))


def _texts_of_drawing(drawing: Any) -> tuple[str, bool]:
    bodies = [one for one in drawing.iter() if local(one) == "txBody"]
    texts = (text.list_item(body, Links({})) for body in bodies[:MAX_POINTS])
    return "\n".join(f"- {one}" for one in texts if one), len(bodies) > MAX_POINTS
