"""Self-test of the narrow system call profile on machines where it was not recorded.

The system calls of a converter depend on the processor and the C library. Where these differ from
those the profile was recorded on, the first child of an engine converts the bundled samples.
"""

import asyncio
import platform
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path

import structlog

from actors import content_types
from actors.engines import EngineCrashed, SourceFile, Unconvertible
from ilios.engines.local.limits import EngineLimits
from ilios.engines.local.process import ChildProcess, LostBeforeStart, StartFailed
from ilios.engines.local.protocol import Converted, ToMarkdown
from ilios.engines.sandbox.profiles import CONVERTER, WIDE, Profile

RECORDED = frozenset({("x86_64", "glibc")})
"""Machines and C libraries on which the profile was recorded and is tested."""

FOLDER = Path(__file__).parents[2] / "samples"
SAMPLES = (
    ("hello.pdf", content_types.PDF, "| fetcher"),
    ("letter.docx", content_types.DOCX, "| fetcher"),
    ("slides.pptx", content_types.PPTX, "| fetcher"),
    ("scan.png", content_types.PNG, "Invoice"),
)
"""Files, their types, and a text that their Markdown must contain."""

StartChild = Callable[[Profile], Awaitable[ChildProcess]]

log = structlog.get_logger(__name__)


class SelfTest:
    """Chooses the system call profile of an engine's children."""

    def __init__(self, limits: EngineLimits) -> None:
        self._limits = limits
        self._chosen = CONVERTER if limits.sandbox == "off" or is_recorded() else None
        self._lock = asyncio.Lock()

    async def profile(self, start: StartChild) -> Profile:
        """Return the profile for a child that is about to start.

        :param start: starts a child with a profile and returns it once it is up.
        :raises StartFailed: converters do not work under the narrow profile, and no other is
            accepted; or as ``start``.
        :raises LostBeforeStart: a child was killed meanwhile.
        """
        async with self._lock:
            if self._chosen is None:
                self._chosen = await self._choose(start)
        return self._chosen

    async def _choose(self, start: StartChild) -> Profile:
        failure = await self._run_samples(start, CONVERTER)
        if failure is None:
            return CONVERTER
        if await self._run_samples(start, WIDE) is not None:
            return CONVERTER  # the filter is not the reason
        log.warning("self-test failed", reason=failure)
        if self._limits.sandbox == "strict":
            raise StartFailed(
                f"ILIOS_SANDBOX is strict, and converters do not work under the filter of system "
                f"calls on this machine: {failure}"
            )
        return WIDE

    async def _run_samples(self, start: StartChild, profile: Profile) -> str | None:
        """Return why the samples cannot be converted under a profile, or None."""
        try:
            child = await start(profile)
        except StartFailed as error:
            return error.reason
        try:
            for name, content_type, text in SAMPLES:
                if failure := await self._run_sample(child, name, content_type, text):
                    return f"{name}: {failure}"
        finally:
            child.kill()
        return None

    async def _run_sample(
        self, child: ChildProcess, name: str, content_type: str, text: str
    ) -> str | None:
        document = SourceFile(FOLDER / name, content_type)
        try:
            async with asyncio.timeout(self._limits.wall_seconds):
                done = await child.run(document, ToMarkdown(), None, lambda: None)
        except (EngineCrashed, Unconvertible, LostBeforeStart, TimeoutError) as error:
            return str(error) or type(error).__name__
        if not isinstance(done.outcome, Converted):
            return f"it is refused: {getattr(done.outcome, 'reason', '')}"
        missing = text not in "".join(page.result.markdown for page in done.outcome.pages)
        return f"{text!r} is missing in its Markdown" if missing else None


@cache
def is_recorded() -> bool:
    """Whether the profile was recorded on a machine like this one."""
    return (platform.machine(), platform.libc_ver()[0]) in RECORDED
