"""Hostile DOCX files: what their own markup can be made to do. One function a kind.

Each takes the dice, and the URL and the file that no document may reach.
"""

import random
from collections.abc import Callable

from tests.word_documents import (
    NAMESPACES,
    docx,
    level,
    notes,
    numbering,
    p,
    run,
    style,
    table,
    tc,
    tr,
)

BEGIN, SEPARATE, END = (
    f'<w:r><w:fldChar w:fldCharType="{kind}"/></w:r>' for kind in ("begin", "separate", "end")
)


def numbers(dice: random.Random, url: str, file: str) -> bytes:
    """Numbers of billions in formats that write them out, and levels that do not exist."""
    start = dice.choice([2**31 - 1, 10**15, -5, 0])
    kind = dice.choice(["lowerLetter", "upperRoman", "chicago", "cardinalText", "hebrew1"])
    text = dice.choice(["%1", "%1.%2.%3.%4.%5.%6.%7.%8.%9" * 500, "%9%8", "%" * 5_000])
    levels = "".join(level(n, kind, text, start=start) for n in range(9))
    body = p("x", number=(1, dice.choice([0, 8, 10**9]))) * dice.choice([100, 5_000])
    return docx(body, numbers=numbering({1: levels}))


def many_lists(dice: random.Random, url: str, file: str) -> bytes:
    """Lists that are each a little deeper than the one before."""
    count = dice.choice([500, 5_000])
    lists = numbering({n: level(0) for n in range(1, count)})
    indents = (f'<w:ind w:left="{200 * n}"/>' for n in range(1, count))
    return docx(
        *(p("x", number=(n, 0), more=one) for n, one in enumerate(indents, 1)), numbers=lists
    )


def chains_of_styles(dice: random.Random, url: str, file: str) -> bytes:
    count = dice.choice([1_000, 20_000])
    styles = "".join(style(f"S{n}", f'<w:basedOn w:val="S{n + 1}"/>') for n in range(count))
    return docx(*(p("x", style=f"S{n}") for n in range(0, count, 2)), styles=styles)


def fields(dice: random.Random, url: str, file: str) -> bytes:
    """Fields in one another, without ends, or with ends alone."""
    count = dice.choice([200, 60_000])
    shape = dice.choice([BEGIN, BEGIN + SEPARATE, END, SEPARATE + END, BEGIN + BEGIN + END])
    text = f"<w:r><w:instrText>{'HYPERLINK ' * 50}</w:instrText></w:r>" if count < 999 else ""
    return docx(p("before", (shape + text) * count, run("after")), p("last"))


def instructions(dice: random.Random, url: str, file: str) -> bytes:
    text = dice.choice(['HYPERLINK "', "HYPERLINK " + "\\l " * 9_000, 'HYPERLINK "\\\\' * 9_000])
    text += dice.choice(["a" * 500_000, '"' * 99_999, "\\" * 99_999])
    body = f"{BEGIN}<w:r><w:instrText>{text}</w:instrText></w:r>{SEPARATE}{run('x')}{END}"
    return docx(p(body) * 20)


def many_notes(dice: random.Random, url: str, file: str) -> bytes:
    """Notes of notes, and one note that is referred to again and again."""
    count = dice.choice([100, 20_000])
    own = '<w:r><w:footnoteReference w:id="{}"/></w:r>'
    texts = {str(n): p("x", own.format(n + 1)) for n in range(count)}
    body = "".join(own.format(dice.choice([n, 1])) for n in range(count))
    related = {"n": ("footnotes", "footnotes.xml")}
    return docx(p(body), parts=notes("footnotes", texts), related=related)


def wide_grids(dice: random.Random, url: str, file: str) -> bytes:
    """One row of thousands of columns above thousands of rows; texts that are repeated."""
    rows = dice.choice([2, 20_000])
    wide = tr(*(tc("y" * 40, span=dice.choice([1, 999, 10**9])) for _ in range(60)))
    tall = tr(tc("z" * 40, merge="restart")) + tr(tc(merge="continue"), "x") * rows
    indented = tr("x", before=dice.choice([999, 10**9])) * rows
    return docx(table(dice.choice([wide + tall, wide + indented, tall * 3, indented + wide])))


def tables_in_tables(dice: random.Random, url: str, file: str) -> bytes:
    depth, count = dice.choice([(25, 3), (60, 1), (5, 7)])
    inner = p("x")
    for _ in range(depth):
        inner = table(tr(tc(inner), "y"))
        if count > 1 and len(inner) < 2_000_000:
            inner *= count
    return docx(inner, p("last"))


def drawings(dice: random.Random, url: str, file: str) -> bytes:
    """Text boxes in text boxes, one picture thousands of times, thousands of pictures."""
    if dice.random() < 0.4:
        inner = p("x")
        for _ in range(dice.choice([12, 25, 35])):
            inner = p(f"<w:r><w:pict><w:txbxContent>{inner}</w:txbxContent></w:pict></w:r>")
        return docx(inner)
    count = dice.choice([500, 20_000])
    same = dice.random() < 0.5
    blips = "".join(f'<a:blip r:embed="i{0 if same else n}"/>' for n in range(count))
    related = {f"i{n}": ("image", f"media/{n}.png") for n in range(1 if same else count)}
    data = b"\x89PNG\r\n\x1a\n" + dice.randbytes(dice.choice([10, 60_000_000 // count]))
    parts: dict[str, str | bytes] = {f"word/media/{n}.png": data for n in range(len(related))}
    return docx(p(f"<w:r><w:drawing>{blips}</w:drawing></w:r>"), related=related, parts=parts)


def parts_in_circles(dice: random.Random, url: str, file: str) -> bytes:
    """Headers, notes, charts and pictures that are the document itself or lie elsewhere."""
    kinds = ("header", "footnotes", "comments", "numbering", "chart", "image", "diagramData")
    target = dice.choice(
        ["document.xml", "../[Content_Types].xml", "../../../etc/passwd", url, file]
    )
    related = {kind: (kind, target) for kind in kinds}
    section = '<w:sectPr><w:headerReference w:type="default" r:id="header"/></w:sectPr>' * 300
    shown = '<c:chart r:id="chart"/><a:blip r:embed="image"/><dgm:relIds r:dm="diagramData"/>'
    note = '<w:r><w:footnoteReference w:id="1"/></w:r>'
    return docx(
        p(f"<w:r><w:drawing>{shown * 50}</w:drawing></w:r>", note), section, related=related
    )


def changes(dice: random.Random, url: str, file: str) -> bytes:
    """Paragraphs that all go on in the next one, and changes within changes."""
    by = 'w:id="1" w:author="a"'
    count = dice.choice([100, 30_000])
    joined = p("x", more=f"<w:rPr><w:del {by}/></w:rPr>") * count
    deep = p(f"<w:ins {by}>" * 90 + run("x") + "</w:ins>" * 90) * 200
    return docx(dice.choice([joined, deep, joined + table(tr("a", more=f"<w:del {by}/>") * count)]))


def links(dice: random.Random, url: str, file: str) -> bytes:
    """Headings of one name with a bookmark each, and a link to each."""
    count = dice.choice([500, 20_000])
    mark = '<w:bookmarkStart w:id="{0}" w:name="{1}{0}"/>'
    name = dice.choice(["_Toc", "a", "x" * 60])
    linked = (f'<w:hyperlink w:anchor="{name}{n}">{run("x")}</w:hyperlink>' for n in range(count))
    named = (p(mark.format(n, name), "Same", style="heading1") for n in range(count))
    return docx(*map(p, linked), *named)


def equations(dice: random.Random, url: str, file: str) -> bytes:
    deep = "<m:e>" * 120 + "<m:r><m:t>x</m:t></m:r>" + "</m:e>" * 120
    row = "<m:mr>" + "<m:e><m:r><m:t>x</m:t></m:r></m:e>" * 300 + "</m:mr>"
    inner = dice.choice([deep * 200, f"<m:m>{row * 200}</m:m>", "<m:nary/><m:acc/><m:d/>" * 20_000])
    nested = "<m:sSup><m:e>" * 55 + "<m:r><m:t>x</m:t></m:r>" + "</m:e></m:sSup>" * 55
    return docx(p(f"<m:oMath>{dice.choice([inner, nested * 500])}</m:oMath>"))


def marks(dice: random.Random, url: str, file: str) -> bytes:
    """Text of signs that Markdown or a pattern may stumble over, in each kind of place."""
    sign = dice.choice(["*", "_", "`", "[", "![](", "<a id=", "$", "|", "\\", " ", "\t", "\u00ad"])
    text = run(sign * dice.choice([1_000, 400_000]), dice.choice(["", "<w:b/>", "<w:caps/>"]))
    places: list[Callable[[str], str]] = [
        p,
        lambda one: p(one, style="heading1"),
        lambda one: p(one, style="SourceCode"),
        lambda one: table(tr(tc(p(one)), "x")),
        lambda one: p(one, number=(1, 0)),
    ]
    return docx(dice.choice(places)(text), p(text), numbers=numbering({1: level(0)}))


def breaks(dice: random.Random, url: str, file: str) -> bytes:
    inner = dice.choice(["<w:br/>", "<w:tab/>", '<w:sym w:font="Wingdings" w:char="FFFFFFFF"/>'])
    count = dice.choice([1_000, 200_000])
    content = f"<w:r>{inner * count}</w:r>"
    return docx(p("a", content, run("b")), p(content), table(tr(tc(p("a", content)), "x")))


def charts(dice: random.Random, url: str, file: str) -> bytes:
    count = dice.choice([10, 100_000])
    points = "".join(f'<c:pt idx="{n * 10**6}"><c:v>{n}</c:v></c:pt>' for n in range(count))
    cache = f'<c:numCache><c:ptCount val="{2**31}"/>{points}</c:numCache>'
    series = f"<c:ser><c:val><c:numRef>{cache}</c:numRef></c:val></c:ser>"
    chart = f"<c:chartSpace {NAMESPACES}><c:chart><c:plotArea><c:pieChart>{series * 3}"
    chart += "</c:pieChart></c:plotArea></c:chart></c:chartSpace>"
    shown = '<w:r><w:drawing><c:chart r:id="c"/></w:drawing></w:r>' * dice.choice([1, 20])
    return docx(p(shown), parts={"word/chart.xml": chart}, related={"c": ("chart", "chart.xml")})


KINDS = {
    "docx: numbers": numbers,
    "docx: lists": many_lists,
    "docx: chains of styles": chains_of_styles,
    "docx: fields": fields,
    "docx: instructions": instructions,
    "docx: notes": many_notes,
    "docx: wide grids": wide_grids,
    "docx: tables in tables": tables_in_tables,
    "docx: drawings": drawings,
    "docx: parts in circles": parts_in_circles,
    "docx: changes": changes,
    "docx: links": links,
    "docx: equations": equations,
    "docx: marks": marks,
    "docx: breaks": breaks,
    "docx: charts": charts,
}
"""Name and maker of each kind."""
