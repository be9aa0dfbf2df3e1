"""Choice of an engine for each document, the fallback to the local one, and Mistral's opening."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import msgspec
import structlog
from msgspec import Struct

from actors.engines import (
    Conversion,
    Engine,
    EngineBatches,
    EngineUnavailable,
    Progress,
    SourceFile,
    Unconvertible,
)
from actors.ports import Blobs
from ilios.engines.mistral import CONTENT_TYPES, MistralLimits
from ilios.engines.pages import PageSplitter
from ilios.secret import Secret, generate_password, load_or_create_secrets
from schemas.options import EngineName

NO_FALLBACK_CODES = frozenset(
    {
        "integrity",
        "pages_out_of_range",
        "password_incorrect",
        "password_protected",
        "password_required",
    }
)
"""Refusals that hold for every engine."""

MISTRAL_NOT_CONFIGURED = (
    "The document is to be converted by Mistral, which this service is not set up for: "
    "set MISTRAL_API_KEY, or submit it with engine=local."
)

log = structlog.get_logger("engines")


class EngineRouter:
    """The local engine and, if configured, Mistral; ``default`` is used without a choice.

    Without a choice, types that are not sent to Mistral are for the local engine.

    With ``fallback`` the local engine converts what Mistral refuses or cannot convert now.
    """

    def __init__(
        self,
        local: Engine,
        mistral: Engine | None = None,
        *,
        default: EngineName = "local",
        fallback: bool = False,
    ) -> None:
        self._local = local
        self._mistral = mistral
        self._default = default
        self._fallback = fallback

    async def check(self) -> None:
        """Make sure that every engine can convert documents.

        :raises EngineCrashed: the local engine cannot.
        :raises EngineUnavailable: Mistral cannot, and there is no fallback.
        """
        await self._local.check()
        if self._mistral is not None and not self._fallback:
            await self._mistral.check()

    async def convert(self, document: SourceFile, progress: Progress | None = None) -> Conversion:
        """Convert one document. Errors as those of its engine."""
        if self._is_local(document):
            return await self._local.convert(document, progress)
        if self._mistral is None:
            if not self._fallback:
                raise Unconvertible("engine_unavailable", MISTRAL_NOT_CONFIGURED)
            return await self._fall_back(document, MISTRAL_NOT_CONFIGURED, progress)
        try:
            return await self._mistral.convert(document, progress)
        except EngineUnavailable as error:
            if not self._fallback:
                raise
            reason = error.reason
        except Unconvertible as error:
            if not self._fallback or error.code in NO_FALLBACK_CODES:
                raise
            reason = error.reason
        return await self._fall_back(document, reason, progress)

    def _is_local(self, document: SourceFile) -> bool:
        """Whether the local engine converts a document.

        Types that are not sent to Mistral are for it, unless the owner wants Mistral.
        """
        options = document.options
        if options.engine is None and options.model is None:
            return self._default == "local" or document.content_type not in CONTENT_TYPES
        return (options.engine or self._default) == "local"

    async def _fall_back(
        self, document: SourceFile, reason: str, progress: Progress | None
    ) -> Conversion:
        log.warning("converted locally instead", document_id=document.document_id, reason=reason)
        conversion = await self._local.convert(document, progress)
        return msgspec.structs.replace(conversion, fallback_from="mistral")


class UploadPrefix(Struct, frozen=True):
    """The prefix of the names of all uploads of this installation."""

    prefix: str


class UploadSweeper(Protocol):
    """Deletes uploads that were left behind."""

    async def run(self) -> None:
        """Sweep from time to time, until cancelled."""
        ...


class RemoteEngine(Struct, frozen=True):
    """An opened remote engine; ``uploads`` is to be run.

    ``problem`` returns why its circuit is open, None while it is closed.
    """

    engine: Engine
    batches: EngineBatches
    uploads: UploadSweeper
    problem: Callable[[], str | None]


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
    from ilios.engines.mistral import engine as mistral  # noqa: PLC0415  2 MB

    async with mistral.open_engine(
        key, server_url, blobs=blobs, splitter=parts, limits=limits, prefix=name.prefix
    ) as opened:
        yield RemoteEngine(
            opened.engine, opened.batches, opened.uploads, lambda: opened.engine.problem
        )


def _import_mistral() -> None:
    from ilios.engines.mistral import engine  # noqa: F401, PLC0415


def _new_prefix() -> UploadPrefix:
    return UploadPrefix(f"ilios-{generate_password()[:9]}-")
