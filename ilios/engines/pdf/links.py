"""Hyperlinks on just the text that they cover."""

from collections.abc import Iterable, Iterator, Sequence

import pypdfium2
from liteparse.types import DocumentAnnotation
from msgspec import Struct
from msgspec.structs import replace

from ilios.engines.layout.items import Item
from ilios.engines.pdf.characters import is_right_to_left, square_count
from ilios.engines.pdf.geometry import Rect, View

MAX_LINKS = 500
"""Further links of a page are left out, with a warning."""

MAX_LOOKS = 1_000
"""Texts that links cover in part; the links on further ones are left out, with a warning."""

EDGE = 0.12
"""Share of the font size by which a link's rectangle may reach over its neighbours."""

BLANK = 0.28
"""Width of a blank in font sizes."""

SCHEMES = ("http://", "https://", "mailto:", "ftp://", "tel:")


class Link(Struct, frozen=True):
    """A target and a rectangle on the page as it is shown."""

    target: str
    rect: Rect


class Linked(Struct, frozen=True):
    """Items with their links, and how many links have no place."""

    items: list[Item]
    left_out: int = 0


class _Looks:
    """Looks at the text under links, which each take time for every character of the page."""

    def __init__(self) -> None:
        self._left = MAX_LOOKS
        self.missed: set[Link] = set()

    def take(self, link: Link) -> bool:
        if self._left <= 0:
            self.missed.add(link)
            return False
        self._left -= 1
        return True


def links_of(annotations: Iterable[DocumentAnnotation] | None) -> list[Link]:
    """Return the links to other documents; those inside the document are left out."""
    links: list[Link] = []
    for one in annotations or ():
        target = "%20".join((one.uri or "").split())
        if one.subtype != "link" or not target.lower().startswith(SCHEMES):
            continue
        links += [
            Link(target, Rect(rect.x, rect.y, rect.x + rect.width, rect.y + rect.height))
            for rect in one.quadpoint_rects or ([one.rect] if one.rect else [])
        ]
    return links


def put_links(
    items: Sequence[Item], links: Sequence[Link], textpage: pypdfium2.PdfTextPage, view: View
) -> Linked:
    """Return the items with their links; an item that is linked in part is split."""
    placed = [Link(shown.target, view.place(shown.rect)) for shown in links]
    linked: list[Item] = []
    looks = _Looks()
    for item in items:
        middle = (item.top + item.bottom) / 2
        margin = EDGE * item.size
        parts = [item]
        for link in placed:
            rect = link.rect
            if rect.top - margin <= middle <= rect.bottom + margin:
                parts = [
                    piece for part in parts for piece in _put(part, link, textpage, view, looks)
                ]
        linked += parts
    return Linked(linked, len(looks.missed))


def _put(
    item: Item,
    link: Link,
    textpage: pypdfium2.PdfTextPage,
    view: View,
    looks: _Looks,
) -> Iterator[Item]:
    """Yield the item, which is at the height of the link, in up to three parts."""
    rect = link.rect
    margin = EDGE * item.size
    if item.link or item.right - margin <= rect.left or item.left + margin >= rect.right:
        yield item
        return
    if rect.left <= item.left + margin and rect.right >= item.right - margin:
        yield replace(item, link=link.target)
        return
    covered = _covered(item, rect, textpage, view) if looks.take(link) else ""
    at = _find(item, covered, rect)
    if at is None:
        yield item
        return
    start = _word_edge(item.text, at)
    stop = _word_edge(item.text, at + len(covered))
    inner = item.text[start:stop]
    start, stop = start + len(inner) - len(inner.lstrip()), stop - len(inner) + len(inner.rstrip())
    if start < stop:
        yield from _split(item, start, stop, link)
    else:
        yield item


def _covered(item: Item, rect: Rect, textpage: pypdfium2.PdfTextPage, view: View) -> str:
    """Return the text of the item's line between the edges of a link."""
    margin = min(EDGE * item.size, rect.width / 4)
    height = item.bottom - item.top
    band = Rect(
        max(rect.left + margin, item.left - 1),
        item.top + 0.15 * height,
        min(rect.right - margin, item.right + 1),
        item.bottom - 0.15 * height,
    )
    if band.right <= band.left:
        return ""
    return " ".join(textpage.get_text_bounded(*view.stored(band)).split())


def _find(item: Item, covered: str, rect: Rect) -> int | None:
    """Return where in the item the covered text begins, next to where the link does."""
    if not covered:
        return None
    expected = len(item.text) * (rect.left - item.left) / max(item.right - item.left, 1)
    places: list[int] = []
    at = item.text.find(covered)
    while at >= 0:
        places.append(at)
        at = item.text.find(covered, at + 1)
    return min(places, key=lambda place: abs(place - expected)) if places else None


def _word_edge(text: str, at: int) -> int:
    """Return the place itself, or inside of a word the nearer end of it."""
    start = stop = at
    while start and _is_inside(text[start - 1 : start + 1]):
        start -= 1
    while stop < len(text) and _is_inside(text[stop - 1 : stop + 1]):
        stop += 1
    return start if at - start <= stop - at else stop


def _is_inside(pair: str) -> bool:
    return len(pair) == 2 and pair.isalnum() and not square_count(pair)


def _split(item: Item, start: int, stop: int, link: Link) -> Iterator[Item]:
    """Yield the text before the link, the link and the text after it, as far apart as blanks."""
    left = max(link.rect.left, item.left)
    right = min(link.rect.right, item.right)
    before, after = item.text[:start], item.text[stop:]
    blank = BLANK * item.size
    if is_right_to_left(item.text):
        yield replace(item, text=item.text[start:stop], left=left, right=right, link=link.target)
        if before.strip():
            start_at = right + blank * before.endswith(" ")
            yield replace(item, text=before.rstrip(), left=min(start_at, item.right))
        if after.strip():
            end = left - blank * after.startswith(" ")
            yield replace(item, text=after.lstrip(), right=max(end, item.left))
        return
    if before.strip():
        end = left - blank if before.endswith(" ") else left
        yield replace(item, text=before.rstrip(), right=max(end, item.left))
    yield replace(item, text=item.text[start:stop], left=left, right=right, link=link.target)
    if after.strip():
        begin = right + blank if after.startswith(" ") else right
        yield replace(item, text=after.lstrip(), left=min(begin, item.right))
