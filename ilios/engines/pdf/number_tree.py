"""The number tree of a tagged PDF's marked content, looked at before PDFium follows it.

PDFium follows the nodes of that tree without looking whether it has been there: a circle takes it
to the end of its stack, shared nodes to no end at all.
"""

import mmap
import re
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path

import pypdfium2
import pypdfium2.raw as pdfium

MAX_BYTES = 64 * 1024 * 1024
"""A larger document is not looked at: writing it once more would take longer than its pages."""

MAX_NODES = 100_000
MAX_DEPTH = 40
MAX_NODE_BYTES = 4_000_000

TAIL_BYTES = 4096
ENTRY_BYTES = 20
"""The end of a file, where its trailer is, and an entry of its table of objects."""

_ROOT = re.compile(rb"/Root ([0-9]{1,8}) [0-9]{1,5} R")
_TREE = re.compile(rb"/StructTreeRoot ([0-9]{1,8}) [0-9]{1,5} R")
_START = re.compile(rb"startxref\s+([0-9]{1,10})\s")
_SECTION = re.compile(rb"([0-9]{1,8}) ([0-9]{1,8})\s{1,2}(?=[0-9]{10} )")
_REFERENCE = re.compile(rb"([0-9]{1,8}) [0-9]{1,5} R(?![A-Za-z])")
_KIDS = re.compile(rb"/Kids(?![A-Za-z0-9])\s{0,9}(\[)?")


def is_followable(document: pypdfium2.PdfDocument, folder: Callable[[], Path]) -> bool:
    """Whether PDFium comes to the end of the number tree of a tagged document.

    It is looked at as PDFium sees it: in a copy that PDFium writes into ``folder()``, with plain
    objects and one table of them, whatever the document has.
    """
    target = folder() / "plain.pdf"
    try:
        document.save(target, flags=pdfium.FPDF_REMOVE_SECURITY)
    except pypdfium2.PdfiumError:
        return False
    try:
        with target.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
            return _is_tree(_Objects(data), data)
    except (OSError, ValueError):
        return False
    finally:
        target.unlink(missing_ok=True)


class _Objects:
    """The objects of a file that PDFium wrote, by their numbers."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._firsts: list[int] = []
        self._sections: list[tuple[int, int]] = []  # number of entries, place of the first
        start = _START.findall(data[-TAIL_BYTES:])
        at = data.find(b"\n", int(start[-1])) + 1 if start else 0
        while at and (section := _SECTION.match(data, at)):
            self._firsts.append(int(section[1]))
            self._sections.append((int(section[2]), section.end()))
            at = section.end() + int(section[2]) * ENTRY_BYTES

    def body(self, number: int) -> bytes:
        """Return an object as it is written, a stream up to its data; b"" without one.

        :raises ValueError: it is too long.
        """
        at = bisect_right(self._firsts, number) - 1
        if at < 0:
            return b""
        count, first = self._sections[at]
        if number - self._firsts[at] >= count:
            return b""
        entry = first + (number - self._firsts[at]) * ENTRY_BYTES
        start = int(self._data[entry : entry + 10])
        end = self._data.find(b"endobj", start, start + MAX_NODE_BYTES)
        if end < 0:
            raise ValueError(number)
        return self._data[start:end]


def _is_tree(objects: _Objects, data: mmap.mmap) -> bool:
    """Whether no node is reached twice, and none too deep.

    Each object with children counts as a node, whatever it is; one whose list of children is an
    object by itself is not looked at.
    """
    catalog = _ROOT.findall(data[-TAIL_BYTES:])
    root = _TREE.search(objects.body(int(catalog[-1]))) if catalog else None
    if root is None:
        return False
    seen: set[int] = set()
    other: set[int] = set()
    waiting = [(number, 0) for number in _references(objects.body(int(root[1])))]
    while waiting:
        number, depth = waiting.pop()
        if number in other:
            continue
        body = objects.body(number)
        lists = _KIDS.findall(body)
        if not lists:
            other.add(number)
            continue
        if number in seen or depth > MAX_DEPTH or len(seen) > MAX_NODES or b"" in lists:
            return False
        seen.add(number)
        waiting += [(child, depth + 1) for child in _references(body)]
    return True


def _references(body: bytes) -> list[int]:
    return list(map(int, _REFERENCE.findall(body)))
