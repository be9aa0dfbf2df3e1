"""Engines outside of this machine, whose libraries are imported only where they are configured."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from actors.engines import Engine, EngineBatches
from actors.ports import Blobs
from ilios.engines.mistral.limits import MistralLimits
from ilios.engines.pages import PageSplitter
from ilios.secret import Secret, generate_password, load_or_create_secrets


class UploadPrefix(Struct, frozen=True):
    """The prefix of the names of all uploads of this installation."""

    prefix: str


class UploadSweeper(Protocol):
    """Deletes uploads that were left behind."""

    async def run(self) -> None:
        """Sweep from time to time, until cancelled."""
        ...


class RemoteEngine(Struct, frozen=True):
    """An opened remote engine; ``uploads`` is to be run."""

    engine: Engine
    batches: EngineBatches
    uploads: UploadSweeper


@asynccontextmanager
async def open_mistral(
    key: Secret,
    server_url: str | None,
    *,
    blobs: Blobs,
    parts: PageSplitter,
    limits: MistralLimits,
    prefix_file: Path,
) -> AsyncIterator[RemoteEngine]:
    """Import the Mistral engine, which takes a second, and open it.

    :param parts: counts pages and cuts PDFs.
    :param prefix_file: stores the prefix of this installation's uploads.
    :raises SecretsDamaged: that file cannot be read.
    """
    name = load_or_create_secrets(prefix_file, UploadPrefix, _new_prefix)
    await asyncio.to_thread(_import_mistral)
    from ilios.engines.mistral import engine as mistral  # noqa: PLC0415  a second and 50 MB

    async with mistral.open_engine(
        key, server_url, blobs=blobs, splitter=parts, limits=limits, prefix=name.prefix
    ) as opened:
        yield RemoteEngine(opened.engine, opened.batches, opened.uploads)


def _import_mistral() -> None:
    from ilios.engines.mistral import engine  # noqa: F401, PLC0415


def _new_prefix() -> UploadPrefix:
    return UploadPrefix(f"ilios-{generate_password()[:9]}-")
