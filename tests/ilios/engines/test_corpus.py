"""Real documents, hostile ones among them. The OCR of all would take a minute: see the bench."""

import json
import os
from pathlib import Path

import pytest

from actors.ports import SourceFile, Unconvertible
from ilios.engines.limits import EngineLimits
from ilios.engines.local import LocalEngine
from tests import documents

CORPUS = Path(
    os.environ.get("ILIOS_CORPUS", Path(__file__).resolve().parents[4] / "shared" / "corpus")
)
TYPES = {".pdf": documents.PDF, ".docx": documents.DOCX, ".pptx": documents.PPTX}
TYPES |= {".png": documents.PNG}
REFUSED = {
    "bomb_50000x50000.png": "too_large",
    "bomb_stream.pdf": "out_of_memory",
    "docling__2206.01062_pg3.pdf": "password_protected",
    "empty.pdf": "corrupt",
    "pdfjs__poppler-742-0-fuzzed.pdf": "corrupt",
}
EMPTY = {"pdfjs__PDFBOX-4352-0.pdf"}
SLOW = ("scan", "image", "blank", "619p")

pytestmark = pytest.mark.skipif(
    not (CORPUS / "manifest.json").exists(), reason=f"no corpus in {CORPUS} (ILIOS_CORPUS)"
)


async def test_every_quick_document_of_the_corpus_ends_as_it_should() -> None:
    async with LocalEngine(EngineLimits(processes=2)) as engine:
        for entry in json.loads((CORPUS / "manifest.json").read_text()):
            if entry["kind"].startswith(SLOW) or entry["kind"].endswith(SLOW):
                continue
            path = CORPUS / entry["path"]
            source = SourceFile(path, TYPES[path.suffix], entry["sha256"])
            if path.name in REFUSED:
                with pytest.raises(Unconvertible) as caught:
                    await engine.convert(source)
                assert (path.name, caught.value.code) == (path.name, REFUSED[path.name])
                continue
            conversion = await engine.convert(source)
            text = "".join(conversion.pages)
            assert bool(text.strip()) is (path.name not in EMPTY), path.name
            assert ";base64," not in text, path.name
            if path.suffix == ".pdf" and entry["pages"]:
                assert len(conversion.pages) == entry["pages"], path.name
