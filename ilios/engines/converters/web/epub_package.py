"""The package of an EPUB: its pages in reading order, their pictures, its cover."""

import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from zipfile import BadZipFile, ZipFile

from lxml import etree
from msgspec import Struct

from actors.engines import Unconvertible
from ilios.engines.converters import archives
from ilios.engines.converters.xml_trees import WITHOUT_REFERENCES
from ilios.engines.page_limits import MAX_IMAGE_BYTES

CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_OBFUSCATED_FONTS = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
_PAGES = frozenset(
    {"application/xhtml+xml", "text/html", "text/x-oeb1-document", "image/svg+xml", ""}
)
_ZIP_ERRORS = (BadZipFile, KeyError, ValueError, EOFError, NotImplementedError, OSError)

MAX_MISSING = 100
"""Pages that are listed and missing; more of them cost an author nothing."""

MAX_ITEMS = 50_000
"""Files of a manifest."""


class _Item(Struct, frozen=True):
    path: str
    kind: str
    properties: tuple[str, ...]


class Package:
    """An open EPUB, whose ``pages`` are the names of its files in reading order."""

    def __init__(self, archive: ZipFile) -> None:
        self._archive = archive
        self._names = set(archive.namelist())
        self._protected: frozenset[str] = frozenset()
        self._protected = self._encrypted()
        package = self._package_path()
        root = self._xml(package)
        items = _manifest(root, posixpath.dirname(package))
        self.cover = _cover(root, items)
        pages: dict[str, None] = {}
        missing = 0
        for reference in _named(root, "itemref"):
            item = items.get(reference.get("idref") or "")
            # The table of contents names again what stands at the beginning of its pages.
            if item is None or item.kind not in _PAGES or "nav" in item.properties:
                continue
            missing += item.path not in self._names
            if item.path in self._names or missing <= MAX_MISSING:
                pages[item.path] = None
        self.pages = tuple(pages) or tuple(
            item.path for item in items.values() if item.kind == "application/xhtml+xml"
        )
        if not self.pages:
            raise _damaged("it has no pages")
        if self._protected.intersection(self.pages):
            raise Unconvertible(
                "password_protected",
                "The EPUB file is protected (DRM): its pages are encrypted for one reader's "
                "program; submit a copy without protection.",
            )

    def read(self, name: str) -> bytes | None:
        """Return a file of the book, or None for one that is missing or damaged."""
        if name not in self._names or name in self._protected:
            return None
        try:
            return self._archive.read(name)
        except _ZIP_ERRORS:
            return None

    def picture(self, name: str) -> bytes | None:
        """Return the bytes of a picture that is not too large, or None."""
        if name not in self._names or self._archive.getinfo(name).file_size > MAX_IMAGE_BYTES:
            return None
        return self.read(name)

    def _package_path(self) -> str:
        for file in _named(self._xml(CONTAINER), "rootfile"):
            if (path := file.get("full-path") or "") in self._names:
                return path
        found = sorted(name for name in self._names if name.lower().endswith(".opf"))
        if not found:
            raise _damaged("its list of pages is missing")
        return found[0]

    def _xml(self, name: str) -> Any:
        parser = etree.XMLParser(**WITHOUT_REFERENCES, recover=True)
        root = etree.fromstring(self.read(name) or b"<none/>", parser)
        if root is None:
            raise _damaged("its list of pages cannot be read")
        return root

    def _encrypted(self) -> frozenset[str]:
        """Return the names of encrypted files; those of fonts do not matter."""
        if _ENCRYPTION not in self._names:
            return frozenset()
        names: set[str] = set()
        for data in _named(self._xml(_ENCRYPTION), "EncryptedData"):
            methods = [one.get("Algorithm") for one in _named(data, "EncryptionMethod")]
            if not any(method in _OBFUSCATED_FONTS for method in methods):
                uris = (one.get("URI") or "" for one in _named(data, "CipherReference"))
                names.update(unquote(uri) for uri in uris)
        return frozenset(names)


@contextmanager
def open_package(path: Path) -> Iterator[Package]:
    """Open an EPUB whose archive is within its bounds.

    :raises Unconvertible: ``corrupt``, ``too_large``, ``password_protected``.
    """
    archives.check_archive(path, CONTAINER, "EPUB")
    try:
        with ZipFile(path) as archive:
            yield Package(archive)
    except (BadZipFile, etree.XMLSyntaxError) as error:
        raise _damaged("it is incomplete") from error


def locate(page: str, target: str) -> str:
    """Return the name of the file that a link of a page leads to."""
    path = unquote(target.partition("#")[0])
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else page


def _damaged(how: str) -> Unconvertible:
    return Unconvertible("corrupt", f"The EPUB file is damaged: {how}.")


def _named(root: Any, name: str) -> Iterator[Any]:
    yield from root.iter(f"{{*}}{name}")


def _manifest(root: Any, directory: str) -> dict[str, _Item]:
    items: dict[str, _Item] = {}
    for element in _named(root, "item"):
        if len(items) >= MAX_ITEMS:
            break
        path = posixpath.normpath(posixpath.join(directory, unquote(element.get("href") or "")))
        kind = (element.get("media-type") or "").lower()
        items[element.get("id") or ""] = _Item(
            path, kind, tuple((element.get("properties") or "").split())
        )
    return items


def _cover(root: Any, items: dict[str, _Item]) -> str | None:
    """Return the name of the picture on the cover."""
    for item in items.values():
        if "cover-image" in item.properties:
            return item.path
    for meta in _named(root, "meta"):
        if meta.get("name") == "cover" and (item_of := items.get(meta.get("content") or "")):
            return item_of.path if item_of.kind.startswith("image/") else None
    return None
