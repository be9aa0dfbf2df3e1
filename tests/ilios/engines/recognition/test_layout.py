"""Boxes on a page become text in reading order."""

from ilios.engines.recognition import layout
from ilios.engines.recognition.recogniser import Line

HEIGHT = 20
LONG = "a line of running text that fills its column"


def line(text: str, left: float, row: float, width: float = 400, height: float = HEIGHT) -> Line:
    top = row * 30
    return Line(left, top, left + width, top + height, text)


def test_two_columns_are_read_one_after_the_other_below_their_title() -> None:
    lines = [line("A title across both columns of this page", 100, 0, 800)]
    for row in range(1, 9):
        lines += [line(f"right {row} {LONG}", 520, row), line(f"left {row} {LONG}", 50, row)]
    lines.append(line("A footnote across both columns of this page", 100, 10, 800))
    text = layout.lay_out_lines(lines).markdown
    order = ["A title", "left 1", "left 8", "right 1", "right 8", "A footnote"]
    assert [text.index(words) for words in order] == sorted(text.index(words) for words in order)


def test_cells_in_rows_become_a_table_with_empty_cells_in_place() -> None:
    lines = []
    for row, cells in enumerate([("Name", "Price", "Left"), ("Pear", "2", ""), ("Fig", "3", "7")]):
        lines += [line(cell, 300 * x, row, 80) for x, cell in enumerate(cells) if cell]
    assert layout.lay_out_lines(lines).markdown.splitlines() == [
        "| Name | Price | Left |",
        "| --- | --- | --- |",
        "| Pear | 2 |  |",
        "| Fig | 3 | 7 |",
    ]


def test_lines_are_joined_until_a_gap_and_hyphenated_words_are_joined() -> None:
    lines = [
        line("The first paragraph is divi-", 0, 0),
        line("ded here and goes on to the", 0, 1),
        line("The second starts after a gap.", 0, 4),
    ]
    assert layout.lay_out_lines(lines).markdown == (
        "The first paragraph is divided here and goes on to the\n\nThe second starts after a gap."
    )


def test_a_line_that_ends_early_is_followed_by_a_line_break() -> None:
    lines = [line("Mr. Miller", 0, 0, 120), line("Long Street 7", 0, 1, 150), line(LONG, 0, 2, 900)]
    assert layout.lay_out_lines(lines).markdown == f"Mr. Miller\nLong Street 7\n{LONG}"


def test_tall_lines_are_headings_and_marks_are_items() -> None:
    lines = [line("Report", 0, 0, 300, 45), line("•one", 0, 3), line("• two", 0, 4)]
    lines += [line(LONG, 0, row) for row in range(7, 10)]
    assert layout.lay_out_lines(lines).markdown.startswith("# Report\n\n- one\n- two\n\n")


def test_no_lines_are_no_text() -> None:
    assert layout.lay_out_lines([]).markdown == ""


def test_lines_merged_across_a_narrow_gutter_are_split() -> None:
    lines = []
    for row in range(10):
        left, right = f"left {row} {LONG}", f"right {row} {LONG}"
        if row in (4, 5):
            lines.append(line(f"{left} {right}", 0, row, 820, 26))
        else:
            lines += [line(left, 0, row, 405, 26), line(right, 415, row, 405, 26)]
    text = layout.lay_out_lines(lines).markdown
    assert text.index("left 9") < text.index("right 0")
    assert text.index("left 4") < text.index("left 5") < text.index("left 6")
    assert text.index("right 4") < text.index("right 5") < text.index("right 6")
