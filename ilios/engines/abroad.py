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
from ilios.engines.local import LocalEngine
from ilios.engines.mistral.limits import MistralLimits
from ilios.setting_values import Secret

MISTRAL = "ilios.engines.mistral.opening"


class Name(Struct, frozen=True):
    """What begins the names of all that this installation uploads."""

    prefix: str


class Uploads(Protocol):
    """What an engine has uploaded."""

    async def run(self) -> None:
        """Delete what was left behind, now and again, for ever."""
        ...


class Mistral(Protocol):
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
    def uploads(self) -> Uploads:
        """What it has uploaded."""
        ...


class _Opens(Protocol):
    def opened(
        self,
        key: Secret,
        server_url: str | None,
        *,
        blobs: Blobs,
        parts: LocalEngine,
        limits: MistralLimits,
        prefix: str,
    ) -> AbstractAsyncContextManager[Mistral]: ...


@asynccontextmanager
async def open_mistral(
    key: Secret,
    server_url: str | None,
    *,
    blobs: Blobs,
    parts: LocalEngine,
    limits: MistralLimits,
    name_file: Path,
) -> AsyncIterator[Mistral]:
    """Load the Mistral engine, a second's work, and open it.

    :param name_file: keeps what this installation's uploads are called.
    :raises SecretsDamaged: that file cannot be read.
    """
    engine = await asyncio.to_thread(_load)
    name = secrets_file.load_or_create(name_file, Name, _new_name)
    async with engine.opened(
        key, server_url, blobs=blobs, parts=parts, limits=limits, prefix=name.prefix
    ) as mistral:
        yield mistral


def _load() -> _Opens:
    engine: _Opens = import_module(MISTRAL)
    return engine


def _new_name() -> Name:
    return Name(f"ilios-{secrets_file.password()[:9]}-")
