"""Comments of a worksheet: notes, and since Office 2019 threads."""

from collections.abc import Mapping
from typing import Any

from ilios.engines.converters.opc import Package, Relationship, UnreadablePart
from ilios.engines.converters.sheets.cell_text import cell_text, runs_text
from ilios.engines.converters.sheets.workbook import related_part
from ilios.engines.converters.sheets.xml_stream import local_name, natural

MAX_COMMENTS = 20_000


def read_comments(
    package: Package, related: Mapping[str, Relationship], people: Mapping[str, str]
) -> list[str]:
    """Return the comments of a sheet as items of a list, in the order of the file.

    A thread stands in the place of the note that is written for programs that have no threads.

    :param people: names by id.
    :raises UnreadablePart: they cannot be read.
    """
    items: list[str] = []
    threads = related_part(package, related, "threadedComment")
    threaded: set[str] = set()
    if threads is not None:
        for comment in package.xml(threads).iter("{*}threadedComment"):
            cell = comment.get("ref", "")
            threaded.add(cell)
            text = "".join(one.text or "" for one in comment if local_name(one) == "text")
            author = people.get(comment.get("personId", ""), "")
            items.append(comment_item(cell, author, cell_text(text)))
    notes = related_part(package, related, "comments")
    if notes is not None:
        items += _notes(package.xml(notes), threaded)
    return items[:MAX_COMMENTS]


def _notes(root: Any, threaded: set[str]) -> list[str]:
    authors = [author.text or "" for author in root.iter("{*}author")]
    items = []
    for comment in root.iter("{*}comment"):
        cell = comment.get("ref", "")
        number = natural(comment.get("authorId"), len(authors))
        author = authors[number] if number < len(authors) else ""
        texts = [runs_text(one) for one in comment if local_name(one) == "text"]
        if cell not in threaded:
            items.append(comment_item(cell, author, " ".join(texts)))
    return items


def read_people(package: Package, part: str | None) -> dict[str, str]:
    """Return the names of the authors of threads by id."""
    if part is None:
        return {}
    try:
        people = package.xml(part).iter("{*}person")
    except UnreadablePart:
        return {}
    return {one.get("id", ""): one.get("displayName", "") for one in people}


def comment_item(cell: str, author: str, text: str) -> str:
    """Return a comment as an item of a list; ``text`` is Markdown."""
    by = f" ({cell_text(author)})" if author.strip() else ""
    return f"- {cell_text(cell)}{by}: {text}"
