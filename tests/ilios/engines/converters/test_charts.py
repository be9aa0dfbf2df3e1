"""Charts as tables: every kind has all of its numbers, beside what they belong to."""

from collections.abc import Sequence
from xml.sax.saxutils import escape

import pytest
from lxml import etree

from ilios.engines.converters import charts
from ilios.engines.converters.chart_values import shown
from ilios.engines.converters.charts import chart_tables

CHART = "http://schemas.openxmlformats.org/drawingml/2006/chart"
CHART_EX = "http://schemas.microsoft.com/office/drawing/2014/chartex"
DRAWING = "http://schemas.openxmlformats.org/drawingml/2006/main"

Cells = Sequence[object]


def points(cells: Cells) -> str:
    return f'<c:ptCount val="{len(cells)}"/>' + "".join(
        f'<c:pt idx="{place}"><c:v>{escape(str(cell))}</c:v></c:pt>'
        for place, cell in enumerate(cells)
        if cell is not None
    )


def texts(name: str, cells: Cells) -> str:
    return f"<c:{name}><c:strRef><c:strCache>{points(cells)}</c:strCache></c:strRef></c:{name}>"


def numbers(name: str, cells: Cells, code: str = "General") -> str:
    cache = f"<c:numCache><c:formatCode>{escape(code)}</c:formatCode>{points(cells)}</c:numCache>"
    return f"<c:{name}><c:numRef>{cache}</c:numRef></c:{name}>"


def series(name: str, *children: str) -> str:
    return f"<c:ser>{texts('tx', [name])}{''.join(children)}</c:ser>"


def title(text: str) -> str:
    lines = "".join(f"<a:p><a:r><a:t>{line}</a:t></a:r></a:p>" for line in text.splitlines())
    return f"<c:title><c:tx><c:rich>{lines}</c:rich></c:tx></c:title>"


def written(*plots: str, head: str = "", before: str = "") -> str:
    area = f"<c:plotArea>{''.join(plots)}</c:plotArea>"
    return chart_tables(
        etree.fromstring(
            f'<c:chartSpace xmlns:c="{CHART}" xmlns:a="{DRAWING}">{before}'
            f"<c:chart>{head}{area}</c:chart></c:chartSpace>"
        )
    ).markdown


def rows(table: str) -> list[list[str]]:
    lines = [line for line in table.splitlines() if line.startswith("|")]
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if "---" not in line
    ]


@pytest.mark.parametrize(
    "kind", ["barChart", "bar3DChart", "pie3DChart", "surface3DChart", "radarChart", "ofPieChart"]
)
def test_a_chart_of_any_kind_is_a_table_of_its_series_by_category(kind: str) -> None:
    cats = texts("cat", ["Spring", "Autumn"])
    first, second = numbers("val", [31, 44.5]), numbers("val", [1234567, None])
    text = written(
        f"<c:{kind}>{series('Plums', cats, first)}{series('Pears', cats, second)}</c:{kind}>",
        head=title("Fruit\nby season"),
    )
    assert text.startswith("**Fruit by season**\n\n")
    assert rows(text) == [
        ["", "Plums", "Pears"],
        ["Spring", "31", "1234567"],
        ["Autumn", "44.5", ""],
    ]


def test_plots_of_a_combined_chart_share_a_table_and_other_categories_have_their_own() -> None:
    cats = texts("cat", ["Jan", "Feb"])
    text = written(
        f"<c:barChart>{series('Rain', cats, numbers('val', [5, 6]))}</c:barChart>",
        f"<c:lineChart>{series('Heat', cats, numbers('val', [1, 2]))}</c:lineChart>",
        f"<c:areaChart>{series('Wind', texts('cat', ['Mar']), numbers('val', [9]))}</c:areaChart>",
    )
    assert rows(text) == [
        *(["", "Rain", "Heat"], ["Jan", "5", "1"], ["Feb", "6", "2"]),
        *(["", "Wind"], ["Mar", "9"]),
    ]


def test_a_scatter_chart_has_both_numbers_of_each_point() -> None:
    one = series("Yield", numbers("xVal", [12, 18]), numbers("yVal", [310, 402]))
    assert rows(written(f"<c:scatterChart>{one}</c:scatterChart>")) == [
        *(["X", "Yield"], ["12", "310"], ["18", "402"])
    ]
    other = series("Loss", numbers("xVal", [7]), numbers("yVal", [8]))
    assert rows(written(f"<c:scatterChart>{one}{other}</c:scatterChart>")) == [
        *(["Series", "X", "Y"], ["Yield", "12", "310"], ["Yield", "18", "402"], ["Loss", "7", "8"])
    ]


def test_a_bubble_chart_has_the_sizes_too_and_the_titles_of_its_axes() -> None:
    sized = numbers("xVal", [1]), numbers("yVal", [2]), numbers("bubbleSize", [3])
    axes = f"<c:valAx>{title('Age')}</c:valAx><c:valAx>{title('Income')}</c:valAx>"
    text = written(f"<c:bubbleChart>{series('Towns', *sized)}</c:bubbleChart>", axes)
    assert "Income\n" in text
    assert rows(text) == [["Age", "Towns", "Size"], ["1", "2", "3"]]


def test_what_is_no_number_stays_and_points_that_lack_are_empty() -> None:
    cats = texts("cat", ["a", None, "c", "d"])
    one = series("S", cats, numbers("val", [1, 2, "#N/A", None]))
    assert rows(written(f"<c:lineChart>{one}</c:lineChart>")) == [
        *(["", "S"], ["a", "1"], ["", "2"], ["c", "#N/A"], ["d", ""])
    ]


def test_outer_levels_of_categories_are_columns_filled_down() -> None:
    levels = points(["Q1", "Q2", "Q1"]), points(["2024", None, "2025"])
    cache = "".join(f"<c:lvl>{level}</c:lvl>" for level in levels)
    cats = f"<c:cat><c:multiLvlStrRef><c:multiLvlStrCache>{cache}</c:multiLvlStrCache>"
    cats += "</c:multiLvlStrRef></c:cat>"
    one = series("Sold", cats, numbers("val", [1, 2, 3]))
    assert rows(written(f"<c:barChart>{one}</c:barChart>")) == [
        *(["", "", "Sold"], ["2024", "Q1", "1"], ["2024", "Q2", "2"], ["2025", "Q1", "3"])
    ]


def test_a_stock_chart_has_dates_and_four_columns() -> None:
    days = numbers("cat", [45292, 45293], "d/m/yyyy")
    names = ("Open", "High", "Low", "Close")
    all_series = "".join(
        series(name, f'<c:order val="{9 - place}"/>', days, numbers("val", [place, place + 0.5]))
        for place, name in enumerate(names)
    )
    assert rows(written(f"<c:stockChart>{all_series}</c:stockChart>")) == [
        ["", "Close", "Low", "High", "Open"],
        ["2024-01-01", "3", "2", "1", "0"],
        ["2024-01-02", "3.5", "2.5", "1.5", "0.5"],
    ]
    old = written(f"<c:stockChart>{all_series}</c:stockChart>", before='<c:date1904 val="1"/>')
    assert rows(old)[1][0] == "2028-01-02"


def test_typed_labels_of_points_and_numbers_of_places_are_there() -> None:
    text = "<c:tx><c:rich><a:p><a:r><a:t>a record</a:t></a:r></a:p></c:rich></c:tx>"
    label = f'<c:dLbls><c:dLbl><c:idx val="1"/>{text}</c:dLbl></c:dLbls>'
    one = series("Sold", label, numbers("val", [1, 2]))
    assert rows(written(f"<c:lineChart>{one}</c:lineChart>")) == [
        *(["", "Sold"], ["1", "1"], ["2", "2 (a record)"])
    ]


def extended(kind: str, data: str) -> str:
    name = "<cx:tx><cx:txData><cx:v>Cash</cx:v></cx:txData></cx:tx>"
    drawn = f'<cx:series layoutId="{kind}">{name}<cx:dataId val="0"/></cx:series>'
    head = "<cx:title><cx:tx><cx:rich><a:p><a:r><a:t>Money</a:t></a:r></a:p></cx:rich></cx:tx>"
    chart = f"<cx:chart>{head}</cx:title><cx:plotArea><cx:plotAreaRegion>{drawn}"
    chart += "</cx:plotAreaRegion></cx:plotArea></cx:chart>"
    source = f'<cx:chartData><cx:data id="0">{data}</cx:data></cx:chartData>'
    space = f'<cx:chartSpace xmlns:cx="{CHART_EX}" xmlns:a="{DRAWING}">{source}{chart}'
    return chart_tables(etree.fromstring(f"{space}</cx:chartSpace>")).markdown


def extended_level(*cells: object) -> str:
    each = (f'<cx:pt idx="{place}">{cell}</cx:pt>' for place, cell in enumerate(cells))
    return f'<cx:lvl ptCount="{len(cells)}">{"".join(each)}</cx:lvl>'


def test_charts_of_later_office_versions_have_their_data_too() -> None:
    names, more = extended_level("Rent", "Food"), extended_level("Home", "Home")
    amounts = f'<cx:numDim type="val">{extended_level(-7, 0.5)}</cx:numDim>'
    waterfall = extended("waterfall", f'<cx:strDim type="cat">{names}</cx:strDim>{amounts}')
    assert waterfall.startswith("**Money**")
    assert rows(waterfall) == [["", "Cash"], ["Rent", "-7"], ["Food", "0.5"]]
    treemap = extended("treemap", f'<cx:strDim type="cat">{names}{more}</cx:strDim>{amounts}')
    assert rows(treemap)[1:] == [["Home", "Rent", "-7"], ["Home", "Food", "0.5"]]
    assert rows(extended("histogram", amounts)) == [["Cash"], ["-7"], ["0.5"]]


def test_endless_points_are_bounded_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(charts, "MAX_CELLS", 10)
    monkeypatch.setattr("ilios.engines.converters.chart_values.MAX_POINTS", 9)
    far = '<c:val><c:numLit><c:pt idx="4294967296"/><c:pt idx="-1"/></c:numLit></c:val>'
    drawn = series("S", numbers("val", range(12))) + series("T", far)
    space = f'<c:chartSpace xmlns:c="{CHART}"><c:chart><c:plotArea><c:barChart>{drawn}'
    text = chart_tables(
        etree.fromstring(f"{space}</c:barChart></c:plotArea></c:chart></c:chartSpace>")
    )
    assert len(rows(text.markdown)) == 6
    assert text.left_out == "4 rows of a chart, 5 points of a chart"


@pytest.mark.parametrize(
    ("text", "code", "expected"),
    [
        ("0.30000000000000004", "General", "0.3"),
        ("1234567.25", "#,##0.00", "1234567.25"),
        ("0.075", "0.0%", "7.5%"),
        ("0.1", "0.0%", "10.0%"),
        ("0.1", "0%", "10%"),
        ("-1", "0.00%", "-100.00%"),
        ("45292.75", "yyyy-mm-dd hh:mm", "2024-01-01 18:00"),
        ("0.5", "h:mm AM/PM", "12:00"),
        ("45292", "yyyy", "2024"),
        ("45292", "mmm", "2024-01-01"),
        ("12", '0 "days"', "12"),
        ("5", "[Red]0;[Blue]-0", "5"),
        ("1e20", "yyyy", "1e20"),
        ("0.0000001", "General", "1e-07"),
        ("250000000000", "General", "250000000000"),
        ("#DIV/0!", "0%", "#DIV/0!"),
        ("nan", "0%", "nan"),
    ],
)
def test_numbers_are_as_their_format_means_them(text: str, code: str, expected: str) -> None:
    assert shown(text, code) == expected
