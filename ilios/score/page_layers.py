"""A program that reads files for comparison: ``layers PATH...`` or ``pictures PATH DIR``.

It runs in a process of its own, because PDFium may crash on a broken file. ``layers`` prints a line
for each file, a JSON array: the text of each page inside its crop box. ``pictures`` writes
``1.jpg``, ``2.jpg``, ...
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pypdfium2
import pypdfium2.raw as pdfium
from PIL import Image, ImageSequence

TOLERANCE = 1.0  # points by which a character may stand outside of the crop box
HYPHEN = "\x02"
"""PDFium gives it for a hyphen at the end of a line."""

MAX_PICTURES = 40
PICTURE_HEIGHT = 900  # pixels
QUALITY = 70


def main(arguments: list[str]) -> int:
    """Run the program; returns the exit code."""
    if arguments[0] == "layers":
        for name in arguments[1:]:
            sys.stdout.write(json.dumps(read_layers(Path(name))) + "\n")
            sys.stdout.flush()
    else:
        write_pictures(Path(arguments[1]), Path(arguments[2]))
    return 0


def read_layers(path: Path) -> list[str]:
    """Return the text of each page inside its crop box; none of a file that cannot be opened."""
    try:
        document = pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError:
        return []
    try:
        return [_read_layer(document, index) for index in range(len(document))]
    finally:
        document.close()


def _read_layer(document: pypdfium2.PdfDocument, index: int) -> str:
    try:
        page = document[index]
        textpage = page.get_textpage()
    except pypdfium2.PdfiumError:
        return ""
    left, bottom, right, top = page.get_cropbox()
    inside = (left - TOLERANCE, bottom - TOLERANCE, right + TOLERANCE, top + TOLERANCE)
    units: list[int] = []
    for place in range(textpage.count_chars()):
        unit = pdfium.FPDFText_GetUnicode(textpage, place)
        if pdfium.FPDFText_IsGenerated(textpage, place) == 1 or _is_inside(textpage, place, inside):
            units.append(unit)
    textpage.close()
    page.close()
    raw = b"".join(unit.to_bytes(2, "little") for unit in units if unit < 0x10000)
    text = raw.decode("utf-16-le", "replace")
    for sign in (HYPHEN, "\ufffe", "\u00ad"):
        for end in ("\r\n", "\n", "\r", ""):
            text = text.replace(sign + end, "")
    return text


def _is_inside(
    textpage: pypdfium2.PdfTextPage, place: int, box: tuple[float, float, float, float]
) -> bool:
    try:
        left, bottom, right, top = textpage.get_charbox(place)
    except pypdfium2.PdfiumError:
        return True
    x, y = (left + right) / 2, (bottom + top) / 2
    return bool(box[0] <= x <= box[2] and box[1] <= y <= box[3])


def write_pictures(path: Path, directory: Path) -> None:
    """Write a picture of each page or frame."""
    with path.open("rb") as file:
        is_pdf = b"%PDF-" in file.read(1024)
    pictures = _pdf_pictures(path) if is_pdf else _image_pictures(path)
    for number, picture in enumerate(pictures, 1):
        picture.thumbnail((4 * PICTURE_HEIGHT, PICTURE_HEIGHT))
        picture.convert("RGB").save(directory / f"{number}.jpg", quality=QUALITY)


def _pdf_pictures(path: Path) -> Iterator[Image.Image]:
    document = pypdfium2.PdfDocument(path)
    document.init_forms()
    for index in range(min(len(document), MAX_PICTURES)):
        page = document[index]
        scale = PICTURE_HEIGHT / max(page.get_height(), 1)
        yield page.render(scale=min(scale, 4)).to_pil()
        page.close()
    document.close()


def _image_pictures(path: Path) -> Iterator[Image.Image]:
    with Image.open(path) as image:
        for number, frame in enumerate(ImageSequence.Iterator(image)):
            if number == MAX_PICTURES:
                break
            picture = frame.copy()
            if picture.mode.startswith(("I", "F")):
                low, high = picture.getextrema()
                picture = picture.point(
                    lambda value, low=low, high=high: 255 * (value - low) / max(high - low, 1e-9)
                )
            if picture.has_transparency_data:
                ground = Image.new("RGBA", picture.size, "white")
                ground.alpha_composite(picture.convert("RGBA"))
                picture = ground
            yield picture


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
