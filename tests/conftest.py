"""What tests share: a real nats-server with streams, servers of S3, a directory for blobs."""

import asyncio
import gc
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import settings

from bus import streams
from bus.connection import Connection, connect
from ilios.nats.server import NatsServer, embedded
from ilios.settings import environ
from tests.s3 import servers
from tests.s3.servers import S3Server
from tests.stored_files import files_below

NOWHERE = Path("/nonexistent")

# A shell has its background jobs ignore it, and what a test starts and interrupts would do so too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A shared machine may pause in any example: the time one takes means nothing.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")

# What a test logs is shown when it fails; rendering it must not take the time that deadlines have.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)


@pytest.fixture(autouse=True)
def _same_logs_afterwards(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what a command does to the logs of its process, which is that of other tests."""
    before, configure = structlog.get_config(), structlog.configure

    def without_cache(**options: Any) -> None:
        configure(**(options | {"cache_logger_on_first_use": False}))

    monkeypatch.setattr(structlog, "configure", without_cache)
    yield
    configure(**before)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect tests without collecting garbage, and never look through them for it later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let every worker begin with the files that have slow tests: the last would run alone.

    Each worker is given as many of the tests, in their order, and takes over what others have left.
    """
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    start = 0
    for left in range(getattr(config, "workerinput", {"workercount": 1})["workercount"], 0, -1):
        end = start + (len(items) - start) // left
        items[start:end] = sorted(items[start:end], key=lambda item: item.path not in slow)
        start = end


@pytest.fixture(autouse=True, scope="session")
def closing_transports_end_with_their_loop() -> Iterator[None]:
    """Abort what still closes at the end of a loop: its peer reads no more, as after a kill.

    It would be an unclosed socket later, in any other test. Transports that nobody has closed are
    left alone, and are errors.
    """
    close = asyncio.SelectorEventLoop.close

    def abort_and_close(loop: asyncio.SelectorEventLoop) -> None:
        if not (loop.is_running() or loop.is_closed()):
            transports = getattr(loop, "_transports")  # noqa: B009  # nothing public lists them
            closing = [
                one
                for one in list(transports.values())
                if one.is_closing() and getattr(one, "_loop")  # noqa: B009  # None once it is closed
            ]
            for transport in closing:
                transport.abort()
            if closing:
                loop.run_until_complete(asyncio.sleep(0))
        close(loop)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(asyncio.SelectorEventLoop, "close", abort_and_close)
        yield


@pytest.fixture(autouse=True)
def no_env_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Read no .env of the directory in which the tests are started."""
    monkeypatch.setattr(environ, "ENV_FILE", NOWHERE / ".env")


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory behind `blob_root`. Its 256 shards take longer to make than most tests run."""
    return tmp_path_factory.mktemp("shards")


@pytest.fixture
def blob_root(shards: Path) -> Iterator[Path]:
    """A directory without blobs for a local store of this test alone."""
    yield shards
    for file in files_below(shards):
        file.unlink()


@pytest.fixture(scope="session")
def swift(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """OpenStack Swift with one bucket, in which every test has another prefix."""
    with servers.swift(tmp_path_factory.mktemp("swift")) as server:
        yield server


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Rclone with one bucket, in which every test has another prefix."""
    with servers.rclone(tmp_path_factory.mktemp("rclone")) as server:
        yield server


@pytest.fixture
async def nats_server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    """A nats-server and its store for this test alone."""
    async with embedded(tmp_path / "nats", 0) as server:
        yield server


@pytest.fixture
def long_duplicate_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the log drop what comes again also when this machine takes its time between the two."""
    monkeypatch.setattr(streams, "DUPLICATE_WINDOW", 60.0)


@pytest.fixture
async def connection(nats_server: NatsServer) -> AsyncIterator[Connection]:
    """A connection to this test's nats-server, on which the streams exist."""
    async with connect(nats_server.url("operator"), name="tests") as connection:
        await streams.ensure(connection.jetstream)
        yield connection
