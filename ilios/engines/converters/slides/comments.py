"""Comments on slides: those of all versions until 2019, and the threads since."""

from collections.abc import Iterator, Mapping
from typing import Any

from ilios.engines.converters import inline, markdown
from ilios.engines.converters.opc import Package, Relationship, UnreadablePart
from ilios.engines.converters.slides.names import A, local

MAX_COMMENTS = 1000
"""Comments of one slide."""


class Authors:
    """The authors of the comments of a presentation, by their ids."""

    def __init__(self, package: Package) -> None:
        self._names: dict[str, str] = {}
        for one in package.relationships(package.main_part).values():
            if one.type in ("commentAuthors", "authors") and not one.external:
                self._read(package, one.target)

    def _read(self, package: Package, part: str) -> None:
        try:
            root = package.xml(part)
        except UnreadablePart:
            return  # the comments are there without names
        for author in root:
            name = markdown.one_line(author.get("name", ""))
            self._names.setdefault(author.get("id", ""), name)

    def name(self, author_id: str) -> str:
        return self._names.get(author_id, "")


def comments(
    package: Package, relationships: Mapping[str, Relationship], authors: Authors
) -> Iterator[str]:
    """Yield the comments of a slide as Markdown, replies after what they answer.

    :raises UnreadablePart: a part with comments.
    """
    for one in relationships.values():
        if one.type == "comments" and not one.external:
            elements = package.xml(one.target).iter()
            found = [element for element in elements if local(element) in ("cm", "reply")]
            for element in found[:MAX_COMMENTS]:
                words = inline.escape(_words(element))
                if not words:
                    continue
                name = inline.escape(authors.name(element.get("authorId", "")))
                kind = "Reply" if local(element) == "reply" else "Comment"
                yield f"> **{kind}{f' by {name}' if name else ''}:** {words}"


def _words(element: Any) -> str:
    """Return the text of one comment, without those of its replies."""
    for child in element:
        if local(child) == "text":
            return markdown.one_line(child.text or "")
        if local(child) == "txBody":
            paragraphs = child.iter(f"{A}p")
            lines = ("".join(one.text or "" for one in p.iter(f"{A}t")) for p in paragraphs)
            return markdown.one_line(" ".join(lines))
    return ""
