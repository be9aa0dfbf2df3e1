"""Images of text: clean, turned, skewed, of many kinds of pixels and files, in other alphabets."""
# ruff: noqa: E501  the texts of the samples stand on lines of their own

from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path

from PIL import Image

from tests.quality import pictures
from tests.quality.sample import CLEAN, Sample

TEXTS = {
    "note": ("Delivery note 51926", "Harbour Stores Ltd", "Total weight 204 kg"),
    "ticket": ("Ferry ticket 3380", "From Kelpmouth to Westing", "Paid 7.50 EUR"),
    "german": ("Lieferschein 7714", "Werft Nordhafen", "Gewicht 96 kg"),
}
SIZES = {"note": 36, "ticket": 30, "german": 42}


def samples() -> Iterator[Sample]:
    """Yield three variants of each kind."""
    for kind in (
        clean, turned, skewed, grey_of_16_bits, floating_point, palette, cmyk, transparent,
        tiff_pages, animated, other_alphabets, heic,
    ):  # fmt: skip
        yield from kind()


def _each(
    kind: str, suffixes: Sequence[str], make: Callable[[Image.Image, str, int], bytes]
) -> Iterator[Sample]:
    for place, ((variant, texts), suffix) in enumerate(zip(TEXTS.items(), suffixes, strict=True)):
        size = SIZES[variant]

        def data(
            texts: Sequence[str] = texts, suffix: str = suffix, place: int = place, size: int = size
        ) -> bytes:
            return make(pictures.lines(texts, size), suffix, place)

        lines = (*(f"contains: {text}" for text in texts), f"before: {' | '.join(texts)}", CLEAN)
        yield Sample(kind, variant, suffix, data, lines)


def _saved(image: Image.Image, suffix: str, **options: object) -> bytes:
    kinds = {"jpg": "JPEG", "tif": "TIFF"}
    out = BytesIO()
    image.save(out, kinds.get(suffix, suffix.upper()), **options)
    return out.getvalue()


def clean() -> Iterator[Sample]:
    return _each(
        "scan-clean", ("png", "jpg", "webp"), lambda image, suffix, _: _saved(image, suffix)
    )


def turned() -> Iterator[Sample]:
    def make(image: Image.Image, suffix: str, place: int) -> bytes:
        return _saved(image.rotate(90 * (place + 1), expand=True), suffix)

    return _each("scan-turned", ("png", "png", "jpg"), make)


def skewed() -> Iterator[Sample]:
    def make(image: Image.Image, suffix: str, place: int) -> bytes:
        angle = (2.5, -3, 4)[place]
        turned = image.rotate(angle, Image.Resampling.BICUBIC, expand=True, fillcolor=255)
        return _saved(turned, suffix)

    return _each("scan-skewed", ("png", "jpg", "png"), make)


def grey_of_16_bits() -> Iterator[Sample]:
    """Ink that is not quite black, on paper that is not quite white."""

    def make(image: Image.Image, suffix: str, place: int) -> bytes:
        low, high = ((2000, 60000), (9000, 40000), (300, 4000))[place]
        values = array("H", (low + value * (high - low) // 255 for value in image.tobytes()))
        return _saved(Image.frombytes("I;16", image.size, values.tobytes()), suffix)

    return _each("scan-16-bits", ("png", "tif", "png"), make)


def floating_point() -> Iterator[Sample]:
    def make(image: Image.Image, suffix: str, place: int) -> bytes:
        low, high = ((0.0, 1.0), (0.1, 300.0), (-1.0, 1.0))[place]
        values = array("f", (low + value / 255 * (high - low) for value in image.tobytes()))
        return _saved(Image.frombytes("F", image.size, values.tobytes()), suffix)

    return _each("scan-float", ("tif", "tif", "tif"), make)


def palette() -> Iterator[Sample]:
    def make(image: Image.Image, suffix: str, place: int) -> bytes:
        colours = (("navy", "white"), ("darkred", "lightyellow"), ("white", "darkgreen"))[place]
        ink, ground = (Image.new("RGB", image.size, colour) for colour in colours)
        coloured = Image.composite(ground, ink, image)
        return _saved(coloured.quantize(8), suffix)

    return _each("scan-palette", ("gif", "png", "png"), make)


def cmyk() -> Iterator[Sample]:
    def make(image: Image.Image, suffix: str, _: int) -> bytes:
        return _saved(image.convert("RGB").convert("CMYK"), suffix)

    return _each("scan-cmyk", ("jpg", "tif", "jpg"), make)


def transparent() -> Iterator[Sample]:
    """Ink on nothing: what is seen depends on the ground."""

    def make(image: Image.Image, suffix: str, place: int) -> bytes:
        ink = Image.new("RGBA", image.size, ("black", "navy", "black")[place])
        ink.putalpha(image.point(lambda value: 255 - value))
        return _saved(ink, suffix)

    return _each("scan-transparent", ("png", "webp", "png"), make)


def _frames(kind: str, suffixes: Sequence[str], options: dict[str, object]) -> Iterator[Sample]:
    for (variant, texts), suffix in zip(TEXTS.items(), suffixes, strict=True):

        def data(
            texts: Sequence[str] = texts, variant: str = variant, suffix: str = suffix
        ) -> bytes:
            size = SIZES[variant]
            frames = [
                pictures.lines([text, f"Sheet {number}"], size)
                for number, text in enumerate(texts, 1)
            ]
            wide, high = max(frame.width for frame in frames), frames[0].height
            padded = []
            for frame in frames:
                page = Image.new("L", (wide, high), 255)
                page.paste(frame)
                padded.append(page)
            return _saved(padded[0], suffix, save_all=True, append_images=padded[1:], **options)

        lines = [f"page {number} contains: {text}" for number, text in enumerate(texts, 1)]
        yield Sample(kind, variant, suffix, data, (*lines, "pages: 3", CLEAN))


def tiff_pages() -> Iterator[Sample]:
    return _frames("scan-pages", ("tif", "tif", "tif"), {})


def animated() -> Iterator[Sample]:
    return _frames("scan-animated", ("gif", "webp", "png"), {"duration": 500})


def _drawn(texts: Sequence[str], font: Path) -> bytes:
    return _saved(pictures.lines(texts, 34, font_file=font), "png")


SCRIPTS = {
    "russian": ("Договор хранения лодки", "Срок: два года", "Сумма 38000 рублей"),
    "greek": ("Άδεια λιμένος", "Διάρκεια τριών ετών", "Ποσό 720"),
    "ukrainian": ("Правила користування причалом", "Плата 450 гривень", "Діє з травня"),
}


def other_alphabets() -> Iterator[Sample]:
    """What the bundled models cannot read: recognised, or warned of. Needs a font of the machine."""
    font = pictures.wide_font()
    if font is None:
        return
    for variant, texts in SCRIPTS.items():
        yield Sample(
            "scan-other-script", variant, "png",
            partial(_drawn, texts, font),
            tuple(f"contains~1: {text} || warning: script_not_recognised" for text in texts),
        )  # fmt: skip


def heic() -> Iterator[Sample]:
    """The beginning of a HEIC file: refused by its name, or as damaged where a decoder is installed."""
    for variant, brand, compatible in (
        ("photo", b"heic", b"mif1heic"),
        ("burst", b"hevc", b"msf1hevcheic"),
        ("generic", b"mif1", b"mif1heic"),
    ):
        head = brand + b"\0\0\0\0" + compatible
        box = (len(head) + 8).to_bytes(4, "big") + b"ftyp" + head
        data = box + b"\0\0\0\x0cmeta\0\0\0\0" + bytes(range(256))
        yield Sample(
            "heic", variant, "heic", partial(bytes, data), ("refused: HEIC || refused: damaged",)
        )
