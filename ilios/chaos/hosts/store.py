"""The blobs that all hosts share: a bucket of ``rclone serve s3``, without rclone a directory."""

import asyncio
import os
import signal
import socket
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from shutil import which

from ilios.chaos.hosts.network import Host
from ilios.runtime.parent_death import die_with_parent

BUCKET = "documents"
PREFIX = "chaos/"
KEY, SECRET = "key", "secret"  # of a server that nobody else reaches
PORT = 9000
OPEN_TIMEOUT = 20.0  # seconds until it listens
OPEN_INTERVAL = 0.05  # seconds between two attempts
OWNER = ".ilios"  # the mark of the bucket's owner, which is no blob


class SharedStore:
    """The store, and the settings by which hosts use it."""

    def __init__(self, host: Host, directory: Path) -> None:
        self.host = host
        self._directory = directory
        self._rclone = which("rclone", path=os.pathsep.join(_search_path()))
        self._process: asyncio.subprocess.Process | None = None
        self._port = PORT if host.is_apart else _free_port()

    @property
    def is_server(self) -> bool:
        """Whether it is a server, so that it can be away."""
        return self._rclone is not None

    @property
    def settings(self) -> Mapping[str, str]:
        """The settings of a host."""
        if not self.is_server:
            return {"ILIOS_SHARED_BLOBS": str(self._directory)}
        return {
            "S3_BUCKET": BUCKET,
            "ILIOS_S3_PREFIX": PREFIX,
            "AWS_ENDPOINT_URL_S3": f"http://{self.host.address}:{self._port}",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }

    async def start(self, environ: Mapping[str, str]) -> None:
        """Start the server, if it is one, and wait until it listens.

        :raises TimeoutError: it does not.
        """
        (self._directory / BUCKET if self.is_server else self._directory).mkdir(parents=True)
        if self._rclone is None:
            return

        def prepare() -> None:
            die_with_parent()
            self.host.enter()

        command = (self._rclone, "serve", "s3", "--addr", f"{self.host.address}:{self._port}")
        with (self._directory.parent / "store.log").open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                *("--auth-key", f"{KEY},{SECRET}", "--config", "/dev/null"),
                *("--vfs-cache-mode", "off", str(self._directory)),
                env=dict(environ),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=prepare,
            )
        async with asyncio.timeout(OPEN_TIMEOUT):
            while not await self._listens():  # noqa: ASYNC110  # nothing signals it
                await asyncio.sleep(OPEN_INTERVAL)

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection(self.host.address, self._port)
        except OSError:
            return False
        writer.close()
        return True

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the server."""
        if self._process is not None and self._process.returncode is None:
            os.kill(self._process.pid, number)

    async def end(self) -> None:
        """End the server."""
        self.send(signal.SIGKILL)
        if self._process is not None:
            await self._process.wait()

    def stored_keys(self) -> Iterator[str]:
        """Yield the key of each blob in the bucket, whose objects are files."""
        root = self._directory / BUCKET / PREFIX
        for path in root.rglob("*"):
            if path.is_file() and path.name != OWNER:
                yield str(path.relative_to(root))

    @property
    def directory(self) -> Path:
        """Where the blobs are, if it is no server."""
        return self._directory


def _search_path() -> list[str]:
    return [sysconfig.get_path("scripts"), os.environ.get("PATH", "")]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as door:
        return int(door.getsockname()[1])
