"""Hostile OpenDocument files: floods, depths, cycles, entities, bombs. One function a kind."""

import io
import random
import zipfile
from collections.abc import Callable

from tests import documents
from tests import opendocuments as odf
from tests.opendocuments import odp, odt, paragraph, slide

Make = Callable[[random.Random], bytes]
BIG = 2**31 - 1


def made(dice: random.Random, body: str, **more: object) -> bytes:
    """Return a text or a presentation with this in it."""
    if dice.random() < 0.6:
        return odt(body, **more)  # type: ignore[arg-type]
    more.pop("masters", None)
    more.pop("styles", None)
    return odp(slide(f"<draw:frame><draw:text-box>{body}</draw:text-box></draw:frame>"), **more)  # type: ignore[arg-type]


def repeated_cells(dice: random.Random) -> bytes:
    text = "<text:p>" + "x" * dice.choice([1, 100, 5000]) + "</text:p>"
    attributes = dice.choice(
        [
            f'table:number-columns-repeated="{BIG}"',
            f'table:number-columns-spanned="{BIG}" table:number-rows-spanned="{BIG}"',
            f'table:number-columns-repeated="{10**400}"',
            'table:number-columns-repeated="-5"',
        ]
    )
    cell = f"<table:table-cell {attributes}>{text}</table:table-cell>"
    row = f'<table:table-row table:number-rows-repeated="{BIG}">{cell}</table:table-row>'
    return made(dice, f"<table:table>{row * dice.choice([1, 30])}</table:table>")


def many_cells(dice: random.Random) -> bytes:
    row = "<table:table-row>" + "<table:table-cell><text:p>x</text:p></table:table-cell>" * 1000
    return made(dice, f"<table:table>{(row + '</table:table-row>') * 400}</table:table>")


def depths(dice: random.Random) -> bytes:
    opening, closing = dice.choice(
        [
            ("<text:list><text:list-item>", "</text:list-item></text:list>"),
            ("<text:section>", "</text:section>"),
            (
                "<table:table><table:table-row><table:table-cell>",
                "</table:table-cell></table:table-row></table:table>",
            ),
            ("<text:p><draw:frame><draw:text-box>", "</draw:text-box></draw:frame></text:p>"),
            ("<draw:g>", "</draw:g>"),
            ("<unknown>", "</unknown>"),
        ]
    )
    depth = dice.choice([50, 80, 120, 5000])
    return made(dice, opening * depth + paragraph("deep") + closing * depth)


def deep_spans(dice: random.Random) -> bytes:
    opening, closing = dice.choice(
        [
            ("<text:span>", "</text:span>"),
            ('<text:a xlink:href="http://x.org">', "</text:a>"),
            ("<text:note><text:note-body><text:p>", "</text:p></text:note-body></text:note>"),
            ("<office:annotation><text:p>", "</text:p></office:annotation>"),
            ("<text:ruby><text:ruby-base>", "</text:ruby-base></text:ruby>"),
        ]
    )
    depth = dice.choice([30, 70, 240, 5000])
    return made(dice, f"<text:p>{opening * depth}deep{closing * depth}</text:p>")


def entities(dice: random.Random) -> bytes:
    laugh = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    outside = '<!ENTITY x SYSTEM "file:///etc/passwd">'
    declared, used = dice.choice(
        [(f'<!ENTITY l0 "ha">{laugh}', "&l11;"), (outside, "&x;"), (outside, "&undeclared;")]
    )
    content = odf.root(
        "document-content",
        f"<office:body><office:text><text:p>{used}</text:p></office:text></office:body>",
    )
    return odt(parts={"content.xml": f"<!DOCTYPE x [{declared}]>{content}"})


def cycles_of_styles(dice: random.Random) -> bytes:
    styles = "".join(
        f'<style:style style:name="s{n}" style:family="paragraph"'
        f' style:parent-style-name="s{(n + 1) % 50}"/>'
        for n in range(50)
    )
    return made(dice, paragraph("text", "s1") * 20_000, automatic=styles)


def changes_within_themselves(dice: random.Random) -> bytes:
    region = (
        '<text:changed-region text:id="c"><text:deletion><text:p>gone<text:change '
        'text:change-id="c"/></text:p></text:deletion></text:changed-region>'
    )
    change = '<text:change text:change-id="c"/>' * 50_000
    return odt(f"<text:tracked-changes>{region}</text:tracked-changes><text:p>{change}</text:p>")


def objects_within_themselves(dice: random.Random) -> bytes:
    frames = '<draw:frame><draw:object xlink:href="./O"/></draw:frame>' * dice.choice([1, 5, 300])
    inner = odf.root(
        "document-content",
        f"<office:body><office:text><text:p>x{frames}</text:p></office:text></office:body>",
    )
    return made(dice, f"<text:p>{frames}</text:p>", parts={"O/content.xml": inner})


def repeated_pictures(dice: random.Random) -> bytes:
    frame = '<draw:frame><draw:image xlink:href="Pictures/a.png"/></draw:frame>'
    picture = documents.image_file(documents.text_image("Hi"), "PNG") + bytes(7_000_000)
    return made(dice, f"<text:p>{frame * 20_000}</text:p>", parts={"Pictures/a.png": picture})


def blanks(dice: random.Random) -> bytes:
    return made(dice, f'<text:p>{f"""<text:s text:c="{BIG}"/>""" * 50_000}x</text:p>')


def many_paragraphs(dice: random.Random) -> bytes:
    body = dice.choice(
        [
            paragraph("x") * 200_000,
            odf.heading("x", 10**6) * 50_000,
            odf.items(*[paragraph("x")] * 100_000),
            "<text:p><text:note><text:note-citation>1</text:note-citation><text:note-body>"
            "<text:p>n</text:p></text:note-body></text:note></text:p>" * 30_000,
        ]
    )
    return made(dice, body)


def many_slides(dice: random.Random) -> bytes:
    return odp(*[slide()] * dice.choice([4000, 60_000]))


def formulas(dice: random.Random) -> bytes:
    inner = dice.choice(["<mrow>" * 200 + "<mi>x</mi>" + "</mrow>" * 200, "<mi>x</mi>" * 200_000])
    math = f'<math xmlns="http://www.w3.org/1998/Math/MathML">{inner}</math>'
    frame = '<draw:frame><draw:object xlink:href="./O"/></draw:frame>'
    return made(dice, f"<text:p>{frame}</text:p>", parts={"O/content.xml": math})


def bombs(dice: random.Random) -> bytes:
    out = io.BytesIO()
    name = dice.choice(["content.xml", "styles.xml", "Pictures/a.png"])
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", odf.ODT, zipfile.ZIP_STORED)
        if name != "content.xml":
            archive.writestr("content.xml", odf.root("document-content", "<office:body/>"))
        archive.writestr(name, b" " * dice.choice([20, 200]) * 1024 * 1024)
    return out.getvalue()


def damaged(dice: random.Random) -> bytes:
    data = made(dice, paragraph("text") * 20 + odf.items(paragraph("x")))
    broken = bytearray(data)
    if dice.random() < 0.4:
        return bytes(broken[: dice.randrange(80, len(broken))])
    for _ in range(dice.choice([1, 20, 300])):
        broken[dice.randrange(80, len(broken))] ^= 1 << dice.randrange(8)
    return bytes(broken)


def flat(dice: random.Random) -> bytes:
    inner = dice.choice(["<text:p>x</text:p>" * 100_000, "<text:section>" * 9000, "<text:p>&x;"])
    whole = odf.root("document", f"<office:body><office:text>{inner}</office:text></office:body>")
    return whole.replace("office:version", f'office:mimetype="{odf.ODT}" office:version').encode()


KINDS: dict[str, Make] = {
    make.__name__: make
    for make in (
        repeated_cells,
        many_cells,
        depths,
        deep_spans,
        entities,
        cycles_of_styles,
        changes_within_themselves,
        objects_within_themselves,
        repeated_pictures,
        blanks,
        many_paragraphs,
        many_slides,
        formulas,
        bombs,
        damaged,
        flat,
    )
}
