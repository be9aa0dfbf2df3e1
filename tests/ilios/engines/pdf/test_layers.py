"""The text layer of a page as items."""

from pathlib import Path

import pypdfium2

from ilios.engines.layout.items import Item
from ilios.engines.pages import Portion
from ilios.engines.pdf.document import plain_text
from ilios.engines.pdf.draft import Draft
from ilios.engines.pdf.geometry import Sheet
from ilios.engines.pdf.layers import take_items, without_fonts
from ilios.engines.pdf.parser import parse_batches
from tests.pdf_pages import Builder, line, link


def test_links_stay_where_the_text_of_a_font_is_replaced(tmp_path: Path) -> None:
    builder = Builder()
    other = builder.add("<< /Type /Font /Subtype /Type1 /BaseFont /Courier >>")
    noise = builder.stream(
        line("Xq zrt mmk", 72, 600).encode(),
        "/Type /XObject /Subtype /Form /BBox [0 0 612 792] "
        f"/Resources << /Font << /F1 {other} 0 R >> >>",
    )
    address = builder.add(link("72 696 300 712", "https://ferry.example/tide"))
    content = line("The boat waits for the tide", 72, 700) + "/I0 Do"
    builder.page(content, images=[noise], annotations=[address])
    path = tmp_path / "document"
    path.write_bytes(builder.build())
    document = pypdfium2.PdfDocument(path)
    (batch,) = parse_batches(path, document, [0], Portion())
    textpage = document[0].get_textpage()
    draft, sheet = Draft(0, layer=plain_text(textpage)), Sheet.of(document[0])
    take_items(draft, textpage, sheet, batch.pages[0])
    seen = Item(left=72, top=180, right=200, bottom=192, text="Low water at six", size=12)
    page = without_fonts(draft, textpage, sheet, batch.pages[0], frozenset({"Courier"}), [seen])
    assert [(item.text, item.link) for item in page.items] == [
        ("The boat waits for the tide", "https://ferry.example/tide"),
        ("Low water at six", None),
    ]
    textpage.close()
    document.close()
