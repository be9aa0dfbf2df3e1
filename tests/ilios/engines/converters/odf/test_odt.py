"""OpenDocument texts: structure, numbers, tables, changes, what is embedded."""

import pytest

from actors.engines import Unconvertible
from ilios.engines.pages import Reading
from schemas.options import MergedCells, TrackedChanges
from tests import documents
from tests import opendocuments as odf
from tests.conversions import convert, messages, texts
from tests.opendocuments import heading, items, odt, paragraph
from tests.read_markdown import numbers_shown, numbers_written

SPANS = (
    '<style:style style:name="up" style:family="text">'
    '<style:text-properties style:text-position="super 58%"/></style:style>'
    '<style:style style:name="down" style:family="text">'
    '<style:text-properties style:text-position="-33% 58%"/></style:style>'
    '<style:style style:name="bold" style:family="text">'
    '<style:text-properties fo:font-weight="bold"/></style:style>'
    '<style:style style:name="gone" style:family="text">'
    '<style:text-properties text:display="none"/></style:style>'
)
NAMED = (
    '<style:style style:name="Preformatted_20_Text" style:family="paragraph"/>'
    '<style:style style:name="Quotations" style:family="paragraph"/>'
    '<style:style style:name="Title" style:family="paragraph"/>'
)


def span(text: str, style: str) -> str:
    return f'<text:span text:style-name="{style}">{text}</text:span>'


def p(content: str) -> str:
    return f"<text:p>{content}</text:p>"


def table(*rows: str) -> str:
    inner = "".join(f"<table:table-row>{row}</table:table-row>" for row in rows)
    return f"<table:table>{inner}</table:table>"


def cell(text: str, more: str = "") -> str:
    return f"<table:table-cell {more}><text:p>{text}</text:p></table:table-cell>"


def text_of(data: bytes, reading: Reading | None = None) -> str:
    (page,) = texts(data, reading or Reading())
    return page


def test_styles_of_text_are_marked() -> None:
    content = f"10{span('6', 'up')} of H{span('2', 'down')}O are {span('bold ', 'bold')}here"
    hidden = span("nobody sees this", "gone")
    page = text_of(odt(p(content + hidden), automatic=SPANS))
    assert page == "10<sup>6</sup> of H<sub>2</sub>O are **bold** here"


def test_headings_have_their_levels_and_numbers() -> None:
    body = (heading("One"), heading("Two", 2), heading("Three", 2), heading("Four"))
    assert text_of(odt(*body, styles=odf.OUTLINE)) == (
        "# 1 One\n\n## 1.1 Two\n\n## 1.2 Three\n\n# 2 Four"
    )
    assert text_of(odt(*body)) == "# One\n\n## Two\n\n## Three\n\n# Four"


def test_line_breaks_stay_in_texts_and_items_and_quotes_and_tables() -> None:
    lines = "A Street<text:line-break/>1. Town<text:line-break/>Land"
    cells = "".join(f"<table:table-cell>{p(one)}</table:table-cell>" for one in (lines, "x"))
    body = (
        p(lines),
        items(p(lines)),
        p(lines).replace("<text:p", '<text:p text:style-name="Quotations"'),
        f"<table:table><table:table-row>{cells}</table:table-row></table:table>",
        p("a<text:line-break/><text:line-break/><text:line-break/>b<text:line-break/>"),
    )
    assert text_of(odt(*body, styles=NAMED)) == (
        "A Street  \n1\\. Town  \nLand\n\n"
        "1. A Street  \n   1\\. Town  \n   Land\n\n"
        "> A Street  \n> 1\\. Town  \n> Land\n\n"
        "| A Street<br>1\\. Town<br>Land | x |\n| --- | --- |\n\n"
        "a\n\nb"
    )


def test_each_list_has_the_numbers_it_begins_with() -> None:
    def begin(text: str, number: int) -> str:
        return text.replace("<text:list-item>", f'<text:list-item text:start-value="{number}">', 1)

    deep = paragraph("ten") + begin(items(paragraph("five")), 5) + begin(items(paragraph("2")), 2)
    body = (
        items(paragraph("one"), paragraph("two")),
        items(paragraph("one again")),
        begin(items(paragraph("nine"), deep), 9),
        begin(items(paragraph("one"), paragraph("two")), 1),
    )
    page = text_of(odt(*body, paragraph("3. is typed")))
    assert numbers_shown(page) == numbers_written(page) == [1, 2, 1, 9, 10, 5, 2, 1, 2]
    section = f"<text:section>{body[0]}</text:section>"
    assert numbers_shown(text_of(odt(section, section))) == [1, 2, 1, 2]
    cells = "".join(f"<table:table-cell>{one}</table:table-cell>" for one in (body[0] * 2, p("x")))
    row = f"<table:table><table:table-row>{cells}</table:table-row></table:table>"
    assert text_of(odt(row)).startswith("| 1. one 2. two 1. one 2. two | x |")


def test_lists_go_on_restart_and_nest() -> None:
    inner = items(paragraph("inner one"), paragraph("inner two"), style="B")
    start = items(paragraph("seven")).replace(
        "<text:list-item>", '<text:list-item text:start-value="7">'
    )
    body = (
        items(paragraph("one"), paragraph("two") + paragraph("still two") + inner),
        paragraph("between"),
        items(paragraph("three"), more='text:continue-numbering="true" xml:id="L"'),
        items(paragraph("new one")),
        paragraph("between"),
        items(paragraph("four"), more='text:continue-list="L"'),
        start,
    )
    assert text_of(odt(*body)) == (
        "1. one\n2. two\n\n   still two\n   - inner one\n   - inner two\n\nbetween\n\n"
        "3. three\n\n<!-- -->\n\n1. new one\n\nbetween\n\n4. four\n\n<!-- -->\n\n7. seven"
    )


def test_labels_that_markdown_has_no_lists_for_are_text() -> None:
    style = (
        '<text:list-style style:name="R"><text:list-level-style-number text:level="1" '
        'style:num-format="i" style:num-prefix="(" style:num-suffix=")"/></text:list-style>'
        '<text:list-style style:name="A"><text:list-level-style-number text:level="1" '
        'style:num-format="A" style:num-suffix=")" text:start-value="26"/></text:list-style>'
    )
    body = (items(*map(paragraph, "abcd"), style="R"), items(*map(paragraph, "ef"), style="A"))
    assert text_of(odt(*body, automatic=style)) == (
        "- (i) a\n- (ii) b\n- (iii) c\n- (iv) d\n\n- Z) e\n- AA) f"
    )


def test_numbered_headings_within_lists_are_headings() -> None:
    inner = f"<text:list><text:list-item>{heading('Deep', 2)}</text:list-item></text:list>"
    levels = odf.NUMBERED.replace('"N"', '"H"').replace(
        'text:level="2"', 'text:level="2" text:display-levels="2"'
    )
    body = (items(heading("Top"), inner, style="H"), paragraph("Words."))
    assert text_of(odt(*body, automatic=levels)) == "# 1. Top\n\n## 1.1. Deep\n\nWords."


@pytest.mark.parametrize(
    ("merged", "first"),
    [(None, "| wide | wide | c |"), ("once", "| wide |  | c |"), ("repeat", "| wide | wide | c |")],
)
def test_spans_of_cells_keep_the_columns(merged: MergedCells | None, first: str) -> None:
    rows = (
        cell("wide", 'table:number-columns-spanned="2"')
        + "<table:covered-table-cell/>"
        + cell("c"),
        cell("tall", 'table:number-rows-spanned="2"') + cell("1") + cell("2"),
        "<table:covered-table-cell/>" + cell("3") + cell("4"),
    )
    page = text_of(odt(table(*rows)), Reading(merged_cells=merged))
    left = "" if merged == "once" else "tall"
    assert page == f"{first}\n| --- | --- | --- |\n| tall | 1 | 2 |\n| {left} | 3 | 4 |".replace(
        "|  | 3", "|  | 3"
    )


def test_repeated_cells_and_rows_are_bounded() -> None:
    empty = '<table:table-cell table:number-columns-repeated="2147483647"/>'
    rows = table(cell("a") + cell("b", 'table:number-columns-repeated="3"') + empty)
    rows = rows.replace(
        "</table:table>",
        f'<table:table-row table:number-rows-repeated="1048576">{empty}</table:table-row>'
        "</table:table>",
    )
    assert text_of(odt(rows)) == "| a | b | b | b |\n| --- | --- | --- | --- |"
    many = (
        table(cell("x"))
        .replace("<table:table-row>", '<table:table-row table:number-rows-repeated="2147483647">')
        .replace("</table:table>", f"<table:table-row>{cell('y')}</table:table-row></table:table>")
    )
    pages = convert(odt(many))
    assert pages[0].result.markdown.count("| x |") == 1000
    assert "| y |" in pages[0].result.markdown
    assert "beyond 1000" in messages(pages)[0]


def test_a_table_in_a_cell_stays_readable() -> None:
    inner = table(cell("a") + cell("b"), cell("c") + cell("d"))
    page = text_of(odt(table(cell("left") + f"<table:table-cell>{inner}</table:table-cell>")))
    assert page == "| left | a, b; c, d |\n| --- | --- |"


def test_notes_are_linked_and_stand_at_the_end() -> None:
    note = (
        '<text:note text:note-class="{0}"><text:note-citation>{1}</text:note-citation>'
        "<text:note-body><text:p>{2}</text:p></text:note-body></text:note>"
    )
    foot, end = note.format("footnote", 1, "Below."), note.format("endnote", 1, "Last.")
    page = text_of(odt(p(f"Words{foot} and more{end}.")))
    assert page == "Words[^1] and more[^e1].\n\n[^1]: Below.\n\n[^e1]: Last."


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ("final", "Some new words here."),
        ("original", "Some words old here."),
        ("all", "Some <ins>new</ins> words <del>old</del> here."),
    ],
)
def test_tracked_changes_are_read_as_wanted(wanted: TrackedChanges, text: str) -> None:
    changes = (
        '<text:tracked-changes><text:changed-region text:id="a"><text:insertion/>'
        '</text:changed-region><text:changed-region text:id="b"><text:deletion><text:p>old</text:p>'
        "</text:deletion></text:changed-region></text:tracked-changes>"
    )
    content = p(
        'Some <text:change-start text:change-id="a"/>new<text:change-end text:change-id="a"/> '
        'words <text:change text:change-id="b"/> here.'
    )
    page = text_of(odt(changes, content), Reading(tracked_changes=wanted))
    assert " ".join(page.split()) == text


def test_comments_are_read_on_demand() -> None:
    content = p(
        "Words<office:annotation><dc:creator>Anna</dc:creator><text:p>Really?</text:p>"
        "</office:annotation> here."
    )
    assert text_of(odt(content)) == "Words here."
    assert text_of(odt(content), Reading(comments=True)) == (
        "Words[^c1] here.\n\n[^c1]: **Anna**: Really?"
    )


def test_code_is_fenced_and_quotes_are_quotes() -> None:
    body = (
        paragraph("A title", "Title"),
        paragraph("if x:", "Preformatted_20_Text"),
        '<text:p text:style-name="Preformatted_20_Text"><text:s text:c="4"/>y = "```"</text:p>',
        paragraph("First.", "Quotations"),
        paragraph("Second.", "Quotations"),
    )
    assert text_of(odt(*body, styles=NAMED)) == (
        '# A title\n\n````\nif x:\n    y = "```"\n````\n\n> First.\n>\n> Second.'
    )


def test_images_have_their_bytes_and_descriptions() -> None:
    picture = documents.image_file(documents.text_image("Hi"), "PNG")
    frame = (
        '<draw:frame><draw:image xlink:href="Pictures/{0}"/>'
        "<svg:desc>A [nice] drawing</svg:desc></draw:frame>"
    )
    outside = frame.format("x").replace("Pictures/x", "https://example.org/a.png")
    body = p(f"See {frame.format('a.png')} and {frame.format('no.emf')}{outside}")
    (page,) = convert(odt(body, parts={"Pictures/a.png": picture, "Pictures/no.emf": b"\1\0\0\0"}))
    assert "![A (nice) drawing](image-1.png)" in page.result.markdown
    assert page.image_bytes == {"image-1.png": picture}
    assert [warning.code for warning in page.result.warnings] == ["images_left_out"]


def test_formulas_are_latex_and_charts_are_tables() -> None:
    math = (
        '<math xmlns="http://www.w3.org/1998/Math/MathML"><semantics><mrow><mfrac><mi>a</mi>'
        "<mn>2</mn></mfrac><mo>=</mo><msqrt><mi>x</mi></msqrt></mrow>"
        '<annotation encoding="StarMath 5.0">a over 2</annotation></semantics></math>'
    )
    chart = odf.root(
        "document-content",
        "<office:body><office:chart><table:table>"
        "<table:table-rows>"
        f"<table:table-row>{cell('')}{cell('Sales')}</table:table-row>"
        f"<table:table-row>{cell('Q1')}{cell('4.3')}</table:table-row>"
        "</table:table-rows></table:table></office:chart></office:body>",
    )
    frame = '<draw:frame><draw:object xlink:href="./{0}"/></draw:frame>'
    body = (p(frame.format("O1")), p(f"Inline {frame.format('O1')} here"), p(frame.format("O2")))
    page = text_of(odt(*body, parts={"O1/content.xml": math, "O2/content.xml": chart}))
    assert page == (
        "$$\\frac{a}{2} = \\sqrt{x}$$\n\nInline $\\frac{a}{2} = \\sqrt{x}$ here\n\n"
        "|  | Sales |\n| --- | --- |\n| Q1 | 4.3 |"
    )


def test_headers_and_footers_are_apart() -> None:
    masters = (
        '<style:master-page style:name="S"><style:header><text:p>Above</text:p></style:header>'
        "<style:footer><text:p>Below</text:p></style:footer></style:master-page>"
    )
    result = convert(odt(p("Words."), masters=masters))[0].result
    assert (result.markdown, result.header, result.footer) == ("Words.", "Above", "Below")


def test_text_boxes_and_sections_are_read_and_hidden_sections_are_not() -> None:
    box = "<draw:frame><draw:text-box><text:p>In the box.</text:p></draw:text-box></draw:frame>"
    shape = "<draw:custom-shape><text:p>On a shape.</text:p></draw:custom-shape>"
    section = "<text:section{0}><text:p>{1}</text:p></text:section>"
    hidden = section.format(' text:display="none"', "Hidden.")
    page = text_of(odt(p(f"Words.{box}"), p(shape), section.format("", "A section."), hidden))
    assert page == "Words.\n\nIn the box.\n\nOn a shape.\n\nA section."


def test_addresses_that_run_programs_are_no_links() -> None:
    link = '<text:a xlink:href="{0}">words</text:a>'
    made = odt(p(link.format("javascript:x()")), p(link.format("https://example.org/")))
    assert text_of(made) == "words\n\n[words](https://example.org/)"
    assert [one.endswith("is given: 1.") for one in messages(convert(made))] == [True]


def test_flat_files_and_templates_are_texts() -> None:
    content = "<office:body><office:text><text:p>Flat words.</text:p></office:text></office:body>"
    flat = odf.root("document", content).replace(
        "office:version", f'office:mimetype="{odf.ODT}" office:version'
    )
    assert text_of(flat.encode()) == "Flat words."
    template = odf.package(
        f"{odf.ODT}-template",
        {
            "content.xml": odf.root(
                "document-content",
                "<office:body><office:text><text:p>Words.</text:p></office:text></office:body>",
            )
        },
    )
    assert text_of(template) == "Words."


def test_protected_and_damaged_files_are_refused() -> None:
    locked = odt(p("x"), parts={odf.MANIFEST: odf.manifest("<manifest:encryption-data/>")})
    with pytest.raises(Unconvertible) as refused:
        convert(locked)
    assert refused.value.code == "password_protected"
    with pytest.raises(Unconvertible) as refused:
        convert(odt(p("x"), parts={"content.xml": "<no xml"}))
    assert refused.value.code == "corrupt"
