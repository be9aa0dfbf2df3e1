"""Text: styles of runs, headings, code, quotes, signs, controls, headers."""

from pathlib import Path

import pytest

from tests.word_documents import NAMESPACES, converted, docx, markdown_of, p, run, style, table, tr

UP, DOWN = '<w:vertAlign w:val="superscript"/>', '<w:vertAlign w:val="subscript"/>'
LOGO = '<w:r><w:drawing><a:blip r:embed="rId9"/></w:drawing></w:r>'
COURIER = '<w:rFonts w:ascii="Courier New"/>'


def checkbox(ticked: str, inner: str) -> str:
    return (
        f'<w:sdt><w:sdtPr><w14:checkbox><w14:checked w14:val="{ticked}"/></w14:checkbox></w:sdtPr>'
        f"<w:sdtContent>{inner}</w:sdtContent></w:sdt>"
    )


def test_raised_and_lowered_text(tmp_path: Path) -> None:
    styles = style("Index", f"<w:rPr>{DOWN}</w:rPr>", "character")
    text = markdown_of(
        tmp_path,
        p("E = 10", run("9", UP), " J, CO", run("2", '<w:rStyle w:val="Index"/>')),
        styles=styles,
    )
    assert text == "E = 10<sup>9</sup> J, CO<sub>2</sub>"


def test_styles_of_runs_are_joined_and_blanks_are_outside(tmp_path: Path) -> None:
    text = markdown_of(
        tmp_path,
        p(
            run("Be", "<w:b/>"),
            run("ware ", "<w:b/>"),
            run("of", "<w:i/>"),
            run(" the dog", "<w:strike/>"),
            run(" loud", "<w:caps/>"),
            run(" not", '<w:b w:val="0"/>'),
        ),
    )
    assert text == "**Beware** *of* ~~the dog~~ LOUD not"


@pytest.mark.parametrize(
    ("inner", "level"),
    [
        ('<w:basedOn w:val="heading2"/>', 2),
        ('<w:pPr><w:outlineLvl w:val="3"/></w:pPr>', 4),
        ('<w:pPr><w:outlineLvl w:val="8"/></w:pPr>', 6),
        ('<w:basedOn w:val="heading2"/><w:pPr><w:outlineLvl w:val="9"/></w:pPr>', 0),
        ('<w:basedOn w:val="Own"/>', 0),
    ],
)
def test_headings_are_found_by_the_styles_they_are_based_on(
    tmp_path: Path, inner: str, level: int
) -> None:
    page = converted(tmp_path, docx(p("Birds", style="Own"), styles=style("Own", inner))).result
    assert page.markdown == f"{'#' * level} Birds".strip()
    assert [one.level for one in page.headings] == [level][: bool(level)]


def test_titles_and_outline_levels_of_paragraphs(tmp_path: Path) -> None:
    text = markdown_of(
        tmp_path,
        p("Book", style="Title"),
        p("of birds", style="Subtitle"),
        p("Swans", more='<w:outlineLvl w:val="2"/>'),
    )
    assert text == "# Book\n\n## of birds\n\n### Swans"


def test_code_is_fenced_with_its_indents(tmp_path: Path) -> None:
    text = markdown_of(
        tmp_path,
        p("for bird in birds:", style="SourceCode"),
        p("    feed(bird)  # *all*", style="SourceCode"),
        p(style="SourceCode"),
        p("\tsing()", style="SourceCode", more='<w:ind w:left="240"/>'),
        p(style="SourceCode"),
        p("Call ", run("feed()", COURIER), " twice."),
        p(run("if a < b:", COURIER)),
        p(run("  stop", COURIER)),
    )
    assert text.split("\n") == [
        "```",
        "for bird in birds:",
        "    feed(bird)  # *all*",
        "",
        "      sing()",
        "```",
        "",
        "Call `feed()` twice.",
        "",
        "```",
        "if a < b:",
        "  stop",
        "```",
    ]


def test_a_document_all_in_a_typewriter_font_is_no_code(tmp_path: Path) -> None:
    default = (
        f"<w:docDefaults><w:rPrDefault><w:rPr>{COURIER}</w:rPr></w:rPrDefault></w:docDefaults>"
    )
    assert markdown_of(tmp_path, p("FADE IN:"), styles=default) == "FADE IN:"


def test_quotes_and_signs_at_the_start_of_lines(tmp_path: Path) -> None:
    text = markdown_of(
        tmp_path,
        p("To be", style="Quote"),
        p("or not", style="Quote"),
        p("# no heading"),
        p("---"),
        p(run("<b> *x* [a](b)")),
        p("one\ntwo"),
    )
    assert text.split("\n\n") == [
        "> To be\n>\n> or not",
        "\\# no heading",
        "\\---",
        "\\<b> \\*x\\* \\[a](b)",
        "one  \ntwo",
    ]


def test_boxes_of_content_controls_are_ticked_or_not(tmp_path: Path) -> None:
    text = markdown_of(
        tmp_path,
        p(checkbox("1", run("☒")), run(" clean")),
        p(checkbox("0", run("☐")), run(" dry")),
        checkbox("1", p("☒", " whole paragraph")),
        table(tr(p(checkbox("true", run("☒")), "no").join(("<w:tc>", "</w:tc>")), "b")),
    )
    assert text.split("\n\n") == [
        "[x] clean",
        "[ ] dry",
        "[x] whole paragraph",
        "| [x]no | b |\n| --- | --- |",
    ]


def test_content_controls_around_anything_are_transparent(tmp_path: Path) -> None:
    def control(inner: str) -> str:
        return f"<w:sdt><w:sdtPr/><w:sdtContent>{inner}</w:sdtContent></w:sdt>"

    text = markdown_of(
        tmp_path,
        control(p("One ", control(run("two")), " three") + control(p("four"))),
        f'<w:customXml w:element="a">{p("five")}</w:customXml>',
    )
    assert text == "One two three\n\nfour\n\nfive"


def test_signs_of_symbol_fonts_are_what_they_show(tmp_path: Path) -> None:
    text = markdown_of(
        tmp_path,
        p('<w:r><w:sym w:font="Wingdings" w:char="F0FC"/></w:r>', " done"),
        p(run("abg", '<w:rFonts w:ascii="Symbol" w:hAnsi="Symbol"/>')),
        p('<w:r><w:sym w:font="Symbol" w:char="00B3"/></w:r>', " 3"),
    )
    assert text.split("\n\n") == ["✓ done", "αβγ", "≥ 3"]


def test_hyphens_tabs_and_ruby(tmp_path: Path) -> None:
    base, above = f"<w:rubyBase>{run('漢字')}</w:rubyBase>", f"<w:rt>{run('かんじ')}</w:rt>"
    ruby = f"<w:r><w:ruby>{above}{base}</w:ruby></w:r>"
    text = markdown_of(
        tmp_path,
        p("<w:r><w:t>day</w:t><w:noBreakHyphen/><w:t>to</w:t><w:softHyphen/><w:t>day</w:t></w:r>"),
        p("a\tb"),
        p(ruby),
    )
    assert text.split("\n\n") == ["day-today", "a b", "漢字(かんじ)"]


def test_a_drop_cap_is_part_of_its_paragraph(tmp_path: Path) -> None:
    cap = p("O", more='<w:framePr w:dropCap="drop" w:lines="3"/>')
    assert markdown_of(tmp_path, cap, p("nce upon a time"), p("End")) == "Once upon a time\n\nEnd"


def test_headers_and_footers_have_members_of_their_own(tmp_path: Path) -> None:
    def edge(kind: str, *body: str) -> str:
        return f"<w:{kind} {NAMESPACES}>{''.join(body)}</w:{kind}>"

    section = (
        '<w:sectPr><w:headerReference w:type="default" r:id="h1"/>'
        '<w:headerReference w:type="first" r:id="h2"/>'
        '<w:footerReference w:type="default" r:id="f1"/></w:sectPr>'
    )
    made = docx(
        p("Body", more=section),
        section,
        parts={
            "word/header1.xml": edge("hdr", p("Club", LOGO), table(tr("of", "birds"))),
            "word/header2.xml": edge("hdr", p("never shown")),
            "word/footer1.xml": edge("ftr", p("Page ", run("2"))),
        },
        related={
            "h1": ("header", "header1.xml"),
            "h2": ("header", "header2.xml"),
            "f1": ("footer", "footer1.xml"),
        },
    )
    page = converted(tmp_path, made).result
    assert (page.markdown, page.header, page.footer) == ("Body", "Club\nof birds", "Page 2")
