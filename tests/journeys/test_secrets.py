"""Canaries: what is secret is in no log, no answer and no event, and no file is for others."""

import base64
import os
import stat
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import aiohttp
import msgspec
import nats
import pytest
from aiohttp import web

from bus import streams
from ilios.api_keys import tenant_of
from ilios.chaos.processes import command_line
from schemas.ids import new_id
from tests import documents
from tests.journeys.running import RunningService, running_service
from tests.mistral.fake import FakeMistral
from tests.mistral.server import fake_mistral
from tests.waiting import wait_until

KEY = "canary-api-key-0123456789"
OTHER_KEY = "canary-second-key-9876543210"
WRONG_KEY = "canary-wrong-key-5555555555"
ENVIRONMENT = {
    "AWS_SECRET_ACCESS_KEY": "canary-aws-secret",
    "MISTRAL_API_KEY": "canary-mistral-key",
    "TURSO_AUTH_TOKEN": "canary-turso-token",
}
TEXT = "CanaryText of a document"
PASSWORD_IN_A_URL = "canary-password-in-a-url"
IDEMPOTENCY_KEY = "canary-idempotency-key"
ENDED = {"completed", "failed"}


@pytest.fixture
async def source() -> AsyncIterator[str]:
    """The address of a server that answers 404."""
    app = web.Application()
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def mistral() -> AsyncIterator[FakeMistral]:
    """What the key of Mistral is good for."""
    async with fake_mistral() as fake:
        fake.key = ENVIRONMENT["MISTRAL_API_KEY"]
        yield fake


class SecretsClient:
    """A client that does a bit of everything, and remembers what it was answered."""

    def __init__(self, service: RunningService, session: aiohttp.ClientSession) -> None:
        self._service = service
        self._session = session
        self.answers: list[str] = []

    async def send(
        self, method: str, path: str, content: bytes | None = None, **headers: str
    ) -> tuple[int, str]:
        form = None
        if content is not None:
            form = aiohttp.FormData()
            form.add_field("file", content, filename="same-name.pdf")
        url = path if path.startswith("http") else self._service.url + path
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._session.request(method, url, data=form, headers=named) as answer:
            text = (await answer.read()).decode(errors="replace")
            self.answers += [text, *(f"{name}: {value}" for name, value in answer.headers.items())]
            return answer.status, text

    async def upload_by_url(self) -> str:
        """Upload to a signed URL, spoil it as well, and return its signed part."""
        wanted = {"fileName": "a.pdf", "fileSize": 9, "mimeType": "application/pdf"}
        async with self._session.post(
            f"{self._service.url}/api/documents/upload-url",
            json=wanted,
            headers={"Authorization": f"Bearer {KEY}"},
        ) as answer:
            url = str((await answer.json())["uploadUrl"])
        async with self._session.put(url, data=b"too short") as answer:
            assert answer.status == 200, await answer.text()
        status, _ = await self.send("PUT", url + "x")
        assert status in (400, 403, 404)
        return url.rpartition("/")[2]


async def _use_everything(service: RunningService, source: str) -> tuple[list[str], list[str]]:
    """Do what may make the service talk; returns its answers and the signatures it gave out."""
    good = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession() as session:
        service_client = SecretsClient(service, session)
        paper, broken = documents.pdf(TEXT), b"%PDF-1.7 " + TEXT.encode()
        ids = []
        for content, path, headers in (
            (paper, "/api/documents/submit", {"X_Api_Key": OTHER_KEY}),
            (paper, f"/api/documents/submit?apiKey={KEY}", {}),
            (broken, f"/api/documents/submit?apiKey={KEY}", {}),
            (paper, "/api/documents/submit", good | {"Idempotency_Key": IDEMPOTENCY_KEY}),
            (paper, "/api/documents/submit?engine=mistral", good),
        ):
            status, text = await service_client.send("POST", path, content, **headers)
            assert status == 202, text
            ids.append(msgspec.json.decode(text)["id"])
        for path in ("/v1/convert", "/v1/nowhere", "/api/documents/usage/summary", "/%00/%0d%0a"):
            for query in (
                f"?apiKey={KEY}",
                f"?apiKey={WRONG_KEY}",
                f"?apiKey={quote(KEY + chr(7))}",
            ):
                await service_client.send("GET", path + query)
                await service_client.send("POST", path + query, broken)
        await service_client.send("GET", "/api/documents/usage", Authorization=f"Basic {WRONG_KEY}")
        await service_client.send("GET", "/api/documents/x", Authorization=f"Bearer {WRONG_KEY}")
        signed = await service_client.upload_by_url()
        await _publish_an_address(service, source)

        async def all_have_ended() -> bool:
            statuses = [
                (await service_client.send("GET", f"/api/documents/status/{name}", X_Api_Key=key))[
                    1
                ]
                for name, key in zip(ids, (OTHER_KEY, KEY, KEY, KEY, KEY), strict=True)
            ]
            return all(msgspec.json.decode(text)["status"] in ENDED for text in statuses)

        await wait_until(all_have_ended, within=60)
        await service_client.send("GET", "/health")
        await service_client.send("GET", f"/api/usage/summary?apiKey={KEY}")
        return service_client.answers, [signed]


async def _publish_an_address(service: RunningService, source: str) -> None:
    """Submit a document at an address that holds a password and leads nowhere."""
    document_id, tenant = new_id(), tenant_of(KEY)
    event = {
        "type": "document.submitted/1",
        "document_id": document_id,
        "tenant": tenant,
        "source": {"kind": "url", "url": f"http://{source}/a.pdf?token={PASSWORD_IN_A_URL}"},
    }
    bus = await nats.connect(_operator(service))
    subject = f"ilios.document.submitted.p05.{tenant}.{document_id}"
    await bus.request(subject, msgspec.json.encode(event), timeout=30)

    async def has_failed() -> bool:
        found = await bus.jetstream().stream_info(
            streams.EVENTS, subjects_filter=f"ilios.document.failed.*.*.{document_id}"
        )
        return bool(found.state.subjects)

    await wait_until(has_failed, within=30)
    await bus.close()


def _operator(service: RunningService) -> str:
    return (service.data_dir / "nats" / "operator.url").read_text().strip()


async def _captured_logs(service: RunningService) -> list[str]:
    """Return every event and every dead letter, heads included, but what was submitted."""
    bus = await nats.connect(_operator(service))
    js = bus.jetstream()
    found = []
    for stream in (streams.EVENTS, streams.DEAD_LETTERS):
        last = (await js.stream_info(stream)).state.last_seq
        for sequence in range(1, last + 1):
            message = await js.get_msg(stream, sequence)
            subject = message.subject or ""
            found += [subject, repr(message.headers)]
            if ".submitted." not in subject:
                found.append((message.data or b"").decode())
    await bus.close()
    return found


def _secrets_on_disk(data: Path) -> list[str]:
    passwords = msgspec.json.decode((data / "nats" / "credentials.json").read_bytes())
    found = [text for text in _texts(passwords) if len(text) > 16]
    secret = (data / "upload-url.secret").read_bytes()
    raw = _texts(msgspec.json.decode(secret)) if secret.startswith(b"{") else [secret.decode()]
    return [*found, *(text for text in raw if len(text) > 16)]


def _texts(value: object) -> list[str]:
    match value:
        case str():
            return [value]
        case dict():
            return [text for one in value.values() for text in _texts(one)]
        case list():
            return [text for one in value for text in _texts(one)]
    return []


async def test_secrets_are_in_no_log_no_answer_and_no_event(
    tmp_path: Path, source: str, mistral: FakeMistral, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = {
        "API_KEY": f"{KEY},{OTHER_KEY}",
        "ILIOS_LOG_LEVEL": "debug",
        "ILIOS_DOWNLOAD_ALLOW": source,
        "ILIOS_ENGINE": "local",
        "MISTRAL_SERVER_URL": mistral.url,
    }
    async with running_service(tmp_path / "data", **settings, **ENVIRONMENT) as service:
        answers, signatures = await _use_everything(service, source)
        logs = await _captured_logs(service)
        on_disk = _secrets_on_disk(service.data_dir)
        commands = [command_line(pid) for pid in (service.pid, *service.children(""))]
        engine = []
        for pid in service.children("engines.local.child"):
            with suppress(OSError):  # a process may end meanwhile
                engine.append(Path(f"/proc/{pid}/environ").read_bytes().decode())
    logged = capfd.readouterr().err
    keys = [KEY, OTHER_KEY, WRONG_KEY, *ENVIRONMENT.values(), *on_disk]
    assert len(on_disk) >= 4
    assert engine, "no engine process was left to look into"
    assert mistral.call_log.calls, "the key of Mistral was never used"
    for secret in [*keys, base64.b64encode(KEY.encode()).decode()]:
        for place in (logged, *answers, *logs, *commands, *engine):
            assert secret not in place
    for secret in (TEXT, PASSWORD_IN_A_URL, IDEMPOTENCY_KEY, *signatures):
        for place in (logged, *logs):
            assert secret not in place
    assert '"level":"debug"' in logged.replace('": "', '":"'), "the log was looked at in vain"


def modes_below(root: Path) -> dict[str, int]:
    """Return the modes of ``root`` and all below it, without what vanishes meanwhile.

    A running service makes and removes files all the time, and a directory that was listed may be
    gone when it is entered.
    """
    modes = {}
    for directory, _, files in os.walk(root):  # which passes over directories that are gone
        for place in (directory, *(os.path.join(directory, name) for name in files)):
            with suppress(FileNotFoundError):
                modes[place] = stat.S_IMODE(os.lstat(place).st_mode)
    return modes


def test_files_that_vanish_while_modes_are_read_are_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kept").touch(0o600)
    (tmp_path / "brief").touch(0o600)
    lstat = os.lstat

    def late(place: str) -> os.stat_result:
        if place.endswith("brief"):
            Path(place).unlink()
        return lstat(place)

    monkeypatch.setattr(os, "lstat", late)
    assert modes_below(tmp_path).keys() == {str(tmp_path), str(tmp_path / "kept")}


async def test_files_in_the_data_directory_are_private_to_the_owner(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        async with (
            running_service(tmp_path / "data") as service,
            aiohttp.ClientSession() as session,
        ):
            form = aiohttp.FormData()
            form.add_field("file", documents.pdf(TEXT), filename="a.pdf")
            async with session.post(f"{service.url}/v1/convert", data=form) as answer:
                assert answer.status == 200
            modes = modes_below(service.data_dir)
    finally:
        os.umask(before)
    assert len(modes) > 20
    open_to_others = {place: oct(mode) for place, mode in modes.items() if mode & 0o077}
    assert open_to_others == {}
