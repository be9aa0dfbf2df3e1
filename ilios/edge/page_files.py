"""The files of the pages for people, as they are served: from memory, packed, tagged.

They come with the package, those of others as they were published (``assets/swagger-ui``, whose
hashes a test holds against its ``VENDORED.json``). Nothing is read before somebody looks at a page.
"""

import gzip
import hashlib
from functools import cache
from pathlib import Path
from string import Template

from msgspec import Struct

FOLDER = Path(__file__).with_name("assets")
VENDORED = FOLDER / "swagger-ui"

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
SERVED = {
    "docs.js": FOLDER / "docs.js",
    "icon.svg": FOLDER / "icon.svg",
    "index.js": FOLDER / "index.js",
    "pages.css": FOLDER / "pages.css",
    "swagger-ui-bundle.js": VENDORED / "swagger-ui-bundle.js",
    "swagger-ui.css": VENDORED / "swagger-ui.css",
}
"""Names under ``/docs/{edition}/``; there are no others, whatever lies in the folder."""

_EDITION_DIGITS = 12


class File(Struct, frozen=True):
    """What is sent: ``body``, or ``packed`` (gzip) to those who take it."""

    body: bytes
    packed: bytes
    content_type: str
    tag: str


def file_of(body: bytes, suffix: str) -> File:
    """Return a file of these bytes."""
    # The time of packing would make another file of the same bytes.
    packed = gzip.compress(body, mtime=0)
    return File(body, packed, TYPES[suffix], hashlib.sha256(body).hexdigest())


@cache
def served(name: str) -> File:
    """Return a file by its name in ``SERVED``. Reads and packs once: to be called in a thread."""
    path = SERVED[name]
    return file_of(path.read_bytes(), path.suffix)


@cache
def edition() -> str:
    """Return what names this set of files: addresses with it in them can be kept for ever."""
    digest = hashlib.sha256()
    for name, path in sorted(SERVED.items()):
        digest.update(name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:_EDITION_DIGITS]


@cache
def template(name: str) -> Template:
    """Return a page that is still to be filled in."""
    return Template((FOLDER / name).read_text("utf-8"))
