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
from ilios.engines import deaths, niceness, oom
from ilios.engines.evidence import Conduct, Implausible, is_full, is_to_be_counted
from ilios.engines.handover import Handover
from ilios.engines.limits import MIB, EngineLimits
from ilios.engines.profiles import Profile
from ilios.engines.protocol import (
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
    frame,
    read_answer,
)
from ilios.engines.scratch import empty

ROOT = Path(__file__).resolve().parents[2]
START_WITHIN = 60.0
"""Seconds a child may take to come up; it needs a tenth of one on an idle machine."""

DIE_WITHIN = 5.0
"""Seconds a child may outlive its pipe."""

RECOGNISER = "rapidocr"  # as a conversion's model names it
LAST_WORDS_BYTES = 4096
MOST_PRINTED_BYTES = 16 * MIB
"""Bytes a child may write to stderr about one document: reading them takes the service's time."""

PIPE_BUFFER_BYTES = MIB
PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "TZ")
"""Variables a child may inherit. All others stay here: they hold keys and passwords."""


class LostBeforeStart(Exception):
    """The child died before it touched the document; another child can have it."""


class NotStarting(EngineCrashed):
    """A child ends before it is up; the reason holds its last words."""

    def __init__(self, detail: str, *, full: bool = False) -> None:
        reason = f"the conversion process does not start: {detail}"
        super().__init__(reason, blame=False, full=full)


class Done(Struct, frozen=True):
    """What came of the work on a document, and how long it took by the engine's own clock.

    ``doubtful`` is a claim of so many pages that another child should count them.
    """

    outcome: Outcome
    seconds: float
    doubtful: bool = False


class ChildProcess:
    """A child and the pipes to it. Serves one document at a time.

    It is buried once, whatever ended it: its pipes are emptied, it is reaped, its directories are
    removed. ``buried`` is that task.
    """

    def __init__(
        self, process: Process, scratch: Path, handover: Handover, limits: EngineLimits
    ) -> None:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        self._process = process
        self._scratch = scratch
        self._handover = handover
        self._limits = limits
        self._requests = process.stdin
        self._answers = process.stdout
        self._stderr = process.stderr
        self._max_frame = limits.max_output_bytes + FRAME_SLACK_BYTES
        self._last_words = bytearray()
        self._printed = 0
        self._silent = asyncio.Event()
        self._asking = asyncio.Lock()
        self.served = 0
        self.content_types: set[str] = set()
        self.recognised = False
        self.exposed: tuple[str, ...] = ()
        self.succeeded = False
        self.doomed = False
        self.stands_back = False
        self.buried = asyncio.create_task(self._bury(), name=f"bury child {process.pid}")

    @classmethod
    async def spawn(
        cls, limits: EngineLimits, scratch: Path, handover: Path, profile: Profile
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
                "ilios.engines.child",
                msgspec.json.encode(limits).decode(),
                str(os.getpid()),
                str(handover),
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
            shutil.rmtree(handover, ignore_errors=True)
            raise
        return cls(process, scratch, Handover(handover), limits)

    @property
    def pid(self) -> int:
        """The process id, which is also its group's."""
        return self._process.pid

    @property
    def usable(self) -> bool:
        """Whether the child is not known to be dead or dying."""
        return not self.doomed and not self.buried.done() and self._process.returncode is None

    async def ready(self) -> None:
        """Wait until the child is up; ``exposed`` then says what of the sandbox it does not have.

        :raises LostBeforeStart: it was killed meanwhile.
        :raises NotStarting: it cannot come up, or takes too long.
        """
        try:
            async with self._asking, asyncio.timeout(START_WITHIN):
                answer = await read_answer(self._answers, self._max_frame)
        except TimeoutError:
            raise NotStarting(f"not up after {START_WITHIN:.0f} s") from None
        except (asyncio.IncompleteReadError, ConnectionError, BadFrame):
            returncode = await self._death()
            if returncode < 0:
                raise LostBeforeStart from None
            detail = self._last_words.decode(errors="replace").strip()
            raise NotStarting(detail or f"exit code {returncode}") from None
        if not isinstance(answer, Ready):
            raise NotStarting(f"it said {type(answer).__name__} first")
        self.exposed = answer.exposed

    async def prepare(self, content_types: Iterable[str], *, recognising: bool) -> None:
        """Have the child load what it will need, before it gets a document.

        :raises LostBeforeStart: it was killed meanwhile.
        :raises NotStarting: it cannot, or takes too long.
        """
        self._requests.write(frame(Prepare(tuple(content_types), recognising)))
        await self.ready()

    async def ask(
        self,
        document: SourceFile,
        task: Task,
        progress: Callable[[int, int], None] | None,
        alive: Callable[[], None],
    ) -> Done:
        """Have something done with one document. After any exception the child must be killed.

        :param alive: called with every word of the child from the moment it has the document.
        :raises LostBeforeStart: the child died before it touched the document, or sent what it was
            not asked for: that would be taken for its answer.
        :raises Unconvertible: the child died of a limit.
        :raises EngineCrashed: the child died otherwise, claims what cannot be, or is not able to
            work.
        """
        request, size = await self._handed_over(document, task)
        conduct = Conduct(task, document.content_type, size, self._limits)
        started = False
        oom_kills = oom.of_this_cgroup().kills()
        async with self._asking:
            await self._begin()
            try:
                self._requests.write(frame(request))
                await self._requests.drain()
                while True:
                    answer = await read_answer(self._answers, self._max_frame)
                    conduct.check(answer)
                    alive()
                    started = started or isinstance(answer, Started)
                    if isinstance(answer, Converted | Counted | Cut | Refused):
                        seconds = conduct.seconds
                        await self._clear_away()
                        self._note(document, answer)
                        doubtful = is_to_be_counted(answer, document.content_type, size)
                        return Done(answer, seconds, doubtful)
                    if isinstance(answer, Broken):
                        break
                    if isinstance(answer, Progress) and progress is not None:
                        progress(answer.done, answer.total)
            except (BadFrame, Implausible) as error:
                raise EngineCrashed(f"the conversion process sent {error}", blame=True) from error
            except (asyncio.IncompleteReadError, ConnectionError):
                answer = None
        if isinstance(answer, Broken):
            raise await self._broken(answer, size)
        returncode = await self._death()
        if not started:
            raise LostBeforeStart
        if self._printed > MOST_PRINTED_BYTES:
            raise EngineCrashed("the conversion process printed without end", blame=True)
        oom_killed = oom.of_this_cgroup().kills() > oom_kills
        raise deaths.verdict(returncode, bytes(self._last_words), oom_killed=oom_killed)

    async def _begin(self) -> None:
        """Forget what the child printed before, and make sure that it has sent nothing unasked."""
        self._last_words.clear()
        self._printed = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                if await self._answers.read(1):
                    raise LostBeforeStart

    async def _broken(self, answer: Broken, size: int) -> EngineCrashed:
        """Judge a child that cannot work. That a volume is full is looked at, not believed."""
        self.kill()
        await asyncio.shield(self.buried)
        rooms = (self._scratch.parent, self._handover.path.parent)
        full = answer.full and any(is_full(room, size) for room in rooms)
        reason = f"the conversion process is broken: {answer.detail}"
        return EngineCrashed(reason, blame=False, full=full)

    async def _handed_over(self, document: SourceFile, task: Task) -> tuple[Request, int]:
        """Return what is asked, and the size of the document in bytes."""
        try:
            path = await self._handover.lay(document.path)
            size = path.stat().st_size
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            reason = f"the document cannot be handed over: {error.strerror or error}"
            raise EngineCrashed(reason, blame=False, full=full) from error
        return Request(str(path), document.content_type, document.sha256, task), size

    def _note(self, document: SourceFile, answer: Outcome) -> None:
        self.served += 1
        self.content_types.add(document.content_type)
        self.recognised = self.recognised or (
            isinstance(answer, Converted) and RECOGNISER in answer.model
        )

    async def _clear_away(self) -> None:
        """Leave nothing of one document for the next."""
        self._handover.clear()
        if any(self._scratch.iterdir()):
            await asyncio.to_thread(empty, self._scratch)

    def make_way(self) -> None:
        """Let other children go first from now on."""
        if not self.stands_back and self.usable:
            self.stands_back = niceness.stand_back(self.pid)

    def go_ahead(self) -> None:
        """Undo that where this process may: else ``stands_back`` stays true."""
        if self.stands_back and self.usable:
            self.stands_back = not niceness.step_forward(self.pid)

    def kill(self) -> None:
        """End the child and all it may have started, now. Does nothing to a dead one."""
        self.doomed = True
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def _death(self) -> int:
        """Wait until a child whose pipe has ended is dead and has said its last words."""
        try:
            async with asyncio.timeout(DIE_WITHIN):
                await self._silent.wait()
        except TimeoutError:
            self.kill()
        return await self._process.wait()

    async def _bury(self) -> None:
        await self._hear_last_words()
        self.kill()
        # The reader of a killed child may be full and its pipe paused: unread, it never ends.
        async with self._asking:
            while await self._answers.read(PIPE_BUFFER_BYTES):
                pass
        await self._process.wait()
        self._requests.close()
        await asyncio.to_thread(shutil.rmtree, self._scratch, ignore_errors=True)
        await asyncio.to_thread(self._handover.remove)

    async def _hear_last_words(self) -> None:
        while words := await self._stderr.read(LAST_WORDS_BYTES):
            self._last_words += words
            del self._last_words[:-LAST_WORDS_BYTES]
            self._printed += len(words)
            if self._printed > MOST_PRINTED_BYTES:
                self.kill()
        self._silent.set()


def _environment(scratch: Path) -> dict[str, str]:
    """Return all that a child gets to see of the environment.

    One thread per child, because there is a child per core; one malloc arena, because each takes
    64 MiB of the address space the child is bound to.
    """
    kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    search = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return kept | {
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
