"""Small PDFs with what pages are made of: text in any direction, images, annotations, fields."""

import zlib
from collections.abc import Mapping, Sequence

HELVETICA = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"


def escaped(text: str) -> str:
    """Return a text as the inside of a literal string."""
    return text.translate({40: "\\(", 41: "\\)", 92: "\\\\"})


def line(text: str, x: float, y: float, size: float = 12, matrix: str = "1 0 0 1") -> str:
    """Return the drawing of a line of text; the matrix turns it."""
    return f"BT /F1 {size} Tf {matrix} {x} {y} Tm ({escaped(text)}) Tj ET\n"


def lines(*texts: str, x: float = 72, top: float = 720, size: float = 12) -> str:
    """Return the drawing of lines below one another."""
    return "".join(line(text, x, top - 1.4 * size * at, size) for at, text in enumerate(texts))


class Builder:
    """Collects the objects of a PDF; pages may name further ones."""

    def __init__(self) -> None:
        self._bodies: list[bytes] = [b"", b""]
        self._pages: list[int] = []
        self.catalog = ""
        self.font = self.add(HELVETICA)

    def add(self, body: str | bytes) -> int:
        """Add an object; return its number."""
        self._bodies.append(body.encode("latin-1") if isinstance(body, str) else body)
        return len(self._bodies)

    def replace(self, number: int, body: str) -> None:
        """Replace an object."""
        self._bodies[number - 1] = body.encode("latin-1")

    def stream(self, data: bytes, head: str = "") -> int:
        """Add a stream; return its number."""
        start = f"<< {head} /Length {len(data)} >>\nstream\n".encode("latin-1")
        return self.add(start + data + b"\nendstream")

    def image(self, grey: bytes, width: int, height: int) -> int:
        """Add a grey image; return its number."""
        head = (
            f"/Type /XObject /Subtype /Image /Width {width} /Height {height} "
            "/ColorSpace /DeviceGray /BitsPerComponent 8 /Filter /FlateDecode"
        )
        return self.stream(zlib.compress(grey), head)

    def page(
        self,
        content: str,
        *,
        annotations: Sequence[int] = (),
        more: str = "",
        images: Sequence[int] = (),
        font: int | None = None,
        fonts: Mapping[str, int] | None = None,
        size: tuple[float, float] = (612, 792),
    ) -> int:
        """Add a page; return its number. Images are named /I0, /I1 and so on, and its font /F1.

        ``fonts`` are further ones by their names.
        """
        stream = self.stream(content.encode("latin-1"))
        drawn = " ".join(f"/I{at} {number} 0 R" for at, number in enumerate(images))
        listed = " ".join(f"{number} 0 R" for number in annotations)
        more_fonts = " ".join(f"/{name} {number} 0 R" for name, number in (fonts or {}).items())
        self._pages.append(
            self.add(
                f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {size[0]} {size[1]}] "
                f"/Contents {stream} 0 R /Annots [{listed}] {more} /Resources << "
                f"/Font << /F1 {font or self.font} 0 R {more_fonts} >> /XObject << {drawn} >> >> >>"
            )
        )
        return self._pages[-1]

    def bars(self, letters: str) -> int:
        """Add a font of one-byte codes from 1 on, which mean these letters and show bars."""
        bar = self.stream(b"1000 0 0 0 1000 800 d1 100 0 800 700 re f")
        names = " ".join(f"/g{at}" for at in range(1, len(letters) + 1))
        shown = " ".join(f"{name} {bar} 0 R" for name in names.split())
        mapped = "".join(f"<{at:02X}> <{ord(one):04X}>\n" for at, one in enumerate(letters, 1))
        table = self.stream(
            (
                "/CIDInit /ProcSet findresource begin begincmap\n"
                "1 begincodespacerange <00> <FF> endcodespacerange\n"
                f"{len(letters)} beginbfchar\n{mapped}endbfchar\nendcmap end"
            ).encode()
        )
        return self.add(
            "<< /Type /Font /Subtype /Type3 /FontBBox [0 0 1000 800] "
            f"/FontMatrix [.001 0 0 .001 0 0] /CharProcs << {shown} >> "
            f"/Encoding << /Type /Encoding /Differences [1 {names}] >> "
            f"/FirstChar 1 /LastChar {len(letters)} /Widths [{'1000 ' * len(letters)}] "
            f"/ToUnicode {table} 0 R /Resources << >> >>"
        )

    def build(self) -> bytes:
        """Return the file."""
        kids = " ".join(f"{number} 0 R" for number in self._pages)
        self._bodies[0] = f"<< /Type /Catalog /Pages 2 0 R {self.catalog} >>".encode("latin-1")
        self._bodies[1] = f"<< /Type /Pages /Kids [{kids}] /Count {len(self._pages)} >>".encode()
        out = bytearray(b"%PDF-1.7\n")
        places = []
        for number, body in enumerate(self._bodies, 1):
            places.append(len(out))
            out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
        table = len(out)
        out += f"xref\n0 {len(places) + 1}\n0000000000 65535 f \n".encode()
        out += b"".join(f"{place:010} 00000 n \n".encode() for place in places)
        out += f"trailer\n<< /Size {len(places) + 1} /Root 1 0 R >>\n".encode()
        out += f"startxref\n{table}\n%%EOF\n".encode()
        return bytes(out)


def widget(kind: str, rect: str, more: str) -> str:
    """Return a form field that is its own annotation."""
    return f"<< /Type /Annot /Subtype /Widget /FT /{kind} /Rect [{rect}] /F 4 {more} >>"


def annotation(kind: str, rect: str, more: str) -> str:
    """Return an annotation."""
    return f"<< /Type /Annot /Subtype /{kind} /Rect [{rect}] {more} >>"


def link(rect: str, target: str) -> str:
    """Return a link to an address."""
    return annotation("Link", rect, f"/A << /S /URI /URI ({escaped(target)}) >>")
