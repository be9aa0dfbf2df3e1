"""Hostile spreadsheets: bombs, loops, entities, references beyond any sheet, files cut anywhere."""

import random
from collections.abc import Callable, Mapping
from typing import Any

from tests import documents, spreadsheets
from tests.documents import OFFICE_RELATIONSHIPS, zip_of
from tests.spreadsheets import ODF_NAMESPACES, Worksheet, ods_cell, text_row

MIB = 1024 * 1024
SHEET = "xl/worksheets/sheet1.xml"
ENTITIES = (
    '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
    + "".join(
        f'<!ENTITY {name} "{f"&{inner};" * 10}">'
        for inner, name in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + '<!ENTITY file SYSTEM "file:///etc/hostname">]>'
)

Maker = Callable[[random.Random], bytes]


def book(rows: str, before: str = "", behind: str = "", **more: Any) -> bytes:
    """Return a workbook of one sheet."""
    return spreadsheets.xlsx({"One": Worksheet(rows, before, behind)}, **more)


def book_with(parts: Mapping[str, str | bytes]) -> bytes:
    """Return a small workbook with other parts."""
    return spreadsheets.xlsx({"One": Worksheet(text_row(1, "a", "b"))}, parts=parts)


def book_of_xml(xml: str) -> bytes:
    """Return a workbook whose sheet is this XML."""
    return book_with({SHEET: xml})


def shared_string_bomb(dice: random.Random) -> bytes:
    """A long text that many cells share."""
    long = "<si><t>" + "a" * dice.choice([32_767, 9 * MIB]) + "</t></si>"
    cells = '<c t="s"><v>0</v></c>' * dice.choice([100, 16_384])
    rows = f"<row>{cells}</row>" * dice.choice([1, 100])
    return book(rows, strings=long)


def many_strings(dice: random.Random) -> bytes:
    return book(text_row(1, "a"), strings="<si><t>b</t></si>" * dice.choice([500_000, 2_000_000]))


def rich_string(dice: random.Random) -> bytes:
    run = "<r><rPr><b/></rPr><t>a*</t></r><r><t>_b</t></r>"
    return book('<row><c t="s"><v>0</v></c></row>', strings=f"<si>{run * 200_000}</si>")


def far_references(dice: random.Random) -> bytes:
    names = ["XFD1048576", "XFE1", "A1048577", "ZZZZZZ1", "A0", "A-1", "1A", "", "$A$1", "ÄÖ1"]
    names += ["A99999999999999999999", "A" * 10_000 + "1"]
    cells = "".join(f'<c r="{name}"><v>1</v></c>' for name in dice.sample(names, len(names)))
    rows = "".join(f'<row r="{n}">{cells}</row>' for n in (1, 0, -1, 10**30, "x", 1_048_576))
    return book(rows, before='<cols><col min="0" max="99999999999" hidden="1"/></cols>')


def corners(dice: random.Random) -> bytes:
    """Cells in the corners of the largest sheet, and areas over all of it."""
    rows = '<row r="1"><c r="A1"><v>1</v></c><c r="XFD1"><v>2</v></c></row>'
    rows += '<row r="1048576"><c r="A1048576"><v>3</v></c></row>'
    areas = '<mergeCell ref="A1:XFD1048576"/>' * dice.choice([1, 100_000])
    return book(rows, behind=f"<mergeCells>{areas}</mergeCells>")


def merged_floods(dice: random.Random) -> bytes:
    rows = "".join(text_row(number, "a") for number in range(1, 20_000))
    areas = "".join(f'<mergeCell ref="A{n}:XFD1048576"/>' for n in range(1, 20_000))
    return book(rows + text_row(20_000, *"ab" * 500), behind=f"<mergeCells>{areas}</mergeCells>")


def sparse_rows(dice: random.Random) -> bytes:
    """Rows with one cell each, at ever other columns: a table of empty cells."""
    rows = "".join(
        f'<row r="{n}"><c r="{spreadsheets.letters(n * 37 % 16_384)}{n}"><v>{n}</v></c></row>'
        for n in range(1, dice.choice([5_000, 60_000]))
    )
    return book(rows)


def one_giant_row(dice: random.Random) -> bytes:
    cell = dice.choice(["<c/>", "<c><v>1</v></c>", '<c t="inlineStr"><is><t>a</t></is></c>'])
    return book(f"<row>{cell * dice.choice([100_000, 1_500_000])}</row>")


def sheets_without_end(dice: random.Random) -> bytes:
    """Thousands of sheets, of their own or all of one part."""
    count = dice.choice([4_000, 10_000])
    if dice.random() < 0.5:
        return spreadsheets.xlsx({f"S{n}": Worksheet() for n in range(count)})
    listed = '<sheet name="S" r:id="s1"/>' * count
    return book_with(
        {
            "xl/workbook.xml": f'<workbook xmlns="{spreadsheets.MAIN}" '
            f'xmlns:r="{OFFICE_RELATIONSHIPS}"><sheets>{listed}</sheets></workbook>'
        }
    )


def entities(dice: random.Random) -> bytes:
    inner = dice.choice(["&i;", "&file;", "&i;" * 1000])
    where = dice.choice(
        [f"<c><v>{inner}</v></c>", f"<c>{inner}</c>", inner, f"<c><is>{inner}</is></c>"]
    )
    xml = f'{ENTITIES}<worksheet xmlns="{spreadsheets.MAIN}"><sheetData><row>{where}</row>'
    return book_of_xml(f"{xml}</sheetData></worksheet>")


def deep(dice: random.Random) -> bytes:
    depth = dice.choice([200, 100_000])
    name = dice.choice(["row", "c", "is", "r"])
    return book(f"<{name}>" * depth + f"</{name}>" * depth)


def cut(dice: random.Random) -> bytes:
    """A workbook that ends anywhere, or with changed bytes."""
    rows = "".join(text_row(n, "some", str(n)) for n in range(1, 200))
    return damaged(book(rows), dice)


def damaged(data: bytes, dice: random.Random) -> bytes:
    if dice.random() < 0.5:
        return data[: dice.randrange(len(data))]
    made = bytearray(data)
    for _ in range(dice.choice([1, 20])):
        made[dice.randrange(len(made))] = dice.randrange(256)
    return bytes(made)


def loops(dice: random.Random) -> bytes:
    """Relationships that lead to where they come from."""
    target = dice.choice(["workbook.xml", "worksheets/sheet1.xml", "_rels/workbook.xml.rels", "."])
    related = {f"s{n}": ("worksheet", target) for n in range(1, 3)}
    related |= {"st": ("styles", target), "ss": ("sharedStrings", target)}
    own = {"d": ("drawing", "sheet1.xml"), "c": ("comments", "sheet1.xml")}
    parts: dict[str, str | bytes] = {"xl/_rels/workbook.xml.rels": spreadsheets.relations(related)}
    parts["xl/worksheets/_rels/sheet1.xml.rels"] = spreadsheets.relations(own)
    if dice.random() < 0.5:
        del parts["xl/_rels/workbook.xml.rels"]
    sheet = Worksheet(text_row(1, "a"), behind='<drawing r:id="d"/>' * 1000)
    return spreadsheets.xlsx({"One": sheet}, parts=parts)


def format_codes(dice: random.Random) -> bytes:
    pieces = ["0", "#", "?", "/", "E+", ",", ".", "%", "@", ";", "General", "[h]", "yyyy", "mmmmm"]
    pieces += ["[>=1]", "[$", '"', "\\", "*", "_", "AM/PM", "ss.000", "[$-407]"]
    codes = ["".join(dice.choices(pieces, k=dice.choice([3, 30, 300]))) for _ in range(200)]
    values = ["0", "-1", "1e308", "-1e-308", "44269.7", "nan", "inf", "1_0", "x", "9" * 400]
    rows = "".join(
        "<row>"
        + "".join(f'<c s="{style}"><v>{value}</v></c>' for value in values)
        + '<c s="99999999"><v>1</v></c><c s="x"><v>1</v></c></row>'
        for style in range(1, 201)
    )
    return book(rows, codes=codes)


def drawings(dice: random.Random) -> bytes:
    space = 'xmlns:xdr="http://schemas.openxmlformats.org/drawingml/2006/spreadsheetDrawing"'
    group = "<xdr:grpSp>" * 150 + "<xdr:sp/>" + "</xdr:grpSp>" * 150
    anchor = dice.choice([group, "<xdr:sp><xdr:txBody/></xdr:sp>", "<xdr:graphicFrame/>"])
    anchors = f"<xdr:oneCellAnchor>{anchor}</xdr:oneCellAnchor>" * dice.choice([1, 20_000])
    sheet = Worksheet(text_row(1, "a"), behind='<drawing r:id="d"/>')
    sheet.relations = {"d": ("drawing", "../d.xml")}
    xml = f"<xdr:wsDr {space}>{anchors}</xdr:wsDr>"
    return spreadsheets.xlsx({"One": sheet}, parts={"xl/d.xml": xml})


def pending(dice: random.Random) -> bytes:
    """A large part without a row."""
    return book_of_xml(f'<worksheet xmlns="{spreadsheets.MAIN}">{"<x/>" * 10_000_000}</worksheet>')


XLSX_KINDS: dict[str, Maker] = {
    maker.__name__: maker
    for maker in (
        shared_string_bomb,
        many_strings,
        rich_string,
        far_references,
        corners,
        merged_floods,
        sparse_rows,
        one_giant_row,
        sheets_without_end,
        entities,
        deep,
        cut,
        loops,
        format_codes,
        drawings,
        pending,
    )
}


def ods_table(rows: str) -> bytes:
    return spreadsheets.ods(f'<table:table table:name="One">{rows}</table:table>')


def ods_repeats(dice: random.Random) -> bytes:
    """Cells and rows that are repeated without end."""
    count = dice.choice([2**31, 2**63, 10**100, -1, 16_384, 1_048_576])
    columns = f'table:number-columns-repeated="{count}"'
    cells = ods_cell("text", columns) * dice.choice([1, 50])
    row = f'<table:table-row table:number-rows-repeated="{count}">{cells}</table:table-row>'
    column = f"<table:table-column {columns} table:visibility='collapse'/>"
    return ods_table(dice.choice([column, ""]) + row * dice.choice([1, 1000]))


def ods_spans(dice: random.Random) -> bytes:
    spans = f'table:number-columns-spanned="{10**12}" table:number-rows-spanned="{10**12}"'
    row = f"<table:table-row>{ods_cell('a', spans) * 200}</table:table-row>"
    return ods_table(row * dice.choice([10, 1000]))


def ods_sheets(dice: random.Random) -> bytes:
    table = dice.choice(
        ['<table:table table:name="a"/>', "<table:table><table:table/></table:table>"]
    )
    return spreadsheets.ods(table * dice.choice([600, 4_900, 10_000, 300_000]))


def ods_nested(dice: random.Random) -> bytes:
    """Tables in cells of tables, groups in groups, texts in texts."""
    depth = dice.choice([20, 60, 5_000])
    outer, inner = dice.choice(
        [
            ("<table:table><table:table-row><table:table-cell>",
             "</table:table-cell></table:table-row></table:table>"),
            ("<table:table-row-group table:display='false'>", "</table:table-row-group>"),
            ("<table:table-row><table:table-cell><text:p>" + "<text:span>" * 30,
             "</text:span>" * 30 + "</text:p></table:table-cell></table:table-row>"),
            ("<table:shapes><draw:g>", "</draw:g></table:shapes>"),
        ]
    )  # fmt: skip
    return ods_table(outer * depth + "a" + inner * depth)


def ods_entities(dice: random.Random) -> bytes:
    inner = dice.choice(["&i;", "&file;"])
    content = f"{ENTITIES}<office:document-content {ODF_NAMESPACES}><office:body>"
    content += "<office:spreadsheet><table:table table:name='a'><table:table-row><table:table-cell>"
    content += f"{inner}<text:p>{inner}</text:p></table:table-cell></table:table-row></table:table>"
    content += "</office:spreadsheet></office:body></office:document-content>"
    return spreadsheets.ods("", parts={"content.xml": content})


def ods_cut(dice: random.Random) -> bytes:
    row = f"<table:table-row>{ods_cell('some')}{ods_cell('text')}</table:table-row>"
    return damaged(ods_table(row * 200), dice)


def ods_objects(dice: random.Random) -> bytes:
    """Charts that are the document itself, pictures that are elsewhere."""
    target = dice.choice(
        ["./", ".", "../../../../etc/passwd", "./Object 1", "http://127.0.0.1/x", ""]
    )
    frame = f'<draw:frame><draw:object xlink:href="{target}"/></draw:frame>'
    frame += f'<draw:frame><draw:image xlink:href="{target}"/></draw:frame>'
    return ods_table(f"<table:shapes>{frame * dice.choice([1, 10_000])}</table:shapes>")


def ods_blanks(dice: random.Random) -> bytes:
    cell = f'<table:table-cell><text:p>a<text:s text:c="{10**12}"/>b</text:p></table:table-cell>'
    return ods_table(f"<table:table-row>{cell * 10_000}</table:table-row>")


def ods_bomb(dice: random.Random) -> bytes:
    return spreadsheets.ods(" " * dice.choice([64, 300]) * MIB)


ODS_KINDS: dict[str, Maker] = {
    maker.__name__: maker
    for maker in (
        ods_repeats,
        ods_spans,
        ods_sheets,
        ods_nested,
        ods_entities,
        ods_cut,
        ods_objects,
        ods_blanks,
        ods_bomb,
    )
}


def csv_wide(dice: random.Random) -> bytes:
    return dice.choice([b",", b"a,", b'"",']) * dice.choice([100_000, 5_000_000])


def csv_quotes(dice: random.Random) -> bytes:
    return dice.choice([b'"', b'""', b'a,"', b'"\n', b'",']) * dice.choice([99_999, 1_000_001])


def csv_long(dice: random.Random) -> bytes:
    return dice.choice([b"a\n", b"\n", b"a,b\n", b"\r", b"\r\r\n"]) * dice.choice([10, 3_000_000])


def csv_noise(dice: random.Random) -> bytes:
    return dice.randbytes(dice.choice([10, 100_000]))


def csv_marks(dice: random.Random) -> bytes:
    """Signs of Markdown and of other encodings."""
    sign = dice.choice(
        ["*", "_", "`", "[", "](", "<", "|", "\\", "\u2028", "\ufeff", "\ud83d\ude00"]
    )
    start = dice.choice([b"", b"\xff\xfe", b"\xef\xbb\xbf", b"\xff\xfe\0\0", b"\0\0\xfe\xff"])
    return start + (sign * 100_000).encode("utf-8", "surrogatepass")


def csv_stated(dice: random.Random) -> bytes:
    return b"sep=" + dice.choice([b"\n", b'"', b"\0", b"=", b"\xff"]) + b"\n" + b"a,b\n" * 10


CSV_KINDS: dict[str, Maker] = {
    maker.__name__: maker
    for maker in (csv_wide, csv_quotes, csv_long, csv_noise, csv_marks, csv_stated)
}


def other_archives(dice: random.Random) -> bytes:
    """An archive that is no spreadsheet."""
    return zip_of({"a": "b", SHEET: "<worksheet/>"}) + documents.docx()[:30]


XLSX_KINDS["other_archives"] = ODS_KINDS["other_archives"] = other_archives
