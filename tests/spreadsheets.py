"""Small spreadsheets for the tests, made on the spot: XLSX and ODS, part by part."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from msgspec import Struct

from tests.documents import OFFICE_RELATIONSHIPS, RELATIONSHIPS, zip_of

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
STRICT = "http://purl.oclc.org/ooxml/spreadsheetml/main"
ODS_TYPE = "application/vnd.oasis.opendocument.spreadsheet"
_ODF = "urn:oasis:names:tc:opendocument:xmlns"
ODF_NAMESPACES = " ".join(
    [
        *(f'xmlns:{name}="{_ODF}:{name}:1.0"' for name in ("office", "table", "text", "style")),
        f'xmlns:draw="{_ODF}:drawing:1.0"',
        f'xmlns:svg="{_ODF}:svg-compatible:1.0"',
        f'xmlns:chart="{_ODF}:chart:1.0"',
        'xmlns:xlink="http://www.w3.org/1999/xlink"',
        'xmlns:dc="http://purl.org/dc/elements/1.1/"',
    ]
)
TYPES = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" '
    'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/></Types>'
)

Relations = Mapping[str, tuple[str, str]]
"""Kind and target by id; a target with a colon is external."""


class Worksheet(Struct):
    """A worksheet of an XLSX by its XML: rows, what stands before and behind them, relations."""

    rows: str = ""
    before: str = ""
    behind: str = ""
    relations: Relations = {}
    state: str = "visible"


def relations(targets: Relations) -> str:
    """Return the part of relationships."""
    each = "".join(
        f'<Relationship Id="{name}" Type="{OFFICE_RELATIONSHIPS}/{kind}" Target={quoteattr(target)}'
        + (' TargetMode="External"' if ":" in target else "")
        + "/>"
        for name, (kind, target) in targets.items()
    )
    return f'<Relationships xmlns="{RELATIONSHIPS}">{each}</Relationships>'


def worksheet_xml(sheet: Worksheet, namespace: str = MAIN) -> str:
    """Return the part of a worksheet."""
    return (
        f'<worksheet xmlns="{namespace}" xmlns:r="{OFFICE_RELATIONSHIPS}">{sheet.before}'
        f"<sheetData>{sheet.rows}</sheetData>{sheet.behind}</worksheet>"
    )


def styles_xml(codes: Sequence[str], namespace: str = MAIN) -> str:
    """Return styles: number 0 is ``General``, the others have these format codes."""
    formats = "".join(
        f'<numFmt numFmtId="{164 + place}" formatCode={quoteattr(code)}/>'
        for place, code in enumerate(codes)
    )
    each = "".join(f'<xf numFmtId="{164 + place}"/>' for place in range(len(codes)))
    return (
        f'<styleSheet xmlns="{namespace}"><numFmts>{formats}</numFmts>'
        f'<cellXfs><xf numFmtId="0"/>{each}</cellXfs></styleSheet>'
    )


def xlsx(
    sheets: Mapping[str, Worksheet],
    *,
    parts: Mapping[str, str | bytes] | None = None,
    **more: Any,
) -> bytes:
    """Return a workbook of these sheets, with further parts; ``more`` as for ``xlsx_parts``."""
    return zip_of(xlsx_parts(sheets, **more) | dict(parts or {}))


def xlsx_parts(
    sheets: Mapping[str, Worksheet],
    *,
    codes: Sequence[str] = (),
    strings: str = "",
    properties: str = "",
    namespace: str = MAIN,
    main: str = "xl/workbook.xml",
    related: Relations | None = None,
) -> dict[str, str | bytes]:
    """Return the parts of a workbook of these sheets; ``strings`` are ``si`` elements."""
    folder, _, name = main.rpartition("/")
    listed = "".join(
        f'<sheet name={quoteattr(title)} sheetId="{n}" r:id="s{n}" state="{sheet.state}"/>'
        for n, (title, sheet) in enumerate(sheets.items(), 1)
    )
    targets = {
        f"s{n}": ("worksheet", f"worksheets/sheet{n}.xml") for n in range(1, len(sheets) + 1)
    }
    targets |= {"st": ("styles", "styles.xml"), "ss": ("sharedStrings", "sharedStrings.xml")}
    parts: dict[str, str | bytes] = {
        "[Content_Types].xml": TYPES,
        "_rels/.rels": relations({"r1": ("officeDocument", main)}),
        main: f'<workbook xmlns="{namespace}" xmlns:r="{OFFICE_RELATIONSHIPS}">{properties}'
        f"<sheets>{listed}</sheets></workbook>",
        f"{folder}/_rels/{name}.rels": relations(targets | dict(related or {})),
        f"{folder}/styles.xml": styles_xml(codes, namespace),
        f"{folder}/sharedStrings.xml": f'<sst xmlns="{namespace}">{strings}</sst>',
    }
    for n, sheet in enumerate(sheets.values(), 1):
        parts[f"{folder}/worksheets/sheet{n}.xml"] = worksheet_xml(sheet, namespace)
        if sheet.relations:
            parts[f"{folder}/worksheets/_rels/sheet{n}.xml.rels"] = relations(sheet.relations)
    return parts


def text_row(number: int, *texts: str) -> str:
    """Return a row of an XLSX with these texts from column A on."""
    cells = "".join(
        f'<c r="{letters(column)}{number}" t="inlineStr"><is><t>{escape(text)}</t></is></c>'
        for column, text in enumerate(texts)
        if text
    )
    return f'<row r="{number}">{cells}</row>'


def letters(column: int) -> str:
    """Return the letters of a column, which counts from 0."""
    return (letters(column // 26 - 1) if column >= 26 else "") + chr(ord("A") + column % 26)


def ods(tables: str, *, styles: str = "", parts: Mapping[str, str | bytes] | None = None) -> bytes:
    """Return an OpenDocument spreadsheet of these ``table`` elements."""
    content = (
        f"<office:document-content {ODF_NAMESPACES}>"
        f"<office:automatic-styles>{styles}</office:automatic-styles>"
        f"<office:body><office:spreadsheet>{tables}</office:spreadsheet></office:body>"
        "</office:document-content>"
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        # The first entry, not compressed: the type of the file shows in its first bytes.
        archive.writestr(zipfile.ZipInfo("mimetype"), ODS_TYPE)
        for name, part in {"content.xml": content, **(parts or {})}.items():
            archive.writestr(zipfile.ZipInfo(name), part, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def ods_cell(text: str, more: str = "") -> str:
    """Return a cell of an ODS with a shown text."""
    return f"<table:table-cell {more}><text:p>{escape(text)}</text:p></table:table-cell>"
