"""One child process as the engine sees it."""

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

from actors.engines import EngineCrashed, SourceFile
from ilios.engines.local import exit_status, niceness, oom
from ilios.engines.local.answer_checks import (
    AnswerChecker,
    ImplausibleAnswer,
    is_full,
    needs_recount,
)
from ilios.engines.local.limits import MIB, EngineLimits
from ilios.engines.local.profiles import Profile
from ilios.engines.local.protocol import (
    FRAME_SLACK_BYTES,
    BadFrame,
    Broken,
    Converted,
    Counted,
    Cut,
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
from ilios.engines.local.scratch import clear_directory
from ilios.engines.local.staging import StagingDir

ROOT = Path(__file__).resolve().parents[3]
START_WITHIN = 60.0
"""Seconds a child may take to come up; it needs a tenth of one on an idle machine."""

DIE_WITHIN = 5.0
"""Seconds a child may outlive its pipe."""

OCR_MODEL = "rapidocr"  # as a conversion's model names it
STDERR_TAIL_BYTES = 4096
MAX_STDERR_BYTES = 16 * MIB
"""Bytes a child may write to stderr about one document: reading them takes the service's time."""

PIPE_BUFFER_BYTES = MIB
PASSED_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "TZ")
"""Variables a child may inherit. All others stay here: they hold keys and passwords."""


class LostBeforeStart(Exception):
    """The child died before it touched the document; another child can have it."""


class StartFailed(EngineCrashed):
    """A child ends before it is up; the reason holds its last words."""

    def __init__(self, detail: str, *, full: bool = False) -> None:
        reason = f"the conversion process does not start: {detail}"
        super().__init__(reason, document_blamed=False, disk_full=full)


class TaskResult(Struct, frozen=True):
    """What came of the work on a document, and how long it took by the engine's own clock.

    ``doubtful`` is a claim of so many pages that another child should count them.
    """

    outcome: Outcome
    seconds: float
    recount_pages: bool = False


class ChildProcess:
    """A child and the pipes to it. Serves one document at a time.

    It is buried once, whatever ended it: its pipes are emptied, it is reaped, its directories are
    removed. ``buried`` is that task.
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
        self._max_frame = limits.max_output_bytes + FRAME_SLACK_BYTES
        self._stderr_tail = bytearray()
        self._stderr_bytes = 0
        self._stderr_closed = asyncio.Event()
        self._pipe_lock = asyncio.Lock()
        self.served = 0
        self.content_types: set[str] = set()
        self.used_ocr = False
        self.sandbox_gaps: tuple[str, ...] = ()
        self.replaced = False
        self.killed = False
        self.low_priority = False
        self.reaped = asyncio.create_task(self._reap(), name=f"bury child {process.pid}")

    @classmethod
    async def spawn(
        cls, limits: EngineLimits, scratch: Path, staging_dir: Path, profile: Profile
    ) -> "ChildProcess":
        """Start a process; it is not known to be up before :meth:`ready` returns.

        :param scratch: an empty directory, which is the child's from now on.
        :param handover: another one, where documents are laid for it.
        :param profile: the system calls that it keeps.
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
        """The process id, which is also its group's."""
        return self._process.pid

    @property
    def usable(self) -> bool:
        """Whether the child is not known to be dead or dying."""
        return not self.killed and not self.reaped.done() and self._process.returncode is None

    async def wait_ready(self) -> None:
        """Wait until the child is up; ``exposed`` then says what of the sandbox it does not have.

        :raises LostBeforeStart: it was killed meanwhile.
        :raises NotStarting: it cannot come up, or takes too long.
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
            raise StartFailed(f"it said {type(answer).__name__} first")
        self.sandbox_gaps = answer.exposed

    async def prepare(self, content_types: Iterable[str], *, load_ocr: bool) -> None:
        """Have the child load what it will need, before it gets a document.

        :raises LostBeforeStart: it was killed meanwhile.
        :raises NotStarting: it cannot, or takes too long.
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
        """Have something done with one document. After any exception the child must be killed.

        :param alive: called with every word of the child from the moment it has the document.
        :raises LostBeforeStart: the child died before it touched the document, or sent what it was
            not asked for: that would be taken for its answer.
        :raises Unconvertible: the child died of a limit.
        :raises EngineCrashed: the child died otherwise, claims what cannot be, or is not able to
            work.
        """
        request, size = await self._stage(document, task)
        checker = AnswerChecker(task, document.content_type, size, self._limits)
        started = False
        oom_kills = oom.cgroup_counter().kills()
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
                        await self._clean_up()
                        self._record(document, answer)
                        recount_pages = needs_recount(answer, document.content_type, size)
                        return TaskResult(answer, seconds, recount_pages)
                    if isinstance(answer, Broken):
                        break
                    if isinstance(answer, Progress) and progress is not None:
                        progress(answer.done, answer.total)
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
        oom_killed = oom.cgroup_counter().kills() > oom_kills
        raise exit_status.explain(returncode, bytes(self._stderr_tail), oom_killed=oom_killed)

    async def _reset(self) -> None:
        """Forget what the child printed before, and make sure that it has sent nothing unasked."""
        self._stderr_tail.clear()
        self._stderr_bytes = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                if await self._answers.read(1):
                    raise LostBeforeStart

    async def _broken_error(self, answer: Broken, size: int) -> EngineCrashed:
        """Judge a child that cannot work. That a volume is full is looked at, not believed."""
        self.kill()
        await asyncio.shield(self.reaped)
        directories = (self._scratch.parent, self._staging.path.parent)
        full = answer.full and any(is_full(room, size) for room in directories)
        reason = f"the conversion process is broken: {answer.detail}"
        return EngineCrashed(reason, document_blamed=False, disk_full=full)

    async def _stage(self, document: SourceFile, task: Task) -> tuple[Request, int]:
        """Return what is asked, and the size of the document in bytes."""
        try:
            path = await self._staging.stage(document.path)
            size = path.stat().st_size
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            reason = f"the document cannot be handed over: {error.strerror or error}"
            raise EngineCrashed(reason, document_blamed=False, disk_full=full) from error
        return Request(str(path), document.content_type, document.sha256, task), size

    def _record(self, document: SourceFile, answer: Outcome) -> None:
        self.served += 1
        self.content_types.add(document.content_type)
        self.used_ocr = self.used_ocr or (
            isinstance(answer, Converted) and OCR_MODEL in answer.model
        )

    async def _clean_up(self) -> None:
        """Leave nothing of one document for the next."""
        self._staging.clear()
        if any(self._scratch.iterdir()):
            await asyncio.to_thread(clear_directory, self._scratch)

    def lower_priority(self) -> None:
        """Let other children go first from now on."""
        if not self.low_priority and self.usable:
            self.low_priority = niceness.lower_priority(self.pid)

    def restore_priority(self) -> None:
        """Undo that where this process may: else ``stands_back`` stays true."""
        if self.low_priority and self.usable:
            self.low_priority = not niceness.restore_priority(self.pid)

    def kill(self) -> None:
        """End the child and all it may have started, now. Does nothing to a dead one."""
        self.killed = True
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _wait_exit(self) -> int:
        """Wait until a child whose pipe has ended is dead and has said its last words."""
        try:
            async with asyncio.timeout(DIE_WITHIN):
                await self._stderr_closed.wait()
        except TimeoutError:
            self.kill()
        return await self._process.wait()

    async def _reap(self) -> None:
        await self._drain_stderr()
        self.kill()
        # The reader of a killed child may be full and its pipe paused: unread, it never ends.
        async with self._pipe_lock:
            while await self._answers.read(PIPE_BUFFER_BYTES):
                pass
        await self._process.wait()
        self._requests.close()
        await asyncio.to_thread(shutil.rmtree, self._scratch, ignore_errors=True)
        await asyncio.to_thread(self._staging.remove)

    async def _drain_stderr(self) -> None:
        while words := await self._stderr.read(STDERR_TAIL_BYTES):
            self._stderr_tail += words
            del self._stderr_tail[:-STDERR_TAIL_BYTES]
            self._stderr_bytes += len(words)
            if self._stderr_bytes > MAX_STDERR_BYTES:
                self.kill()
        self._stderr_closed.set()


def _environment(scratch: Path) -> dict[str, str]:
    """Return all that a child gets to see of the environment.

    One thread per child, because there is a child per core; one malloc arena, because each takes
    64 MiB of the address space the child is bound to.
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
