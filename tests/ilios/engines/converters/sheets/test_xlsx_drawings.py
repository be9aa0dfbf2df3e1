"""What is drawn on a worksheet: charts, text boxes and pictures."""

from pathlib import Path

from ilios.engines.converters.sheets import xlsx
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import ConvertedPage
from tests import documents, spreadsheets
from tests.documents import OFFICE_RELATIONSHIPS
from tests.spreadsheets import Worksheet, text_row

DRAWING = "http://schemas.openxmlformats.org/drawingml/2006"
CHART = f"{DRAWING}/chart"
PIXEL = documents.image_file(documents.text_image("x"), "PNG")


def ignore(done: int, total: int) -> None:
    """Take no notice of progress."""


def drawing(*anchors: str) -> str:
    inner = "".join(
        f"<xdr:twoCellAnchor><xdr:from><xdr:col>0</xdr:col><xdr:row>{20 - n}</xdr:row></xdr:from>"
        f"{anchor}</xdr:twoCellAnchor>"
        for n, anchor in enumerate(anchors)
    )
    return (
        f'<xdr:wsDr xmlns:xdr="{DRAWING}/spreadsheetDrawing" xmlns:a="{DRAWING}/main" '
        f'xmlns:r="{OFFICE_RELATIONSHIPS}">{inner}</xdr:wsDr>'
    )


FRAME = (
    '<xdr:graphicFrame><xdr:nvGraphicFramePr><xdr:cNvPr id="2" name="c"/></xdr:nvGraphicFramePr>'
    f'<a:graphic><a:graphicData uri="{CHART}"><c:chart xmlns:c="{CHART}" r:id="chart"/>'
    "</a:graphicData></a:graphic></xdr:graphicFrame>"
)
BOX = (
    '<xdr:grpSp><xdr:sp><xdr:nvSpPr><xdr:cNvPr id="3" name="b"/></xdr:nvSpPr><xdr:txBody>'
    "<a:p><a:r><a:t># Read </a:t></a:r><a:r><a:rPr b='1'/><a:t>this</a:t></a:r></a:p><a:p/>"
    "<a:p><a:r><a:t>first</a:t></a:r></a:p></xdr:txBody></xdr:sp></xdr:grpSp>"
)
HIDDEN_BOX = BOX.replace('name="b"', 'name="b" hidden="1"').replace("Read", "unseen")
PICTURE = (
    '<xdr:pic><xdr:nvPicPr><xdr:cNvPr id="4" name="p" descr="A [logo]"/></xdr:nvPicPr>'
    '<xdr:blipFill><a:blip r:embed="image"/></xdr:blipFill></xdr:pic>'
)


def cached(name: str, kind: str, text: str) -> str:
    point = f"<c:pt idx='0'><c:v>{text}</c:v></c:pt>"
    return f"<c:{name}><c:{kind}Ref><c:{kind}Cache>{point}</c:{kind}Cache></c:{kind}Ref></c:{name}>"


CHART_XML = (
    f'<c:chartSpace xmlns:c="{CHART}"><c:chart><c:plotArea><c:barChart><c:ser>'
    f"{cached('tx', 'str', 'Sales')}{cached('cat', 'str', 'North')}{cached('val', 'num', '12.5')}"
    "</c:ser></c:barChart></c:plotArea></c:chart></c:chartSpace>"
)


def drawn(tmp_path: Path, *anchors: str, chart: str = CHART_XML) -> ConvertedPage:
    related = {"chart": ("chart", "../charts/c.xml"), "image": ("image", "../media/i.png")}
    sheet = Worksheet(
        text_row(1, "a"),
        behind='<drawing r:id="d"/>',
        relations={"d": ("drawing", "../drawings/d.xml")},
    )
    parts: dict[str, str | bytes] = {
        "xl/drawings/d.xml": drawing(*anchors),
        "xl/drawings/_rels/d.xml.rels": spreadsheets.relations(related),
        "xl/charts/c.xml": chart,
        "xl/media/i.png": PIXEL,
    }
    file = tmp_path / "book.xlsx"
    file.write_bytes(spreadsheets.xlsx({"One": sheet}, parts=parts))
    (page,) = xlsx.convert(file, EngineLimits(), ignore).pages
    return page


def test_charts_text_boxes_and_pictures_are_below_the_cells_from_top_to_bottom(
    tmp_path: Path,
) -> None:
    page = drawn(tmp_path, PICTURE, BOX, HIDDEN_BOX, FRAME)
    (image,) = page.result.images
    assert page.image_bytes == {image.id: PIXEL}
    _, cells_, chart, read, first, picture = page.result.markdown.split("\n\n")
    assert cells_ == "a"
    assert "Sales" in chart.splitlines()[0]
    assert chart.splitlines()[2] == "| North | 12.5 |"
    assert (read, first) == ("\\# Read **this**", "first")
    assert picture == f"![A (logo)]({image.id})"
    assert not page.result.warnings


def test_a_damaged_chart_costs_itself_and_a_warning(tmp_path: Path) -> None:
    page = drawn(tmp_path, FRAME, BOX, chart="<c:chartSpace")
    assert "first" in page.result.markdown
    assert [one.code for one in page.result.warnings] == ["part_unreadable"]
    assert "a chart" in page.result.warnings[0].message


def test_a_damaged_drawing_costs_itself_and_a_warning(tmp_path: Path) -> None:
    page = drawn(tmp_path, "<unclosed>", BOX)
    assert page.result.markdown == "# One\n\na"
    assert "drawings" in page.result.warnings[0].message


def test_diagrams_and_pictures_that_browsers_do_not_show_are_counted(tmp_path: Path) -> None:
    diagram = FRAME.replace("c:chart", "dgm:relIds").replace("xmlns:c", "xmlns:dgm")
    page = drawn(tmp_path, diagram, PICTURE.replace('r:embed="image"', 'r:link="image"'))
    assert "![A (logo)]()" in page.result.markdown
    assert "1 picture, 1 diagram" in page.result.warnings[0].message


def test_a_chart_without_copies_is_filled_from_the_cells_of_its_sheet_and_others(
    tmp_path: Path,
) -> None:
    def referring(name: str, kind: str, cells: str) -> str:
        return f"<c:{name}><c:{kind}Ref><c:f>{cells}</c:f></c:{kind}Ref></c:{name}>"

    series = referring("tx", "str", "One!$B$1") + referring("cat", "str", "One!$A$2:$A$3")
    series += referring("val", "num", "'Ann''s data'!$C$1:$C$2")
    chart = f'<c:chartSpace xmlns:c="{CHART}"><c:chart><c:plotArea><c:pieChart><c:ser>{series}'
    chart += "</c:ser></c:pieChart></c:plotArea></c:chart></c:chartSpace>"
    cells = text_row(1, "", "Share") + text_row(2, "a|b") + text_row(3, "South")
    first = Worksheet(cells, behind='<drawing r:id="d"/>')
    first.relations = {"d": ("drawing", "../drawings/d.xml")}
    values = '<row r="1"><c r="C1" s="1"><v>0.25</v></c></row><row><c r="C2"><v>7</v></c></row>'
    related = {"chart": ("chart", "../charts/c.xml")}
    parts: dict[str, str | bytes] = {
        "xl/drawings/d.xml": drawing(FRAME),
        "xl/drawings/_rels/d.xml.rels": spreadsheets.relations(related),
        "xl/charts/c.xml": chart,
    }
    file = tmp_path / "book.xlsx"
    sheets = {"One": first, "Ann's data": Worksheet(values)}
    file.write_bytes(spreadsheets.xlsx(sheets, parts=parts, codes=["0%"]))
    page, _ = xlsx.convert(file, EngineLimits(), ignore).pages
    table = page.result.markdown.split("\n\n")[-1]
    assert table == "|  | Share |\n| --- | --- |\n| a\\|b | 25% |\n| South | 7 |"
