"""Which engine converts a document: the one that is wanted, or the one to fall back on."""

from collections.abc import Callable

import msgspec
import structlog

from actors.engines import (
    Conversion,
    Engine,
    EngineUnavailable,
    SourceFile,
    Unconvertible,
)
from schemas.options import EngineName

Progress = Callable[[int, int], None]

NO_FALLBACK_CODES = frozenset({"integrity", "password_protected"})
"""Refusals no other engine would judge otherwise."""

MISTRAL_NOT_CONFIGURED = (
    "The document is to be converted by Mistral, which this service is not set up for: "
    "set MISTRAL_API_KEY, or submit it with engine=local."
)

log = structlog.get_logger("engines")


class EngineRouter:
    """The local engine and, where there is one, Mistral; ``default`` is for who does not choose.

    With ``fallback`` the local engine takes what Mistral cannot convert, now or ever.
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
        """Make sure that documents can be converted by every engine there is.

        :raises EngineCrashed: not by the local one.
        :raises EngineUnavailable: not by Mistral, and nothing takes its place.
        """
        await self._local.check()
        if self._mistral is not None and not self._fallback:
            await self._mistral.check()

    async def convert(self, document: SourceFile, progress: Progress | None = None) -> Conversion:
        """Convert one document. Errors as those of its engine."""
        if (document.options.engine or self._default) == "local":
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

    async def _fall_back(
        self, document: SourceFile, reason: str, progress: Progress | None
    ) -> Conversion:
        log.warning("converted locally instead", document_id=document.document_id, reason=reason)
        conversion = await self._local.convert(document, progress)
        return msgspec.structs.replace(conversion, fallback_from="mistral")
