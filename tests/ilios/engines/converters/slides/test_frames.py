"""Tables, charts, SmartArt and embedded objects on slides."""

from collections.abc import Sequence

import pytest

from ilios.engines.pages import Reading
from tests.ilios.engines.converters.slides.conftest import Converted, Written
from tests.presentations import (
    CHART,
    DIAGRAM,
    DRAWING,
    RELATED,
    Relation,
    Slide,
    box,
    cell,
    chart,
    frame,
    paragraph,
    picture,
    relations,
    smart_art,
    table,
    title,
)

SPANNED = (
    [cell("Both", 'gridSpan="2"'), cell("", 'hMerge="1"'), cell("C")],
    [cell("Down", 'rowSpan="2"'), cell("x"), cell("y")],
    [cell("", 'vMerge="1"'), cell("z"), cell("")],
)


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|") and "---" not in line]
    return [[one.strip() for one in line.strip("|").split("|")] for line in lines]


def test_cells_of_a_table_stay_in_their_columns_whatever_they_span(converted: Converted) -> None:
    (page,) = converted(Slide([title("Data"), table(*SPANNED)]))
    repeated = [["Both", "Both", "C"], ["Down", "x", "y"], ["Down", "z", ""]]
    assert rows(page.result.markdown) == repeated
    assert [one.id for one in page.result.tables] == ["table-0-0"]
    assert rows(page.result.tables[0].content) == repeated
    once = converted(Slide([table(*SPANNED)]), reading=Reading(merged_cells="once"))[0]
    assert rows(once.result.markdown) == [["Both", "", "C"], ["Down", "x", "y"], ["", "z", ""]]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (
            [[cell("a", 'gridSpan="2"'), cell("b")], [cell("c"), cell("d"), cell("e")]],
            "a,a,b;c,d,e",
        ),
        ([[cell("a", 'rowSpan="2"'), cell("b")], [cell("c", 'vMerge="1"'), cell("d")]], "a,b;a,d"),
        ([[cell("a", 'gridSpan="9" rowSpan="99"'), cell("")]], "a,a"),
        ([[cell("a"), cell("b", 'gridSpan="-1" rowSpan="x"')], [cell("c")]], "a,b;c,"),
        ([[cell("a", 'hMerge="1"'), cell("b")]], "a,b"),
    ],
)
def test_tables_that_are_not_as_they_should_be_lose_nothing(
    written: Written, made: Sequence[Sequence[str]], expected: str
) -> None:
    assert rows(written(table(*made))) == [one.split(",") for one in expected.split(";")]


def test_bold_words_are_marked_and_bold_cells_are_not(written: Written) -> None:
    bold = cell("Head").replace("<a:rPr ", '<a:rPr b="1" ')
    two = paragraph("or").replace("<a:rPr ", '<a:rPr b="1" ') + paragraph("so")
    mixed = cell("x").replace(paragraph("x"), two)
    assert rows(written(table([bold], [mixed]))) == [["Head"], ["**or** so"]]


def chart_part(kind: str, *, broken: bool = False) -> str:
    points = "".join(
        f'<c:pt idx="{n}"><c:v>{text}</c:v></c:pt>' for n, text in enumerate(("Oslo", "Rome"))
    )
    values = "".join(
        f'<c:pt idx="{n}"><c:v>{text}</c:v></c:pt>' for n, text in enumerate((3, "#N/A"))
    )
    data = f"<c:cat><c:strRef><c:strCache>{points}</c:strCache></c:strRef></c:cat>"
    data += f"<c:val><c:numRef><c:numCache>{values}</c:numCache></c:numRef></c:val>"
    plot = f"<c:{kind}><c:ser>{data}</c:ser></c:{kind}>"
    area = f"<c:chart><c:plotArea>{plot}</c:plotArea></c:chart>"
    return f'<c:chartSpace xmlns:c="{CHART}">{area}' + ("" if broken else "</c:chartSpace>")


def with_chart(part: str, *shapes: str) -> Slide:
    relation = Relation("c1", "chart", "../charts/chart1.xml")
    return Slide([*shapes, chart("c1")], [relation], {"ppt/charts/chart1.xml": part})


@pytest.mark.parametrize("kind", ["bar3DChart", "pie3DChart", "unheardOfChart", "stockChart"])
def test_a_chart_of_any_kind_is_a_table(converted: Converted, kind: str) -> None:
    text = converted(with_chart(chart_part(kind), title("Towns")))[0].result.markdown
    assert text.startswith("# Towns")
    assert rows(text)[1:] == [["Oslo", "3"], ["Rome", "#N/A"]]


def test_a_broken_chart_costs_itself_and_a_warning(converted: Converted) -> None:
    for slide in (
        with_chart(chart_part("barChart", broken=True), title("Towns"), box("Words")),
        Slide([title("Towns"), box("Words"), chart("nowhere")]),
    ):
        first, second = converted(slide, Slide([title("Next")]))
        assert first.result.markdown == "# Towns\n\nWords"
        assert [one.code for one in first.result.warnings] == ["part_unreadable"]
        assert second.result.markdown == "# Next"


def model(points: Sequence[tuple[str, str]], links: Sequence[tuple[str, str]]) -> str:
    listed = "".join(
        f'<dgm:pt modelId="{name}"><dgm:t><a:bodyPr/>{paragraph(words)}</dgm:t></dgm:pt>'
        for name, words in points
    )
    connected = "".join(
        f'<dgm:cxn modelId="{n}" srcId="{a}" destId="{b}" srcOrd="{9 - n}"/>'
        for n, (a, b) in enumerate(links)
    )
    top = '<dgm:pt modelId="0" type="doc"/><dgm:pt modelId="t" type="sibTrans"/>'
    shown = f"<dgm:ptLst>{top}{listed}</dgm:ptLst><dgm:cxnLst>{connected}</dgm:cxnLst>"
    return f'<dgm:dataModel xmlns:dgm="{DIAGRAM}" xmlns:a="{DRAWING}">{shown}</dgm:dataModel>'


def with_diagram(part: str, drawing: str = "") -> Slide:
    kind = "http://schemas.microsoft.com/office/2007/relationships/diagramDrawing"
    related = [
        Relation("d1", "diagramData", "../diagrams/data1.xml"),
        Relation("d2", kind, "../diagrams/drawing1.xml"),
    ]
    parts = {"ppt/diagrams/data1.xml": part, "ppt/diagrams/drawing1.xml": drawing}
    return Slide([title("How"), smart_art("d1")], related, parts)


def test_smart_art_is_a_nested_list_in_its_order(converted: Converted) -> None:
    points = [("c", "Cook"), ("a", "Plan"), ("b", "Buy"), ("d", "List"), ("x", "Apart")]
    links = [("0", "c"), ("0", "b"), ("0", "a"), ("a", "d")]
    (page,) = converted(with_diagram(model(points, links)))
    assert page.result.markdown == "# How\n\n- Plan\n  - List\n- Buy\n- Cook\n- Apart"


def test_smart_art_in_a_circle_ends_and_has_its_texts(converted: Converted) -> None:
    points = [("a", "One"), ("b", "Two")]
    (page,) = converted(with_diagram(model(points, [("a", "b"), ("b", "a")])))
    assert page.result.markdown == "# How\n\n- One\n  - Two"


def test_the_drawing_of_smart_art_serves_where_the_model_is_damaged(converted: Converted) -> None:
    space = "http://schemas.microsoft.com/office/drawing/2008/diagram"
    shown = f"<d:sp><d:txBody>{paragraph('Shown')}</d:txBody></d:sp>"
    drawing = f'<d:drawing xmlns:d="{space}" xmlns:a="{DRAWING}">{shown}</d:drawing>'
    (page,) = converted(with_diagram("<broken", drawing))
    assert page.result.markdown == "# How\n\n- Shown"
    assert not page.result.warnings
    (page,) = converted(with_diagram("<broken", "<broken"))
    assert [one.code for one in page.result.warnings] == ["part_unreadable"]


def test_embedded_objects_are_named_and_other_frames_have_their_texts(converted: Converted) -> None:
    ole = '<p:oleObj name="Worksheet" progId="Excel.Sheet.12" r:id="o"><p:embed/></p:oleObj>'
    other = f"<x:y xmlns:x='urn:x'><x:txBody>{paragraph('inside')}</x:txBody></x:y>"
    (page,) = converted(Slide([frame(ole, "urn:ole"), frame(other, "urn:x")]))
    assert page.result.markdown == "inside"
    (warning,) = page.result.warnings
    assert warning.code == "attachments_not_converted"
    assert "Worksheet (Excel.Sheet.12)" in warning.message


def test_the_picture_of_an_embedded_object_is_that_of_the_fallback(converted: Converted) -> None:
    space = "http://schemas.openxmlformats.org/markup-compatibility/2006"
    ole = '<p:oleObj spid="1" name="Worksheet" r:id="o"><p:embed/>{}</p:oleObj>'
    either = (
        f'<mc:AlternateContent xmlns:mc="{space}"><mc:Choice Requires="v">{ole.format("")}'
        f"</mc:Choice><mc:Fallback>{ole.format(picture('i', 'The figures'))}</mc:Fallback>"
        "</mc:AlternateContent>"
    )
    (page,) = converted(Slide([frame(either, "urn:ole")]))
    assert page.result.markdown == "![The figures]()"
    assert [one.code for one in page.result.warnings] == ["attachments_not_converted"]


def test_texts_drawn_onto_a_chart_follow_it(converted: Converted) -> None:
    drawn = f'<u xmlns="urn:u"><txBody xmlns:a="{DRAWING}">{paragraph("Peak")}</txBody></u>'
    over = relations([Relation("u", "chartUserShapes", "../drawings/d.xml")])
    slide = with_chart(chart_part("barChart"))
    more = {"ppt/charts/_rels/chart1.xml.rels": over, "ppt/drawings/d.xml": drawn}
    (page,) = converted(slide._replace(parts={**slide.parts, **more}))
    assert page.result.markdown.endswith("| Rome | #N/A |\n\nPeak")


def test_charts_of_later_versions_are_taken_from_the_alternatives(converted: Converted) -> None:
    space = "http://schemas.microsoft.com/office/drawing/2014/chartex"
    points = "".join(f'<cx:pt idx="{n}">{text}</cx:pt>' for n, text in enumerate((5, -2)))
    data = f'<cx:numDim type="val"><cx:lvl ptCount="2">{points}</cx:lvl></cx:numDim>'
    drawn = '<cx:series layoutId="waterfall"><cx:dataId val="0"/></cx:series>'
    part = (
        f'<cx:chartSpace xmlns:cx="{space}"><cx:chartData><cx:data id="0">{data}</cx:data>'
        f"</cx:chartData><cx:chart><cx:plotArea><cx:plotAreaRegion>{drawn}</cx:plotAreaRegion>"
        "</cx:plotArea></cx:chart></cx:chartSpace>"
    )
    framed = frame(f'<cx:chart xmlns:cx="{space}" r:id="c1"/>', space)
    either = (
        '<mc:AlternateContent xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006'
        f'"><mc:Choice Requires="cx1">{framed}</mc:Choice><mc:Fallback>{box("Sorry")}'
        "</mc:Fallback></mc:AlternateContent>"
    )
    kind = f"{RELATED.rpartition('/')[0]}/2014/relationships/chartEx"
    slide = Slide(
        [either],
        [Relation("c1", kind, "../charts/chartEx1.xml")],
        {"ppt/charts/chartEx1.xml": part},
    )
    (page,) = converted(slide)
    assert rows(page.result.markdown)[1:] == [["5"], ["-2"]]
    assert "Sorry" not in page.result.markdown
