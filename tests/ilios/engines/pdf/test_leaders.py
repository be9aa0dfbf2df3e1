"""The dots of a list of contents stand between its entries and their numbers."""

import time

from ilios.engines.layout.items import Item
from ilios.engines.pdf.leaders import with_leaders
from tests.ilios.engines.pdf.conftest import ConvertPdf
from tests.pdf_pages import Builder, line, lines

ENTRIES = (
    ("1", "The quay", "3"),
    ("1.1", "Boats", "4"),
    ("1.2", "Boats", "11"),
    ("2", "Law.", "iv"),
)
DOTS = " ".join("." * 40)


def test_entries_of_a_list_of_contents_have_their_leaders(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    content = line("Contents", 72, 740, size=18)
    for at, (number, entry, target) in enumerate(ENTRIES):
        y = 700 - 18 * at
        content += line(number, 72, y) + line(entry, 100, y)
        content += line(DOTS, 200, y) + line(target, 500, y)
    builder.page(content)
    (page,) = convert_pdf(builder.build())
    rows = [row.strip("| ").split(" | ") for row in page.markdown.splitlines() if "Boats" in row]
    assert rows == [[f"1.1 Boats {DOTS}", "4"], [f"1.2 Boats {DOTS}", "11"]]
    assert page.markdown.count(DOTS) == len(ENTRIES)


def test_numbers_beside_entries_without_leaders_stay_apart(convert_pdf: ConvertPdf) -> None:
    builder = Builder()
    builder.page(lines("Wait . . . it is not over . . . there is more to come, at 7 or 8 perhaps."))
    (page,) = convert_pdf(builder.build())
    assert (
        page.markdown == "Wait . . . it is not over . . . there is more to come, at 7 or 8 perhaps."
    )


def test_leaders_that_the_parser_keeps_are_not_given_to_another_line() -> None:
    def phrase(text: str, left: float, top: float) -> Item:
        return Item(left=left, top=top, right=left + 40, bottom=top + 10, text=text, size=10)

    kept = [phrase("The quay", 0, 0), phrase(". . . . .", 60, 0), phrase("3", 300, 0)]
    again = [phrase("The quay", 0, 40), phrase("3", 300, 40)]
    found = with_leaders([*kept, *again], "The quay . . . . . 3\nThe quay 3")
    assert [item.text for item in found] == ["The quay", ". . . . .", "3", "The quay", "3"]


def test_a_long_line_of_dots_takes_no_time() -> None:
    item = Item(left=0, top=0, right=9, bottom=9, text="x", size=9)
    begin = time.process_time()
    with_leaders([item, item], "x" + " . x" * 50_000 + "\n" + ("a . . . . b " * 20 + "\n") * 100)
    assert time.process_time() - begin < 2
