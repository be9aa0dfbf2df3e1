"""Pages in the answer, shaped like ``mistralai.client.models.OCRPageObject``.

Every page carries a mark made of the hash of the document it came from and its number, and its own
text, or the hash of its picture when it has none: an answer that got into the wrong document, or a
page into the wrong place, is seen at once, also when the document is a part of another one.

Images and tables are numbered from 0 in each answer, not in each document: of a document read in
two calls, both have an ``img-0.jpeg``.
"""

import base64
import io
import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import count
from typing import Any, NamedTuple

from PIL import Image

from tests.mistral.document_reader import DPI, Page, digest
from tests.mistral.ocr_request import OcrRequest
from tests.mistral.rules import Layout

IMAGE_SIZE = (64, 48)
AVERAGE, MINIMUM = 0.97, 0.91


def mark(document: bytes | str, number: int) -> str:
    """Return the mark of a page of this document, which may be given by its hash."""
    name = document if isinstance(document, str) else digest(document)
    return f"document {name} page {number}"


def ocr_response(
    request: OcrRequest,
    name: str,
    size: int,
    chosen: Iterable[int],
    found: Mapping[int, Page],
    look: Layout,
) -> dict[str, Any]:
    """Return the ``OCRResponse`` for these pages of the document with this hash."""
    writer = _ResponseWriter(request, name, look)
    pages = [writer.page(number, found[number]) for number in chosen]
    return {
        "pages": pages,
        "model": request.model,
        "usage_info": {"pages_processed": len(pages), "doc_size_bytes": size},
        "document_annotation": _annotation(request.raw.get("document_annotation_format")),
    }


class _Fragment(NamedTuple):
    """A part of a page: what it is, what stands in the markdown for it, more for its block."""

    type: str
    text: str
    block_fields: Mapping[str, Any] = {}


class _ResponseWriter:
    """Writes the pages of one answer."""

    def __init__(self, request: OcrRequest, name: str, layout: Layout) -> None:
        self._request = request
        self._options = request.raw
        self._name = name
        self._layout = layout
        self._images = count()
        self._tables = count()
        takes_apart = request.is_at_least("mistral-ocr-2512")
        self._table_format = self._options.get("table_format") if takes_apart else None
        self._header_apart = takes_apart and bool(self._options.get("extract_header"))
        self._footer_apart = takes_apart and bool(self._options.get("extract_footer"))
        self._granularity = self._options.get("confidence_scores_granularity")

    def page(self, number: int, page: Page) -> dict[str, Any]:
        """Return one page of the document."""
        look, name = self._layout, self._name
        links = [f"https://example.org/{name}/{number}/{place}" for place in range(look.links)]
        images = self._page_images()
        tables = [self._table(number) for _ in range(look.tables)]
        pieces = [
            _Fragment("header", "" if self._header_apart else look.header),
            _Fragment("title", f"# Page {number + 1}"),
            _Fragment("text", mark(name, number)),
            _Fragment("text", page.text or page.key),
            *(_Fragment("text", f"[{link}]({link})") for link in links),
            *(
                _Fragment("image", f"![{i['id']}]({i['id']})", {"image_id": i["id"]})
                for i in images
            ),
            *(piece for piece, _ in tables),
            _Fragment("footer", "" if self._footer_apart else look.footer),
        ]
        pieces = [piece for piece in pieces if piece.text]
        markdown = "\n\n".join(piece.text for piece in pieces)
        return {
            "index": number,
            "markdown": markdown,
            "images": images,
            "dimensions": {"dpi": DPI, "height": page.height, "width": page.width},
            "tables": [table for _, table in tables] if self._table_format else None,
            "hyperlinks": links,
            "header": look.header or None if self._header_apart else None,
            "footer": look.footer or None if self._footer_apart else None,
            "confidence_scores": self._scores(markdown),
            "blocks": self._blocks(pieces, page),
        }

    def _page_images(self) -> list[dict[str, Any]]:
        limit, least = self._options.get("image_limit"), self._options.get("image_min_size") or 0
        shown: list[dict[str, Any]] = []
        if least > min(IMAGE_SIZE):
            return shown
        for place in range(self._layout.images):
            number = next(self._images)
            if limit is not None and number >= limit:
                break
            shown.append(
                {
                    "id": f"img-{number}.jpeg",
                    "top_left_x": 100,
                    "top_left_y": 400 + 200 * place,
                    "bottom_right_x": 100 + IMAGE_SIZE[0],
                    "bottom_right_y": 400 + 200 * place + IMAGE_SIZE[1],
                    "image_base64": _jpeg() if self._options.get("include_image_base64") else None,
                    "image_annotation": _annotation(self._options.get("bbox_annotation_format")),
                }
            )
        return shown

    def _table(self, page: int) -> tuple[_Fragment, dict[str, Any]]:
        """Return what stands in the text for a table, and the table itself."""
        number = next(self._tables)
        rows = [("Item", "Amount"), (f"{self._name} {page}", str(number))]
        if self._table_format == "html":
            lines = ("".join(f"<td>{cell}</td>" for cell in row) for row in rows)
            content = f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"
        else:
            head, *body = (f"| {' | '.join(row)} |" for row in rows)
            content = "\n".join([head, "| --- | --- |", *body])
        if not self._table_format:
            return _Fragment("table", content), {}
        id_ = f"tbl-{number}.{'html' if self._table_format == 'html' else 'md'}"
        table = {
            "id": id_,
            "content": content,
            "format": self._table_format,
            "word_confidence_scores": _word_scores(content)
            if self._granularity == "word"
            else None,
        }
        return _Fragment("table", f"[{id_}]({id_})", {"table_id": id_}), table

    def _scores(self, markdown: str) -> dict[str, Any] | None:
        if self._granularity is None:
            return None
        scores: dict[str, Any] = {
            "average_page_confidence_score": AVERAGE,
            "minimum_page_confidence_score": MINIMUM,
        }
        if self._granularity == "word":
            scores["word_confidence_scores"] = _word_scores(markdown)
        return scores

    def _blocks(self, pieces: Iterable[_Fragment], page: Page) -> list[dict[str, Any]] | None:
        if not (
            self._options.get("include_blocks", True)
            and self._request.is_at_least("mistral-ocr-4-0")
        ):
            return None
        scores = None
        if self._granularity == "block" and self._request.is_at_least("mistral-ocr-4-1"):
            scores = {
                "average_content_confidence_score": AVERAGE,
                "minimum_content_confidence_score": MINIMUM,
                "block_type_confidence_score": AVERAGE,
            }
        return [
            {
                "type": piece.type,
                "top_left_x": 0,
                "top_left_y": 100 * place,
                "bottom_right_x": page.width,
                "bottom_right_y": 100 * place + 80,
                "content": piece.text,
                "confidence_scores": scores,
                **piece.block_fields,
            }
            for place, piece in enumerate(pieces)
        ]


@cache
def _jpeg() -> str:
    out = io.BytesIO()
    Image.new("RGB", IMAGE_SIZE, "teal").save(out, "JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


def _word_scores(text: str) -> list[dict[str, Any]]:
    return [
        {"text": word[0], "confidence": AVERAGE, "start_index": word.start()}
        for word in re.finditer(r"\S+", text)
    ]


def _annotation(wanted: Mapping[str, Any] | None) -> str | None:
    """Return an object with the fields of the wanted schema, and nothing in them."""
    if wanted is None:
        return None
    return json.dumps(dict.fromkeys(wanted["json_schema"]["schema"].get("properties", {})))
