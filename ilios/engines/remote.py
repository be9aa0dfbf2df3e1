"""Opens engines that work elsewhere, whose libraries are loaded only where they are used."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from actors.engines import Engine, EngineBatches
from actors.ports import Blobs
from ilios import secrets_file
from ilios.engines.local.engine import LocalEngine
from ilios.engines.mistral.limits import MistralLimits
from ilios.secret import Secret

MISTRAL_MODULE = "ilios.engines.mistral.factory"


class UploadPrefix(Struct, frozen=True):
    """What begins the names of all that this installation uploads."""

    prefix: str


class UploadSweeper(Protocol):
    """What an engine has uploaded."""

    async def run(self) -> None:
        """Delete what was left behind, now and again, for ever."""
        ...


class RemoteEngine(Protocol):
    """The Mistral engine, as those see it who do not load it."""

    @property
    def engine(self) -> Engine:
        """Converts documents."""
        ...

    @property
    def batches(self) -> EngineBatches:
        """Converts them later, and cheaper."""
        ...

    @property
    def uploads(self) -> UploadSweeper:
        """What it has uploaded."""
        ...


class _EngineFactory(Protocol):
    def open_engine(
        self,
        key: Secret,
        server_url: str | None,
        *,
        blobs: Blobs,
        pdf_splitter: LocalEngine,
        limits: MistralLimits,
        prefix: str,
    ) -> AbstractAsyncContextManager[RemoteEngine]: ...


@asynccontextmanager
async def open_mistral(
    key: Secret,
    server_url: str | None,
    *,
    blobs: Blobs,
    parts: LocalEngine,
    limits: MistralLimits,
    prefix_file: Path,
) -> AsyncIterator[RemoteEngine]:
    """Load the Mistral engine, a second's work, and open it.

    :param name_file: keeps what this installation's uploads are called.
    :raises SecretsDamaged: that file cannot be read.
    """
    factory = await asyncio.to_thread(_import_factory)
    name = secrets_file.load_or_create(prefix_file, UploadPrefix, _new_prefix)
    async with factory.open_engine(
        key, server_url, blobs=blobs, pdf_splitter=parts, limits=limits, prefix=name.prefix
    ) as mistral:
        yield mistral


def _import_factory() -> _EngineFactory:
    engine: _EngineFactory = import_module(MISTRAL_MODULE)
    return engine


def _new_prefix() -> UploadPrefix:
    return UploadPrefix(f"ilios-{secrets_file.generate_password()[:9]}-")
