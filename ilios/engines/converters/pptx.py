"""PPTX to Markdown: each slide is a page."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from pptx import Presentation
from pptx.enum.shapes import MSO_SHAPE_TYPE, PP_PLACEHOLDER

from actors.engines import Unconvertible
from ilios.engines.converters import archives, markdown
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import (
    WHOLE,
    Pages,
    Reading,
    check_page_limit,
    markdown_pages,
    model_name,
    selected_indices,
)

MAX_GROUP_DEPTH = 20
TITLES = (PP_PLACEHOLDER.TITLE, PP_PLACEHOLDER.CENTER_TITLE, PP_PLACEHOLDER.VERTICAL_TITLE)
LISTS = (PP_PLACEHOLDER.BODY, PP_PLACEHOLDER.OBJECT, PP_PLACEHOLDER.VERTICAL_BODY)
TEMPLATE_PLACEHOLDERS = (PP_PLACEHOLDER.SLIDE_NUMBER, PP_PLACEHOLDER.DATE, PP_PLACEHOLDER.FOOTER)
"""Placeholders that the template repeats on every slide."""


def convert(
    path: Path, limits: EngineLimits, progress: Callable[[int, int], None], reading: Reading = WHOLE
) -> Pages:
    """Convert a PPTX; see :class:`ilios.engines.converters.registry.Converter`."""
    slides = _slides(path)
    selected = selected_indices(reading.ranges, len(slides))
    check_page_limit("PPTX", "slides", len(slides), len(selected), limits.max_pages)
    indices = reading.portion.of(selected)
    total = len(indices)
    progress(0, total)
    pages = []
    for index in indices:
        pages.append(markdown.clean("\n\n".join(_slide(slides[index]))))
        progress(len(pages), total)
    return Pages(markdown_pages(indices, pages), model_name("python-pptx"), len(selected))


def count_pages(path: Path) -> int:
    """Return how many slides a PPTX has.

    :raises Unconvertible: it is damaged or protected.
    """
    return len(_slides(path))


def _slides(path: Path) -> list[Any]:
    archives.check_archive(path, "ppt/presentation.xml", "PPTX")
    try:
        with path.open("rb") as file:
            return list(Presentation(file).slides)
    except (BadZipFile, KeyError, ValueError, AttributeError, SyntaxError) as error:
        raise Unconvertible(
            "corrupt", "The PPTX file is damaged: its slides cannot be read."
        ) from error


def _slide(slide: Any) -> Iterator[str]:
    for shape in _shapes(slide.shapes, 0):
        kind = shape.placeholder_format.type if shape.is_placeholder else None
        if kind in TEMPLATE_PLACEHOLDERS:
            continue
        if kind in TITLES:
            title = markdown.one_line(shape.text_frame.text)
            yield f"# {title}" if title else ""
        elif getattr(shape, "has_table", False) and shape.has_table:
            yield _table(shape.table)
        elif getattr(shape, "has_chart", False) and shape.has_chart:
            yield _chart(shape.chart)
        elif shape.has_text_frame:
            yield _paragraphs(shape, listed=kind in LISTS)
        elif shape.shape_type in (MSO_SHAPE_TYPE.PICTURE, MSO_SHAPE_TYPE.LINKED_PICTURE) or (
            kind == PP_PLACEHOLDER.PICTURE
        ):
            alt = markdown.one_line(_description(shape))
            yield f"![{alt}]()" if alt else ""
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        notes = slide.notes_slide.notes_text_frame.text.strip()
        if notes:
            yield "\n".join(f"> {line}".rstrip() for line in ["**Notes**", "", *notes.splitlines()])


def _shapes(shapes: Any, depth: int) -> Iterator[Any]:
    """Yield the shapes in reading order: the title first, groups replaced by their members."""
    for shape in sorted(shapes, key=lambda shape: not _is_title(shape)):
        if shape.shape_type == MSO_SHAPE_TYPE.GROUP:
            if depth < MAX_GROUP_DEPTH:
                yield from _shapes(shape.shapes, depth + 1)
        else:
            yield shape


def _is_title(shape: Any) -> bool:
    return bool(shape.is_placeholder and shape.placeholder_format.type in TITLES)


def _paragraphs(shape: Any, *, listed: bool) -> str:
    """Return the text of a shape; ``listed`` when its paragraphs have bullets by default."""
    lines: list[str] = []
    number = 0
    elements = shape.element.xpath("./p:txBody/a:p")
    for paragraph, element in zip(shape.text_frame.paragraphs, elements, strict=True):
        text = markdown.one_line(paragraph.text.replace("\x0b", " "))
        if not text:
            continue
        marks = {child.tag.rpartition("}")[2] for child in element.xpath("./a:pPr/*")}
        numbered = "buAutoNum" in marks
        number = number + 1 if numbered else 0
        bulleted = numbered or marks & {"buChar", "buBlip"} or paragraph.level or listed
        if bulleted and "buNone" not in marks:
            mark = f"{number}." if numbered else "-"
            lines.append(f"{'  ' * paragraph.level}{mark} {text}")
        else:
            lines += ["", text, ""]
    return "\n".join(lines)


def _table(table: Any) -> str:
    return markdown.table(
        [["" if cell.is_spanned else cell.text for cell in row.cells] for row in table.rows]
    )


def _chart(chart: Any) -> str:
    """Return the data of a chart as a table."""
    title = ""
    if chart.has_title and chart.chart_title.has_text_frame:
        title = markdown.one_line(chart.chart_title.text_frame.text)
    plot = next(iter(chart.plots), None)
    if plot is None:
        return title
    rows = [[title or "", *(str(series.name) for series in plot.series)]]
    for place, category in enumerate(plot.categories):
        values = (tuple(series.values) for series in plot.series)
        cells = ("" if place >= len(v) or v[place] is None else f"{v[place]:g}" for v in values)
        rows.append([str(category), *cells])
    return markdown.table(rows)


def _description(picture: Any) -> str:
    return "".join(picture.element.xpath("./*/p:cNvPr/@descr"))
