"""DOCX to Markdown. It has no fixed pages: it becomes one."""

from collections.abc import Callable, Iterator
from pathlib import Path

from actors.engines import Unconvertible
from ilios.engines.converters import markdown
from ilios.engines.converters.docx.anchors import Anchors
from ilios.engines.converters.docx.blocks import Block
from ilios.engines.converters.docx.notes import Notes
from ilios.engines.converters.docx.revisions import mark_checkboxes
from ilios.engines.converters.docx.source import Source
from ilios.engines.converters.docx.story import Story
from ilios.engines.converters.docx.wordml import Element, R, W, switch
from ilios.engines.converters.docx.writer import Writer
from ilios.engines.converters.opc import Package, UnreadablePart, open_package
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import WHOLE, ConvertedPage, Pages, Reading, selected_indices
from schemas.results import PageResult

USUAL_MAIN = "word/document.xml"
"""The main part where no relationship names one."""

MODEL = "ilios-docx"


def convert(
    path: Path, limits: EngineLimits, progress: Callable[[int, int], None], reading: Reading = WHOLE
) -> Pages:
    """Convert a DOCX; see :class:`ilios.engines.converters.registry.Converter`."""
    progress(0, 1)
    with open_package(path, "DOCX") as package:
        selected_indices(reading.ranges, 1)
        page = _page(package, limits, reading, lambda: progress(0, 1))
    progress(1, 1)
    return Pages([page], MODEL)


def _page(
    package: Package, limits: EngineLimits, reading: Reading, tick: Callable[[], None]
) -> ConvertedPage:
    main = _main_part(package)
    try:
        root = package.xml(main)
    except UnreadablePart as error:
        raise _damaged() from error
    body = root.find(f"{W}body")
    if body is None:
        raise _damaged()
    tick()
    source = Source(package, main, reading, tick)
    mark_checkboxes(root)
    anchors = Anchors([root])
    notes = Notes(source)
    blocks = Story(source, main, notes, anchors).blocks(body)
    anchors.find_headings(blocks)
    writer = Writer(source, anchors, limits.max_output_bytes)
    text = "\n\n".join(
        filter(None, [writer.write(blocks), _definitions(source, notes, anchors, writer)])
    )
    source.pictures.stored = False
    header, footer = (_edge(source, root, anchors, writer, kind) for kind in ("header", "footer"))
    result = PageResult(
        index=0,
        markdown=markdown.clean(text, hard_breaks=True),
        images=tuple(source.pictures.images),
        tables=tuple(writer.tables),
        hyperlinks=tuple(writer.links),
        header=header,
        footer=footer,
        headings=tuple(writer.headings),
        warnings=source.warnings(),
    )
    return ConvertedPage(result, source.pictures.encoded)


def _main_part(package: Package) -> str:
    try:
        return package.main_part
    except Unconvertible:
        if package.has(USUAL_MAIN):
            return USUAL_MAIN
        raise


def _definitions(source: Source, notes: Notes, anchors: Anchors, writer: Writer) -> str:
    """Return the notes that are referred to, each below its label."""
    written = []
    for note in notes.referenced:
        blocks = Story(source, note.part, None, anchors).blocks(note.element)
        text = writer.write(blocks).replace("\n", "\n    ").replace("\n    \n", "\n\n")
        author = f"**{note.author}**: " if note.author else ""
        written.append(f"[^{note.label}]: {author}{text}".rstrip())
    return "\n\n".join(written)


def _edge(source: Source, root: Element, anchors: Anchors, writer: Writer, kind: str) -> str | None:
    """Return the headers or footers of all sections, equal ones once."""
    found: dict[str, None] = {}
    for part in dict.fromkeys(_edge_parts(source, root, kind)):
        element = source.xml(part)
        if element is None:
            continue
        mark_checkboxes(element)
        blocks: list[Block] = Story(source, part, None, anchors).blocks(element)
        if text := markdown.clean(writer.lines(blocks)):
            found[text] = None
    return "\n".join(found) or None


def _edge_parts(source: Source, root: Element, kind: str) -> Iterator[str]:
    """Yield the parts of the headers or footers that are shown."""
    for section in root.iter(f"{W}sectPr"):
        shown = {"default"}
        if switch(section, "titlePg"):
            shown.add("first")
        if source.even_headers:
            shown.add("even")
        for reference in section.findall(f"{W}{kind}Reference"):
            related = source.target(source.main, reference.get(f"{R}id", ""))
            if related and not related.external and reference.get(f"{W}type") in shown:
                yield related.target


def _damaged() -> Unconvertible:
    return Unconvertible("corrupt", "The DOCX file is damaged: its text cannot be read.")
