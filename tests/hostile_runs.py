"""Runs of hostile documents through a real engine: each ends in time, with a reason or a result."""

import asyncio
import hashlib
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from actors import sniffing
from actors.engines import Conversion, EngineCrashed, SourceFile, Unconvertible
from ilios.engines.local.engine import LocalEngine
from ilios.engines.local.limits import MIB, EngineLimits

CODES = {"corrupt", "password_protected", "too_large", "too_many_pages", "timeout"}
CODES |= {"out_of_memory", "unsupported_type"}
WALL_SECONDS = 30.0


async def run(kinds: Mapping[str, Callable[[random.Random], bytes]], count: int, root: Path) -> int:
    """Convert so many documents of these kinds; return how many have a result."""
    limits = EngineLimits(processes=2, memory_bytes=1024 * MIB, wall_seconds=WALL_SECONDS)
    store, staging = root / "store", root / "staging"
    store.mkdir()
    converted = 0
    async with LocalEngine(limits, staging) as engine:

        async def end(place: int) -> bool:
            kind = list(kinds)[place % len(kinds)]
            data = await asyncio.to_thread(kinds[kind], random.Random(f"{place} {kind}"))
            content_type = sniffing.sniff(
                data[: sniffing.SNIFF_LENGTH], data[-sniffing.SNIFF_LENGTH :]
            )
            if content_type is None:
                return False
            path = store / str(place)
            path.write_bytes(data)
            source = SourceFile(path, content_type, hashlib.sha256(data).hexdigest())
            began = time.monotonic()
            found: Conversion | Unconvertible | EngineCrashed
            try:
                found = await engine.convert(source)
            except (EngineCrashed, Unconvertible) as refusal:
                found = refusal
            assert time.monotonic() - began < 4 * WALL_SECONDS, (kind, place)
            if isinstance(found, EngineCrashed):
                assert found.document_blamed, (kind, place, found.reason)
                return False
            if isinstance(found, Unconvertible):
                assert found.code in CODES, (kind, place, found.code, found.reason)
                assert found.reason.endswith("."), found.reason
                return False
            assert "root:" not in "".join(found.pages), (kind, place)
            return True

        for start in range(0, count, 2):
            some = range(start, min(start + 2, count))
            converted += sum(await asyncio.gather(*map(end, some)))
    assert not list(staging.rglob("attachments-*"))
    return converted
