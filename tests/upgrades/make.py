"""``python -m tests.upgrades.make CHECKOUT ARCHIVE``: the data directory an older ilios leaves.

CHECKOUT is a clone at the older commit with its own ``.venv``; its service is run there. What it
leaves when it is killed in the middle of its work is packed, with ``contents.json`` that lists what
the archive holds.

Nothing in it expires: its streams keep their messages for ever, its documents are kept for ten
years, its upload URL is signed for longer. Events are as the older service publishes them, so
nothing here may use this tree's own service.
"""

import asyncio
import hmac
import json
import os
import re
import shutil
import signal
import sys
import tarfile
import tempfile
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import nats

from tests import documents
from tests.mistral.fake import FakeMistral
from tests.mistral.server import fake_mistral
from tests.waiting import wait_until

EVENTS, DEAD_LETTERS = "ILIOS_EVENTS", "ILIOS_DEAD_LETTERS"
KEPT_DAYS = "3650"
FOREVER = 4_000_000_000  # seconds since 1970: the year 2096
HANGING = 3600.0  # seconds a call takes that is not to end
WITHIN = 60.0  # seconds for whatever is waited for
SLOW = 2.0  # seconds a call takes while somebody looks for its result
SHORT_ID = "m0000000000000000000000{:02}"  # of what is published on the bus

LONG = documents.pdf(*(f"Page {number} of the paper\n" + "x" * 900 for number in range(150)))
LONG_OF_BATCH = documents.pdf(*(f"Page {number} of a batch\n" + "y" * 900 for number in range(150)))
FILES = {
    "done.pdf": documents.pdf("Done before the upgrade", "with a second page"),
    "broken.pdf": b"%PDF-1.7 and nothing else",
    "accepted.pdf": documents.pdf("Accepted and not yet begun"),
    "inline.pdf": documents.pdf("Came by the bus"),
    "uploaded.pdf": documents.pdf("Uploaded to a URL of before"),
    "paper.pdf": LONG,
    "first.pdf": documents.pdf("First of the batch"),
    "second.pdf": documents.pdf("Second of the batch"),
    "third.pdf": LONG_OF_BATCH,
}
BATCH = ("first.pdf", "second.pdf", "third.pdf")


class Older:
    """The older service, at ``url``, with a fake Mistral of this tree."""

    def __init__(
        self, checkout: Path, data: Path, session: aiohttp.ClientSession, fake: FakeMistral
    ) -> None:
        self.data = data
        self.session = session
        self.url = ""
        self._fake = fake
        self._checkout = checkout
        self._process: asyncio.subprocess.Process | None = None

    async def _run(self, *module: str, **environ: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(str(self._checkout / ".venv/bin/python"), "-m", *module),
            cwd=self._checkout,
            env={"PATH": os.environ["PATH"], **environ},
            stdout=asyncio.subprocess.PIPE,
        )

    async def start(self, *module: str) -> None:
        """Start the service and wait wait_until it is ready."""
        self._process = await self._run(
            *module,
            "serve",
            PORT="0",
            ILIOS_NATS_PORT="0",
            ILIOS_DATA_DIR=str(self.data),
            ILIOS_LOG_LEVEL="warning",
            ILIOS_SNAPSHOT_HOURS="0",
            MISTRAL_API_KEY=self._fake.key,
            MISTRAL_SERVER_URL=self._fake.url,
        )
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            if line.split()[:1] == [b"HTTP"]:
                self.url = line.split()[1].decode()
                return
        raise RuntimeError("the older service did not start")

    async def stop(self) -> None:
        """Let it end in its own way."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()

    async def killed(self) -> None:
        """Wait wait_until it has been killed."""
        assert self._process is not None
        assert await self._process.wait() == -signal.SIGKILL

    def delay_mistral(self, seconds: float) -> None:
        """Let every call of Mistral that begins from now on take so long."""
        self._fake.rules.latency = seconds

    async def submit(self, path: str, part: str, *names: str, **fields: str) -> Any:
        """Submit files under an Idempotency-Key of the first one's name; return the answer."""
        form = aiohttp.FormData({"retentionDays": KEPT_DAYS, **fields})
        for name in names:
            form.add_field(part, FILES[name], filename=name, content_type="application/pdf")
        headers = {"Idempotency-Key": f"upgrade {names[0]}"}
        async with self.session.post(self.url + path, data=form, headers=headers) as answer:
            assert answer.status == 202, await answer.text()
            return await answer.json()

    async def get(self, path: str) -> bytes:
        """Return what is answered."""
        async with self.session.get(self.url + path) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.read()

    async def state(self, document: str) -> str:
        """Return how far a document is."""
        return str(json.loads(await self.get(f"/api/documents/status/{document}"))["status"])

    @asynccontextmanager
    async def bus(self) -> AsyncIterator[Any]:
        """Connect as the operator."""
        client = await nats.connect((self.data / "nats/operator.url").read_text().strip())
        try:
            yield client
        finally:
            await client.close()

    def kept(self, document: str) -> list[str]:
        """Return the ranges of pages whose results are kept."""
        names = (path.name for path in (self.data / "blobs").rglob(f"results+*{document}.*"))
        found = (re.search(r"\.([0-9]+-[0-9]+)$", name) for name in names)
        return sorted(match[1] for match in found if match)


async def make(older: Older) -> dict[str, Any]:
    """Have the older service do and leave everything; return what that is."""
    one, many = ("/api/documents/submit", "file"), ("/v1/batch/submit", "files")
    await older.start("ilios")
    await keep_everything(older)
    done = (await older.submit(*one, "done.pdf", engine="local"))["id"]
    broken = (await older.submit(*one, "broken.pdf", engine="local"))["id"]
    await wait_until(lambda: has_ended(older, done), within=WITHIN)
    await wait_until(lambda: has_ended(older, broken), within=WITHIN)
    await bury(older)

    older.delay_mistral(SLOW)
    paper = (await older.submit(*one, "paper.pdf", engine="mistral"))["id"]
    batch = await older.submit(*many, *BATCH, engine="mistral")
    of_batch = [one["id"] for one in batch["documents"]]
    await wait_until(lambda: has_kept(older, paper), within=WITHIN)
    await wait_until(lambda: has_kept(older, of_batch[2]), within=WITHIN)
    older.delay_mistral(HANGING)  # of three calls for each, one or two have ended in time
    await wait_until(lambda: has_ended(older, of_batch[0]), within=WITHIN)
    await wait_until(lambda: has_ended(older, of_batch[1]), within=WITHIN)
    reservation = await reserve(older)
    results = {
        "done.md": await older.get(f"/api/documents/{done}"),
        "done.json": await older.get(f"/api/documents/{done}?format=json"),
        "first.md": await older.get(f"/api/documents/{of_batch[0]}"),
    }
    failed = json.loads(await older.get(f"/api/documents/status/{broken}"))
    await older.stop()

    # Both names are the older tree's: it is killed when a submission is on the log.
    await older.start("tests.journeys.armed", "edge.said", "1")
    inline = SHORT_ID.format(1)
    await publish(older, inline, inline_event(inline))
    await wait_until(lambda: is_state(older, inline, "processing"), within=WITHIN)
    consumers = await durables(older)
    try:
        await older.submit(*one, "accepted.pdf", engine="local")
    except aiohttp.ClientError:
        await older.killed()
    accepted = sorted(submitted(older.data) - {done, broken, paper, inline, *of_batch})
    accepted.remove(SHORT_ID.format(0))
    assert len(accepted) == 1
    assert all(len(older.kept(document)) in (1, 2) for document in (paper, of_batch[2]))
    for name, content in results.items():
        (older.data.parent / "results").mkdir(exist_ok=True)
        (older.data.parent / "results" / name).write_bytes(content)
    return {
        "completed": done,
        "failed": {"id": broken, "status": failed},
        "accepted": accepted[0],
        "inline": inline,
        "paper": {"id": paper, "pages": 150, "kept": older.kept(paper)},
        "batch": {
            "id": batch["batchId"],
            "documents": of_batch,
            "done": of_batch[:2],
            "pages": 150,
            "kept": older.kept(of_batch[2]),
        },
        "dead_letter": SHORT_ID.format(0),
        "reservation": reservation,
        "consumers": consumers,
    }


async def has_ended(older: Older, document: str) -> bool:
    return await older.state(document) in ("completed", "failed")


async def is_state(older: Older, document: str, state: str) -> bool:
    return await older.state(document) == state


async def has_kept(older: Older, document: str) -> bool:
    return bool(older.kept(document))


async def keep_everything(older: Older) -> None:
    """Let no message of any stream become too old."""
    async with older.bus() as client:
        for name in (EVENTS, DEAD_LETTERS):
            config = (await client.jetstream().stream_info(name)).config
            config.max_age = 0
            await client.jetstream().update_stream(config)


async def bury(older: Older) -> None:
    """Publish what nobody can read, and wait wait_until that is a dead letter."""
    await publish(older, SHORT_ID.format(0), b'{"type":"document.submitted/1","broken')

    async def is_filed() -> bool:
        async with older.bus() as client:
            return bool((await client.jetstream().stream_info(DEAD_LETTERS)).state.messages)

    await wait_until(is_filed, within=WITHIN)


async def publish(older: Older, document: str, body: bytes) -> None:
    """Submit on the bus, as the publishers do."""
    client = await nats.connect((older.data / "nats/publisher.url").read_text().strip())
    try:
        await client.request(f"ilios.document.submitted.p05.default.{document}", body, timeout=10)
    finally:
        await client.close()


def inline_event(document: str) -> bytes:
    event = {
        "type": "document.submitted/1",
        "document_id": document,
        "source": {"kind": "inline", "data": b64encode(FILES["inline.pdf"]).decode()},
        "file_name": "inline.pdf",
        "retention_days": int(KEPT_DAYS),
        "engine": "mistral",
    }
    return json.dumps(event).encode()


async def reserve(older: Older) -> dict[str, Any]:
    """Ask for an upload URL, and sign it once more for longer, in the way it was signed."""
    content = FILES["uploaded.pdf"]
    wanted = {
        "fileName": "uploaded.pdf",
        "fileSize": len(content),
        "mimeType": "application/pdf",
        "retentionDays": int(KEPT_DAYS),
        "engine": "local",
    }
    url = f"{older.url}/api/documents/upload-url"
    async with older.session.post(url, json=wanted) as answer:
        assert answer.status == 200, await answer.text()
        reserved = await answer.json()
    path, _, query = reserved["uploadUrl"].partition("?")
    given = dict(pair.split("=") for pair in query.split("&"))
    (kept,) = (p for p in older.data.iterdir() if p.is_file() and b'"secret"' in p.read_bytes())
    secret = b64decode(json.loads(kept.read_text())["secret"])

    def sign(expires: str) -> str:
        parts = ("ilios upload", "v1", "anybody", reserved["id"], str(len(content)), expires)
        text = "".join(f"{len(part)}:{part}" for part in parts)
        return f"v1.{hmac.digest(secret, text.encode(), 'sha256').hex()}"

    assert sign(given["expires"]) == given["signature"]
    target = path.removeprefix(older.url)
    query = f"size={len(content)}&expires={FOREVER}&signature={sign(str(FOREVER))}"
    return {"id": reserved["id"], "put": f"{target}?{query}"}


async def durables(older: Older) -> dict[str, Any]:
    """Return the durable consumers of the log, and how far each is."""
    async with older.bus() as client:
        found = await client.jetstream().consumers_info(EVENTS)
        return {
            str(one.name): {
                "created": str(one.created),
                "delivered": one.delivered.stream_seq,
                "acknowledged": one.ack_floor.stream_seq,
                "deliveries": one.delivered.consumer_seq,
                "in_hand": one.num_ack_pending,
            }
            for one in sorted(found, key=lambda one: one.name)
        }


def submitted(data: Path) -> set[str]:
    """Return the documents whose submission is on the log, as its files have it."""
    stored = b"".join(p.read_bytes() for p in (data / "nats").rglob(f"{EVENTS}/msgs/*.blk"))
    found = re.findall(rb"ilios\.document\.submitted\.p05\.default\.([a-z0-9]+)", stored)
    return {name.decode() for name in found}


def pack(root: Path, archive: Path) -> None:
    """Pack everything below ``root``, as nobody's, files and directories alone."""

    def nobodys(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if not (entry.isfile() or entry.isdir()):
            return None
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        return entry

    with tarfile.open(archive, "w:xz", preset=9) as packed:
        for path in sorted(root.iterdir()):
            packed.add(path, path.name, filter=nobodys)


async def main(checkout: Path, archive: Path) -> None:
    root = Path(tempfile.mkdtemp(prefix="upgrade-"))
    try:
        (root / "files").mkdir()
        for name, content in FILES.items():
            (root / "files" / name).write_bytes(content)
        timeout = aiohttp.ClientTimeout(total=120)
        async with aiohttp.ClientSession(timeout=timeout) as session, fake_mistral() as fake:
            older = Older(checkout, root / "data", session, fake)
            try:
                contents = await make(older)
            finally:
                await older.stop()
        contents["made_at"] = int(time.time())
        (root / "contents.json").write_text(json.dumps(contents, indent=2))
        pack(root, archive)
    finally:
        shutil.rmtree(root)
    print(f"{archive}: {archive.stat().st_size} bytes")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]).resolve(), Path(sys.argv[2])))
