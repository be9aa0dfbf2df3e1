"""Tagged PDFs: pages whose marked content is named in a structure tree, sound and hostile ones."""

import zlib
from collections.abc import Sequence
from typing import NamedTuple

from tests.pdf_pages import Builder, line


class Tag(NamedTuple):
    """An element of a structure tree: its children are elements and ids of marked content."""

    role: str
    children: Sequence["Tag | int"] = ()
    more: str = ""


def marked(number: int, drawn: str, name: str = "P") -> str:
    """Return a drawing as marked content with an id."""
    return f"/{name} << /MCID {number} >> BDC\n{drawn}EMC\n"


def artifact(drawn: str) -> str:
    """Return a drawing that is no part of the content, such as a running header."""
    return f"/Artifact BMC\n{drawn}EMC\n"


def tagged_pdf(
    *pages: tuple[str, Sequence[Tag]],
    roles: str = "",
    builder: Builder | None = None,
    images: Sequence[int] = (),
) -> bytes:
    """Return a PDF of pages with their content and their elements.

    :param builder: has the objects that the pages name, such as ``images``.
    """
    builder = builder or Builder()
    root = builder.add("")
    document = builder.add("")
    parents: list[str] = []
    tops: list[int] = []
    for number, (content, tags) in enumerate(pages):
        page = builder.page(content, more=f"/StructParents {number}", images=images)
        owners: dict[int, int] = {}
        tops += [_add(builder, tag, document, page, owners) for tag in tags]
        listed = " ".join(
            f"{owners[at]} 0 R" if at in owners else "null"
            for at in range(max(owners, default=-1) + 1)
        )
        parents.append(f"{number} [{listed}]")
    kids = " ".join(f"{number} 0 R" for number in tops)
    builder.replace(document, f"<< /Type /StructElem /S /Document /P {root} 0 R /K [{kids}] >>")
    builder.replace(
        root,
        f"<< /Type /StructTreeRoot /K {document} 0 R /RoleMap << {roles} >> "
        f"/ParentTree << /Nums [{' '.join(parents)}] >> >>",
    )
    builder.catalog = f"/MarkInfo << /Marked true >> /StructTreeRoot {root} 0 R"
    return builder.build()


def _add(builder: Builder, tag: Tag, parent: int, page: int, owners: dict[int, int]) -> int:
    """Add an element with those below it; return its number."""
    number = builder.add("")
    kids = []
    for child in tag.children:
        if isinstance(child, int):
            owners.setdefault(child, number)
            kids.append(str(child))
        else:
            kids.append(f"{_add(builder, child, number, page, owners)} 0 R")
    builder.replace(
        number,
        f"<< /Type /StructElem /S /{tag.role} /P {parent} 0 R /Pg {page} 0 R {tag.more} "
        f"/K [{' '.join(kids)}] >>",
    )
    return number


HOSTILE_TEXT = "Oats for the grey mare"


def with_number_tree(children: Sequence[Sequence[int]]) -> bytes:
    """Return a page with a line of text, and a number tree of nodes with these children.

    A node without children names the element of the line; its place is its key.
    """
    builder = Builder()
    page = builder.page(marked(0, line(HOSTILE_TEXT, 72, 700)), more="/StructParents 0")
    element = builder.add("")
    root = builder.add(
        f"<< /Type /StructTreeRoot /K {element} 0 R /ParentTree {element + 2} 0 R >>"
    )
    builder.replace(element, f"<< /Type /StructElem /S /H1 /P {root} 0 R /Pg {page} 0 R /K [0] >>")
    for kids in children:
        listed = " ".join(f"{root + 1 + child} 0 R" for child in kids)
        leaf = f"/Limits [0 0] /Nums [0 [{element} 0 R]]"
        builder.add(f"<< /Limits [0 9] /Kids [{listed}] >>" if kids else f"<< {leaf} >>")
    builder.catalog = f"/MarkInfo << /Marked true >> /StructTreeRoot {root} 0 R"
    return builder.build()


def hostile_tree(children: Sequence[Sequence[int]], *, hidden: bool = False) -> bytes:
    """Return a page with a line of text, and elements with these children by their places.

    An element without children has the text. Of several parents the last one is named. The
    catalogue may be ``hidden`` in an object stream.
    """
    builder = Builder()
    page = builder.page(marked(0, line(HOSTILE_TEXT, 72, 700)), more="/StructParents 0")
    first = builder.add("")
    root = first + len(children)
    parents = {child: first + at for at, kids in enumerate(children) for child in kids}
    for at, kids in enumerate(children):
        listed = " ".join(f"{first + child} 0 R" for child in kids) or "0"
        body = (
            f"<< /Type /StructElem /S /Sect /P {parents.get(at, root)} 0 R /Pg {page} 0 R "
            f"/K [{listed}] >>"
        )
        if at:
            builder.add(body)
        else:
            builder.replace(first, body)
    leaves = [first + at for at, kids in enumerate(children) if not kids] or [first]
    builder.add(
        f"<< /Type /StructTreeRoot /K {first} 0 R "
        f"/ParentTree << /Nums [0 [{' '.join(f'{leaf} 0 R' for leaf in leaves)}]] >> >>"
    )
    builder.catalog = f"/MarkInfo << /Marked true >> /StructTreeRoot {root} 0 R"
    data = builder.build()
    return _with_object_stream(data) if hidden else data


def with_hostile_tree(data: bytes, children: Sequence[Sequence[int]]) -> bytes:
    """Return a PDF of one page, as ``pdf_of_streams`` writes it, updated with such elements."""
    trailer = data[data.rindex(b"trailer\n<< /Size ") :]
    size = int(trailer.split()[3])
    root = size + len(children)
    objects = {
        1: "<< /Type /Catalog /Pages 2 0 R /MarkInfo << /Marked true >> "
        f"/StructTreeRoot {root} 0 R >>",
        4: "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 5 0 R /StructParents 0 "
        "/Resources << /Font << /F1 3 0 R >> >> >>",
        root: f"<< /Type /StructTreeRoot /K {size} 0 R /ParentTree "
        f"<< /Nums [0 [{root - 1} 0 R]] >> >>",
    }
    parents = {child: size + at for at, kids in enumerate(children) for child in kids}
    for at, kids in enumerate(children):
        listed = " ".join(f"{size + child} 0 R" for child in kids) or "0"
        objects[size + at] = (
            f"<< /Type /StructElem /S /Sect /P {parents.get(at, root)} 0 R /Pg 4 0 R "
            f"/K [{listed}] >>"
        )
    out = bytearray(data)
    table = b"xref\n"
    for number, body in objects.items():
        table += f"{number} 1\n{len(out):010} 00000 n \n".encode()
        out += f"{number} 0 obj\n{body}\nendobj\n".encode()
    before = int(data.split(b"startxref\n")[-1].split()[0])
    start = len(out)
    head = f"trailer\n<< /Prev {before} /Size {root + 1}".encode()
    words = trailer[trailer.index(b" /Root") : trailer.index(b"startxref")]
    return bytes(out) + table + head + words + f"startxref\n{start}\n%%EOF\n".encode()


def _with_object_stream(data: bytes) -> bytes:
    """Return a PDF of the builder with its catalogue in an object stream."""
    start = data.index(b"1 0 obj\n") + len(b"1 0 obj\n")
    catalog = data[start : data.index(b"\nendobj", start)]
    places = [
        int(entry.split()[0])
        for entry in data[data.rindex(b"\nxref\n") :].splitlines()[3:]
        if entry.endswith(b" n ")
    ]
    body = data[: data.rindex(b"xref\n0 ")]
    number = len(places) + 1
    packed = zlib.compress(b"1 0 " + catalog)
    head = b"%d 0 obj\n<< /Type /ObjStm /N 1 /First 4 /Filter /FlateDecode /Length %d >>\nstream\n"
    stream = head % (number, len(packed)) + packed + b"\nendstream\nendobj\n"
    rows = [(0, 0, 65535), (2, number, 0), *((1, place, 0) for place in places[1:])]
    rows += [(1, len(body), 0), (1, len(body) + len(stream), 0)]
    table = b"".join(
        bytes([kind]) + place.to_bytes(4, "big") + more.to_bytes(2, "big")
        for kind, place, more in rows
    )
    size = len(rows)
    words = b"/Type /XRef /Size %d /W [1 4 2] /Root 1 0 R /Length %d" % (size, len(table))
    xref = b"%d 0 obj\n<< %s >>\nstream\n%s\nendstream\nendobj\n" % (size - 1, words, table)
    end = b"startxref\n%d\n%%%%EOF\n" % (len(body) + len(stream))
    return body.replace(catalog, b"null".ljust(len(catalog))) + stream + xref + end
