"""Static files of the pages, served from memory, compressed and with entity tags.

They are part of the package; third-party files are unchanged (``assets/swagger-ui``, whose hashes
a test compares with its ``VENDORED.json``). Nothing is read before the first request of a page.
"""

import gzip
import hashlib
from functools import cache
from pathlib import Path
from string import Template

from msgspec import Struct

ASSETS_DIR = Path(__file__).with_name("assets")
VENDORED = ASSETS_DIR / "swagger-ui"

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
STATIC_FILES = {
    "docs.js": ASSETS_DIR / "docs.js",
    "icon.svg": ASSETS_DIR / "icon.svg",
    "index.js": ASSETS_DIR / "index.js",
    "pages.css": ASSETS_DIR / "pages.css",
    "swagger-ui-bundle.js": VENDORED / "swagger-ui-bundle.js",
    "swagger-ui.css": VENDORED / "swagger-ui.css",
}
"""Names under ``/docs/{edition}/``; other files of the folder are not served."""

_VERSION_DIGITS = 12


class StaticFile(Struct, frozen=True):
    """A response body, and its gzip form for clients that accept that."""

    body: bytes
    gzipped: bytes
    content_type: str
    etag: str


def make_file(body: bytes, suffix: str) -> StaticFile:
    """Return a file of these bytes."""
    # A timestamp would make another file of the same bytes.
    gzipped = gzip.compress(body, mtime=0)
    return StaticFile(body, gzipped, TYPES[suffix], hashlib.sha256(body).hexdigest())


@cache
def static_file(name: str) -> StaticFile:
    """Return a file by its name in ``STATIC_FILES``. Reads and compresses once, in a thread."""
    path = STATIC_FILES[name]
    return make_file(path.read_bytes(), path.suffix)


@cache
def assets_version() -> str:
    """Return a digest of all files: URLs that contain it can be cached for ever."""
    digest = hashlib.sha256()
    for name, path in sorted(STATIC_FILES.items()):
        digest.update(name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:_VERSION_DIGITS]


@cache
def template(name: str) -> Template:
    """Return the template of a page."""
    return Template((ASSETS_DIR / name).read_text("utf-8"))
