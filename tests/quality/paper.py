"""A small writer of PDF: text in given fonts at given places, rules, pictures, annotations.

Places are in points from the upper left corner of the page as it is shown; text stands on ``y``.
"""

from collections.abc import Iterable, Sequence
from io import BytesIO

from PIL import Image

from tests.quality import glyphs

A4 = (595, 842)
OURS = "Ours"
"""The font of our own making, for any letters."""

HELVETICA = (
    "278 278 355 556 556 889 667 191 333 333 389 584 278 333 278 278 556 556 556 556 556 556 556 "
    "556 556 556 278 278 584 584 584 556 1015 667 667 722 722 667 611 778 722 278 500 667 556 833 "
    "722 778 667 778 722 667 611 722 667 944 667 667 611 278 278 278 469 556 333 556 556 500 556 "
    "556 278 556 556 222 222 500 222 833 556 556 556 556 333 500 278 556 500 722 500 500 500 334 "
    "260 334 584"
)
TIMES = (
    "250 333 408 500 500 833 778 180 333 333 500 564 250 333 250 278 500 500 500 500 500 500 500 "
    "500 500 500 278 278 564 564 564 444 921 722 667 667 722 611 556 722 722 333 389 722 611 889 "
    "722 722 556 722 667 556 611 722 722 944 722 722 611 333 278 333 469 500 333 444 500 444 500 "
    "444 333 500 500 278 278 500 278 778 500 500 500 500 333 389 278 500 500 722 500 500 444 480 "
    "200 480 541"
)
WIDTHS = {"Helvetica": [*map(int, HELVETICA.split())], "Times": [*map(int, TIMES.split())]}
TURNS = {
    0: "1 0 0 1 0 0",
    90: "0 1 -1 0 {height} 0",
    180: "-1 0 0 -1 {width} {height}",
    270: "0 -1 1 0 0 {width}",
}


def text_width(text: str, font: str, size: float) -> float:
    """Return the width of a text; of letters outside ASCII, and of bold ones, about."""
    family = font.partition("-")[0]
    if family == "Courier":
        return 0.6 * size * len(text)
    widths = WIDTHS.get(family)
    if widths is None:
        return sum(_advance(letter) for letter in text) * size / 1000
    bold = 1.06 if "Bold" in font else 1.0
    codes = (ord(letter) - 32 for letter in text)
    return bold * size * sum(widths[n] if 0 <= n < len(widths) else 556 for n in codes) / 1000


def wrap(text: str, width: float, font: str, size: float) -> list[str]:
    """Return the lines of a paragraph."""
    lines, line = [], ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and text_width(longer, font, size) > width:
            lines.append(line)
            longer = word
        line = longer
    return [*lines, line]


def _advance(letter: str) -> int:
    return 1000 if letter >= "\u3000" else 250 if letter == " " else 550


class Sheet:
    """A page that is filled; ``turn`` turns its content, ``rotate`` is how a viewer turns it."""

    def __init__(
        self, size: tuple[float, float] = A4, turn: int = 0, rotate: int = 0,
        crop: tuple[float, float, float, float] | None = None,
    ) -> None:  # fmt: skip
        self.width, self.height = size
        self.turn, self.rotate, self.crop = turn, rotate, crop
        self.fonts: set[str] = set()
        self.drawn: list[tuple[str, tuple[object, ...]]] = []
        self.images: list[Image.Image] = []
        self.annotations: list[str] = []

    def text(
        self, x: float, y: float, text: str, font: str = "Helvetica", size: float = 11,
        *, hidden: bool = False, matrix: str = "1 0 0 1",
    ) -> None:  # fmt: skip
        """Write a text that begins at ``x``; ``matrix`` turns it, hidden text is not drawn."""
        self.fonts.add(font)
        mode = 3 if hidden else 0
        place = f"{matrix} {x:.2f} {self.height - y:.2f}"
        self.drawn.append((f"BT /{font} {size:g} Tf {mode} Tr {place} Tm ", (font, text)))

    def lines(
        self, x: float, y: float, lines: Iterable[str], font: str = "Helvetica", size: float = 11,
        leading: float = 0,
    ) -> float:  # fmt: skip
        """Write lines below one another; returns the place of the next one."""
        for line in lines:
            self.text(x, y, line, font, size)
            y += leading or 1.25 * size
        return y

    def paragraph(
        self, x: float, y: float, width: float, text: str, font: str = "Helvetica",
        size: float = 10.5,
    ) -> float:  # fmt: skip
        """Write a paragraph in lines of at most this width; returns the place of the next one."""
        return self.lines(x, y, wrap(text, width, font, size), font, size) + 0.6 * size

    def rule(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """Draw a line."""
        start, end = self.height - y0, self.height - y1
        self.drawn.append((f"0.7 w {x0:g} {start:g} m {x1:g} {end:g} l S", ()))

    def box(self, x: float, y: float, width: float, height: float) -> None:
        """Draw a rectangle, given its upper left corner."""
        self.drawn.append(
            (f"0.7 w {x:g} {self.height - y - height:g} {width:g} {height:g} re S", ())
        )

    def picture(self, x: float, y: float, width: float, height: float, image: Image.Image) -> None:
        """Draw a picture, given its upper left corner."""
        self.images.append(image)
        place = f"{width:g} 0 0 {height:g} {x:g} {self.height - y - height:g}"
        self.drawn.append((f"q {place} cm /I{len(self.images)} Do Q", ()))

    def rectangle(self, x: float, y: float, width: float, height: float) -> str:
        """Return the rectangle of an annotation, given its upper left corner."""
        return f"[{x:g} {self.height - y - height:g} {x + width:g} {self.height - y:g}]"

    def link(self, x: float, y: float, text: str, target: str, font: str, size: float) -> float:
        """Write a text that is a link; returns where it ends."""
        width = text_width(text, font, size)
        self.text(x, y, text, font, size)
        self.annotations.append(
            f"<< /Type /Annot /Subtype /Link /Border [0 0 0] "
            f"/Rect {self.rectangle(x, y - 0.8 * size, width, 1.05 * size)} "
            f"/A << /S /URI /URI ({target}) >> >>"
        )
        return x + width


class Paper:
    """A document of sheets; ``catalog`` and ``objects`` are entries and objects of a form."""

    def __init__(self, *sheets: Sheet, meaning: dict[int, str] | None = None) -> None:
        """Make a document; ``meaning`` is a text layer that the standard fonts pretend to have."""
        self.sheets = sheets
        self.meaning = meaning
        self.catalog = ""
        self._bodies: list[bytes] = []
        self._letters = {
            letter: place
            for place, letter in enumerate(sorted(self._own_letters()), 1)
        }  # fmt: skip

    def add(self, body: str | bytes) -> int:
        """Add an object; returns its number."""
        self._bodies.append(body.encode("latin-1") if isinstance(body, str) else body)
        return len(self._bodies)

    def reserve(self) -> int:
        """Return the number of an object that is filled in later."""
        return self.add(b"null")

    def fill(self, number: int, body: str) -> None:
        """Fill in an object."""
        self._bodies[number - 1] = body.encode("latin-1")

    def write(self) -> bytes:
        """Return the file, the same one each time."""
        before = [*self._bodies]
        tree = self.reserve()
        fonts = {name: self._font(name) for sheet in self.sheets for name in sorted(sheet.fonts)}
        named = " ".join(f"/{name} {number} 0 R" for name, number in fonts.items())
        pages = [self._page(sheet, tree, named) for sheet in self.sheets]
        kids = " ".join(f"{number} 0 R" for number in pages)
        self.fill(tree, f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>")
        root = self.add(f"<< /Type /Catalog /Pages {tree} 0 R {self.catalog} >>")
        data = _file(self._bodies, root)
        self._bodies = before
        return data

    def _own_letters(self) -> set[str]:
        return {
            letter
            for sheet in self.sheets
            for _, shown in sheet.drawn
            if shown and shown[0] == OURS
            for letter in str(shown[1])
        }

    def _page(self, sheet: Sheet, tree: int, fonts: str) -> int:
        images = " ".join(
            f"/I{place} {self._image(image)} 0 R" for place, image in enumerate(sheet.images, 1)
        )
        content = self.add(glyphs.packed(self._content(sheet)))
        annotations = " ".join(
            f"{self.add(annotation)} 0 R" if not annotation.endswith(" R") else annotation
            for annotation in sheet.annotations
        )
        wide, high = sheet.width, sheet.height
        if sheet.turn in (90, 270):
            wide, high = high, wide
        crop = f"/CropBox [{' '.join(f'{at:g}' for at in sheet.crop)}]" if sheet.crop else ""
        return self.add(
            f"<< /Type /Page /Parent {tree} 0 R /MediaBox [0 0 {wide:g} {high:g}] {crop} "
            f"/Rotate {sheet.rotate} /Contents {content} 0 R /Annots [{annotations}] "
            f"/Resources << /Font << {fonts} >> /XObject << {images} >> >> >>"
        )

    def _content(self, sheet: Sheet) -> bytes:
        turn = TURNS[sheet.turn].format(width=f"{sheet.width:g}", height=f"{sheet.height:g}")
        out = [f"{turn} cm".encode()]
        for operators, shown in sheet.drawn:
            if shown:
                out.append(operators.encode() + self._shown(*map(str, shown)) + b" Tj ET")
            else:
                out.append(operators.encode())
        return b"\n".join(out)

    def _shown(self, font: str, text: str) -> bytes:
        if font == OURS:
            return f"<{''.join(f'{self._letters[letter]:04X}' for letter in text)}>".encode()
        return f"<{text.encode('cp1252').hex()}>".encode()

    def _font(self, name: str) -> int:
        if name == OURS:
            return self._own_font()
        base = "Times-Roman" if name == "Times" else name
        table = ""
        if self.meaning:
            table = f"/ToUnicode {self.add(glyphs.packed(glyphs.to_unicode(self.meaning, 2)))} 0 R"
        return self.add(
            f"<< /Type /Font /Subtype /Type1 /BaseFont /{base} /Encoding /WinAnsiEncoding "
            f"{table} >>"
        )

    def _own_font(self) -> int:
        widths = [_advance(letter) for letter in self._letters]
        data = glyphs.true_type(widths)
        file = self.add(glyphs.packed(data, f"/Length1 {len(data)}"))
        box = f"[0 {glyphs.DESCENT} {glyphs.EM} {glyphs.ASCENT}]"
        descriptor = self.add(
            f"<< /Type /FontDescriptor /FontName /{OURS} /Flags 4 /FontBBox {box} /ItalicAngle 0 "
            f"/Ascent {glyphs.ASCENT} /Descent {glyphs.DESCENT} /CapHeight 700 /StemV 80 "
            f"/FontFile2 {file} 0 R >>"
        )
        listed = " ".join(map(str, widths))
        cid = self.add(
            f"<< /Type /Font /Subtype /CIDFontType2 /BaseFont /{OURS} /FontDescriptor {descriptor} "
            "0 R /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> "
            f"/CIDToGIDMap /Identity /W [1 [{listed}]] >>"
        )
        codes = {place: letter for letter, place in self._letters.items()}
        table = self.add(glyphs.packed(glyphs.to_unicode(codes, 4)))
        return self.add(
            f"<< /Type /Font /Subtype /Type0 /BaseFont /{OURS} /Encoding /Identity-H "
            f"/DescendantFonts [{cid} 0 R] /ToUnicode {table} 0 R >>"
        )

    def _image(self, image: Image.Image) -> int:
        grey = image.convert("L")
        entries = (
            f"/Type /XObject /Subtype /Image /Width {grey.width} /Height {grey.height} "
            "/ColorSpace /DeviceGray /BitsPerComponent 8"
        )
        return self.add(glyphs.packed(grey.tobytes(), entries))


def _file(bodies: Sequence[bytes], root: int) -> bytes:
    out = BytesIO()
    out.write(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    places = []
    for number, body in enumerate(bodies, 1):
        places.append(out.tell())
        out.write(f"{number} 0 obj\n".encode() + body + b"\nendobj\n")
    table = out.tell()
    out.write(f"xref\n0 {len(bodies) + 1}\n0000000000 65535 f \n".encode())
    out.write(b"".join(f"{place:010} 00000 n \n".encode() for place in places))
    out.write(f"trailer\n<< /Size {len(bodies) + 1} /Root {root} 0 R >>\n".encode())
    out.write(f"startxref\n{table}\n%%EOF\n".encode())
    return out.getvalue()
