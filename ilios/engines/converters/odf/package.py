"""OpenDocument files: archives of XML parts, or one flat XML file."""

import binascii
import posixpath
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from zipfile import BadZipFile, ZipFile

from actors.engines import Unconvertible
from ilios.engines.converters.archives import MAX_XML_BYTES, check_archive
from ilios.engines.converters.odf.names import attribute, child, clark
from ilios.engines.converters.xml_trees import parse_xml
from ilios.engines.page_limits import MAX_IMAGE_BYTES

CONTENT, STYLES, MANIFEST = "content.xml", "styles.xml", "META-INF/manifest.xml"
ZIP_START = b"PK"
MAX_EMBEDDED = 300
"""Embedded documents that are read, which may contain each other."""


class Package:
    """An open OpenDocument file. Parts that are damaged are as if they were not there."""

    def __init__(self, kind: str, archive: ZipFile | None, flat: Any = None) -> None:
        self._archive = archive
        self._entries = {one.filename: one for one in archive.infolist()} if archive else {}
        content = flat if archive is None else self.xml(CONTENT)
        if content is None or child(content, "office:body") is None:
            raise Unconvertible("corrupt", f"The {kind} file is damaged: its text is missing.")
        self.content = content
        self.roots = [content] if archive is None else [self.xml(STYLES), content]
        """The roots with styles, those common to the document first."""
        self._pictures: dict[str, bytes | None] = {}
        self._picture_bytes = 0
        self._embedded = 0
        self.roots = [root for root in self.roots if root is not None]

    def body(self, kind: str) -> Any:
        """Return the element with the document, such as ``office:text``; None without one."""
        return child(child(self.content, "office:body"), kind)

    def read(self, name: str) -> bytes | None:
        """Return a part; None where it is absent, damaged, or outside of the file."""
        name = posixpath.normpath(unquote(name).removeprefix("./"))
        entry = self._entries.get(name)
        if entry is None or self._archive is None:
            return None
        try:
            return self._archive.read(entry)
        except (BadZipFile, zlib.error, EOFError, NotImplementedError):
            return None

    def xml(self, name: str) -> Any:
        """Return the root of an XML part, or None."""
        data = self.read(name)
        return None if data is None else parse_xml(data)

    def picture(self, element: Any) -> bytes | None:
        """Return the bytes an image element has or refers to; what is elsewhere is not fetched."""
        inside = child(element, "office:binary-data")
        if inside is not None:
            try:
                return binascii.a2b_base64((inside.text or "").encode("ascii", "ignore"))
            except binascii.Error:
                return None
        name = attribute(element, "xlink:href")
        if name not in self._pictures:
            self._pictures[name] = self._picture(name)
        return self._pictures[name]

    def _picture(self, name: str) -> bytes | None:
        entry = self._entries.get(posixpath.normpath(unquote(name).removeprefix("./")))
        size = entry.file_size if entry else 0
        if self._picture_bytes + size > MAX_IMAGE_BYTES:
            return None
        self._picture_bytes += size
        return self.read(name)

    def embedded(self, element: Any) -> Any:
        """Return the root of an embedded document, or None."""
        self._embedded += 1
        if self._embedded > MAX_EMBEDDED:
            return None
        for inside in element:
            if isinstance(inside.tag, str):
                return inside
        folder = attribute(element, "xlink:href").removeprefix("./").rstrip("/")
        return self.xml(f"{folder}/{CONTENT}") if folder else None


@contextmanager
def open_package(path: Path, kind: str) -> Iterator[Package]:
    """Open an OpenDocument file whose archive can be read safely.

    :raises Unconvertible: ``corrupt``, ``too_large``, ``password_protected``.
    """
    with path.open("rb") as file:
        zipped = file.read(2) == ZIP_START
    if not zipped:
        if path.stat().st_size > MAX_XML_BYTES:
            raise Unconvertible("too_large", f"The {kind} file is larger than is allowed.")
        yield Package(kind, None, parse_xml(path.read_bytes()))
        return
    check_archive(path, CONTENT, kind)
    with ZipFile(path) as archive:
        _refuse_encrypted(archive, kind)
        yield Package(kind, archive)


def _refuse_encrypted(archive: ZipFile, kind: str) -> None:
    """Refuse a file whose manifest has the parameters of an encryption (part 2, 3.4)."""
    try:
        manifest = parse_xml(archive.read(MANIFEST))
    except (KeyError, BadZipFile, zlib.error, EOFError, NotImplementedError):
        return
    if manifest is None:
        return
    if next(manifest.iter(clark("manifest:encryption-data")), None) is not None:
        raise Unconvertible(
            "password_protected",
            f"The {kind} file is protected by a password; remove it and submit again.",
        )
