"""The main program of a child process: converts one document after another, in a sandbox.

Started as ``python -m ilios.engines.local.child LIMITS ENGINE_PID STAGING PROFILE`` in the one
directory it may write in. STAGING is the directory its documents are put in, PROFILE names the
allowed system calls. Commands come on stdin, answers go to what was stdout.
"""

import ctypes
import errno
import gc
import hashlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from actors.engines import PageListener, Unconvertible
from ilios.engines.converters import heif, registry
from ilios.engines.converters.old_office import libreoffice
from ilios.engines.local import exit_status
from ilios.engines.local.limits import MIB, EngineLimits
from ilios.engines.local.protocol import (
    MAX_DRAFT_CHARS,
    MAX_DRAFTS,
    Broken,
    Converted,
    Counted,
    CountPages,
    Cut,
    CutPages,
    Drafts,
    Outcome,
    Prepare,
    Progress,
    Ready,
    Refusal,
    Refused,
    RemoveProtection,
    Request,
    Started,
    ToMarkdown,
    Wear,
    bounded_text,
    read_command,
    write_answer,
)
from ilios.engines.page_limits import fit_pages, text_sizes
from ilios.engines.pages import ConvertedPage, Reading
from ilios.engines.sandbox import confinement, enter, profiles
from schemas.results import PageResult

PROGRESS_EVERY = 0.2
"""Seconds between two progress messages; a fast document has hundreds of pages per second."""

DRAFTS_BURST, DRAFTS_PER_SECOND = 20, 5
"""Messages with drafts at once, and per second after that; further pages wait for the next one."""

HEARTBEAT_BYTES = 4 * MIB
"""Bytes hashed between two heartbeats: a large file may be on a slow disk."""

FORGET_ABOVE_BYTES = 96 * MIB

DISK_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})
MACHINE_ERRNOS = DISK_FULL_ERRNOS | frozenset(
    {
        errno.ENOENT,
        errno.EACCES,
        errno.EPERM,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.EROFS,
        errno.ESTALE,
    }
)
"""Errors of the machine, not of the document: another attempt may do better."""


def main() -> None:
    """Serve requests until the engine closes the pipe."""
    commands, answers = _claim_pipes()
    limits = msgspec.json.decode(sys.argv[1], type=EngineLimits)
    confinement.confine(limits, int(sys.argv[2]))
    profile = profiles.BY_NAME[sys.argv[4]]
    if limits.heif not in (heif.AUTO, heif.OFF):
        heif.load(limits.heif)
    more_readable: tuple[Path, ...] = ()
    if profile is profiles.OFFICE and (program := libreoffice.find(limits.libreoffice)):
        # Found before the sandbox: inside, it cannot be looked for.
        limits = msgspec.structs.replace(limits, sandbox="strict", libreoffice=str(program))
        more_readable = libreoffice.readable(program)
    exposed = enter.enter_sandbox(
        limits.sandbox, Path.cwd(), Path(sys.argv[3]), profile, more_readable
    )
    memory = confinement.MemoryWatch(limits.memory_bytes)
    write_answer(answers, Ready(exposed))
    while (command := read_command(commands)) is not None:
        if isinstance(command, Prepare):
            _prepare(command)
            write_answer(answers, Ready(exposed))
            continue
        write_answer(answers, Started())
        with memory:
            answer = _serve(command, limits, answers)
        write_answer(answers, answer)
        _trim_memory()


def _prepare(command: Prepare) -> None:
    for content_type in command.content_types:
        registry.load_converter(content_type)
    if command.load_ocr:
        registry.load_ocr()


def _claim_pipes() -> tuple[int, int]:
    """Take the pipes away from stdin and stdout.

    Native libraries print to fd 1: one line among the frames would end every conversion after it.
    """
    requests, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


def _serve(request: Request, limits: EngineLimits, answers: int) -> Outcome | Broken:
    confinement.extend_cpu_limit(limits.cpu_seconds)
    try:
        return _run_task(request, limits, answers)
    except Unconvertible as refusal:
        code = msgspec.convert(refusal.code, Refusal)
        return Refused(code, bounded_text(refusal.reason), _wear())
    except MemoryError:
        return Refused("out_of_memory", exit_status.OUT_OF_MEMORY, _wear())
    except (SystemExit, KeyboardInterrupt):
        raise
    # Broad, because parsers raise anything; not Exception, because panics of Rust libraries are
    # BaseExceptions.
    except BaseException as error:  # noqa: BLE001
        traceback.print_exc()
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            return Refused("out_of_memory", exit_status.OUT_OF_MEMORY, _wear())
        if isinstance(error, ImportError) or (
            isinstance(error, OSError) and error.errno in MACHINE_ERRNOS
        ):
            full = isinstance(error, OSError) and error.errno in DISK_FULL_ERRNOS
            return Broken(bounded_text(f"{type(error).__name__}: {error}"), full)
        reason = "The document is damaged or uses features that cannot be read."
        return Refused("corrupt", reason, _wear())


def _run_task(request: Request, limits: EngineLimits, answers: int) -> Outcome:
    path = Path(request.path)
    content_type = request.content_type

    def heartbeat() -> None:
        write_answer(answers, Started())

    _verify(path, request.sha256, heartbeat)
    with registry.unprotected(path, content_type, request.password, heartbeat) as readable:
        match request.task:
            case CountPages():
                return Counted(registry.count_pages(readable, content_type), _wear())
            case CutPages(indices):
                return Cut(_bounded(registry.cut_pages(readable, indices), limits), _wear())
            case RemoveProtection():
                return Cut(_bounded(registry.remove_protection(readable), limits), _wear())
            case ToMarkdown() as task:
                return _convert(readable, content_type, task, limits, answers)


def _wear() -> Wear:
    return Wear(confinement.resident_bytes(), confinement.address_space_low())


class Reports(PageListener):
    """Sends the progress of a conversion to the engine, and drafts of its pages."""

    def __init__(self, answers: int, *, drafts: bool) -> None:
        self._answers = answers
        self._last_sent, self._complete = 0.0, False
        self.wants_drafts = drafts
        self._left = MAX_DRAFT_CHARS if drafts else 0
        self._began, self._drafts_sent = time.monotonic(), 0
        self._unsent: dict[int, PageResult] = {}

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        newly_complete = not self._complete and bool(done) and done == total
        if not self._last_sent or newly_complete or now - self._last_sent >= PROGRESS_EVERY:
            self._last_sent, self._complete = now, self._complete or newly_complete
            write_answer(self._answers, Progress(done, total))

    def drafted(self, pages: Sequence[PageResult]) -> None:
        for page in pages:
            self._unsent.pop(page.index, None)
            self._unsent[page.index] = page
        while len(self._unsent) > MAX_DRAFTS:
            del self._unsent[next(iter(self._unsent))]
        allowed = DRAFTS_BURST + DRAFTS_PER_SECOND * (time.monotonic() - self._began)
        if not self._left or self._drafts_sent >= allowed:
            return
        fitted = fit_pages([ConvertedPage(page) for page in self._unsent.values()])
        self._unsent.clear()
        self._left = max(0, self._left - sum(text_sizes(fitted).values()))
        if self._left:
            self._drafts_sent += 1
            write_answer(self._answers, Drafts(tuple(page.result for page in fitted)))


def _convert(
    path: Path, content_type: str, task: ToMarkdown, limits: EngineLimits, answers: int
) -> Converted:
    reading: Reading = task
    if task.seconds is not None:
        ends_at = time.monotonic() + task.seconds
        portion = msgspec.structs.replace(task.portion, ends_at=ends_at)
        reading = msgspec.structs.replace(task, portion=portion)

    convert = registry.load_converter(content_type)
    converted = convert(path, limits, Reports(answers, drafts=task.drafts), reading)
    pages = fit_pages(converted.pages)
    markdown = sum(len(page.result.markdown.encode()) for page in pages)
    for what, size in (text_sizes(pages) | {"Markdown": markdown}).items():
        if size > limits.max_output_bytes:
            raise Unconvertible(
                "too_large",
                f"The document becomes {size} bytes of {what}; "
                f"at most {limits.max_output_bytes} are allowed.",
            )
    return Converted(pages, converted.model, _wear(), converted.total, converted.pictures)


def _bounded(data: bytes, limits: EngineLimits) -> bytes:
    if len(data) > limits.max_output_bytes:
        raise Unconvertible("too_large", f"The pages are {len(data)} bytes by themselves.")
    return data


def _verify(path: Path, sha256: str | None, heartbeat: Callable[[], None]) -> None:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while sha256 and (piece := file.read(HEARTBEAT_BYTES)):
            digest.update(piece)
            if len(piece) == HEARTBEAT_BYTES:
                heartbeat()
    if sha256 and digest.hexdigest() != sha256:
        raise Unconvertible(
            "integrity", "The stored file is not the one that was submitted (wrong SHA-256)."
        )


def _trim_memory() -> None:
    """Give memory back to the system between documents."""
    if confinement.resident_bytes() < FORGET_ABOVE_BYTES:
        return  # trimming takes milliseconds, which the next small document would wait for
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


if __name__ == "__main__":
    try:
        main()
    except confinement.EngineGone:
        sys.exit("the engine is gone")
    except enter.SandboxIncomplete as lack:
        sys.exit(f"ILIOS_SANDBOX is strict, and there is {lack}")
