"""S3 servers for the tests: OpenStack Swift, which is close to AWS, and rclone."""

import secrets
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from ilios.blobs.s3 import S3Config
from ilios.secret import Secret
from tests.free_ports import free_port

ROOT = Path(__file__).parents[2]
READY_WITHIN = 30.0  # seconds
BUCKET = "documents"
REGION = "us-east-1"
PORTS = 4  # of Swift, for each of the servers it is made of; the last one speaks S3


class S3Server(Struct, frozen=True, dict=True):
    """A server with a bucket, and a key that has all permissions."""

    name: str
    endpoint: str
    access_key: str
    secret_key: str

    @cached_property
    def client(self) -> Any:
        """The SDK's own client, to inspect the bucket directly. It blocks."""
        return botocore.session.get_session().create_client(
            "s3",
            region_name=REGION,
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(
                s3={"addressing_style": "path"}, response_checksum_validation="when_required"
            ),
        )

    def config(self, endpoint: str | None = None) -> S3Config:
        """Return the configuration of a separate store, reached by ``endpoint``."""
        return S3Config(
            bucket=BUCKET,
            prefix=f"{secrets.token_hex(4)}/",
            endpoint=endpoint or self.endpoint,
            region=REGION,
            access_key=Secret(self.access_key),
            secret_key=Secret(self.secret_key),
        )

    def environ(self, config: S3Config) -> dict[str, str]:
        """Return the settings of a service that keeps its blobs there."""
        return {
            "S3_BUCKET": config.bucket,
            "AWS_ENDPOINT_URL_S3": config.location,
            "AWS_REGION": config.region,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "ILIOS_S3_PREFIX": config.prefix,
        }

    def objects(self, prefix: str = "") -> dict[str, int]:
        """Return the keys of all objects and how large they are."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return {one["Key"]: one["Size"] for page in pages for one in page.get("Contents", ())}

    def uploads(self, prefix: str = "") -> list[str]:
        """Return the keys of the multipart uploads in progress."""
        listed = self.client.list_multipart_uploads(Bucket=BUCKET, Prefix=prefix)
        return [one["Key"] for one in listed.get("Uploads", ())]

    def content_keys(self, config: S3Config) -> list[str]:
        """Return the keys of a store's objects and unfinished uploads, but not of its owner."""
        found = [*self.objects(config.prefix), *self.uploads(config.prefix)]
        return [key.removeprefix(config.prefix) for key in found if not key.endswith("/.ilios")]

    def put_object(self, key: str, data: bytes) -> None:
        """Put an object."""
        self.client.put_object(Bucket=BUCKET, Key=key, Body=data)


@contextmanager
def swift(directory: Path) -> Iterator[S3Server]:
    """Run Swift in an empty directory."""
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=512))
            for _ in range(PORTS)
        ]
        for door in sockets:  # what is accepted there inherits it: else every answer takes 40 ms
            door.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        numbers = [door.fileno() for door in sockets]
        command = [sys.executable, "-m", "tests.s3.swift_server", str(directory)]
        port = sockets[-1].getsockname()[1]
        process = stack.enter_context(_running([*command, *map(str, numbers)], numbers))
        # Its own copies are what it listens on: with ours open, nobody would notice its death.
        for door in sockets:
            door.close()
        server = S3Server("swift", f"http://127.0.0.1:{port}", "test:tester", "testing")
        yield _with_bucket(server, process)


@contextmanager
def rclone(directory: Path) -> Iterator[S3Server]:
    """Run ``rclone serve s3`` on an empty directory."""
    port = free_port()
    binary = Path(sysconfig.get_path("scripts")) / "rclone"
    command = [str(binary), "serve", "s3", "--addr", f"127.0.0.1:{port}"]
    command += ["--auth-key", "key,secret", "--config", "/dev/null", "--vfs-cache-mode", "off"]
    with _running([*command, str(directory)], []) as process:
        server = S3Server("rclone", f"http://127.0.0.1:{port}", "key", "secret")
        yield _with_bucket(server, process)


@contextmanager
def _running(command: list[str], inherited: list[int]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command, pass_fds=inherited, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _with_bucket(server: S3Server, process: subprocess.Popen[bytes]) -> S3Server:
    deadline = time.monotonic() + READY_WITHIN
    while True:
        assert process.poll() is None, (
            f"{server.name} ends at once: is it installed (make install-dev)?"
        )
        try:
            server.client.create_bucket(Bucket=BUCKET)
        except (BotoCoreError, ClientError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return server
