"""A child process from the engine's side: start, requests, answers, end."""

import asyncio
import contextlib
import errno
import os
import shutil
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from actors.engines import EngineCrashed, SourceFile, report_drafts
from ilios.engines.local import exit_status
from ilios.engines.local.answer_checks import (
    AnswerChecker,
    ImplausibleAnswer,
    is_full,
    needs_recount,
)
from ilios.engines.local.limits import MIB, EngineLimits
from ilios.engines.local.protocol import (
    FRAME_SLACK_BYTES,
    Answer,
    BadFrame,
    Broken,
    Converted,
    Counted,
    Cut,
    Drafts,
    Outcome,
    Prepare,
    Progress,
    Ready,
    Refused,
    Request,
    Started,
    Task,
    encode_frame,
    read_answer,
)
from ilios.engines.local.staging import StagingDir, clear_directory
from ilios.engines.page_images import without_images
from ilios.engines.page_limits import MAX_IMAGE_BYTES
from ilios.engines.sandbox import confinement
from ilios.engines.sandbox.profiles import Profile

ROOT = Path(__file__).resolve().parents[3]
START_WITHIN = 60.0
"""Seconds until a starting child is given up; it takes 0.1 on an idle machine."""

DIE_WITHIN = 5.0
"""Seconds between the end of a child's pipe and its own."""

RECOGNISERS = ("faster-paddle", "rapidocr")  # as in a conversion's ``model``
STDERR_TAIL_BYTES = 4096
MAX_STDERR_BYTES = 16 * MIB
"""Limit of a child's stderr for one document: reading it takes the service's time."""

PIPE_BUFFER_BYTES = MIB
PASSED_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "TZ")
"""Variables that a child inherits. The others may be keys and passwords."""


class LostBeforeStart(Exception):
    """The child died before it began with the document; another child can convert it."""


class StartFailed(EngineCrashed):
    """A child ended before it was up; the reason has the end of its stderr."""

    def __init__(self, detail: str, *, full: bool = False) -> None:
        reason = f"the conversion process does not start: {detail}"
        super().__init__(reason, document_blamed=False, disk_full=full)


class TaskResult(Struct, frozen=True):
    """The outcome of a task, and how long it took by the engine's clock.

    ``recount_pages`` is set when another child should count the pages. ``budgeted`` are the seconds
    that count towards the time budget of the document.
    """

    outcome: Outcome
    seconds: float
    recount_pages: bool = False
    budgeted: float = 0.0


class ChildProcess:
    """A child and the pipes to it. Serves one document at a time.

    The task ``reaped`` ends when the process is gone, its pipes are drained and its directories
    removed.
    """

    def __init__(
        self, process: Process, scratch: Path, staging: StagingDir, limits: EngineLimits
    ) -> None:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        self._process = process
        self._scratch = scratch
        self._staging = staging
        self._limits = limits
        self._requests = process.stdin
        self._answers = process.stdout
        self._stderr = process.stderr
        # Twice: headings, tables and links of the pages are beside their Markdown as well.
        self._max_frame = 2 * limits.max_output_bytes + MAX_IMAGE_BYTES + FRAME_SLACK_BYTES
        self._stderr_tail = bytearray()
        self._stderr_bytes = 0
        self._stderr_closed = asyncio.Event()
        self._pipe_lock = asyncio.Lock()
        self.served = 0
        self.content_types: set[str] = set()
        self.used_ocr = False
        self.knows_password = False
        self.sandbox_gaps: tuple[str, ...] = ()
        self.replaced = False
        self.killed = False
        self.low_priority = False
        self.reaped = asyncio.create_task(self._reap(), name=f"reap child {process.pid}")

    @classmethod
    async def spawn(
        cls, limits: EngineLimits, scratch: Path, staging_dir: Path, profile: Profile
    ) -> "ChildProcess":
        """Start a process; it is up when :meth:`wait_ready` returns.

        :param scratch: an empty directory for the child to write in.
        :param staging_dir: an empty directory for its documents.
        :param profile: the system calls that are allowed to it.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",
                "-m",
                "ilios.engines.local.child",
                msgspec.json.encode(limits).decode(),
                str(os.getpid()),
                str(staging_dir),
                profile.name,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                limit=PIPE_BUFFER_BYTES,
                cwd=scratch,
                env=_environment(scratch),
                start_new_session=True,
            )
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            shutil.rmtree(staging_dir, ignore_errors=True)
            raise
        return cls(process, scratch, StagingDir(staging_dir), limits)

    @property
    def pid(self) -> int:
        """The process id, which is also that of its process group."""
        return self._process.pid

    @property
    def cpu_seconds(self) -> float:
        """CPU time of the process so far; 0 where that cannot be read."""
        return confinement.cpu_seconds(self.pid)

    @property
    def usable(self) -> bool:
        """Whether the child can be given a document."""
        return not self.killed and not self.reaped.done() and self._process.returncode is None

    async def wait_ready(self) -> None:
        """Wait until the child is up, and set ``sandbox_gaps``.

        :raises LostBeforeStart: it was killed meanwhile.
        :raises StartFailed: it cannot come up, or takes too long.
        """
        try:
            async with self._pipe_lock, asyncio.timeout(START_WITHIN):
                answer = await read_answer(self._answers, self._max_frame)
        except TimeoutError:
            raise StartFailed(f"not up after {START_WITHIN:.0f} s") from None
        except (asyncio.IncompleteReadError, ConnectionError, BadFrame):
            returncode = await self._wait_exit()
            if returncode < 0:
                raise LostBeforeStart from None
            detail = self._stderr_tail.decode(errors="replace").strip()
            raise StartFailed(detail or f"exit code {returncode}") from None
        if not isinstance(answer, Ready):
            raise StartFailed(f"it sent {type(answer).__name__} first")
        self.sandbox_gaps = answer.exposed

    async def prepare(self, content_types: Iterable[str], *, load_ocr: bool) -> None:
        """Make the child load converters before it gets a document.

        :raises LostBeforeStart: it was killed meanwhile.
        :raises StartFailed: it cannot, or takes too long.
        """
        self._requests.write(encode_frame(Prepare(tuple(content_types), load_ocr)))
        await self.wait_ready()

    async def run(
        self,
        document: SourceFile,
        task: Task,
        progress: Callable[[int, int], None] | None,
        heartbeat: Callable[[], None],
    ) -> TaskResult:
        """Run a task on one document. After any exception the child must be killed.

        :param heartbeat: called with every answer of the child.
        :raises LostBeforeStart: the child died before it began with the document, or had sent
            unrequested bytes, which would be taken for its answer.
        :raises Unconvertible: the child exceeded a limit.
        :raises EngineCrashed: the child died otherwise, sent an implausible answer, or cannot
            work.
        """
        request, size = await self._stage(document, task)
        checker = AnswerChecker(task, document.content_type, size, self._limits)
        started = False
        oom_kills = exit_status.cgroup_counter().kills()
        async with self._pipe_lock:
            await self._reset()
            try:
                self._requests.write(encode_frame(request))
                await self._requests.drain()
                while True:
                    answer = await read_answer(self._answers, self._max_frame)
                    checker.check(answer)
                    heartbeat()
                    started = started or isinstance(answer, Started)
                    if isinstance(answer, Converted | Counted | Cut | Refused):
                        seconds = checker.seconds
                        await self._finish(document, answer, started=started)
                        recount = needs_recount(task, answer, document.content_type, size)
                        return TaskResult(answer, seconds, recount)
                    if isinstance(answer, Broken):
                        break
                    _report(answer, progress)
            except (BadFrame, ImplausibleAnswer) as error:
                raise EngineCrashed(
                    f"the conversion process sent {error}", document_blamed=True
                ) from error
            except (asyncio.IncompleteReadError, ConnectionError):
                answer = None
        if isinstance(answer, Broken):
            raise await self._broken_error(answer, size)
        returncode = await self._wait_exit()
        if not started:
            raise LostBeforeStart
        if self._stderr_bytes > MAX_STDERR_BYTES:
            raise EngineCrashed("the conversion process printed without end", document_blamed=True)
        oom_killed = exit_status.cgroup_counter().kills() > oom_kills
        raise exit_status.explain(returncode, bytes(self._stderr_tail), oom_killed=oom_killed)

    async def _finish(self, document: SourceFile, answer: Outcome, *, started: bool) -> None:
        if not started:
            raise LostBeforeStart  # an unrequested answer, which arrived after ``_reset``
        await self._clean_up()
        self._record(document, answer)

    async def _reset(self) -> None:
        """Clear the stderr of the last document, and make sure that no bytes wait in the pipe."""
        self._stderr_tail.clear()
        self._stderr_bytes = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                if await self._answers.read(1):
                    raise LostBeforeStart

    async def _broken_error(self, answer: Broken, size: int) -> EngineCrashed:
        """Return the error for a child that cannot work; verify that the volume is full."""
        self.kill()
        await asyncio.shield(self.reaped)
        directories = (self._scratch.parent, self._staging.path.parent)
        full = answer.full and any(is_full(directory, size) for directory in directories)
        reason = f"the conversion process is broken: {answer.detail}"
        return EngineCrashed(reason, document_blamed=False, disk_full=full)

    async def _stage(self, document: SourceFile, task: Task) -> tuple[Request, int]:
        """Return the request, and the size of the document in bytes."""
        try:
            path = await self._staging.stage(document.path)
            size = path.stat().st_size
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            reason = f"the document cannot be handed over: {error.strerror or error}"
            raise EngineCrashed(reason, document_blamed=False, disk_full=full) from error
        request = Request(
            str(path), document.content_type, document.sha256, task, document.password
        )
        return request, size

    def _record(self, document: SourceFile, answer: Outcome) -> None:
        self.served += 1
        self.content_types.add(document.content_type)
        self.knows_password = self.knows_password or document.password is not None
        self.used_ocr = self.used_ocr or (
            isinstance(answer, Converted) and any(name in answer.model for name in RECOGNISERS)
        )

    async def _clean_up(self) -> None:
        """Remove all files of the document."""
        self._staging.clear()
        if any(self._scratch.iterdir()):
            await asyncio.to_thread(clear_directory, self._scratch)

    def lower_priority(self) -> None:
        """Let the other children go first."""
        if not self.low_priority and self.usable:
            self.low_priority = confinement.lower_priority(self.pid)

    def restore_priority(self) -> None:
        """Undo that where this process may; else ``low_priority`` stays true."""
        if self.low_priority and self.usable:
            self.low_priority = not confinement.restore_priority(self.pid)

    def kill(self) -> None:
        """Kill the child and all processes of its group; do nothing to a dead one."""
        self.killed = True
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _wait_exit(self) -> int:
        """Wait until a child whose pipe has ended is dead and its stderr is read."""
        try:
            async with asyncio.timeout(DIE_WITHIN):
                await self._stderr_closed.wait()
        except TimeoutError:
            self.kill()
        return await self._process.wait()

    async def _reap(self) -> None:
        await self._drain_stderr()
        self.kill()
        # The buffer of a killed child may be full and its pipe paused: unread, it never ends.
        async with self._pipe_lock:
            while await self._answers.read(PIPE_BUFFER_BYTES):
                pass
        await self._process.wait()
        self._requests.close()
        await asyncio.to_thread(shutil.rmtree, self._scratch, ignore_errors=True)
        await asyncio.to_thread(self._staging.remove)

    async def _drain_stderr(self) -> None:
        while piece := await self._stderr.read(STDERR_TAIL_BYTES):
            self._stderr_tail += piece
            del self._stderr_tail[:-STDERR_TAIL_BYTES]
            self._stderr_bytes += len(piece)
            if self._stderr_bytes > MAX_STDERR_BYTES:
                self.kill()
        self._stderr_closed.set()


def _report(answer: Answer, progress: Callable[[int, int], None] | None) -> None:
    """Report what an answer shows of the conversion before its end."""
    if isinstance(answer, Progress) and progress is not None:
        progress(answer.done, answer.total)
    elif isinstance(answer, Drafts):
        report_drafts(progress, [without_images(page) for page in answer.pages])


def _environment(scratch: Path) -> dict[str, str]:
    """Return the environment of a child.

    One thread per child, because there is a child per core; one malloc arena, because each takes
    64 MiB of the limited address space.
    """
    inherited = {name: os.environ[name] for name in PASSED_ENVIRONMENT if name in os.environ}
    search = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return inherited | {
        "HOME": str(scratch),
        "LANG": "C.UTF-8",
        "MALLOC_ARENA_MAX": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONPATH": os.pathsep.join(os.path.abspath(path) for path in search),
        "RAYON_NUM_THREADS": "1",
        "TMPDIR": str(scratch),
    }
