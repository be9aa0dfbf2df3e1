"""Pages of tagged PDFs: laid out by their structure tree, or by places where it is not sound."""

from collections.abc import Sequence

import pytest

from tests.ilios.engines.pdf.conftest import ConvertPdf
from tests.pdf_pages import Builder, line, lines
from tests.tagged_pdfs import Tag, artifact, marked, tagged_pdf

RULE = "The gate of the paddock is closed by the last one to leave."


def paragraph(number: int, top: float) -> str:
    """Return a paragraph of two lines as marked content."""
    return marked(number, lines(RULE, "It has a bolt on either side.", top=top))


def untagged(content: str) -> bytes:
    """Return a page without a tree."""
    builder = Builder()
    builder.page(content)
    return builder.build()


def test_the_tree_tells_what_a_heading_is_and_its_level(convert_pdf: ConvertPdf) -> None:
    content = (
        marked(0, line("Rules of the yard", 72, 720, size=20))
        + marked(1, line("Read them before you ride out", 72, 690, size=16))
        + marked(2, line("Gates", 72, 660))
        + paragraph(3, 640)
    )
    tags = [Tag("H1", [0]), Tag("P", [1]), Tag("Sub", [Tag("Span", [2])]), Tag("P", [3])]
    (page,) = convert_pdf(tagged_pdf((content, tags), roles="/Sub /H3"))
    assert page.markdown == (
        "# Rules of the yard\n\nRead them before you ride out\n\n### Gates\n\n"
        f"{RULE} It has a bolt on either side."
    )
    assert [(one.level, one.text) for one in page.headings] == [
        (1, "Rules of the yard"),
        (3, "Gates"),
    ]


def test_headings_of_one_level_in_several_sizes_are_ranked_by_size(convert_pdf: ConvertPdf) -> None:
    content = (
        marked(0, line("Rules of the yard", 72, 720, size=24))
        + marked(1, line("Gates", 72, 680, size=16))
        + paragraph(2, 640)
    )
    tags = [Tag("H1", [0]), Tag("H1", [1]), Tag("P", [2])]
    (page,) = convert_pdf(tagged_pdf((content, tags)))
    assert [one.level for one in page.headings] == [1, 2]


def test_lists_are_nested_as_in_the_tree(convert_pdf: ConvertPdf) -> None:
    content = (
        marked(0, line("Feeding", 72, 720, size=18))
        + marked(1, lines("Oats in the morning, as much as", "the mare eats", x=90, top=690))
        + marked(2, line("from the loft", 108, 650))
        + marked(3, line("Hay at noon", 90, 630))
    )
    inner = Tag("L", [Tag("LI", [Tag("LBody", [2])])])
    tags = [
        Tag("H2", [0]),
        Tag("L", [Tag("LI", [Tag("LBody", [1, inner])]), Tag("LI", [Tag("LBody", [3])])]),
    ]
    (page,) = convert_pdf(tagged_pdf((content, tags)))
    assert page.markdown == (
        "## Feeding\n\n- Oats in the morning, as much as the mare eats\n  - from the loft\n"
        "- Hay at noon"
    )


def test_cells_close_together_are_those_of_the_tree(convert_pdf: ConvertPdf) -> None:
    rows = [["Horse", "Age", "Box"], ["Grey mare", "12", "4"], ["Twins", "3", "5"], ["3", "6"]]
    content, number = marked(90, line("Stalls", 72, 740, size=18)), 0
    tags: list[Tag] = []
    for at, row in enumerate(rows):
        cells = []
        for text, x in zip(row, (72, 132, 155)[-len(row) :], strict=True):
            content += marked(number, line(text, x, 700 - 15 * at))
            more = "/A << /O /Table /RowSpan 2 >>" if text == "Twins" else ""
            cells.append(Tag("TD" if at else "TH", [Tag("P", [number])], more))
            number += 1
        # A row may have a drawing of its own, such as its background.
        content += marked(200 + at, f"72 {696 - 15 * at} 100 12 re S\n")
        tags.append(Tag("TR", [200 + at, *cells]))
    content += marked(number, line("Unknown", 72, 640)) + marked(number + 1, line("7", 155, 640))
    wide = Tag("TD", [number], "/A << /O /Table /ColSpan 2 >>")
    tags.append(Tag("TR", [wide, Tag("TD", [number + 1])]))
    (page,) = convert_pdf(tagged_pdf((content, [Tag("H1", [90]), Tag("Table", tags)])))
    assert page.markdown.split("\n\n")[1] == (
        "| Horse | Age | Box |\n| --- | --- | --- |\n| Grey mare | 12 | 4 |\n| Twins | 3 | 5 |\n"
        "| Twins | 3 | 6 |\n| Unknown |  | 7 |"
    )
    assert len(page.tables) == 1


def test_a_cell_with_a_table_or_a_list_is_a_cell(convert_pdf: ConvertPdf) -> None:
    content, number = marked(90, line("Stalls", 72, 740, size=18)), 0

    def text(text: str, x: float, y: float, role: str = "P") -> Tag:
        nonlocal content, number
        content += marked(number, line(text, x, y))
        number += 1
        return Tag(role, [number - 1])

    def row(y: float, name: str, hours: Tag, horses: str) -> Tag:
        cells = [text(name, 72, y), hours, text(horses, 400, y)]
        return Tag("TR", [Tag("TD", [cell]) for cell in cells])

    inner = [
        Tag("TR", [Tag("TD", [text(day, 200, y)]), Tag("TD", [text(hours, 300, y)])])
        for day, hours, y in (("Monday", "9 to 12", 680), ("Friday", "8 to 10", 665))
    ]
    fed = [
        Tag("LI", [text("\x95", 200, y, "Lbl"), text(food, 212, y, "LBody")])
        for food, y in (("oats at noon", 640), ("hay at night", 625))
    ]
    rows = [
        row(700, "Stall", text("Hours", 200, 700), "Horses"),
        row(680, "By the gate", Tag("Table", inner), "12"),
        row(640, "By the barn", Tag("L", fed), "7"),
        row(600, "On the hill", text("closed", 200, 600), "0"),
    ]
    (page,) = convert_pdf(tagged_pdf((content, [Tag("H1", [90]), Tag("Table", rows)])))
    assert page.markdown == (
        "# Stalls\n\n| Stall | Hours | Horses |\n| --- | --- | --- |\n"
        "| By the gate | Monday 9 to 12; Friday 8 to 10 | 12 |\n"
        "| By the barn | \u2022 oats at noon \u2022 hay at night | 7 |\n"
        "| On the hill | closed | 0 |"
    )
    assert len(page.tables) == 1


def test_the_order_is_that_of_the_tree(convert_pdf: ConvertPdf) -> None:
    """Two short notes stand beside each other, too short for columns by their places."""
    content = marked(0, line("Notes", 72, 720, size=18))
    content += marked(1, lines("The vet comes", "on Monday.", x=72, top=690))
    content += marked(2, lines("The smith comes", "on Friday.", x=172, top=690))
    tags = [Tag("H1", [0]), Tag("P", [1]), Tag("P", [2])]
    (page,) = convert_pdf(tagged_pdf((content, tags)))
    assert page.markdown == "# Notes\n\nThe vet comes on Monday.\n\nThe smith comes on Friday."


def test_quotes_code_and_footnotes_are_those_of_the_tree(convert_pdf: ConvertPdf) -> None:
    content = (
        marked(0, line("Sayings", 72, 720, size=18))
        + marked(1, line("Whoever rides last", 72, 690))
        + marked(2, line("1", 180, 694, size=7))
        + marked(3, line("1 Said by the smith.", 72, 100, size=8))
        + marked(4, line("closes the gate.", 190, 690))
        + marked(5, lines("for horse in yard:", "    feed(horse)", top=650))
    )
    note = Tag("Note", [3])
    quote = Tag("BlockQuote", [Tag("P", [1, Tag("Reference", [2]), note, 4])])
    tags = [Tag("H1", [0]), quote, Tag("Code", [5])]
    (page,) = convert_pdf(tagged_pdf((content, tags)))
    shown = page.markdown.split("\n\n")
    assert shown[1].startswith("> Whoever rides last")
    assert shown[1].endswith("closes the gate.")
    assert shown[2].startswith("```\nfor horse in yard:\n")
    assert shown[3] == "1 Said by the smith."


def test_artifacts_at_the_edges_are_the_header_and_the_footer(convert_pdf: ConvertPdf) -> None:
    content = (
        artifact(line("The Riding Herald, summer", 72, 760, size=9))
        + marked(0, line("Rules of the yard", 72, 700, size=20))
        + paragraph(1, 660)
        + artifact(line("Sheet four of nine", 72, 30, size=9))
    )
    (page,) = convert_pdf(tagged_pdf((content, [Tag("H1", [0]), Tag("P", [1])])))
    assert page.header == "The Riding Herald, summer"
    assert page.footer == "Sheet four of nine"
    assert page.markdown.startswith("# Rules of the yard\n\nThe gate")


def test_an_image_has_its_alternative_text(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    drawn = "q 200 0 0 150 72 500 cm /I0 Do Q\n"
    content = marked(0, line(RULE, 72, 700)) + marked(1, drawn, "Figure")
    tags = [Tag("P", [0]), Tag("Figure", [1], "/Alt (A saddle [old])")]
    image = builder.image(bytes(range(256)) * 64, 128, 128)
    data = tagged_pdf((content, tags), builder=builder, images=[image])
    (page,) = convert_pdf(data)
    (shown,) = page.images
    assert f"![A saddle \\[old\\]]({shown.id})" in page.markdown


HEADED = marked(0, line("Rules of the yard", 72, 720, size=20))
BODY = paragraph(1, 690) + paragraph(2, 640) + paragraph(3, 590)


@pytest.mark.parametrize(
    ("content", "tags"),
    [
        (HEADED + BODY, [Tag("H1", [0]), Tag("H2", [1, 2]), Tag("P", [3, 1])]),
        (HEADED + BODY, [Tag("H1", [2]), Tag("P", [1])]),
        (HEADED + BODY, [Tag("H1", [3]), Tag("P", [2]), Tag("P", [1]), Tag("P", [0])]),
        (HEADED + BODY, [Tag("Style_1", [0]), Tag("Style_2", [1, 2]), Tag("P", [3])]),
        (HEADED + BODY, [Tag("P", [0]), Tag("P", [1]), Tag("P", [2]), Tag("P", [3])]),
        (HEADED + BODY, [Tag("H1", [0, 1]), Tag("H1", [2]), Tag("H2", [3])]),
        (
            HEADED
            + "".join(
                marked(at, line(f"{RULE[:40]} {at}", 72, 700 - 16 * at)) for at in range(1, 25)
            ),
            [Tag("H1", [24]), Tag("P", list(range(24)))],
        ),
    ],
    ids=["twice", "unnamed", "upwards", "unknown roles", "only paragraphs", "headings", "one"],
)
def test_a_tree_that_is_not_sound_leaves_the_layout_of_the_page(
    convert_pdf: ConvertPdf, content: str, tags: Sequence[Tag]
) -> None:
    (plain,) = convert_pdf(untagged(content))
    (page,) = convert_pdf(tagged_pdf((content, tags)))
    assert page.markdown == plain.markdown
    assert "# Rules of the yard" in page.markdown


def test_a_paragraph_goes_on_at_the_top_of_the_next_column(convert_pdf: ConvertPdf) -> None:
    """Both parts have one id, and their lines stand at nearly the same heights."""
    left = lines("The left part of a longer text", "ends with this line, and it", top=690)
    right = lines("goes on over here, on the right", "until its end.", x=320, top=702)
    content = marked(0, line("Notes", 72, 760, size=18)) + marked(1, left + right)
    (page,) = convert_pdf(tagged_pdf((content, [Tag("H1", [0]), Tag("P", [1])])))
    assert page.markdown.split("\n\n")[1] == (
        "The left part of a longer text ends with this line, and it goes on over here, on the "
        "right until its end."
    )


def test_a_table_of_rules_is_one_though_its_cells_are_tagged_as_paragraphs(
    convert_pdf: ConvertPdf,
) -> None:
    rows = [["Horse", "Box"], ["Grey mare", "4"], ["Twins", "5"]]
    content, number = marked(90, line("Stalls", 72, 740, size=18)), 0
    for at, row in enumerate(rows):
        for text, x in zip(row, (76, 176), strict=True):
            content += marked(number, line(text, x, 700 - 20 * at))
            number += 1
    content += artifact(
        "".join(f"72 {715 - 20 * at} m 272 {715 - 20 * at} l S\n" for at in range(4))
        + "".join(f"{x} 655 m {x} 715 l S\n" for x in (72, 172, 272))
    )
    tags = [Tag("H1", [90]), *(Tag("P", [at]) for at in range(number))]
    (page,) = convert_pdf(tagged_pdf((content, tags)))
    assert "| Grey mare | 4 |" in page.markdown


def test_code_at_the_start_of_a_paragraph_is_part_of_it(convert_pdf: ConvertPdf) -> None:
    content = (
        marked(0, line("Commands", 72, 720, size=18))
        + marked(1, line("feed", 72, 690))
        + marked(2, line("gives oats.", 104, 690))
    )
    tags = [Tag("H1", [0]), Tag("P", [Tag("Code", [1]), 2])]
    (page,) = convert_pdf(tagged_pdf((content, tags)))
    assert page.markdown == "# Commands\n\nfeed gives oats."


def test_an_item_goes_on_at_the_top_of_the_next_column(convert_pdf: ConvertPdf) -> None:
    """Its bullet stands apart from it, and is no column."""
    first = lines("The gate of the paddock is", "closed by the last rider", x=90, top=140)
    content = (
        marked(0, line("Rules of the yard", 72, 700, size=18))
        + marked(1, line("\x95", 72, 140))
        + marked(2, first)
        + marked(3, lines("who leaves, and its bolt is", "pushed home.", x=330, top=660))
    )
    item = Tag("LI", [Tag("Lbl", [1]), Tag("LBody", [2, 3])])
    (page,) = convert_pdf(tagged_pdf((content, [Tag("H1", [0]), Tag("L", [item])])))
    assert page.markdown.endswith(
        "- The gate of the paddock is closed by the last rider who leaves, "
        "and its bolt is pushed home."
    )


def test_fields_in_a_line_are_one_line_and_so_is_what_the_tree_does_not_name(
    convert_pdf: ConvertPdf,
) -> None:
    content = (
        marked(0, line("Rules of the yard", 72, 740, size=18))
        + paragraph(1, 700)
        + marked(2, line("Rider:", 72, 650))
        + marked(3, line("Anna", 115, 650))
        + line("grey", 155, 650)
        + paragraph(4, 620)
    )
    tags = [Tag("H1", [0]), Tag("P", [1]), Tag("Form", [2]), Tag("Form", [3]), Tag("P", [4])]
    (page,) = convert_pdf(tagged_pdf((content, tags)))
    assert page.markdown.split("\n\n")[2] == "Rider: Anna grey"


def test_lines_of_code_in_an_item_stay_lines(convert_pdf: ConvertPdf) -> None:
    content = (
        marked(0, line("Feeding", 72, 740, size=18))
        + marked(1, line("Count the oats:", 90, 700))
        + marked(2, lines("for horse in yard:", "    feed(horse)", x=90, top=680))
        + marked(3, line("and write it down.", 90, 640))
    )
    body = Tag("LBody", [1, Tag("Code", [2]), 3])
    (page,) = convert_pdf(tagged_pdf((content, [Tag("H1", [0]), Tag("L", [Tag("LI", [body])])])))
    assert page.markdown.startswith("# Feeding\n\n- Count the oats:\n\n```\nfor horse in yard:\n")
    assert page.markdown.endswith("feed(horse)\n```\n\nand write it down.")
