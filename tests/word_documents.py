"""DOCX files for the tests, written as XML: any part may be given, and any may be broken."""

from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from ilios.engines.converters.docx.convert import convert
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import WHOLE, ConvertedPage, Reading
from tests import documents
from tests.documents import DRAWING, OFFICE_RELATIONSHIPS, RELATIONSHIPS, WORD

MATH = "http://schemas.openxmlformats.org/officeDocument/2006/math"
NAMESPACES = (
    f'xmlns:w="{WORD}" xmlns:r="{OFFICE_RELATIONSHIPS}" xmlns:m="{MATH}" '
    f'xmlns:a="{DRAWING}/main" xmlns:wp="{DRAWING}/wordprocessingDrawing" '
    f'xmlns:pic="{DRAWING}/picture" xmlns:c="{DRAWING}/chart" xmlns:dgm="{DRAWING}/diagram" '
    'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
    'xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape" '
    'xmlns:w14="http://schemas.microsoft.com/office/word/2010/wordml" '
    'xmlns:v="urn:schemas-microsoft-com:vml" xmlns:o="urn:schemas-microsoft-com:office:office"'
)
NOTES = {"footnotes": "footnote", "endnotes": "endnote", "comments": "comment"}


def run(text: str, properties: str = "") -> str:
    """Return a run; tabs and line breaks in its text become elements."""
    shown = escape(text).replace("\t", "</w:t><w:tab/><w:t xml:space='preserve'>")
    shown = shown.replace("\n", "</w:t><w:br/><w:t xml:space='preserve'>")
    settings = f"<w:rPr>{properties}</w:rPr>" if properties else ""
    return f'<w:r>{settings}<w:t xml:space="preserve">{shown}</w:t></w:r>'


def p(*content: str, style: str = "", number: tuple[int, int] | None = None, more: str = "") -> str:
    """Return a paragraph of texts and elements; ``number`` is the id of a list and a level."""
    settings = f"<w:pStyle w:val={quoteattr(style)}/>" if style else ""
    if number:
        settings += (
            f'<w:numPr><w:ilvl w:val="{number[1]}"/><w:numId w:val="{number[0]}"/></w:numPr>'
        )
    inner = "".join(one if one.startswith("<") else run(one) for one in content)
    return f"<w:p><w:pPr>{settings}{more}</w:pPr>{inner}</w:p>"


def table(*rows: str) -> str:
    """Return a table of rows."""
    return f"<w:tbl><w:tblPr/>{''.join(rows)}</w:tbl>"


def tr(*cells: str, before: int = 0, more: str = "") -> str:
    """Return a row of texts and cells that leaves out columns before the first."""
    settings = f'<w:gridBefore w:val="{before}"/>' if before else ""
    inner = "".join(one if one.startswith("<") else tc(one) for one in cells)
    return f"<w:tr><w:trPr>{settings}{more}</w:trPr>{inner}</w:tr>"


def tc(*content: str, span: int = 1, merge: str | None = None, more: str = "") -> str:
    """Return a cell of texts and paragraphs; ``merge`` is a value of ``w:vMerge``."""
    settings = f'<w:gridSpan w:val="{span}"/>' if span != 1 else ""
    settings += f'<w:vMerge w:val="{merge}"/>' if merge is not None else ""
    inner = "".join(one if one.startswith("<") else p(one) for one in content) or p()
    return f"<w:tc><w:tcPr>{settings}{more}</w:tcPr>{inner}</w:tc>"


def field(instruction: str, result: str) -> str:
    """Return a complex field; the result is runs."""
    parts = [
        '<w:r><w:fldChar w:fldCharType="begin"/></w:r>',
        f"<w:r><w:instrText>{escape(instruction)}</w:instrText></w:r>",
        '<w:r><w:fldChar w:fldCharType="separate"/></w:r>',
        result,
        '<w:r><w:fldChar w:fldCharType="end"/></w:r>',
    ]
    return "".join(parts)


def level(
    place: int, kind: str = "decimal", text: str | None = None, more: str = "", start: int = 1
) -> str:
    """Return a level of a list."""
    shown = f"%{place + 1}." if text is None else text
    return (
        f'<w:lvl w:ilvl="{place}"><w:start w:val="{start}"/><w:numFmt w:val="{kind}"/>{more}'
        f'<w:lvlText w:val={quoteattr(shown)}/><w:pPr><w:ind w:left="{720 * (place + 1)}"/></w:pPr>'
        "</w:lvl>"
    )


def numbering(lists: Mapping[int, str], uses: Mapping[int, tuple[int, str]] | None = None) -> str:
    """Return a numbering of definitions by id, and uses by id: the definition, what it changes.

    Without uses, each definition has one of its own id.
    """
    uses = {one: (one, "") for one in lists} if uses is None else uses
    defined = "".join(
        f'<w:abstractNum w:abstractNumId="{one}">{levels}</w:abstractNum>'
        for one, levels in lists.items()
    )
    used = "".join(
        f'<w:num w:numId="{one}"><w:abstractNumId w:val="{definition}"/>{changes}</w:num>'
        for one, (definition, changes) in uses.items()
    )
    return f"<w:numbering {NAMESPACES}>{defined}{used}</w:numbering>"


def style(name: str, inner: str = "", kind: str = "paragraph") -> str:
    """Return a style whose id is its name without blanks."""
    return (
        f'<w:style w:type="{kind}" w:styleId={quoteattr(name.replace(" ", ""))}>'
        f"<w:name w:val={quoteattr(name)}/>{inner}</w:style>"
    )


NORMAL = '<w:style w:type="paragraph" w:default="1" w:styleId="Normal"><w:name w:val="Normal"/>'
STYLES = "".join(
    [
        f"{NORMAL}</w:style>",
        *(
            style(f"heading {n}", f'<w:pPr><w:outlineLvl w:val="{n - 1}"/></w:pPr>')
            for n in range(1, 10)
        ),
        *map(style, ("Title", "Subtitle", "Quote", "Source Code", "Caption")),
        *(style(f"toc {n}") for n in range(1, 4)),
    ]
)


def docx(
    *body: str,
    styles: str = "",
    numbers: str = "",
    parts: Mapping[str, str | bytes] | None = None,
    related: Mapping[str, tuple[str, str]] | None = None,
    main: str = "word/document.xml",
) -> bytes:
    """Return a DOCX. ``related`` are its relationships by id: the kind, the part or address."""
    relations = {"rIdS": ("styles", "styles.xml"), "rIdN": ("numbering", "numbering.xml")}
    relations |= related or {}
    folder, _, name = main.rpartition("/")
    made: dict[str, str | bytes] = {
        "[Content_Types].xml": documents.content_types(main),
        "_rels/.rels": relationships({"rId1": ("officeDocument", main)}),
        f"{folder}/_rels/{name}.rels": relationships(relations),
        f"{folder}/styles.xml": f"<w:styles {NAMESPACES}>{STYLES}{styles}</w:styles>",
        f"{folder}/numbering.xml": numbers or numbering({}),
        main: f"<w:document {NAMESPACES}><w:body>{''.join(body)}</w:body></w:document>",
    }
    return documents.zip_of(made | dict(parts or {}))


def notes(kind: str, texts: Mapping[str, str]) -> dict[str, str | bytes]:
    """Return the part of footnotes, endnotes or comments: their paragraphs by id."""
    author = 'w:author="Ann Reed"' if kind == "comments" else ""
    inner = "".join(
        f'<w:{NOTES[kind]} w:id="{one}" {author}>{text}</w:{NOTES[kind]}>'
        for one, text in texts.items()
    )
    return {f"word/{kind}.xml": f"<w:{kind} {NAMESPACES}>{inner}</w:{kind}>"}


def relationships(targets: Mapping[str, tuple[str, str]]) -> str:
    """Return relationships by id: the kind, and the part or the address."""
    outside = 'TargetMode="External"'
    each = "".join(
        f'<Relationship Id="{one}" Type="{OFFICE_RELATIONSHIPS}/{kind}" Target={quoteattr(target)} '
        f"{outside if ':' in target else ''}/>"
        for one, (kind, target) in targets.items()
    )
    return f'<Relationships xmlns="{RELATIONSHIPS}">{each}</Relationships>'


def converted(path: Path, made: bytes, reading: Reading = WHOLE) -> ConvertedPage:
    """Convert a DOCX in this process; ``path`` is a directory."""
    file = path / "made.docx"
    file.write_bytes(made)
    (page,) = convert(file, EngineLimits(), lambda *_: None, reading).pages
    return page


def markdown_of(path: Path, *body: str, **parts: object) -> str:
    """Return the Markdown of a DOCX of these blocks; the parts are those of ``docx``."""
    return converted(path, docx(*body, **parts)).result.markdown  # type: ignore[arg-type]
