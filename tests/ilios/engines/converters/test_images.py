"""Images of every kind are read, frame by frame."""

import io
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from actors import sniffing
from actors.engines import Unconvertible
from ilios.engines.converters import heif, images, registry
from ilios.engines.converters.frames import prepare_frame
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import Pages, Reading
from schemas.results import PageHeading
from tests import documents

TEXT = "Packing list 55120"
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64)


def converted(
    data: bytes,
    folder: Path,
    reading: Reading | None = None,
    limits: EngineLimits = EngineLimits(),  # noqa: B008  it is frozen
) -> Pages:
    path = folder / "image"
    path.write_bytes(data)
    content_type = sniffing.sniff(data, data)
    assert content_type
    convert = registry.load_converter(content_type)
    return convert(path, limits, lambda *_: None, reading or Reading())


def grey(lowest: float, highest: float, mode: str) -> Image.Image:
    """Return a text whose ink and paper have these values."""
    text = documents.text_image(TEXT).convert("F")
    scaled = text.point(lambda value: value * ((highest - lowest) / 255) + lowest)
    return scaled if mode == "F" else scaled.convert("I").convert(mode)


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_a_few_stuck_pixels_do_not_darken_a_scan(tmp_path: Path, mode: str) -> None:
    scan = grey(100, 500, mode)
    for x in range(4):
        scan.putpixel((x, 0), 65_535)
    file = io.BytesIO()
    scan.save(file, "TIFF")
    (page,) = converted(file.getvalue(), tmp_path).pages
    assert TEXT in page.result.markdown


def transparent(*lines: tuple[str, str], panel: str | None = None) -> bytes:
    """Return lines of text in their colours, on nothing but an opaque panel."""
    image = Image.new("RGBA", (900, 80 + 80 * len(lines)), (0, 0, 0, 0))
    drawn = ImageDraw.Draw(image)
    if panel:
        drawn.rectangle((0, 0, 899, 59), fill=panel)
    for at, (text, colour) in enumerate(lines):
        drawn.text((40, 80 + 80 * at), text, colour, ImageFont.load_default(40))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("lines", "panel"),
    [
        (((TEXT, "white"),), None),
        (((TEXT, "black"),), None),
        (((TEXT, "black"),), "white"),
        (((TEXT, "#ffee88"),), "white"),
        (((TEXT, "black"), ("Net weight 18 tonnes", "white")), None),
    ],
)
def test_text_on_a_transparent_background_is_read(
    tmp_path: Path, lines: tuple[tuple[str, str], ...], panel: str | None
) -> None:
    (page,) = converted(transparent(*lines, panel=panel), tmp_path).pages
    letters = "".join(page.result.markdown.split())
    assert all("".join(text.split()) in letters for text, _ in lines)


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        (grey(9_000, 52_000, "I;16"), "PNG"),
        (grey(300, 900, "I;16"), "TIFF"),
        (grey(0.1, 0.7, "F"), "TIFF"),
        (grey(-20_000, 90_000, "I"), "TIFF"),
        (documents.text_image(TEXT).convert("P"), "GIF"),
        (documents.text_image(TEXT).convert("1"), "TIFF"),
        (documents.text_image(TEXT).convert("CMYK"), "JPEG"),
        (documents.text_image(TEXT).convert("CMYK"), "TIFF"),
        (documents.text_image(TEXT).convert("LA"), "PNG"),
        (documents.text_image(TEXT), "AVIF"),
        (documents.text_image(TEXT), "JPEG2000"),
        (documents.text_image(TEXT), "WEBP"),
    ],
    ids=lambda given: given if isinstance(given, str) else given.mode,
)
def test_an_image_is_read_whatever_its_pixels_are(
    image: Image.Image, kind: str, tmp_path: Path
) -> None:
    (page,) = converted(documents.image_file(image, kind), tmp_path).pages
    assert TEXT in page.result.markdown
    assert page.result.method == "recognition"
    assert page.result.confidence
    assert page.result.confidence.average > 0.9
    assert page.result.warnings == ()


def test_pixels_that_are_no_numbers_do_not_hide_the_others() -> None:
    pixels = [float("nan"), float("inf"), 0.0, 0.5, 1.0]
    frame = Image.new("F", (5, 1))
    frame.putdata(pixels)
    assert list(prepare_frame(frame).convert("L").tobytes())[2:] == [0, 127, 255]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_each_frame_of_an_animation_is_a_page(kind: str, tmp_path: Path) -> None:
    first, second = documents.text_image("First"), documents.text_image("Other")
    data = documents.image_file(first, kind, [second])
    texts = [page.result.markdown for page in converted(data, tmp_path).pages]
    assert texts == ["First", "Other"]
    assert registry.count_pages(tmp_path / "image", f"image/{kind.lower()}") == 2


def test_frames_after_the_last_that_is_read_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "MAX_ANIMATION_FRAMES", 2)
    lines = [documents.text_image(text) for text in ("First", "Other", "Third")]
    for count, codes in ((2, []), (3, ["frames_not_read"])):
        data = documents.image_file(lines[0], "GIF", lines[1:count])
        pages = converted(data, tmp_path).pages
        assert [page.result.markdown for page in pages] == ["First", "Other"]
        assert [one.code for page in pages for one in page.result.warnings] == codes


def test_without_recognition_a_page_has_a_warning_instead_of_text(tmp_path: Path) -> None:
    data = documents.image_file(documents.text_image(TEXT), "PNG")
    (page,) = converted(data, tmp_path, Reading(recognition="never")).pages
    assert page.result.markdown == ""
    assert [one.code for one in page.result.warnings] == ["image_text_unread"]


def test_a_page_names_its_headings_and_tables(tmp_path: Path) -> None:
    page = Image.new("RGB", (1000, 640), "white")
    draw = ImageDraw.Draw(page)
    draw.text((60, 40), "Harbour dues", "black", ImageFont.load_default(60))
    font = ImageFont.load_default(30)
    for row in range(3):
        text = f"The {row + 1}. line of text under it fills the whole width of the page"
        draw.text((60, 150 + 40 * row), text, "black", font)
    for row, cells in enumerate([("Ship", "Tons", "Dues"), ("Swan", "140", "35"), ("Wren", "90")]):
        for column, cell in enumerate(cells):
            draw.text((60 + 300 * column, 380 + 60 * row), cell, "black", font)
    data = documents.image_file(documents.text_image(TEXT), "TIFF", [page])
    result = converted(data, tmp_path).pages[1].result
    assert result.headings == (PageHeading(1, "Harbour dues"),)
    (table,) = result.tables
    assert (table.id, table.format) == ("table-1-0", "markdown")
    assert table.content.splitlines()[2] == "| Swan | 140 | 35 |"
    assert table.content in result.markdown


# /dev/null is no library.
@pytest.mark.parametrize("decoder", ["off", "/dev/null"])
def test_a_heic_image_without_a_decoder_is_refused_with_what_to_do(
    tmp_path: Path, decoder: str
) -> None:
    with pytest.raises(Unconvertible, match=r"HEIC.* JPEG.*libheif.*ILIOS_HEIF") as caught:
        converted(HEIC, tmp_path, limits=EngineLimits(heif=decoder))
    assert caught.value.code == "unsupported_type"


def test_a_decoder_that_cannot_be_loaded_is_a_warning() -> None:
    (warned,) = heif.decoder_warnings("/dev/null")
    assert "ILIOS_HEIF: /dev/null" in warned
    assert heif.decoder_warnings("auto") == heif.decoder_warnings("off") == []


def test_a_damaged_heic_image_is_refused(tmp_path: Path) -> None:
    if heif.load(heif.AUTO) is None:
        pytest.skip("libheif is not installed")
    with pytest.raises(Unconvertible) as caught:
        converted(HEIC, tmp_path)
    assert caught.value.code == "corrupt"


def test_the_resolution_is_that_of_the_image_that_was_read(tmp_path: Path) -> None:
    wide = Image.new("L", (4000, 400), "white")
    file = io.BytesIO()
    wide.save(file, "PNG", dpi=(300, 300))
    (page,) = converted(file.getvalue(), tmp_path).pages
    assert page.result.dimensions
    assert (page.result.dimensions.dpi, page.result.dimensions.width) == (150, 2000)


def test_an_avif_image_whose_pixels_are_damaged_is_refused(tmp_path: Path) -> None:
    made = bytearray(documents.image_file(documents.text_image(TEXT), "AVIF"))
    start = made.rindex(b"mdat") + 4
    made[start + 40 : start + 400] = b"\xff" * len(made[start + 40 : start + 400])
    with pytest.raises(Unconvertible) as caught:
        converted(bytes(made), tmp_path)
    assert caught.value.code == "corrupt"
