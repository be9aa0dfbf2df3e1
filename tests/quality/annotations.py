"""Forms, annotations and links."""
# ruff: noqa: E501  the texts of the samples stand on lines of their own

from collections.abc import Callable, Iterator
from functools import partial

from tests.quality import glyphs
from tests.quality.paper import A4, Paper, Sheet, text_width
from tests.quality.prose import paragraphs
from tests.quality.sample import CLEAN, Sample, of_pages

Fields = tuple[tuple[str, str], ...]

FORMS: dict[str, Fields] = {
    "applicant": (("Name of the owner:", "Hedwig Sandpiper"), ("Home port:", "Kelpmouth")),
    "german": (("Antragsteller:", "Jürgen Möwe"), ("Liegeplatz:", "Nordmole 14")),
    "numbers": (
        ("Length in metres:", "11.75"),
        ("Built in:", "1987"),
        ("Sail number:", "GBR 4410"),
    ),
}


def samples() -> Iterator[Sample]:
    """Yield three variants of each kind."""
    for kind in (
        values_without_appearance,
        values_with_appearance,
        checkboxes,
        radio_buttons,
        choices,
        free_text,
        comments,
        xfa_forms,
        links,
    ):
        yield from kind()


def _text(value: str) -> str:
    """Return a string object, in UTF-16 where the value needs it."""
    if value.isascii():
        return f"({value})"
    return f"<feff{value.encode('utf-16-be').hex()}>"


def _form(
    fields: Fields, size: float, widget: Callable[[Paper, Sheet, int, str, float], str], more: str
) -> bytes:
    """Return a form: labels, and beside each a widget that ``widget`` makes."""
    sheet = Sheet(A4)
    sheet.text(72, 80, "Registration of a boat", "Helvetica-Bold", 16)
    paper = Paper(sheet)
    listed = []
    for place, (label, value) in enumerate(fields):
        y = 130.0 + 34 * place
        sheet.text(72, y, label, "Helvetica", size)
        number = paper.add(widget(paper, sheet, place, value, y))
        sheet.annotations.append(f"{number} 0 R")
        listed.append(f"{number} 0 R")
    sheet.text(72, 330, "To be handed in at the office of the harbour.", "Helvetica", 10)
    paper.catalog = (
        f"/AcroForm << /Fields [{' '.join(listed)}] {more} /DA (/Helv 11 Tf 0 g) "
        "/DR << /Font << /Helv << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>"
    )
    return paper.write()


def _field(_: Paper, sheet: Sheet, place: int, value: str, y: float) -> str:
    return (
        f"<< /Type /Annot /Subtype /Widget /FT /Tx /T (field{place}) /V {_text(value)} /F 4 "
        f"/DA (/Helv 11 Tf 0 g) /Rect {sheet.rectangle(230, y - 14, 220, 20)} >>"
    )


def _drawn_field(paper: Paper, sheet: Sheet, place: int, value: str, y: float) -> str:
    shown = value.encode("cp1252").hex()
    content = f"/Tx BMC BT /Helv 11 Tf 0 g 2 5 Td <{shown}> Tj ET EMC"
    font = "/Helv << /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
    form = paper.add(
        glyphs.packed(
            content.encode(),
            f"/Type /XObject /Subtype /Form /BBox [0 0 220 20] /Resources << /Font << {font} >> >>",
        )
    )
    return _field(paper, sheet, place, value, y).removesuffix(">>") + f"/AP << /N {form} 0 R >> >>"


def values_without_appearance() -> Iterator[Sample]:
    for (variant, fields), size in zip(FORMS.items(), (11.0, 12.0, 10.0), strict=True):
        yield _filled("form-values", variant, fields, size, _field, "/NeedAppearances true")


def values_with_appearance() -> Iterator[Sample]:
    for (variant, fields), size in zip(FORMS.items(), (12.0, 10.0, 11.0), strict=True):
        yield _filled("form-appearances", variant, fields, size, _drawn_field, "")


def _filled(
    kind: str,
    variant: str,
    fields: Fields,
    size: float,
    widget: Callable[[Paper, Sheet, int, str, float], str],
    more: str,
) -> Sample:
    order = [text for field in fields for text in field]
    lines = (f"before: {' | '.join(order)} | To be handed in", CLEAN)
    return Sample(kind, variant, "pdf", partial(_form, fields, size, widget, more), lines)


def choices() -> Iterator[Sample]:
    """Lists to choose from, and fields of several lines."""
    for variant, fields in (
        ("drop-down", (("Berth:", "South mole"), ("Season:", "Summer"))),
        ("list", (("Liegeplatz:", "Boje 3"), ("Strom:", "16 Ampere"))),
        ("several-lines", (("Address:", "7 Quay Street\\nKelpmouth"), ("Notes:", "Arrives late"))),
    ):
        shown = tuple((label, value.replace("\\n", " ")) for label, value in fields)
        order = " | ".join(text for field in shown for text in field)
        widget = partial(_choice, variant)
        yield Sample(
            "form-choices", variant, "pdf", partial(_form, fields, 11.0, widget, "/NeedAppearances true"),
            (f"before: {order} | To be handed in", CLEAN),
        )  # fmt: skip


def _choice(variant: str, paper: Paper, sheet: Sheet, place: int, value: str, y: float) -> str:
    field = _field(paper, sheet, place, value, y)
    if variant == "several-lines":
        return field.replace("/FT /Tx", "/FT /Tx /Ff 4096")
    flags = 131072 if variant == "drop-down" else 0
    return field.replace("/FT /Tx", f"/FT /Ch /Ff {flags} /Opt [(Other) ({value}) (None)]")


BOXES = {
    "two": (("With engine", True), ("With sail", False)),
    "german": (("Winterlager", False), ("Strom", True), ("Wasser", True)),
    "none-ticked": (("Day visitor", False), ("Guest for the season", False)),
}


def checkboxes() -> Iterator[Sample]:
    """Ticked boxes come as ``[x]``, others as ``[ ]``."""
    for variant, boxes in BOXES.items():
        lines = [
            f"raw: [x] {label} || raw: \u2611 {label} || raw: \u2612 {label}"
            if on
            else f"raw: [ ] {label} || raw: \u2610 {label}"
            for label, on in boxes
        ]
        yield Sample(
            "form-checkboxes", variant, "pdf", partial(_ticked, boxes, ""), (*lines, CLEAN)
        )  # fmt: skip


def radio_buttons() -> Iterator[Sample]:
    """Of several buttons one is chosen, which comes as ``[x]`` or ``(x)``."""
    for variant, choices, chosen in (
        ("berth", ("North mole", "South mole", "Buoy"), 1),
        ("german", ("monatlich", "jährlich"), 0),
        ("last", ("Cash", "Card", "Invoice"), 2),
    ):
        boxes = tuple((label, place == chosen) for place, label in enumerate(choices))
        lines = [
            f"raw: [x] {label} || raw: \u25c9 {label} || raw: \u2611 {label}"
            if on
            else f"raw: [ ] {label} || raw: \u25cb {label} || raw: \u2610 {label}"
            for label, on in boxes
        ]
        yield Sample(
            "form-radio", variant, "pdf", partial(_ticked, boxes, "choice"), (*lines, CLEAN)
        )  # fmt: skip


def _ticked(boxes: tuple[tuple[str, bool], ...], group: str) -> bytes:
    """Return a form of boxes to tick, or of the buttons of a group."""
    sheet = Sheet(A4)
    sheet.text(72, 80, "Registration of a guest", "Helvetica-Bold", 16)
    paper = Paper(sheet)
    entries = "/Type /XObject /Subtype /Form /BBox [0 0 12 12]"
    on = paper.add(glyphs.packed(b"1 w 1 1 10 10 re S 3 3 m 9 9 l S 3 9 m 9 3 l S", entries))
    off = paper.add(glyphs.packed(b"1 w 1 1 10 10 re S", entries))
    parent = paper.reserve() if group else 0
    listed = []
    for place, (label, ticked) in enumerate(boxes):
        y = 130.0 + 26 * place
        sheet.text(96, y, label, "Helvetica", 11)
        state = f"/S{place}" if group else "/Yes"
        owner = f"/Parent {parent} 0 R" if group else f"/FT /Btn /T (box{place})"
        value = "" if group else f"/V {state if ticked else '/Off'}"
        number = paper.add(
            f"<< /Type /Annot /Subtype /Widget {owner} {value} /F 4 /AS {state if ticked else '/Off'} "
            f"/Rect {sheet.rectangle(76, y - 10, 12, 12)} "
            f"/AP << /N << {state} {on} 0 R /Off {off} 0 R >> >> >>"
        )
        sheet.annotations.append(f"{number} 0 R")
        listed.append(f"{number} 0 R")
    fields = " ".join(listed)
    if group:
        chosen = next(f"/S{place}" for place, (_, ticked) in enumerate(boxes) if ticked)
        paper.fill(parent, f"<< /FT /Btn /Ff 49152 /T ({group}) /V {chosen} /Kids [{fields}] >>")
        fields = f"{parent} 0 R"
    paper.catalog = f"/AcroForm << /Fields [{fields}] >>"
    return paper.write()


def free_text() -> Iterator[Sample]:
    """Text typed onto a page with a viewer."""
    for variant, notes, drawn in (
        ("stamp", ("Received on 4 March", "Copy for the archive"), True),
        ("undrawn", ("PAID by transfer", "No reminder needed"), False),
        ("german", ("Eingegangen am 9. Mai", "Geprüft: Quill"), True),
    ):
        sheet = Sheet(A4)
        body = next(paragraphs("english", 7))
        sheet.paragraph(72, 120, 440, body, "Times", 11)
        paper = Paper(sheet)
        for place, note in enumerate(notes):
            number = paper.add(_free_text(paper, sheet, note, 260 + 60 * place, drawn=drawn))
            sheet.annotations.append(f"{number} 0 R")
        data = paper.write()
        lines = [f"contains: {text}" for text in (*notes, body)]
        yield Sample("free-text", variant, "pdf", partial(bytes, data), (*lines, CLEAN))


def comments() -> Iterator[Sample]:
    """Notes that a viewer shows beside the page or when they are opened."""
    for variant, kind, note in (
        ("note", "Text", "Please check this date with the office"),
        ("highlight", "Highlight", "Who agreed to this sentence"),
        ("german", "Text", "Bitte mit dem Rat abstimmen"),
    ):
        sheet = Sheet(A4)
        body = next(paragraphs("english", 8))
        sheet.paragraph(72, 120, 440, body, "Times", 11)
        points = "/QuadPoints [72 730 200 730 72 718 200 718]" if kind == "Highlight" else ""
        sheet.annotations.append(
            f"<< /Type /Annot /Subtype /{kind} /Contents {_text(note)} /T (Clara) /F 4 {points} "
            f"/Rect {sheet.rectangle(72, 112, 128, 14)} >>"
        )
        lines = (f"contains: {note}", f"paragraph: {body}")
        yield of_pages("comments", variant, [sheet], *lines)


def _free_text(paper: Paper, sheet: Sheet, note: str, y: float, *, drawn: bool) -> str:
    appearance = ""
    if drawn:
        font = (
            "/F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
        )
        content = f"BT /F 12 Tf 0.8 0 0 rg 4 8 Td <{note.encode('cp1252').hex()}> Tj ET"
        form = paper.add(
            glyphs.packed(
                content.encode(),
                f"/Type /XObject /Subtype /Form /BBox [0 0 200 24] /Resources << /Font << {font} >> >>",
            )
        )
        appearance = f"/AP << /N {form} 0 R >>"
    return (
        f"<< /Type /Annot /Subtype /FreeText /Contents {_text(note)} /DA (/Helv 12 Tf 1 0 0 rg) "
        f"/F 4 /Rect {sheet.rectangle(300, y, 200, 24)} {appearance} >>"
    )


def xfa_forms() -> Iterator[Sample]:
    """A page that asks for another viewer, in place of the form."""
    for variant, shown in (
        ("wait", "Please wait... If this message is not eventually replaced, your viewer cannot show the form."),
        ("german", "Bitte warten. Wird diese Seite nicht ersetzt, kann das Programm das Formular nicht anzeigen."),
        ("other", "To view the full contents of this document, you need a later version of the viewer."),
    ):  # fmt: skip
        sheet = Sheet(A4)
        sheet.paragraph(72, 120, 440, shown, "Helvetica", 12)
        paper = Paper(sheet)
        xml = b'<xdp:xdp xmlns:xdp="http://ns.adobe.com/xdp/"><template/></xdp:xdp>'
        paper.catalog = f"/NeedsRendering true /AcroForm << /Fields [] /XFA {paper.add(glyphs.packed(xml))} 0 R >>"
        data = paper.write()
        yield Sample("xfa", variant, "pdf", partial(bytes, data), ("warning: xfa_placeholder",))


def links() -> Iterator[Sample]:
    """Links on some of the text of a line."""
    for variant, parts, font, size in (
        ("two", (("Write to ", ""), ("Clara", "mailto:clara@pier.example"), (" or read ", ""), ("the rules", "https://pier.example/rules"), (" first.", "")), "Helvetica", 11.0),
        ("address", (("The list is at ", ""), ("https://pier.example/list", "https://pier.example/list"), (" and is free.", "")), "Times", 12.0),
        ("german", (("Siehe ", ""), ("Hafenordnung", "https://hafen.example/ordnung"), (", Abschnitt 4.", "")), "Helvetica", 10.0),
    ):  # fmt: skip
        sheet = Sheet(A4)
        y = sheet.paragraph(72, 100, 440, next(paragraphs("english", 3)), font, size)
        x = 72.0
        for text, target in parts:
            if target:
                x = sheet.link(x, y, text, target, font, size)
            else:
                sheet.text(x, y, text, font, size)
                x += text_width(text, font, size)
        lines = [f"link: {text} | {target}" for text, target in parts if target]
        whole = "".join(text for text, _ in parts)
        yield of_pages("links", variant, [sheet], *lines, f"contains: {whole}")
