"""Titles, lists and the text of shapes."""

import pytest

from ilios.engines.converters.slides.numbering import marker
from tests.ilios.engines.converters.slides.conftest import Converted, Written
from tests.presentations import (
    Relation,
    Slide,
    body,
    box,
    cell,
    paragraph,
    parts_of,
    presentation,
    run,
    runs,
    shape,
    table,
    title,
)
from tests.zips import zip_of


def numbered(scheme: str, more: str = "") -> str:
    return f'<a:buAutoNum type="{scheme}" {more}/>'


def test_a_title_is_a_heading_and_comes_first(converted: Converted) -> None:
    (page,) = converted(Slide([body(paragraph("Point")), title("The plan")]))
    assert page.result.markdown == "# The plan\n\n- Point"
    assert [(one.level, one.text) for one in page.result.headings] == [(1, "The plan")]
    centred = shape(paragraph("Centred"), holder='type="ctrTitle"')
    lines = runs(run("Two"), "<a:br/>", run("lines"))
    assert converted(Slide([centred]))[0].result.markdown == "# Centred"
    split = shape(lines, holder='type="title"')
    assert converted(Slide([split]))[0].result.markdown == "# Two lines"


def test_line_breaks_stay_in_texts_and_items_and_tables(written: Written) -> None:
    lines = runs(run("A Street 1"), "<a:br/>", run("2. Town"), "<a:br/>", run("Land"))
    assert written(shape(lines)) == "A Street 1  \n2\\. Town  \nLand"
    assert written(body(lines)) == "- A Street 1  \n  2\\. Town  \n  Land"
    assert written(table([cell("@").replace(paragraph("@"), lines), cell("x")])).startswith(
        "| A Street 1<br>2. Town<br>Land | x |"
    )


def test_a_slide_without_a_title_has_no_heading(converted: Converted) -> None:
    (page,) = converted(Slide([box("Big words"), shape(holder='type="title"')]))
    assert page.result.markdown == "Big words"
    assert not page.result.headings


def test_bullets_are_inherited_and_levels_nest(written: Written) -> None:
    text = written(
        body(
            paragraph("one"),
            paragraph("two", attributes='lvl="1"'),
            paragraph("three", attributes='lvl="2"'),
            paragraph("plain", "<a:buNone/>"),
            paragraph("four", numbered("arabicPeriod")),
            paragraph("five", attributes='lvl="1"'),
        ),
    )
    assert text == "- one\n  - two\n    - three\n\nplain\n\n1. four\n   - five"


def test_a_text_box_has_paragraphs_unless_it_has_bullets(written: Written) -> None:
    bullet = '<a:buChar char="&#8211;"/>'
    text = written(shape(paragraph("a"), paragraph("b"), paragraph("c", bullet)))
    assert text == "a\n\nb\n\n- c"
    styled = f"<a:lvl1pPr>{bullet}</a:lvl1pPr>"
    assert written(shape(paragraph("a"), paragraph("b"), styles=styled)) == "- a\n- b"


def test_a_subtitle_has_the_bullets_of_its_layout(converted: Converted) -> None:
    plain = "<a:lvl1pPr><a:buNone/></a:lvl1pPr>"
    layout = shape(holder='type="subTitle" idx="1"', styles=plain)
    space = 'xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
    space += 'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
    tree = f"<p:cSld><p:spTree>{layout}</p:spTree></p:cSld>"
    subtitle = shape(paragraph("Below"), holder='type="subTitle" idx="1"')
    data = presentation(
        Slide([title("Above"), subtitle]),
        more={"ppt/slideLayouts/slideLayout1.xml": f"<p:sldLayout {space}>{tree}</p:sldLayout>"},
    )
    assert converted(data=data)[0].result.markdown == "# Above\n\nBelow"


def test_numbers_go_on_below_deeper_items_and_begin_anew_after_others(written: Written) -> None:
    number = numbered("arabicPeriod")
    text = written(
        shape(
            paragraph("a", number),
            paragraph("deeper", '<a:buChar char="-"/>', 'lvl="1"'),
            paragraph("b", number),
            paragraph("between"),
            paragraph("c", number),
            paragraph("d", numbered("arabicParenR", 'startAt="7"')),
            paragraph("e", numbered("arabicParenR", 'startAt="7"')),
        )
    )
    assert text == "1. a\n   - deeper\n2. b\n\nbetween\n\n1. c\n7) d\n8) e"


def test_lists_that_markdown_would_number_as_one_are_apart(written: Written) -> None:
    one, two = numbered("arabicPeriod"), numbered("arabicPeriod", 'startAt="1"')
    assert written(shape(paragraph("a", one), paragraph("b", one))) == "1. a\n2. b"
    other = shape(paragraph("c", one), paragraph("d", two.replace('"1"', '"4"')))
    assert written(shape(paragraph("a", one)), other) == "1. a\n\n<!-- -->\n\n1. c\n<!-- -->\n4. d"


@pytest.mark.parametrize(
    ("scheme", "number", "expected"),
    [
        ("romanLcPeriod", 4, "- iv."),
        ("romanUcParenR", 1994, "- MCMXCIV)"),
        ("alphaLcParenBoth", 28, "- (bb)"),
        ("alphaUcPeriod", 3, "- C."),
        ("arabicParenBoth", 2, "- (2)"),
        ("arabicPlain", 12, "12."),
        ("circleNumDbPlain", 3, "3."),
        ("romanLcPeriod", 10**9, "1000000000."),
    ],
)
def test_numbers_are_written_in_their_scheme(scheme: str, number: int, expected: str) -> None:
    assert marker(scheme, number) == expected


def test_styles_of_words_and_links_stay(converted: Converted) -> None:
    click = '<a:hlinkClick r:id="{}"/>'
    words = runs(
        run("10"),
        run("6", 'baseline="30000"'),
        run(" H"),
        run("2", 'baseline="-25000"'),
        run("O "),
        run("old", 'strike="sngStrike"'),
        run(" bold ", 'b="1"'),
        run("site", properties=click.format("web")),
        run(" script", properties=click.format("bad")),
        run(" jump", properties=click.format("jump")),
        '<a:fld type="slidenum"><a:t>17</a:t></a:fld>',
    )
    related = [
        Relation("web", "hyperlink", "https://example.org/a(b)", external=True),
        Relation("bad", "hyperlink", "javascript:alert(1)", external=True),
        Relation("jump", "slide", "slide1.xml"),
    ]
    (page,) = converted(Slide([shape(words)], related))
    assert page.result.markdown == (
        "10<sup>6</sup> H<sub>2</sub>O ~~old~~ **bold** "
        "[site](https://example.org/a%28b%29) script jump"
    )
    assert page.result.hyperlinks == ("https://example.org/a%28b%29",)
    assert [one.code for one in page.result.warnings] == ["links_left_out"]


def test_the_link_of_a_whole_shape_is_that_of_its_text(converted: Converted) -> None:
    related = [Relation("web", "hyperlink", "https://example.org/", external=True)]
    click = 'descr=""><a:hlinkClick r:id="web"/></p:cNvPr>'
    button = box("Press").replace('descr=""/>', click)
    (page,) = converted(Slide([button], related))
    assert page.result.markdown == "[Press](https://example.org/)"


def test_equations_are_latex_within_their_paragraph(written: Written) -> None:
    def letters(text: str) -> str:
        return f"<m:r><m:t>{text}</m:t></m:r>"

    power = f"<m:sSup><m:e>{letters('x')}</m:e><m:sup>{letters('2')}</m:sup></m:sSup>"
    equation = (
        '<mc:AlternateContent xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006'
        '"><mc:Choice Requires="a14"><x:m xmlns:x="urn:a14" xmlns:m="http://schemas.openxmlformats'
        f'.org/officeDocument/2006/math"><m:oMathPara><m:oMath>{power}</m:oMath></m:oMathPara></x:m>'
        "</mc:Choice><mc:Fallback>a picture</mc:Fallback></mc:AlternateContent>"
    )
    assert written(shape(runs(run("The area is "), equation, run(".")))) == "The area is $x^{2}$."
    assert written(shape(runs(equation), paragraph("is all"))) == "$$x^{2}$$\n\nis all"


def test_markup_in_texts_is_shown_and_not_obeyed(written: Written) -> None:
    assert written(box("# no *heading*")) == "\\# no \\*heading\\*"
    assert written(body(paragraph("1. no list"))) == "- 1\\. no list"


@pytest.mark.parametrize(
    "properties",
    [
        "<p:spPr/>",
        "<p:spPr><a:custGeom/></p:spPr>",
        '<p:spPr><a:prstGeom prst="none9"/></p:spPr>',
        "",
    ],
)
def test_a_shape_of_any_geometry_or_none_has_its_text(written: Written, properties: str) -> None:
    text = written(box("Words").replace("<p:spPr></p:spPr>", properties))
    assert text == "Words"


def test_a_connector_and_a_text_without_properties_count(written: Written) -> None:
    bare = "<p:sp><p:nvSpPr/><p:txBody><a:p><a:r><a:t>bare</a:t></a:r></a:p></p:txBody></p:sp>"
    line = bare.replace("p:sp>", "p:cxnSp>").replace("bare", "line").replace("nvSpPr", "nvCxnSpPr")
    assert written(bare, line) == "bare\n\nline"


def test_texts_of_the_template_are_apart_unless_the_slide_hides_them(converted: Converted) -> None:
    slides = [Slide([box("one")]), Slide([box("two")])]
    parts = parts_of(slides)
    for name, words in (
        ("slideMasters/slideMaster1", "Secret"),
        ("slideLayouts/slideLayout1", "7"),
    ):
        part = str(parts[f"ppt/{name}.xml"])
        parts[f"ppt/{name}.xml"] = part.replace("</p:spTree>", f"{box(words)}</p:spTree>")
    second = str(parts["ppt/slides/slide2.xml"])
    parts["ppt/slides/slide2.xml"] = second.replace("<p:sld ", '<p:sld showMasterSp="0" ')
    pages = [page.result for page in converted(data=zip_of(parts))]
    assert [(page.markdown, page.footer) for page in pages] == [
        ("one", "Secret\n\n7"),
        ("two", None),
    ]


def test_fixed_footers_are_apart_and_hidden_shapes_are_not_there(converted: Converted) -> None:
    footer = shape(paragraph("Confidential"), holder='type="ftr"')
    unseen = box("unseen").replace('descr=""', 'descr="" hidden="1"')
    (page,) = converted(Slide([box("seen"), footer, unseen]))
    assert (page.result.markdown, page.result.footer) == ("seen", "Confidential")
