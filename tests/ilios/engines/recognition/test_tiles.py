"""Large images are read in bands, each line of them once, and in reading order."""

from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont
from PIL.Image import Transpose

from ilios.engines.converters import frames, images
from ilios.engines.local.limits import EngineLimits
from ilios.engines.pages import Pages
from ilios.engines.pdf.convert import convert
from ilios.engines.recognition import ocr, tiles
from tests import documents

GOODS = ("Lamp oil", "Candles", "Rope", "Sail cloth", "Nails", "Tar", "Anchor chain", "Biscuits")


def receipt(width: int = 560, height: int = 6200, step: int = 150) -> tuple[Image.Image, list[str]]:
    """Return a long receipt with letters of 20 pixels, and its lines."""
    image = Image.new("L", (width, height), "white")
    font = ImageFont.load_default(20)
    lines = []
    for number, top in enumerate(range(40, height - 60, step)):
        lines.append(f"{number + 101} {GOODS[number % len(GOODS)]} {number * 37 + 1050}")
        ImageDraw.Draw(image).text((40, top), lines[-1], "black", font)
    return image, lines


def converted(image: Image.Image, kind: str, folder: Path) -> Pages:
    path = folder / "image"
    path.write_bytes(documents.image_file(image, kind))
    convert_it = convert if kind == "PDF" else images.convert
    return convert_it(path, EngineLimits(), lambda *_: None)


def small_pair(image: Image.Image) -> tuple[Image.Image, tiles.Finer]:
    small = image.convert("RGB")
    small.thumbnail((2000, 2000))
    return small, tiles.Finer(image.width / small.width, lambda: image)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "PDF"])
def test_all_lines_of_a_long_receipt_are_read_in_order(kind: str, tmp_path: Path) -> None:
    image, lines = receipt()
    if kind == "JPEG":
        image = image.transpose(Transpose.ROTATE_90)
    (page,) = converted(image, kind, tmp_path).pages
    assert "".join(page.result.markdown.split()) == "".join(lines).replace(" ", "")
    assert page.result.warnings == ()


@pytest.mark.slow
def test_small_print_beside_the_large_letters_of_a_poster_is_read() -> None:
    image, lines = receipt(4400, 3000, 400)
    title = ImageFont.load_default(240)
    ImageDraw.Draw(image).text((900, 1100), "HARBOUR FAIR", "black", title)
    beats: list[None] = []
    small, finer = small_pair(image)
    text = ocr.ImageReader().read(small, lambda: beats.append(None), finer=finer)
    assert "HARBOUR FAIR" in text.markdown
    found = " ".join(text.markdown.split())
    assert [line for line in lines if found.count(line) != 1] == []
    assert (text.recognised.width, text.recognised.height) == small.size
    assert len(beats) > len(tiles.bands(image))


def test_an_image_whose_letters_are_large_is_not_read_in_bands() -> None:
    image = documents.text_image("Packing list", "Harbour Stores", height=120)
    large = image.resize((4000, 4000 * image.height // image.width)).convert("L")
    assert tiles.lost_details(large, 2.0) == []
    assert tiles.lost_details(receipt()[0], 3.1)


def test_bands_cover_a_page_and_are_cut_between_its_lines() -> None:
    page, _ = receipt(3000, 4000, 130)
    bands = tiles.bands(page)
    assert [band[0] for band in bands] == [0, *(band[1] for band in bands[:-1])]
    assert bands[-1][1] == page.height
    assert all(page.width * (bottom - top) <= tiles.BAND_PIXELS for top, bottom, _, _ in bands)
    assert not any(top % 130 in range(46, 59) for top, *_ in bands[1:])


@pytest.mark.slow
def test_lines_at_the_place_where_bands_meet_are_read_once() -> None:
    image = Image.new("L", (1300, 3400), "white")
    font = ImageFont.load_default(20)
    expected = []
    for column in range(3):
        # No row is without letters of one of the columns.
        for number, top in enumerate(range(20 + 9 * column, 3340, 28)):
            expected.append(f"{GOODS[number % len(GOODS)]}{1000 * (column + 1) + number}")
            ImageDraw.Draw(image).text((40 + 420 * column, top), expected[-1], "black", font)
    assert any(top - above == tiles.SEAM for top, _, above, _ in tiles.bands(image))
    lines, _, ended = tiles._read_bands(ocr.load_recogniser(), image, lambda: None)
    assert not ended
    found = [line.text.replace(" ", "").lower() for line in lines]
    assert sorted(found) == sorted(one.replace(" ", "").lower() for one in expected)


@pytest.mark.slow
def test_text_that_even_the_bands_do_not_show_has_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    image, lines = receipt()
    monkeypatch.setattr(tiles, "MAX_CHARACTERS", 40)
    (page,) = converted(image, "PNG", tmp_path).pages
    assert [one.code for one in page.result.warnings] == ["small_text_unread"]
    assert page.result.markdown.startswith(lines[0])


@pytest.mark.slow
def test_a_document_of_many_large_pages_is_read_less_finely_with_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert tiles.most_pixels(1) == tiles.MAX_BANDS * tiles.BAND_PIXELS
    assert tiles.most_pixels(5000) == tiles.LEAST_BANDS * tiles.BAND_PIXELS
    monkeypatch.setattr(tiles, "BAND_PIXELS", 50_000)
    image, _ = receipt(height=9000)
    _, finer = frames.prepare_copies(image.resize((560 * 2, 9000 * 2)), tiles.most_pixels(1))
    assert finer
    assert finer.reduced > 1


@pytest.mark.slow
def test_reading_a_page_of_small_print_shows_progress_between_bands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tiles, "DENSE_PIXELS", 0)
    monkeypatch.setattr(tiles, "BAND_PIXELS", 200_000)
    image = Image.new("RGB", (1200, 320), "white")
    font = ImageFont.load_default(9)
    for top in range(20, 300, 14):
        ImageDraw.Draw(image).text(
            (20, top), "Lamp oil and candles, rope, tar; " * 8, "black", font
        )
    calls: list[None] = []
    recogniser = ocr.load_recogniser()
    finer = tiles.itself(image)
    assert finer
    found = tiles.read(recogniser, image, finer, lambda: calls.append(None))
    assert found
    assert len(calls) > len(tiles.bands(image.convert("L"))) > 1
