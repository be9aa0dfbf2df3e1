"""OpenDocument presentations: slides, their order, notes, hidden ones."""

from ilios.engines.pages import Reading
from schemas.options import PageRange
from tests import documents
from tests.conversions import convert, count, texts
from tests.opendocuments import frame, items, odp, paragraph, slide

HIDDEN = (
    '<style:style style:name="off" style:family="drawing-page">'
    '<style:drawing-page-properties presentation:visibility="hidden"/></style:style>'
)


def test_each_slide_is_a_page_with_its_title_first() -> None:
    outline = frame(items(paragraph("one"), paragraph("two"), style="B"), "outline")
    first = slide(outline, frame(paragraph("The title"), "title"), notes="Speak slowly.")
    second = slide(frame(paragraph("Words in a box."), style="x"))
    data = odp(first, second)
    assert texts(data) == [
        "# The title\n\n- one\n- two\n\n> **Notes**\n>\n> Speak slowly.",
        "Words in a box.",
    ]
    assert count(data) == 2
    (page,) = convert(data, Reading(ranges=(PageRange(2, 2),)))
    assert (page.result.index, page.result.markdown) == (1, "Words in a box.")


def test_lists_of_two_boxes_have_their_own_numbers() -> None:
    boxes = (frame(items(paragraph("a"), paragraph("b"))), frame(items(paragraph("c"))))
    assert texts(odp(slide(*boxes))) == ["1. a\n2. b\n\n<!-- -->\n\n1. c"]


def test_hidden_slides_are_marked_and_what_the_template_repeats_is_left_out() -> None:
    shapes = (frame(paragraph("Secret"), "title"), frame(paragraph("3"), "page-number"))
    assert texts(odp(slide(*shapes, style="off"), automatic=HIDDEN)) == [
        "*(hidden slide)*\n\n# Secret"
    ]


def test_groups_tables_and_images_are_read_in_their_order() -> None:
    row = "<table:table-cell><text:p>{0}</text:p></table:table-cell>"
    rows = "".join(
        f"<table:table-row>{''.join(map(row.format, cells))}</table:table-row>"
        for cells in ("ab", "cd")
    )
    table = f"<draw:frame><table:table>{rows}</table:table></draw:frame>"
    image = (
        '<draw:frame><draw:image xlink:href="Pictures/a.png"><text:p/></draw:image>'
        "<svg:title>A plan</svg:title></draw:frame>"
    )
    shape = "<draw:custom-shape><text:p>On a shape</text:p></draw:custom-shape>"
    group = f"<draw:g>{shape}<draw:g>{frame(paragraph('Deep'))}</draw:g></draw:g>"
    picture = documents.image_file(documents.text_image("Hi"), "PNG")
    data = odp(slide(group, table, image), parts={"Pictures/a.png": picture})
    assert texts(data) == [
        "On a shape\n\nDeep\n\n| a | b |\n| --- | --- |\n| c | d |\n\n![A plan](image-1.png)"
    ]
