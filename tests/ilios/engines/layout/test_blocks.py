"""Paragraphs, headings, lists and code."""

import re

import pytest

from ilios.engines.layout.document import lay_out
from ilios.engines.layout.items import Item

from .page_maker import item, page, paragraph, prose


def markdown(*items: Item) -> str:
    [laid] = lay_out([page(items)])
    return laid.markdown


BODY = paragraph(prose(60), top=300)


@pytest.mark.parametrize(
    "line",
    [
        item("The old harbour", 72, 270, size=14),
        item("2.1 The old harbour", 72, 270, bold=True),
        item("The old harbour", 72, 270, italic=True),
        item("THE OLD HARBOUR", 72, 270),
    ],
)
def test_a_short_line_in_a_font_of_its_own_is_a_heading(line: Item) -> None:
    assert re.match(rf"#+ {re.escape(line.text)}\n\n", markdown(line, *BODY))


@pytest.mark.parametrize(
    "line",
    [
        item("The old harbour is closed for the winter.", 72, 270, bold=True),
        item("Table 2. The old harbour", 72, 270, bold=True),
        item("x = y + 2z", 72, 270, size=14),
        item("The old harbour", 72, 270),
        item("\u2022 The old harbour", 72, 270, bold=True),
        item("ORDER 4711/AB", 72, 270),
    ],
)
def test_sentences_captions_formulas_and_list_items_are_no_headings(line: Item) -> None:
    assert not markdown(line, *BODY).startswith("#")


def test_levels_follow_the_sizes_of_the_headings() -> None:
    text = markdown(
        item("Harbours", 72, 60, size=24),
        item("Tides", 72, 120, size=16),
        item("Spring tides", 72, 160, bold=True),
        *BODY,
    )
    assert text.startswith("# Harbours\n\n## Tides\n\n### Spring tides\n\n")


def test_bold_text_at_the_start_of_a_paragraph_is_no_heading() -> None:
    lines = paragraph(prose(30), top=100)
    bold = item(lines[0].text, 72, 100, width=350, bold=True)
    assert markdown(bold, *lines[1:], *BODY).startswith(prose(30))


def test_several_headings_on_successive_lines_are_not_joined() -> None:
    text = markdown(
        item("1 Harbours", 72, 260, bold=True), item("1.1 Old ones", 72, 280, bold=True), *BODY
    )
    assert text.startswith("## 1 Harbours\n\n## 1.1 Old ones")


@pytest.mark.parametrize("bullet", ["•", "\uf0b7", "\uf0a7", "●", "▪", "-", "\u2013", "\x84"])
def test_bullets_of_every_kind_begin_list_items_nested_by_their_indentation(bullet: str) -> None:
    text = markdown(
        *BODY,
        item(bullet, 72, 500, width=5),
        item("Rope of hemp", 90, 500),
        item(f"{bullet} Old rope", 100, 514),
        item(bullet, 72, 528, width=5),
        item("Sails", 90, 528),
    )
    assert text.endswith("- Rope of hemp\n  - Old rope\n- Sails")


def test_a_letter_that_is_the_bullet_of_a_symbol_font_begins_items() -> None:
    lines = [
        piece
        for at, text in enumerate(["Rope of hemp", "Sails", "Nets and pots"])
        for piece in (item("r", 72, 500 + 14 * at, size=6), item(text, 80, 500 + 14 * at))
    ]
    assert markdown(*BODY, *lines).endswith("- r Rope of hemp\n- r Sails\n- r Nets and pots")


def test_check_boxes_stay_in_their_items() -> None:
    text = markdown(item("☐ Rope", 72, 500), item("☒ Sails", 72, 514), *BODY)
    assert "- ☐ Rope\n- ☒ Sails" in text


def test_numbered_items_keep_their_numbers_and_their_further_lines() -> None:
    text = markdown(
        *BODY,
        item("1. Untie the boat and", 72, 500),
        item("coil the rope.", 84, 514),
        item("2. Hoist the sail.", 72, 528),
    )
    assert text.endswith("1. Untie the boat and coil the rope.\n2. Hoist the sail.")


def test_indented_first_lines_and_wider_gaps_begin_paragraphs() -> None:
    one = paragraph(prose(30), top=100)
    two = [item(f"Indented {one[0].text}", 92, one[-1].top + 14, width=330), *one[1:2]]
    two = [two[0], item("and more of it.", 72, one[-1].top + 28)]
    far = item("Far below.", 72, one[-1].top + 60)
    assert len(markdown(*one, *two, far).split("\n\n")) == 3


def test_code_is_fenced_with_its_indentation() -> None:
    code = [
        item("def sail(boat):", 72, 500, monospaced=True),
        item("if", 92, 514, monospaced=True),
        item("boat.wet:", 107, 514, monospaced=True),
        item("return None", 112, 528, monospaced=True),
    ]
    assert markdown(*BODY, *code).endswith(
        "```\ndef sail(boat):\n    if boat.wet:\n        return None\n```"
    )


@pytest.mark.parametrize("fence", ["```", "````", "`````"])
def test_code_that_shows_a_fence_has_a_longer_one(fence: str) -> None:
    shown = (fence, "print(7)", fence)
    code = [
        item(text, 92, 500 + 14 * at, monospaced=True)
        for at, text in enumerate(("def show():", *shown, "return None"))
    ]
    text = markdown(*BODY, *code)
    assert f"\n{fence}`\n" in text
    assert text.endswith(f"\n{fence}`")
    assert f"{fence}\nprint(7)\n{fence}\nreturn None" in text


def test_lines_that_markdown_would_take_for_something_else_are_escaped() -> None:
    text = markdown(item("# not a heading, but a sentence.", 72, 270), *BODY)
    assert text.startswith("\\# not a heading")


def test_vertical_text_is_read_from_the_right_without_blanks() -> None:
    text = markdown(
        item("春の丘に花が", 340, 60, size=16, vertical=True),
        item("子は本を読", 312, 60, size=16, vertical=True),
        item("五輪さいて", 340, 160, size=16, vertical=True),
    )
    assert text.replace("\n", "") == "春の丘に花が五輪さいて子は本を読"


def test_signs_that_each_are_an_item_are_read_downwards_where_they_stand_below_one_another() -> (
    None
):
    columns = ("夜の海に灯り", "船長は古い地", "波はしずか")
    signs = [
        item(sign, 350 - 27 * at, 80 + 16.5 * place, size=15)
        for at, column in enumerate(columns)
        for place, sign in enumerate(column)
    ]
    assert "".join(columns) in markdown(*signs)


def test_signs_that_each_are_an_item_are_read_across_where_they_stand_beside_one_another() -> None:
    lines = ("夜の海に灯り", "船長は古い地")
    signs = [
        item(sign, 80 + 16.5 * place, 80 + 20 * at, size=15, width=15)
        for at, line in enumerate(lines)
        for place, sign in enumerate(line)
    ]
    assert "".join(lines) in markdown(*signs)


def test_an_italic_line_directly_above_a_paragraph_is_a_heading() -> None:
    head = item("On the mending of nets", 72, 284, italic=True)
    assert "# On the mending of nets\n\nboat0" in markdown(head, *BODY)


def test_bold_lines_with_consecutive_numbers_and_nothing_between_them_are_a_list() -> None:
    lines = [
        piece
        for at, text in enumerate(("Check the rope", "Count the crates", "Sign the list"))
        for piece in (
            item(f"{at + 1}.", 72, 240 + 14 * at, bold=True),
            item(text, 90, 240 + 14 * at, bold=True),
        )
    ]
    text = markdown(*lines, *BODY)
    assert "1. Check the rope\n2. Count the crates\n3. Sign the list" in text
    assert "#" not in text


def test_a_heading_has_the_same_level_on_each_part_of_a_long_document() -> None:
    title, section = item("Harbours", size=20), item("The old harbour", 72, 250, size=13)
    both, one = (
        laid.markdown
        for laid in (
            *lay_out([page([title, section, *BODY])], whole=False),
            *lay_out([page([section, *BODY])], whole=False),
        )
    )
    assert both.startswith("# Harbours\n\n### The old harbour\n")
    assert one.startswith("### The old harbour\n")


def test_a_large_initial_is_the_first_letter_of_its_paragraph() -> None:
    text = [
        "n the autumn of that year the keeper",
        "went down the stairs for the last time and",
        "carried his lamp to the boat below, where",
    ]
    beside = [item(line, 100, 72 + 14 * at, width=320) for at, line in enumerate(text)]
    below = item("nobody waited for him but the sea itself.", 72, 114, width=348)
    initial = Item(left=72, top=70, right=97, bottom=112, text="I", size=40)
    made = markdown(initial, *beside, below, *paragraph(prose(60), top=300))
    assert made.startswith(f"I{' '.join(text)} {below.text}\n")


def test_labels_begin_the_references_of_a_list() -> None:
    lines = [
        ("[1] A. Meyer. Rules for pages. Journal of Print and", 72),
        ("of paper, 12(3):44, 1998.", 90),
        ("[2] B. Okafor and C. Lee. Cutting pages at their axes,", 72),
        ("[LB+04] D. Lind and E. Brandt. Nets for layouts.", 72),
    ]
    items = [
        item(text, left, 72 + 14 * at, width=330 - left) for at, (text, left) in enumerate(lines)
    ]
    made = markdown(*paragraph(prose(60), top=300), *items).split("\n\n")
    assert made[:3] == [f"{lines[0][0]} {lines[1][0]}", lines[2][0], lines[3][0]]


@pytest.mark.parametrize("text", ["Table of contents", "Listing the files", "Notes on the stars"])
def test_a_heading_may_begin_as_a_caption_does(text: str) -> None:
    assert markdown(item(text, size=16), *BODY).startswith(f"# {text}\n")


@pytest.mark.parametrize(
    "text", ["Table 2.1 Catch", "Figure A: Catch", "Note: low tide", "Listing IV"]
)
def test_a_caption_is_no_heading(text: str) -> None:
    assert "#" not in markdown(item(text, size=16), *BODY)


def test_numbered_lines_of_code_that_fill_most_of_a_page_are_code() -> None:
    code = [
        item(f"{at} {'  ' * (at % 3)}count = count + {at}", 72, 72 + 12 * at, monospaced=True)
        for at in range(1, 9)
    ]
    made = markdown(
        item("Count them as follows, one by one, and write down the sum.", 72, 60), *code
    )
    assert made.count("```") == 2


def test_lines_of_a_justified_column_are_one_paragraph_though_one_reaches_beyond_it() -> None:
    lines = paragraph(prose(70))
    beyond = item("A line of its own that is wider than the column is", 72, 800, width=430)
    assert markdown(*lines, beyond).split("\n\n")[0] == prose(70)


def test_a_divided_word_is_joined_in_lines_that_are_broken_on_purpose() -> None:
    address = [
        "Harbour Office",
        "The quay of the har-",
        "bour at Kelpmouth",
        "Westing",
        "21 Mill Lane",
    ]
    wide = item("A line that is as wide as the column", 72, 400, width=400)
    lines = [item(line, 72, 72 + 14 * at) for at, line in enumerate(address)]
    assert "The quay of the harbour at Kelpmouth\nWesting" in markdown(*lines, wide)


def test_a_word_divided_between_lines_of_two_sizes_is_one() -> None:
    above = item("Findings: the records of the boats of the post-", 72, 72, size=8, width=350)
    below = item("war period were put in order by the keeper.", 72, 84, size=10)
    assert "the postwar period were" in markdown(above, below, *BODY)
