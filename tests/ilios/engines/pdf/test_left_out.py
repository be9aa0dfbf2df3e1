"""Links and images of a page that are left out, which a warning counts."""

import pytest

from ilios.engines.pdf import images, links
from tests.ilios.engines.pdf.conftest import ConvertPdf
from tests.pdf_pages import Builder, line, link


def test_links_that_are_left_out_are_counted(
    convert_pdf: ConvertPdf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ilios.engines.pdf.layers.MAX_LINKS", 3)
    builder = Builder()
    listed = [
        builder.add(link(f"72 {690 - 20 * at} 300 {710 - 20 * at}", f"https://rope.example/{at}"))
        for at in range(5)
    ]
    content = "".join(line(f"Coil number {at}", 72, 695 - 20 * at) for at in range(5))
    builder.page(content, annotations=listed)
    (page,) = convert_pdf(builder.build())
    assert page.markdown.count("https://rope.example/") == 3
    assert "Coil number 4" in page.markdown
    (warning,) = page.warnings
    assert warning.code == "links_left_out"
    assert warning.message.endswith(": 2.")


def test_links_on_parts_of_lines_that_are_left_out_are_counted(
    convert_pdf: ConvertPdf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "MAX_LOOKS", 1)
    builder = Builder()
    listed = [
        builder.add(link(f"72 {690 - 40 * at} 110 {710 - 40 * at}", f"https://rope.example/{at}"))
        for at in range(3)
    ]
    content = "".join(line(f"Coil number {at}, or another", 72, 695 - 40 * at) for at in range(3))
    builder.page(content, annotations=listed)
    (page,) = convert_pdf(builder.build())
    assert [one.message[-3:] for one in page.warnings if one.code == "links_left_out"] == [" 2."]


def test_images_that_are_left_out_are_counted(
    convert_pdf: ConvertPdf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "MAX_PAGE_IMAGES", 2)
    builder = Builder()
    drawn = [builder.image(bytes(range(64)) * 64, 64, 64) for _ in range(5)]
    places = "".join(f"q 60 0 0 60 {72 + 80 * at} 500 cm /I{at} Do Q\n" for at in range(len(drawn)))
    builder.page(line("Marks of the five yards", 72, 700) + places, images=drawn)
    (page,) = convert_pdf(builder.build())
    assert len(page.images) == 2
    (warning,) = page.warnings
    assert warning.code == "images_left_out"
    assert warning.message.endswith(": 3.")
