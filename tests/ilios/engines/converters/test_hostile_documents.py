"""A small seeded selection of the hostile documents; ``make bench ARGS=bombs`` has all kinds."""

import asyncio
import hashlib
import random
import tempfile
from pathlib import Path

import pytest

from actors import sniffing
from actors.engines import Conversion, EngineCrashed, SourceFile, Unconvertible
from ilios.engines.local.engine import LocalEngine
from ilios.engines.local.limits import MIB, EngineLimits
from ilios.engines.local.staging import PREFIX
from tests import hostile_documents
from tests.hostile_documents import Canary, Hostile
from tests.waiting import wait_until

CODES = {"corrupt", "password_protected", "too_large", "too_many_pages", "unsupported_type"}
CODES |= {"timeout", "out_of_memory", "crashed"}
SLOW = (
    "pdf: flood",
    "pdf: forms",
    "pdf: programs",
    "pdf: deflate",
    "pdf: glyphs in a circle",
    "pdf: image",
    "image: noise",
    "image: large",
    "image: long",
    "image: TIFF of many",
    "image: JPEG",
    "office: wide",
    "office: flood of runs",
    "docx: chains of styles",
    "docx: links",
    "docx: tables in tables",
    "docx: wide grids",
)
"""Kinds of which a document takes seconds; `docx/test_hostile.py` has all of DOCX."""

WORD = "canary-in-a-file"


async def ended(engine: LocalEngine, path: Path, document: Hostile) -> Conversion | Unconvertible:
    """Return the outcome of a document; only a crash that is blamed on it counts as one."""
    ends = document.data[: sniffing.SNIFF_LENGTH], document.data[-sniffing.SNIFF_LENGTH :]
    content_type = sniffing.sniff(*ends)
    if content_type is None:
        return Unconvertible("unsupported_type", "It is none.")
    path.write_bytes(document.data)
    sha256 = hashlib.sha256(document.data).hexdigest()
    try:
        return await engine.convert(SourceFile(path, content_type, sha256))
    except EngineCrashed as crash:
        return Unconvertible("crashed" if crash.document_blamed else "broken", f"{crash.reason}.")
    except Unconvertible as refusal:
        return refusal


@pytest.mark.slow
async def test_hostile_documents_end_with_a_reason_and_reach_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    called: list[str] = []

    def record(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.append(str(writer.get_extra_info("peername")))
        writer.close()

    listener = await asyncio.start_server(record, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    secret, store, staging = tmp_path / "secret", tmp_path / "store", tmp_path / "staging"
    secret.write_text(WORD)
    store.mkdir()
    makers = hostile_documents.makers(Canary(f"http://127.0.0.1:{port}/x", str(secret)))
    kinds = [kind for kind in sorted(makers) if not kind.startswith(SLOW)]
    made = [Hostile(kind, *makers[kind](random.Random(f"1 {kind}"))) for kind in kinds]
    limits = EngineLimits(processes=2, memory_bytes=1024 * MIB)
    async with LocalEngine(limits, staging) as engine:
        ends = await asyncio.gather(
            *(ended(engine, store / str(place), each) for place, each in enumerate(made))
        )
        scratch = [staging, *tmp_path.glob(f"{PREFIX}*")]
        assert len(scratch) == 2
        await wait_until(
            lambda: not any(path.is_file() for folder in scratch for path in folder.rglob("*"))
        )
    for each, end in zip(made, ends, strict=True):
        if isinstance(end, Unconvertible):
            assert end.code in CODES, f"{each.kind}: {end.code}: {end.reason}"
            assert end.reason.endswith(".")
    texts = ["\n".join(end.pages) for end in ends if isinstance(end, Conversion)]
    assert len(made) > 40
    assert texts  # some of them can be converted
    assert len(texts) < len(made)
    assert not called
    assert not any(WORD in text for text in texts)
    assert not Path(f"{secret}-escaped").exists()
    _, writer = await asyncio.open_connection("127.0.0.1", port)  # the canary works
    writer.close()
    await wait_until(lambda: len(called) == 1)
    listener.close()
    await listener.wait_closed()


def test_the_same_seed_gives_the_same_documents() -> None:
    canary = Canary("http://127.0.0.1:1/x", "/canary")
    first, again, other = (list(hostile_documents.hostile(6, seed, canary)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
