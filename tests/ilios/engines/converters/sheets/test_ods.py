"""OpenDocument spreadsheets: what stands on their sheets, and what is left out."""

import base64
from pathlib import Path

import pytest

from actors.content_types import ODS
from actors.engines import Unconvertible
from actors.sniffing import sniff
from ilios.engines.converters.sheets import ods
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import ConvertedPage, Pages, Reading
from schemas.options import PageRange
from tests import documents, spreadsheets
from tests.spreadsheets import ODF_NAMESPACES, ods_cell

PIXEL = documents.image_file(documents.text_image("x"), "PNG")


def ignore(done: int, total: int) -> None:
    """Take no notice of progress."""


def converted(data: bytes, path: Path, reading: Reading | None = None) -> Pages:
    file = path / "book.ods"
    file.write_bytes(data)
    return ods.convert(file, EngineLimits(), ignore, reading or Reading())


def table(content: str, name: str = "One", more: str = "") -> str:
    return f'<table:table table:name="{name}" {more}>{content}</table:table>'


def row(*cells: str, more: str = "") -> str:
    return f"<table:table-row {more}>{''.join(cells)}</table:table-row>"


def page_of(
    path: Path,
    content: str,
    *,
    reading: Reading | None = None,
    styles: str = "",
    parts: dict[str, str | bytes] | None = None,
) -> ConvertedPage:
    data = spreadsheets.ods(table(content), styles=styles, parts=parts)
    (page,) = converted(data, path, reading).pages
    return page


def text_of(path: Path, content: str, styles: str = "") -> str:
    """Return the Markdown below the heading of a sheet."""
    return page_of(path, content, styles=styles).result.markdown.removeprefix("# One\n\n")


def warned(page: ConvertedPage) -> dict[str, str]:
    return {one.code: one.message for one in page.result.warnings}


def test_cells_have_the_text_that_is_shown(tmp_path: Path) -> None:
    values = 'office:value-type="percentage" office:value="0.255"'
    rows = row(ods_cell("25.5 %", values), ods_cell("a|b"))
    rows += row(f"<table:table-cell {values}/>", '<table:table-cell office:value-type="float" '
                'office:value="0.30000000000000004"/>')  # fmt: skip
    rows += row(
        '<table:table-cell office:value-type="date" office:date-value="2021-03-14"/>',
        '<table:table-cell office:value-type="boolean" office:boolean-value="true"/>',
    )
    assert text_of(tmp_path, rows).splitlines()[::2] == ["| 25.5 % | a\\|b |", "| 25.5% | 0.3 |"]
    assert text_of(tmp_path, rows).splitlines()[3] == "| 2021-03-14 | TRUE |"


def test_texts_keep_blanks_links_and_raised_parts(tmp_path: Path) -> None:
    raised = '<style:style style:name="T1" style:family="text"><style:text-properties '
    raised += 'style:text-position="super 58%"/></style:style>'
    cell = '<table:table-cell><text:p>10<text:span text:style-name="T1">6</text:span>'
    cell += '<text:s text:c="3"/>see <text:a xlink:href="https://a.example">this</text:a></text:p>'
    cell += (
        '<text:p>and<text:line-break/><text:a xlink:href="javascript:x()">that</text:a></text:p>'
    )
    text = text_of(tmp_path, row(f"{cell}</table:table-cell>"), styles=raised)
    assert text == "10<sup>6</sup> see [this](https://a.example)<br>and<br>that"


def test_repeated_cells_and_rows_are_there_as_often(tmp_path: Path) -> None:
    rows = row(
        '<table:table-cell table:number-columns-repeated="2"/>',
        ods_cell("a", 'table:number-columns-repeated="3"'),
        more='table:number-rows-repeated="2"',
    )
    rows += row(
        '<table:table-cell table:number-columns-repeated="1024"/>',
        more='table:number-rows-repeated="1048574"',
    )
    assert text_of(tmp_path, rows) == "| a | a | a |\n| --- | --- | --- |\n| a | a | a |"


@pytest.mark.parametrize("count", [2**31, 10**40])
def test_what_is_repeated_beyond_any_sheet_is_bounded_and_counted(
    count: int, tmp_path: Path
) -> None:
    wide = page_of(tmp_path, row(ods_cell("a", f'table:number-columns-repeated="{count}"')))
    assert 2_000 < len(wide.result.markdown) < 200_000
    assert "beyond the last column" in warned(wide)["content_left_out"]
    long = page_of(tmp_path, row(ods_cell("a"), more=f'table:number-rows-repeated="{count}"'))
    assert len(long.result.markdown) < 20_000_000
    assert "rows" in warned(long)["content_left_out"]


def test_merged_cells_are_repeated_and_covered_ones_are_not_shown(tmp_path: Path) -> None:
    rows = row(
        ods_cell("2024", 'table:number-columns-spanned="2"'),
        "<table:covered-table-cell><text:p>under</text:p></table:covered-table-cell>",
        ods_cell("x"),
    )
    rows += row(ods_cell("a"), ods_cell("b"), ods_cell("c"))
    assert text_of(tmp_path, rows).splitlines()[::2] == ["| 2024 | 2024 | x |", "| a | b | c |"]


def test_hidden_sheets_are_marked_and_hidden_rows_and_columns_left_out(tmp_path: Path) -> None:
    hidden = '<style:style style:name="ta2" style:family="table">'
    hidden += '<style:table-properties table:display="false"/></style:style>'
    columns = '<table:table-column/><table:table-column table:visibility="collapse" '
    columns += 'table:number-columns-repeated="2"/>'
    rows = row(ods_cell("a"), ods_cell("b"), ods_cell("c"), ods_cell("d"))
    rows += row(ods_cell("filtered"), more='table:visibility="filter"')
    rows += f'<table:table-row-group table:display="false">{row(ods_cell("folded"))}'
    rows += f"</table:table-row-group>{row(ods_cell('e'))}"
    sheets = table(columns + rows) + table(row(ods_cell("x")), "Two", 'table:style-name="ta2"')
    first, second = converted(spreadsheets.ods(sheets, styles=hidden), tmp_path).pages
    assert first.result.markdown == "# One\n\n| a | d |\n| --- | --- |\n| e |  |"
    assert "2 hidden rows, 2 hidden columns" in warned(first)["content_left_out"]
    assert second.result.markdown == "# Two (hidden)\n\nx"


@pytest.mark.parametrize("wanted", [True, False])
def test_comments_are_a_list_where_they_are_wanted(tmp_path: Path, *, wanted: bool) -> None:
    cell = "<table:table-cell><office:annotation><dc:creator>Ann</dc:creator>"
    cell += "<text:p>Really?</text:p></office:annotation><text:p>a</text:p></table:table-cell>"
    page = page_of(tmp_path, row(cell), reading=Reading(comments=wanted))
    listed = "\n\n**Comments**\n\n- A1 (Ann): Really?" if wanted else ""
    assert page.result.markdown == f"# One\n\na{listed}"


def test_charts_pictures_and_text_boxes_are_below_the_cells(tmp_path: Path) -> None:
    points = [("", "Sales"), ("North", "12.5"), ("South", "7")]
    local = "".join(row(*map(ods_cell, pair)) for pair in points)
    chart = f"<office:document-content {ODF_NAMESPACES}><office:body><office:chart><chart:chart>"
    chart += f"<chart:title><text:p>By region</text:p></chart:title>{table(local, 'local')}"
    chart += "</chart:chart></office:chart></office:body></office:document-content>"
    shapes = '<table:shapes><draw:frame><draw:object xlink:href="./Object 1"/></draw:frame>'
    shapes += "<draw:frame><draw:text-box><text:p># Note</text:p></draw:text-box></draw:frame>"
    shapes += '<draw:frame><draw:image xlink:href="Pictures/1.png"/><svg:desc>A logo</svg:desc>'
    shapes += '</draw:frame><draw:frame><draw:image xlink:href="https://a.example/x.png"/>'
    shapes += "</draw:frame></table:shapes>"
    parts: dict[str, str | bytes] = {"Object 1/content.xml": chart, "Pictures/1.png": PIXEL}
    page = page_of(tmp_path, shapes + row(ods_cell("a")), parts=parts)
    (image,) = page.result.images
    assert page.image_bytes == {image.id: PIXEL}
    assert page.result.markdown == (
        "# One\n\na\n\n**By region**\n\n|  | Sales |\n| --- | --- |\n| North | 12.5 |\n"
        f"| South | 7 |\n\n\\# Note\n\n![A logo]({image.id})"
    )
    assert "1 picture" in warned(page)["content_left_out"]


def test_a_formula_without_a_result_is_given_with_a_warning(tmp_path: Path) -> None:
    page = page_of(tmp_path, row('<table:table-cell table:formula="of:=SUM([.B1:.B9])"/>'))
    assert "=SUM(" in page.result.markdown
    assert "A1" in warned(page)["formulas_without_result"]


def test_selected_sheets_are_converted(tmp_path: Path) -> None:
    data = spreadsheets.ods("".join(table(row(ods_cell(name)), name) for name in "ABC"))
    pages = converted(data, tmp_path, Reading(ranges=(PageRange(2, 2),))).pages
    assert [(one.result.index, one.result.markdown) for one in pages] == [(1, "# B\n\nB")]
    assert ods.count_pages(tmp_path / "book.ods") == 3


def test_a_spreadsheet_may_be_one_text(tmp_path: Path) -> None:
    image = base64.b64encode(PIXEL).decode()
    shapes = "<table:shapes><draw:frame><draw:image><office:binary-data>"
    shapes += f"{image}</office:binary-data></draw:image></draw:frame><draw:frame><draw:object>"
    shapes += f"{table(row(ods_cell('of a chart')))}</draw:object></draw:frame></table:shapes>"
    flat = f'<?xml version="1.0"?>\n<office:document {ODF_NAMESPACES} office:mimetype='
    flat += f'"{ODS}"><office:body><office:spreadsheet>{table(shapes + row(ods_cell("a")))}'
    flat += "</office:spreadsheet></office:body></office:document>"
    data = flat.encode()
    assert sniff(data, data) == ODS
    (page,) = converted(data, tmp_path).pages
    (picture,) = page.result.images
    assert page.result.markdown == f"# One\n\na\n\n![]({picture.id})"
    assert "1 embedded object" in warned(page)["content_left_out"]


def test_a_truncated_file_gives_its_first_rows_and_a_warning(tmp_path: Path) -> None:
    whole = f"<office:document-content {ODF_NAMESPACES}><office:body><office:spreadsheet>"
    cut = (
        whole + table(row(ods_cell("a")), "A") + '<table:table table:name="B">' + row(ods_cell("b"))
    )
    first, second = converted(spreadsheets.ods("", parts={"content.xml": cut}), tmp_path).pages
    assert first.result.markdown == "# A\n\na"
    assert second.result.markdown == "# B\n\nb"
    assert "after row 1" in warned(second)["part_unreadable"]


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ({"content.xml": "<office"}, "corrupt"),
        ({}, "corrupt"),
        ({"META-INF/manifest.xml": "<manifest:encryption-data/>"}, "password_protected"),
    ],
)
def test_what_has_no_sheets_is_refused(
    parts: dict[str, str | bytes], code: str, tmp_path: Path
) -> None:
    with pytest.raises(Unconvertible) as refused:
        converted(spreadsheets.ods("", parts=parts), tmp_path)
    assert refused.value.code == code
