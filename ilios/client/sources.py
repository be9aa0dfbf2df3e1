"""Documents to submit, as bodies of requests that can be sent again."""

import json
import mimetypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import FormData
from msgspec import Struct

from schemas.requests import SubmitFields

DEFAULT_TYPE = "application/octet-stream"


class Upload(Struct, frozen=True, kw_only=True):
    """A document: the path of a file or its bytes, its name and its declared type.

    Without a name it is that of the file, without a type that of the name's extension.
    """

    content: Path | bytes
    file_name: str | None = None
    content_type: str | None = None

    @property
    def name(self) -> str:
        """The name to submit it with; bytes of a file's name that are no UTF-8 are replaced."""
        name = self.file_name
        if name is None:
            name = self.content.name if isinstance(self.content, Path) else "document"
        return name.encode("utf-8", "replace").decode()

    @property
    def type(self) -> str:
        """The declared type."""
        return self.content_type or mimetypes.guess_type(self.name)[0] or DEFAULT_TYPE


@contextmanager
def form_of(upload: Upload, fields: SubmitFields) -> Iterator[FormData]:
    """Return the form of a submission; the file is open while the context is.

    :raises OSError: the file cannot be read.
    """
    form = FormData(quote_fields=False)
    # Fields come first: the service may refuse them before it has read the file.
    for name, text in form_texts(fields).items():
        form.add_field(name, text)
    if isinstance(upload.content, bytes):
        form.add_field("file", upload.content, filename=upload.name, content_type=upload.type)
        yield form
        return
    with upload.content.open("rb") as opened:
        form.add_field("file", opened, filename=upload.name, content_type=upload.type)
        yield form


def form_texts(fields: SubmitFields) -> dict[str, str]:
    """Return fields as a form has them, without those that have their defaults."""
    given: dict[str, Any] = msgspec.to_builtins(fields)
    return {name: _text(value) for name, value in given.items() if value is not None}


def _text(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case dict():
            return json.dumps(value, ensure_ascii=False)
        case list() | tuple():
            return ",".join(str(one) for one in value)
    return str(value)
