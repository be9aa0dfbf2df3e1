"""The local engine: converts documents on this machine, in child processes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import msgspec

from actors.engines import Conversion, Password, SourceFile, Unconvertible
from ilios.engines.converters import registry
from ilios.engines.local.limits import EngineLimits
from ilios.engines.local.pool import Pool
from ilios.engines.local.process import TaskResult
from ilios.engines.local.protocol import (
    Converted,
    Counted,
    CountPages,
    Cut,
    CutPages,
    Refused,
    RemoveProtection,
    Task,
    ToMarkdown,
)
from ilios.runtime.restarts import RestartHistory


class PasswordSource(Protocol):
    """Finds passwords that were given with documents."""

    async def find(self, document: SourceFile) -> Password | None:
        """Return the password of a document, or None if none was given.

        :raises Unconvertible: ``password_required``, it cannot be read.
        """
        ...


class LocalEngine:
    """Converts in sandboxed child processes, so that a hostile file harms no other document.

    An async context manager: leaving it kills the children, also those at work. No parser library
    is imported into this process.

    Enter it in a thread that lives as long as the engine: the kernel ends the children with the
    thread that started them.
    """

    def __init__(
        self,
        limits: EngineLimits | None = None,
        staging_dir: Path | None = None,
        passwords: PasswordSource | None = None,
    ) -> None:
        """Start nothing yet.

        :param staging_dir: a directory on the volume of the documents, made if it is missing, to
            link them into; None is the temporary directory, to which they are copied.
        :param passwords: asked for the password of a document that turns out to need one.
        """
        self._passwords = passwords
        self._pool = Pool(limits or EngineLimits(), staging_dir)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._pool.close()

    @property
    def child_pids(self) -> frozenset[int]:
        """Process ids of the children."""
        return self._pool.pids

    @property
    def restarts(self) -> RestartHistory:
        """History of lost children and failed starts."""
        return self._pool.restarts

    @property
    def sandbox_gaps(self) -> tuple[str, ...]:
        """A sentence for each part of the sandbox that the newest child lacks."""
        return self._pool.sandbox_gaps

    async def check(self) -> None:
        """Make sure that documents can be converted; the first check starts the first child.

        :raises EngineCrashed: no child can be started; the reason says why.
        """
        await self._pool.check()

    async def convert(
        self, document: SourceFile, progress: Callable[[int, int], None] | None = None
    ) -> Conversion:
        """Convert the selected pages of a document; wait for a free child first.

        :raises Unconvertible: the document cannot be converted, now or later.
        :raises EngineCrashed: the child died or cannot work; it is already being replaced.
        """
        if not registry.is_supported(document.content_type):
            raise registry.unsupported_type(document.content_type)
        done = await self._run(document, ToMarkdown(document.options.page_ranges), progress)
        answer = done.outcome
        assert isinstance(answer, Converted)
        return Conversion(
            pages=tuple(page.result.markdown for page in answer.pages),
            engine="local",
            model=answer.model,
            seconds=done.seconds,
        )

    async def count_pages(self, document: SourceFile) -> int:
        """Return how many pages a document has. Errors as ``convert``."""
        answer = (await self._run(document, CountPages())).outcome
        assert isinstance(answer, Counted)
        return answer.pages

    async def cut_pages(self, document: SourceFile, indices: Sequence[int]) -> bytes:
        """Return pages of a PDF, counted from 0, as another PDF.

        Errors as ``convert``; ``too_large``: it would exceed ``max_output_bytes``.
        """
        answer = (await self._run(document, CutPages(tuple(indices)))).outcome
        assert isinstance(answer, Cut)
        return answer.data

    async def remove_protection(self, document: SourceFile) -> bytes:
        """Return a PDF as one that needs no password. Errors as ``cut_pages``."""
        answer = (await self._run(document, RemoveProtection())).outcome
        assert isinstance(answer, Cut)
        return answer.data

    async def _run(
        self,
        document: SourceFile,
        task: Task,
        progress: Callable[[int, int], None] | None = None,
    ) -> TaskResult:
        """Do a task, once more with the password if the document turns out to need one."""
        try:
            return await self._run_once(document, task, progress)
        except Unconvertible as refusal:
            asked = document.password is not None or self._passwords is None
            if refusal.code != "password_protected" or asked:
                raise
            assert self._passwords is not None
            password = await self._passwords.find(document)
            if password is None:
                raise
        return await self._run_once(
            msgspec.structs.replace(document, password=password), task, progress
        )

    async def _run_once(
        self,
        document: SourceFile,
        task: Task,
        progress: Callable[[int, int], None] | None,
    ) -> TaskResult:
        done = await self._pool.run(document, task, progress)
        if isinstance(done.outcome, Refused):
            raise Unconvertible(done.outcome.code, _printable(done.outcome.reason))
        return done


def _printable(text: str) -> str:
    """Return a sentence with spaces in place of control characters."""
    return "".join(character if character.isprintable() else " " for character in text)
