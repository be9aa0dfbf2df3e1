"""The parts of a page in reading order."""

import pytest

from ilios.engines.layout.document import lay_out

from .page_maker import item, page, paragraph, prose


def test_captions_close_beside_each_other_in_a_column_are_read_one_after_the_other() -> None:
    left = paragraph(prose(90), 55, 80, chars=44)
    text = paragraph(prose(40, 100), 310, 80, chars=44)
    one = paragraph("(a) The " + prose(10, 200), 310, 300, size=9, chars=24)
    two = paragraph("(b) The " + prose(10, 300), 424, 300, size=9, chars=24)
    end = paragraph("Fig. 1: " + prose(10, 400), 310, 400, chars=44)
    [laid] = lay_out([page([*left, *text, *one, *two, *end])])
    places = [laid.markdown.index(f"boat{at} sails") for at in (0, 89, 100, 200, 300, 400)]
    assert places == sorted(places)
    assert f"(a) The {prose(10, 200)}" in laid.markdown


def test_a_table_of_short_cells_is_not_read_column_by_column() -> None:
    cells = [
        item(text, left, 100 + 14 * row)
        for row in range(8)
        for text, left in ((f"Berth {row}", 72), (f"Boat {row}", 250), (f"{row}0", 450))
    ]
    [laid] = lay_out([page(cells)])
    assert "| Berth 3 | Boat 3 | 30 |" in laid.markdown


def test_the_margin_column_of_a_page_is_read_apart_from_the_text_beside_it() -> None:
    notes = [
        item(text, 40, 100 + 13.1 * at, size=7)
        for at, text in enumerate(
            ["Correspondence to:", "The harbour office", "Pier street four", "Altenhagen by sea"]
        )
    ]
    [laid] = lay_out([page([*notes, *paragraph(prose(80), 160, 90, chars=70)])])
    assert prose(80) in laid.markdown


def test_columns_of_a_right_to_left_page_are_read_from_the_right() -> None:
    words = "סירה אחת באה אל הגדה עם שחר"
    left = [item(f"{words} אחרת{at}", 60, 90 + 14 * at, width=200) for at in range(8)]
    right = [item(f"{words} קדמה{at}", 310, 90 + 14 * at, width=200) for at in range(8)]
    [laid] = lay_out([page([*left, *right])])
    assert laid.markdown.index("קדמה7") < laid.markdown.index("אחרת0")


def test_the_short_last_line_of_a_right_to_left_paragraph_belongs_to_it() -> None:
    full = [item("סירה אחת באה אל הגדה עם שחר", 60, 90 + 14 * at, width=300) for at in range(4)]
    last = item("סוף", 340, 90 + 14 * 4, width=20)
    [laid] = lay_out([page([*full, last])])
    assert laid.markdown.endswith("שחר סוף")
    assert "\n" not in laid.markdown


def test_captions_beside_each_other_are_read_one_after_the_other_on_a_page_of_one_column() -> None:
    above = item("It ends here.", 72, 98)
    one = [item("(a) The old lamp with its", 80, 200, size=9)]
    one += [item("round lens, of glass.", 80, 212, size=9)]
    two = [item("(b) The new lamp, which is", 201, 200, size=9)]
    two += [item("seen from the cape and", 201, 212, size=9), item("turns.", 201, 224, size=9)]
    text = [*paragraph(prose(20), top=70)[:2], above]
    [laid] = lay_out([page([*text, *one, *two, *paragraph(prose(30, 50), top=300)])])
    assert "(a) The old lamp with its round lens, of glass." in laid.markdown
    assert "(b) The new lamp, which is seen from the cape and turns." in laid.markdown


def test_the_short_last_line_of_a_paragraph_above_two_columns_stays_with_it() -> None:
    last = item("and ends here.", 72, 86)
    left = paragraph(prose(30, 100), 72, 130, chars=40)
    right = paragraph(prose(30, 200), 320, 130, chars=40)
    full = item("The paragraph over both columns goes on to the next line", 72, 72, width=450)
    [laid] = lay_out([page([full, last, *left, *right])])
    assert f"{full.text} and ends here.\n\nboat100" in laid.markdown


def test_numbers_beside_texts_of_several_lines_are_cells_and_no_column() -> None:
    rows = [
        ("Reading of the objects of", "a page and its fonts", ("12.1", "0.4", "14.9", "0.7")),
        ("Search of white corridors", "between the columns", ("8.3", "0.3", "9.2", "0.5")),
        ("Writing of the text with", "its headings and lists", ("4.4", "0.2", "6.0", "0.4")),
        ("Packing of all the files", "into a single archive", ("3.9", "0.2", "5.1", "0.3")),
    ]
    cells = []
    for at, (first, second, numbers) in enumerate(rows):
        top = 100 + 34 * at
        cells += [item(first, 72, top), item(second, 72, top + 12)]
        cells += [item(one, 230 + 34 * place, top) for place, one in enumerate(numbers)]
    [laid] = lay_out([page([*cells, *paragraph(prose(60), top=400)])])
    assert "| Reading of the objects of a page and its fonts | 12.1 | 0.4 | 14.9 | 0.7 |" in (
        laid.markdown
    )


def test_lists_side_by_side_are_read_one_after_the_other() -> None:
    sides = [("Keep it", 72, ("Cheap", "Old", "Loud")), ("Buy one", 300, ("Dear", "New", "Quiet"))]
    items = []
    for title, left, texts in sides:
        items.append(item(title, left, 100, bold=True))
        for at, text in enumerate(texts):
            items += [item("\u2022", left, 120 + 14 * at), item(text, left + 14, 120 + 14 * at)]
    [laid] = lay_out([page([*items, *paragraph(prose(60), top=300)])])
    assert laid.markdown.startswith(
        "## Keep it\n\n- Cheap\n- Old\n- Loud\n\n## Buy one\n\n- Dear\n- New\n- Quiet\n"
    )


@pytest.mark.parametrize("lefts", [(72, 200, 340), (72, 300), (72, 190)])
@pytest.mark.parametrize("place", [72, 180])
@pytest.mark.parametrize("mark", ["({})", "{}"])
def test_the_caption_of_a_figure_stands_after_those_of_its_parts(
    lefts: tuple[int, ...], place: int, mark: str
) -> None:
    parts = [
        ("{} The bowline, made", "with one end passed", "under the other"),
        ("{} The sheet bend in", "which two ropes are", "of unlike girth"),
        ("{} The clove hitch on", "a post, when the load", "is steady"),
    ][: len(lefts)]
    items = [item("The knots of the harbour are compared in the following figure.", top=100)]
    for letter, left, texts in zip("abc", lefts, parts, strict=False):
        marked = [text.format(mark.format(letter)) for text in texts]
        items += [item(text, left, 200 + 12 * at, size=9) for at, text in enumerate(marked)]
    items.append(item("Fig. 2: Knots of the harbour", place, 250, size=9))
    markdown = lay_out([page(items)])[0].markdown
    order = [
        markdown.index(one)
        for one in ("The bowline", "under the other", "The sheet", "of unlike girth")
    ]
    assert [*order, markdown.index("Fig. 2")] == sorted([*order, markdown.index("Fig. 2")])
    assert len(lefts) == 2 or markdown.index("is steady") < markdown.index("Fig. 2")
