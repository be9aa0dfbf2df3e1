"""Office packages: parts of a ZIP archive with content types and relationships (ECMA-376, part 2).

Parts are found by their relationships and not by their usual names, which other programs than
those of Microsoft choose freely.
"""

import posixpath
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote
from zipfile import BadZipFile, ZipFile

from msgspec import Struct

from actors.engines import Unconvertible
from ilios.engines.converters.archives import check_archive
from ilios.engines.converters.xml_trees import parse_xml

STRICT_PREFIX = b"http://purl.oclc.org/ooxml/"
_STRICT_NAMESPACES = {
    b"http://purl.oclc.org/ooxml/wordprocessingml/main": (
        b"http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    ),
    b"http://purl.oclc.org/ooxml/spreadsheetml/main": (
        b"http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    ),
    b"http://purl.oclc.org/ooxml/presentationml/main": (
        b"http://schemas.openxmlformats.org/presentationml/2006/main"
    ),
    b"http://purl.oclc.org/ooxml/officeDocument/relationships": (
        b"http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    ),
    b"http://purl.oclc.org/ooxml/officeDocument/math": (
        b"http://schemas.openxmlformats.org/officeDocument/2006/math"
    ),
    b"http://purl.oclc.org/ooxml/officeDocument/sharedTypes": (
        b"http://schemas.openxmlformats.org/officeDocument/2006/sharedTypes"
    ),
    b"http://purl.oclc.org/ooxml/drawingml/": (
        b"http://schemas.openxmlformats.org/drawingml/2006/"
    ),
}
"""Namespaces of strict documents (ECMA-376, part 1) and those of transitional ones (part 4)."""

_PACKAGE = "http://schemas.openxmlformats.org/package/2006/"
_COMPATIBILITY = "http://schemas.openxmlformats.org/markup-compatibility/2006"
_ALTERNATE = f"{{{_COMPATIBILITY}}}AlternateContent"
_VML = "v"
_CHOICE, _FALLBACK = f"{{{_COMPATIBILITY}}}Choice", f"{{{_COMPATIBILITY}}}Fallback"


class UnreadablePart(Exception):
    """A part is absent, damaged, or no well-formed XML; the message is its name."""


class Relationship(Struct, frozen=True):
    """A relationship: the last step of its type, such as ``image``, and the part or address.

    ``target`` is the name of a part, or as it stands in the file where it is ``external``.
    """

    type: str
    target: str
    external: bool = False


class Package:
    """The parts of an open package, by their names without a leading slash."""

    def __init__(self, archive: ZipFile, kind: str) -> None:
        self._archive = archive
        self._kind = kind
        # Names of parts are equivalent whatever their case (ECMA-376, part 2, 6.2.2.3).
        self._entries = {one.filename.lstrip("/").lower(): one for one in archive.infolist()}
        self.names = tuple(one.filename.lstrip("/") for one in archive.infolist())

    @cached_property
    def main_part(self) -> str:
        """The name of the part with the document itself.

        :raises Unconvertible: ``corrupt``, there is none.
        """
        for one in self.relationships("").values():
            if one.type == "officeDocument" and self.has(one.target):
                return one.target
        raise Unconvertible(
            "corrupt", f"The {self._kind} file is damaged: it has no part with the document."
        )

    @cached_property
    def _content_types(self) -> tuple[dict[str, str], dict[str, str]]:
        defaults: dict[str, str] = {}
        overrides: dict[str, str] = {}
        try:
            root = self.xml("[Content_Types].xml")
        except UnreadablePart:
            return defaults, overrides
        for one in root:
            kind = one.get("ContentType", "")
            if one.tag == f"{{{_PACKAGE}content-types}}Default":
                defaults[one.get("Extension", "").lower()] = kind
            elif one.tag == f"{{{_PACKAGE}content-types}}Override":
                overrides[one.get("PartName", "").lstrip("/").lower()] = kind
        return defaults, overrides

    def content_type(self, part: str) -> str:
        """Return the declared content type of a part; empty where there is none."""
        defaults, overrides = self._content_types
        name = part.lower()
        return overrides.get(name) or defaults.get(name.rpartition(".")[2], "")

    def has(self, part: str) -> bool:
        """Whether there is a part of this name."""
        return part.lower() in self._entries

    def size(self, part: str) -> int:
        """Return the unpacked size of a part in bytes, 0 where it is absent."""
        entry = self._entries.get(part.lower())
        return entry.file_size if entry else 0

    def read(self, part: str) -> bytes:
        """Return the bytes of a part.

        :raises UnreadablePart: it is absent or damaged.
        """
        entry = self._entries.get(part.lower())
        if entry is None:
            raise UnreadablePart(part)
        try:
            return self._archive.read(entry)
        except (BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the machine, not the file
            raise UnreadablePart(part) from error

    @contextmanager
    def stream(self, part: str) -> Iterator[IO[bytes]]:
        """Open a part that is too large to be read at once.

        :raises UnreadablePart: it is absent or damaged; also while it is read.
        """
        entry = self._entries.get(part.lower())
        if entry is None:
            raise UnreadablePart(part)
        try:
            with self._archive.open(entry) as stream:
                yield stream
        except (BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # the machine, not the file
            raise UnreadablePart(part) from error

    def xml(self, part: str) -> Any:  # lxml has no types
        """Return the root element of an XML part, in the namespaces of transitional documents.

        Alternatives are resolved: the first that is not empty stands in their place.

        :raises UnreadablePart: it is absent, damaged, or no well-formed XML.
        """
        data = self.read(part)
        if STRICT_PREFIX in data:
            for strict, transitional in _STRICT_NAMESPACES.items():
                data = data.replace(strict, transitional)
        root = parse_xml(data)
        if root is None:
            raise UnreadablePart(part)
        if _COMPATIBILITY.encode() in data:
            _resolve_alternatives(root)
        return root

    def relationships(self, part: str) -> dict[str, Relationship]:
        """Return the relationships of a part by their ids; of the package itself for ``""``.

        Those that cannot be read are left out.
        """
        folder, name = posixpath.split(part)
        try:
            root = self.xml(posixpath.join(folder, "_rels", f"{name}.rels"))
        except UnreadablePart:
            return {}
        found = {}
        for one in root.iter(f"{{{_PACKAGE}relationships}}Relationship"):
            target = one.get("Target", "")
            external = one.get("TargetMode") == "External"
            if not external:
                target = posixpath.normpath(posixpath.join("/", folder, unquote(target)))[1:]
            kind = one.get("Type", "").rpartition("/")[2]
            found[one.get("Id", "")] = Relationship(kind, target, external)
        return found


@contextmanager
def open_package(path: Path, kind: str) -> Iterator[Package]:
    """Open a package whose archive can be read safely; ``kind`` is its type in sentences.

    :raises Unconvertible: ``corrupt``, ``too_large``, ``password_protected``.
    """
    check_archive(path, "[Content_Types].xml", kind)
    with ZipFile(path) as archive:
        yield Package(archive, kind)


def _resolve_alternatives(root: Any) -> None:
    # From the end, so that those inside of an alternative are resolved before it moves.
    for alternate in reversed(list(root.iter(_ALTERNATE))):
        parent = alternate.getparent()
        if parent is None:
            continue
        choices = [one for one in alternate if one.tag == _CHOICE]
        # VML has its pictures in another part; the fallback has them where they are shown.
        options = [one for one in choices if one.get("Requires") != _VML]
        options += [one for one in alternate if one.tag == _FALLBACK]
        options += [one for one in choices if one.get("Requires") == _VML]
        chosen = next((one for one in options if len(one)), ())
        place = parent.index(alternate)
        parent[place : place + 1] = list(chosen)
