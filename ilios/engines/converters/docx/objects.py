"""Things in a drawing that stand for themselves: text boxes, charts, diagrams, embedded files."""

import posixpath
from collections.abc import Callable, Iterator

from ilios.engines.converters.charts import chart_tables
from ilios.engines.converters.docx.blocks import Block, Display, Item, Paragraph
from ilios.engines.converters.docx.drawings import Shown
from ilios.engines.converters.docx.equations import latex
from ilios.engines.converters.docx.source import Source
from ilios.engines.converters.docx.wordml import Element, M, integer
from ilios.engines.converters.inline import Run

MAX_POINTS = 10_000
"""Texts of a diagram."""

_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_DIAGRAM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}"
_NO_TEXT = frozenset({"pres", "parTrans", "sibTrans"})


def blocks(
    shown: Shown, source: Source, part: str, inside: Callable[[Element], list[Block]]
) -> Iterator[Block]:
    """Yield the blocks of something in a drawing; ``inside`` reads those of a text box."""
    related = source.target(part, shown.relation)
    target = related.target if related and not related.external else ""
    match shown.kind:
        case "text":
            yield from inside(shown.element)
        case "label":
            if shown.text:
                yield Paragraph((Run(shown.text),))
        case "chart":
            yield from _chart(source, target)
        case "diagram":
            yield from _diagram(source, target)
        case "object":
            name = posixpath.basename(target) or "an embedded object"
            named = f"{name} ({shown.text})" if shown.text else name
            source.leave_out("attachments_not_converted", named)


def equations(element: Element) -> Iterator[str]:
    """Yield the LaTeX of the equations in an element."""
    found = (latex(one) for one in element.iter(f"{M}oMath"))
    return (text for text in found if text)


def _chart(source: Source, part: str) -> Iterator[Block]:
    root = source.xml(part or "a chart")
    if root is None:
        return
    try:
        chart = chart_tables(root)
    except (ValueError, TypeError, AttributeError, KeyError, IndexError):
        source.leave_out("part_unreadable", part)
        return
    if chart.left_out:
        source.leave_out("content_left_out", chart.left_out)
    if chart.markdown:
        yield Display(chart.markdown)


def _diagram(source: Source, part: str) -> Iterator[Block]:
    """Yield the texts of a diagram as a list, in which a part is below its whole."""
    root = source.xml(part or "a diagram")
    if root is None:
        return
    points = {
        point.get("modelId", ""): point
        for point in root.iterfind(f"{_DIAGRAM}ptLst/{_DIAGRAM}pt")
        if point.get("type", "node") not in _NO_TEXT
    }
    below: dict[str, list[tuple[int, str]]] = {}
    parts: set[str] = set()
    for link in root.iterfind(f"{_DIAGRAM}cxnLst/{_DIAGRAM}cxn"):
        whole, one = link.get("srcId", ""), link.get("destId", "")
        if link.get("type", "parOf") == "parOf" and one in points and whole in points:
            below.setdefault(whole, []).append((integer(link.get("srcOrd")) or 0, one))
            parts.add(one)
    waiting = [(name, 0) for name in reversed(points) if name not in parts]
    seen: set[str] = set()
    while waiting and len(seen) < MAX_POINTS:
        name, depth = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        texts = (one.text or "" for one in points[name].iter(f"{_A}t"))
        text = " ".join(" ".join(texts).split())
        if text:
            yield Item((Run(text),), depth, list_id="diagram")
        inner = sorted(below.get(name, ()), reverse=True)
        waiting += [(one, depth + bool(text)) for _, one in inner]
    if waiting:
        source.leave_out("content_left_out", "texts of a diagram")
