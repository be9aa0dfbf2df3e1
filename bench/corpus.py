"""Submits every document of a directory at once and tells how each ends."""

import asyncio
import tempfile
import time
from pathlib import Path

from bench import server
from bench.client import Client

FINISHED_WITHIN = 600.0  # seconds


async def measure(directory: Path, markdown: Path | None) -> None:
    """Submit all files below ``directory`` at the same time and print how each ends."""
    paths = sorted(p for p in directory.rglob("*") if p.is_file() and p.suffix in SUFFIXES)
    with tempfile.TemporaryDirectory(prefix="ilios-bench-") as name:
        async with server.run_service(Path(name), stub=False) as running:
            own = {k: v for k, v in running.processes().items() if not k.startswith("engine")}
            started = time.perf_counter()
            ends = await asyncio.gather(*(_one(running.url, p, markdown) for p in paths))
            seconds = time.perf_counter() - started
            survived = own.items() <= running.processes().items()
    for path, end in zip(paths, ends, strict=True):
        print(f"{path.name:<60} {end}")
    states = [end.split()[0] for end in ends]
    summary = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
    print(f"{len(paths)} documents in {seconds:.0f} s: {summary}")
    print(f"the service's own processes {'all survived' if survived else 'DID NOT all survive'}")


SUFFIXES = {
    ".pdf", ".docx", ".pptx", ".png", ".jpg", ".jpeg", ".webp", ".gif", ".tiff", ".bmp",
}  # fmt: skip


async def _one(url: str, path: Path, markdown: Path | None) -> str:
    client = Client(url)
    started = time.perf_counter()
    answer = await client.post_file("/api/documents/submit", path.name, path.read_bytes())
    if answer.status != 202:
        return f"refused {answer.status} {answer.json().get('error')}"
    document = answer.json()["id"]
    status = answer.json()
    while time.perf_counter() - started < FINISHED_WITHIN:
        status = (await client.get(f"/api/documents/status/{document}")).json()
        if status["status"] == "failed":
            return f"failed {time.perf_counter() - started:.1f} s: {status['error']}"
        if status["status"] == "completed":
            text = (await client.get(f"/api/documents/{document}")).body
            if markdown:
                markdown.mkdir(parents=True, exist_ok=True)
                (markdown / f"{path.name}.md").write_bytes(text)
            return f"completed {time.perf_counter() - started:.1f} s, {len(text)} bytes"
        await asyncio.sleep(0.2)
    return f"unfinished {status['status']}"
