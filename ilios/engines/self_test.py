"""Whether converters work under their profile of system calls here, where nobody has recorded it.

What a converter calls depends on the processor and the C library. Where they are others than those
the profile was recorded on, the first child of an engine converts the samples that ship with it.
"""

import asyncio
import platform
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path

import structlog

from actors.engines import EngineCrashed, SourceFile, Unconvertible
from ilios.engines import kinds
from ilios.engines.limits import EngineLimits
from ilios.engines.process import ChildProcess, LostBeforeStart, NotStarting
from ilios.engines.profiles import CONVERTER, WIDE, Profile
from ilios.engines.protocol import Converted, ToMarkdown

RECORDED = frozenset({("x86_64", "glibc")})
"""Machines and C libraries on which all converters are tried with every change."""

FOLDER = Path(__file__).parents[1] / "samples"
SAMPLES = (
    ("hello.pdf", "application/pdf", "| fetcher"),
    ("letter.docx", f"{kinds.OFFICE}.wordprocessingml.document", "| fetcher"),
    ("slides.pptx", f"{kinds.OFFICE}.presentationml.presentation", "| fetcher"),
    ("scan.png", "image/png", "Invoice"),
)
"""Files, their types, and what their Markdown holds if nothing was left out."""

Start = Callable[[Profile], Awaitable[ChildProcess]]

log = structlog.get_logger(__name__)


class SelfTest:
    """Chooses the profile of an engine's children; tries it first where that is needed."""

    def __init__(self, limits: EngineLimits) -> None:
        self._limits = limits
        self._chosen = CONVERTER if limits.sandbox == "off" or is_recorded() else None
        self._trying = asyncio.Lock()

    async def profile(self, start: Start) -> Profile:
        """Return the profile for a child that is about to start.

        :param start: starts a child with a profile and returns it once it is up.
        :raises NotStarting: converters do not work under the narrow profile, and no other is
            accepted; or as ``start``.
        :raises LostBeforeStart: a child was killed meanwhile.
        """
        async with self._trying:
            if self._chosen is None:
                self._chosen = await self._tried(start)
        return self._chosen

    async def _tried(self, start: Start) -> Profile:
        failure = await self._failure(start, CONVERTER)
        if failure is None:
            return CONVERTER
        if await self._failure(start, WIDE) is not None:
            return CONVERTER  # whatever is wrong, it is not the filter
        log.warning("engine.self_test_failed", reason=failure)
        if self._limits.sandbox == "strict":
            raise NotStarting(
                f"ILIOS_SANDBOX is strict, and converters do not work under the filter of system "
                f"calls on this machine: {failure}"
            )
        return WIDE

    async def _failure(self, start: Start, profile: Profile) -> str | None:
        """Return why the samples cannot be converted under a profile, or None if they can."""
        try:
            child = await start(profile)
        except NotStarting as error:
            return error.reason
        try:
            for name, content_type, text in SAMPLES:
                if failure := await self._failure_of(child, name, content_type, text):
                    return f"{name}: {failure}"
        finally:
            child.kill()
        return None

    async def _failure_of(
        self, child: ChildProcess, name: str, content_type: str, text: str
    ) -> str | None:
        document = SourceFile(FOLDER / name, content_type)
        try:
            async with asyncio.timeout(self._limits.wall_seconds):
                done = await child.ask(document, ToMarkdown(), None, lambda: None)
        except (EngineCrashed, Unconvertible, LostBeforeStart, TimeoutError) as error:
            return str(error) or type(error).__name__
        if not isinstance(done.outcome, Converted):
            return f"it is refused: {getattr(done.outcome, 'reason', '')}"
        missing = text not in "".join(done.outcome.pages)
        return f"{text!r} is missing in its Markdown" if missing else None


@cache
def is_recorded() -> bool:
    """Tell whether the profile was recorded on a machine like this one."""
    return (platform.machine(), platform.libc_ver()[0]) in RECORDED
