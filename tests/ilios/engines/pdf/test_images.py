"""Images on pages with a text layer are handed out with their boxes."""

import io
from pathlib import Path

from PIL import Image

from ilios.engines.local.limits import EngineLimits
from ilios.engines.pdf import convert
from schemas.results import Box
from tests.pdf_pages import Builder, lines


def test_an_image_has_its_bytes_and_its_box_and_an_ornament_is_left_out(tmp_path: Path) -> None:
    builder = Builder()
    shades = bytes((3 * x + 5 * y) % 256 for y in range(60) for x in range(80))
    pictures = [builder.image(shades, 80, 60), builder.image(b"\x80" * 16, 4, 4)]
    drawn = "q 160 0 0 120 72 300 cm /I0 Do Q q 60 0 0 60 400 300 cm /I1 Do Q\n"
    builder.page(lines("The pump is shown below this line of text.") + drawn, images=pictures)
    path = tmp_path / "document"
    path.write_bytes(builder.build())
    (page,) = convert.convert(path, EngineLimits(), lambda *_: None).pages
    (image,) = page.result.images
    assert image.box == Box(72, 372, 232, 492)
    assert f"![{image.id}]({image.id})" in page.result.markdown
    with Image.open(io.BytesIO(page.image_bytes[image.id])) as found:
        assert found.size == (80, 60)
