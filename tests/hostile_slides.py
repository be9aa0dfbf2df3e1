"""Hostile presentations: endless tables, charts and diagrams, cycles, deep nesting, wrong numbers.

Each kind takes the dice, and the URL and the file that no document may reach.
"""

import io
import random
import re
import zipfile
from xml.sax.saxutils import escape

from tests.presentations import (
    CHART,
    DIAGRAM,
    DRAWING,
    PACKAGE,
    SPACES,
    Relation,
    Slide,
    body,
    box,
    cell,
    chart,
    group,
    paragraph,
    parts_of,
    picture,
    presentation,
    relations,
    run,
    runs,
    shape,
    smart_art,
    table,
    title,
)
from tests.random_slides import Author
from tests.zips import zip_of

MIB = 1024 * 1024
HUGE = ("2147483648", "-1", "99999999999999999999", "1e999", "NaN", "", "0x10", "\u0663")
"""Values for numbers."""


def tables(dice: random.Random, url: str, file: str) -> bytes:
    """Cells without end, and spans beyond the table."""
    spans = f'gridSpan="{dice.choice(HUGE)}" rowSpan="{dice.choice([*HUGE, "65535"])}"'
    columns, rows = dice.choice([(2, 2), (300, 300), (30_000, 3), (3, 30_000)])
    line = ["<a:tc/>"] * (columns - 1) + [cell("x", spans)]
    return presentation(Slide([title("Table"), table(*[line] * rows)]))


def charts(dice: random.Random, url: str, file: str) -> bytes:
    """Points and series without end, or at places far away."""
    count, series = dice.choice([(200_000, 1), (10, 20_000), (300, 600), (0, 0)])
    points = "".join(f'<c:pt idx="{n * 7}"><c:v>{n}</c:v></c:pt>' for n in range(count))
    if not count:
        points = "".join(f'<c:pt idx="{n}"><c:v>{n}</c:v></c:pt>' for n in HUGE)
    cache = f'<c:numCache><c:ptCount val="{dice.choice(HUGE)}"/>{points}</c:numCache>'
    kind = dice.choice(["val", "xVal", "bubbleSize"])
    drawn = f"<c:ser><c:{kind}><c:numRef>{cache}</c:numRef></c:{kind}></c:ser>" * max(series, 1)
    area = f"<c:chart><c:plotArea><c:x>{drawn}</c:x></c:plotArea></c:chart>"
    part = f'<c:chartSpace xmlns:c="{CHART}">{area}</c:chartSpace>'
    return _with_part(chart("r1"), "chart", part)


def diagrams(dice: random.Random, url: str, file: str) -> bytes:
    """A chain, a circle or a star of points."""
    count = dice.choice([10, 2_000, 60_000])
    words = f"<dgm:t>{paragraph('x')}</dgm:t>"
    points = "".join(f'<dgm:pt modelId="{n}">{words}</dgm:pt>' for n in range(count))
    step, end = dice.choice([(1, 0), (1, 1), (0, 0)])
    links = "".join(
        f'<dgm:cxn srcId="{n * step}" destId="{(n + 1) % (count + 1 - end)}" '
        f'srcOrd="{dice.choice(HUGE)}"/>'
        for n in range(count)
    )
    part = f'<dgm:dataModel xmlns:dgm="{DIAGRAM}" xmlns:a="{DRAWING}"><dgm:ptLst>{points}'
    part += f"</dgm:ptLst><dgm:cxnLst>{links}</dgm:cxnLst></dgm:dataModel>"
    return _with_part(smart_art("r1"), "diagramData", part)


def _with_part(frame: str, kind: str, part: str | bytes) -> bytes:
    related = [Relation("r1", kind, "../parts/part1.xml")]
    return presentation(Slide([title("Some words"), frame], related, {"ppt/parts/part1.xml": part}))


def shapes_without_end(dice: random.Random, url: str, file: str) -> bytes:
    count = dice.choice([400, 5_000, 60_000])
    boxes = [box("x", (n % 97, (n * 31) % 89, 50, 50)) for n in range(count)]
    return presentation(Slide(boxes))


def deep_groups(dice: random.Random, url: str, file: str) -> bytes:
    nested = box("innermost")
    for _ in range(dice.choice([29, 60, 120, 3_000])):
        nested = group(nested, box("x"))
    return presentation(Slide([title("Deep"), nested]))


def long_texts(dice: random.Random, url: str, file: str) -> bytes:
    long = dice.choice(
        [
            paragraph("x " * 2 * MIB),
            paragraph("\\*_[](<" * 200_000),
            runs(*[run("x", 'b="1"'), run("y")] * 50_000),
            runs(*["<a:br/>"] * 300_000),
            paragraph("x", '<a:buChar char="-"/>', 'lvl="3"') * 50_000,
        ]
    )
    return presentation(Slide([shape(long)]))


def wrong_numbers(dice: random.Random, url: str, file: str) -> bytes:
    """Sizes, places, levels and numbers of lists that are none."""
    number = f'<a:buAutoNum type="{dice.choice(["romanUcPeriod", "alphaLcParenR", "x"])}" '
    number += f'startAt="{dice.choice(HUGE)}"/>'
    listed = body(paragraph("x", number, f'lvl="{dice.choice(HUGE)}"') * 3)
    placed = box("y", (1, 2, 3, 4)).replace('x="12700"', f'x="{dice.choice(HUGE)}"')
    placed = placed.replace('cy="50800"', f'cy="{dice.choice(HUGE)}"')
    grouped = group(placed).replace('cx="1270000"', f'cx="{dice.choice(HUGE)}"')
    slide = Slide([title("z"), listed, grouped, placed])
    show = str(parts_of([slide])["ppt/presentation.xml"])
    size = show.replace('cx="9144000"', f'cx="{dice.choice([*HUGE, "1"])}"')
    return presentation(slide, more={"ppt/presentation.xml": size})


def cycles(dice: random.Random, url: str, file: str) -> bytes:
    """Layouts, notes, charts and diagrams that lead to the slide itself."""
    kinds = [
        "slideLayout",
        "notesSlide",
        "chart",
        "diagramData",
        "comments",
        "image",
        "slideMaster",
    ]
    target = dice.choice(["slide1.xml", "../presentation.xml", "../slideLayouts/slideLayout1.xml"])
    related = [Relation(f"k{n}", kind, target) for n, kind in enumerate(kinds)]
    own = relations([Relation("a", "slideMaster", target), Relation("b", "slideLayout", target)])
    shapes = [box("x"), chart("k2"), smart_art("k3"), picture("k5")]
    layout = "ppt/slideLayouts/_rels/slideLayout1.xml.rels"
    return presentation(Slide(shapes, related, {layout: own}))


def pictures(dice: random.Random, url: str, file: str) -> bytes:
    """One picture in thousands of places, or one that is none."""
    data = b"\x89PNG\r\n\x1a\n" + dice.randbytes(dice.choice([100, 3 * MIB]))
    data = dice.choice([data, b"\xff\xd8\xff" + bytes(6 * MIB), b"", b"BM" + bytes(9 * MIB)])
    shown = [picture("i", "x" * dice.choice([0, 100_000]))] * dice.choice([3, 150, 3_000])
    related = [Relation("i", "image", "../media/image1.png")]
    slide = Slide(shown, related, {"ppt/media/image1.png": data})
    return presentation(*[slide] * dice.choice([1, 5]))


def outside(dice: random.Random, url: str, file: str) -> bytes:
    """Pictures, charts, notes and layouts at other addresses."""
    target = dice.choice([url, f"file://{file}", file, f"../../../../../../..{file}"])
    kinds = ("image", "chart", "notesSlide", "slideLayout", "comments", "oleObject", "video")
    external = dice.random() < 0.7
    related = [Relation(f"r{n}", kind, target, external) for n, kind in enumerate(kinds)]
    linked = picture("r0").replace("r:embed", "r:link")
    click = runs(run("x", properties='<a:hlinkClick r:id="r0"/>'))
    return presentation(Slide([picture("r0"), linked, chart("r1"), shape(click)], related))


def entities(dice: random.Random, url: str, file: str) -> bytes:
    """Entities that grow or reach out, in any part that is read."""
    names = [f"e{n}" for n in range(dice.choice([5, 12, 30]))]
    grown = "".join(
        f'<!ENTITY {name} "{f"&{before};" * 10}">'
        for before, name in zip(["x", *names], names, strict=False)
    )
    reaching = f'<!ENTITY {names[-1]} SYSTEM "{dice.choice([url, f"file://{file}"])}">'
    declared = f'<!DOCTYPE x [<!ENTITY x "boom">{dice.choice([grown, reaching])}]>'
    bomb = f"{declared}<p:sld {SPACES}><p:cSld><p:spTree>{box('@')}</p:spTree></p:cSld></p:sld>"
    bomb = bomb.replace("@", f"&{names[-1]};")
    name = dice.choice(
        [
            "ppt/slides/slide1.xml",
            "ppt/presentation.xml",
            "ppt/notesSlides/notesSlide1.xml",
            "ppt/slideLayouts/slideLayout1.xml",
            "ppt/slides/_rels/slide1.xml.rels",
            "[Content_Types].xml",
            "_rels/.rels",
        ]
    )
    return presentation(Slide([title("Some words")], notes=["x"]), more={name: bomb})


def alternatives(dice: random.Random, url: str, file: str) -> bytes:
    space = "http://schemas.openxmlformats.org/markup-compatibility/2006"
    depth, width = dice.choice([(100, 1), (2, 30_000), (5_000, 1)])
    opened = f'<mc:AlternateContent xmlns:mc="{space}"><mc:Choice Requires="x">'
    closed = "</mc:Choice><mc:Fallback/></mc:AlternateContent>"
    return presentation(Slide([(opened * depth + box("x") + closed * depth) * width]))


def flood_of_heavy_slides(dice: random.Random, url: str, file: str) -> bytes:
    """One slide of some size, as often as there may be slides."""
    words = paragraph("words " * dice.choice([10, 20_000]))
    parts = parts_of([Slide([shape(words)])])
    listed = '<p:sldId id="256" r:id="rId2"/>'
    count = dice.choice([1_000, 4_999, 80_000])
    show = str(parts["ppt/presentation.xml"]).replace(listed, listed * count)
    return zip_of(parts | {"ppt/presentation.xml": show})


def relations_without_end(dice: random.Random, url: str, file: str) -> bytes:
    count = dice.choice([1_000, 60_000])
    kind = dice.choice(["notesSlide", "comments", "slideLayout", "hyperlink"])
    many = [Relation(f"n{n}", kind, "../notesSlides/notesSlide1.xml") for n in range(count)]
    return presentation(Slide([title("x")], many, notes=["y " * 1_000]))


def broken_parts(dice: random.Random, url: str, file: str) -> bytes:
    """Parts cut off, empty, of other characters, or of other roots."""
    parts = parts_of([Slide([title("One"), body(paragraph("x"))]), Slide([title("Two")])])
    for name in dice.sample(sorted(parts), dice.choice([1, 3, 8])):
        whole = str(parts[name])
        broken: list[str | bytes] = [
            whole[: dice.randrange(len(whole))],
            b"",
            whole.encode("utf-16"),
            b"\xff\xfe" + whole.encode(),
            f'<?xml version="1.0" encoding="no-such"?>{whole}',
            whole.replace("p:", "q:"),
            f'<x xmlns="{PACKAGE}"/>',
            escape(whole),
        ]
        parts[name] = dice.choice(broken)
    return zip_of(parts)


def changed_values(dice: random.Random, url: str, file: str) -> bytes:
    """A presentation of all kinds of shapes in which some attributes have other values."""
    parts = parts_of_file(Author(dice.randrange(1_000)).deck().data)
    for name in dice.choices(sorted(parts), k=20):
        text = parts[name].decode()
        places = list(re.finditer(r'="([^"]*)"', text))
        if places:
            start, end = dice.choice(places).span(1)
            text = text[:start] + dice.choice(HUGE) + text[end:]
        parts[name] = text.encode()
    return zip_of(parts)


def parts_of_file(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def cut_off(dice: random.Random, url: str, file: str) -> bytes:
    whole = presentation(Slide([title("One"), box("Words")], notes=["x"]))
    return whole[: dice.randrange(30, len(whole))]


def bomb(dice: random.Random, url: str, file: str) -> bytes:
    """A part that unpacks to more than is allowed, or to as much as just is."""
    size = dice.choice([600 * MIB, 120 * MIB, 40 * MIB])
    name = dice.choice(["ppt/slides/slide1.xml", "ppt/media/image1.png", "ppt/presentation.xml"])
    return presentation(Slide([title("x")]), more={name: b" " * size})


KINDS = {
    f"slides: {make.__name__.replace('_', ' ')}": make
    for make in (
        *(alternatives, bomb, broken_parts, changed_values, charts, cut_off, cycles, deep_groups),
        diagrams,
        *(entities, flood_of_heavy_slides, long_texts, outside, pictures, relations_without_end),
        *(shapes_without_end, tables, wrong_numbers),
    )
}
"""Name and maker of each kind."""
