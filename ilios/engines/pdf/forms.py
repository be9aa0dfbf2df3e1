"""Form fields: their values at their places on the page.

The values of fields are not part of the page's content, whether a program has drawn them or not.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

from liteparse.types import FormField
from msgspec import Struct
from msgspec.structs import replace

from ilios.engines.layout.items import Item
from ilios.engines.pdf.annotations import BOXES, TEXT_FLAG_PASSWORD, text_at
from ilios.engines.pdf.geometry import Rect, View
from ilios.engines.pdf.parser import XFA_FOREGROUND, XFA_FULL

MAX_FIELDS = 2_000
"""Further fields of a page are left out."""

MAX_COVERED = 1_000
"""Further items at the height of a field are not compared with its value."""

FIELD_PADDING = 2.0
SHORT_VALUE = 160
"""Characters of a value of several lines that is written as one."""

PLACEHOLDER_WORDS = 250
"""With more words on its only page, an XFA form is shown itself."""


class FormValues(Struct, frozen=True):
    """Values at their places; ``unreadable`` when there are some without meaning."""

    items: tuple[Item, ...] = ()
    unreadable: bool = False


def form_values(fields: Iterable[FormField], items: Sequence[Item], view: View) -> FormValues:
    """Return the values of fields at their places, but for those that the page shows by itself."""
    values: list[Item] = []
    unreadable = False
    by_height = sorted(items, key=height)
    for field in list(fields)[:MAX_FIELDS]:
        if field.rect is None or field.rect.width <= 0 or field.rect.height <= 0:
            continue  # not shown
        rect = view.place(
            Rect(
                field.rect.x,
                field.rect.y,
                field.rect.x + field.rect.width,
                field.rect.y + field.rect.height,
            )
        )
        if field.type in {"checkbox", "radiobutton", "radio"}:
            values += _box(rect, checked=bool(field.checked))
            continue
        text = _value(field)
        if not text:
            continue
        if _is_noise(text):
            unreadable = True
        elif not is_shown(text, rect, by_height):
            inner = Rect(rect.left + FIELD_PADDING, rect.top, rect.right, rect.bottom)
            values += _lines(inner, text)
    return FormValues(tuple(values), unreadable)


def is_filled(field: FormField) -> bool:
    """Whether all that the appearance of a field shows is its value, or is not to be read."""
    if field.type in {"pushbutton", "signature"}:
        return False
    return (
        field.type not in {"text", "combobox", "listbox"}
        or _is_secret(field)
        or bool(_value(field))
    )


def _is_secret(field: FormField) -> bool:
    return field.type == "text" and bool(field.field_flags & TEXT_FLAG_PASSWORD)


def _value(field: FormField) -> str:
    if field.type in {"pushbutton", "signature"} or _is_secret(field):
        return ""
    if field.type in {"combobox", "listbox"} and field.selected_options:
        return ", ".join(field.selected_options)
    return field.value or ""


def _lines(rect: Rect, text: str) -> list[Item]:
    """Return the lines of a value; a few short ones are one, so that they stay with their label."""
    lines = list(text_at(rect, text))
    joined = " ".join(line.text for line in lines)
    if len(lines) < 2 or len(joined) > SHORT_VALUE:
        return lines
    return [replace(lines[0], text=joined)]


def _box(rect: Rect, *, checked: bool) -> Iterator[Item]:
    """Yield the sign of a box, as large as its rectangle but for one that is very large."""
    size = min(rect.width, rect.height, 12.0)
    middle = Rect(rect.left, (rect.top + rect.bottom - size) / 2, rect.left + size, rect.bottom)
    yield from text_at(
        Rect(middle.left, middle.top, middle.right, middle.top + size), BOXES[checked], size
    )


def _is_noise(text: str) -> bool:
    """Whether most characters of a value have no meaning."""
    strange = sum(
        (not one.isprintable() and not one.isspace())
        or one == "\ufffd"
        or "\ue000" <= one <= "\uf8ff"
        for one in text
    )
    return 2 * strange > len(text)


def height(item: Item) -> float:
    """Return where the middle of an item is, from above."""
    return (item.top + item.bottom) / 2


def at_place(rect: Rect, items: Sequence[Item]) -> list[Item]:
    """Return those of ``items``, which are sorted from top to bottom, in a rectangle."""
    first = bisect_left(items, rect.top - rect.height / 2, key=height)
    last = bisect_right(items, rect.bottom + rect.height / 2, key=height)
    return [
        item
        for item in items[first : min(last, first + MAX_COVERED)]
        if item.left < rect.right and item.right > rect.left
    ]


def is_shown(text: str, rect: Rect, items: Sequence[Item]) -> bool:
    """Whether the content of the page, from top to bottom, has a text at its place."""
    inside = "".join(item.text for item in at_place(rect, items))
    return "".join(text.split()) in "".join(inside.split())


def is_xfa_placeholder(form_type: int, pages: int, fields: int, words: int) -> bool:
    """Whether a document of an XFA form shows a request for another viewer instead of the form.

    Many such documents do not have the entry by which they are ``XFA_FULL``.
    """
    if pages != 1 or fields or words >= PLACEHOLDER_WORDS:
        return False
    return form_type == XFA_FULL or (form_type == XFA_FOREGROUND and words > 0)
