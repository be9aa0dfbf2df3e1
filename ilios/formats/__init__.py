"""The output formats of a document, for the HTTP interface, batches and the CLI.

A format is a module and an entry of ``FORMATS``.
"""

from ilios.formats.as_chunks import CHUNKS
from ilios.formats.as_html import HTML
from ilios.formats.as_json import JSON
from ilios.formats.as_markdown import MARKDOWN
from ilios.formats.as_text import TEXT

DEFAULT_FORMAT = "markdown"

FORMATS = {
    DEFAULT_FORMAT: MARKDOWN,
    "json": JSON,
    "text": TEXT,
    "html": HTML,
    "chunks": CHUNKS,
}
"""The formats by their names, which clients and the command line use."""
