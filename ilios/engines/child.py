"""A child of the local engine: confined, warm, converting one document after another.

Started as ``python -m ilios.engines.child LIMITS ENGINE_PID HANDOVER PROFILE`` in the one directory
it may write in; HANDOVER is the one its documents are laid in, PROFILE names the system calls it
keeps. Questions come on stdin, answers go to what was stdout.
"""

import ctypes
import errno
import gc
import hashlib
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import msgspec

from actors.engines import Unconvertible
from ilios.engines import confinement, deaths, kinds, profiles, sandbox
from ilios.engines.limits import MIB, EngineLimits
from ilios.engines.protocol import (
    Broken,
    Converted,
    Counted,
    CountPages,
    Cut,
    CutPages,
    Outcome,
    Prepare,
    Progress,
    Ready,
    Refusal,
    Refused,
    Request,
    Started,
    Wear,
    read_question,
    sentence,
    write_answer,
)

PROGRESS_EVERY = 0.2
"""Seconds between two words of progress; a fast document has hundreds of pages per second."""

HASHED_BYTES = 4 * MIB
"""Bytes that are hashed between two words that say so: a large file may lie on a slow disk."""

FORGET_ABOVE_BYTES = 96 * MIB

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
OURS = FULL | frozenset(
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
    questions, answers = _claim_pipes()
    limits = msgspec.json.decode(sys.argv[1], type=EngineLimits)
    confinement.confine(limits, int(sys.argv[2]))
    profile = profiles.BY_NAME[sys.argv[4]]
    exposed = sandbox.enter(limits.sandbox, Path.cwd(), Path(sys.argv[3]), profile)
    memory = confinement.MemoryWatch(limits.memory_bytes)
    write_answer(answers, Ready(exposed))
    while (question := read_question(questions)) is not None:
        if isinstance(question, Prepare):
            _prepare(question)
            write_answer(answers, Ready(exposed))
            continue
        write_answer(answers, Started())
        with memory:
            answer = _serve(question, limits, answers)
        write_answer(answers, answer)
        _forget()


def _prepare(question: Prepare) -> None:
    for content_type in question.content_types:
        kinds.converter(content_type)
    if question.recognising:
        kinds.recogniser().load()


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
    confinement.renew_cpu_allowance(limits.cpu_seconds)
    try:
        return _work(request, limits, answers)
    except Unconvertible as refusal:
        code = msgspec.convert(refusal.code, Refusal)
        return Refused(code, sentence(refusal.reason), _wear())
    except MemoryError:
        return Refused("out_of_memory", deaths.OUT_OF_MEMORY, _wear())
    except (SystemExit, KeyboardInterrupt):
        raise
    # Broad, because nobody lists what parsers raise; not Exception, because the panics of Rust
    # libraries are BaseExceptions.
    except BaseException as error:  # noqa: BLE001
        traceback.print_exc()
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            return Refused("out_of_memory", deaths.OUT_OF_MEMORY, _wear())
        if isinstance(error, ImportError) or (isinstance(error, OSError) and error.errno in OURS):
            full = isinstance(error, OSError) and error.errno in FULL
            return Broken(sentence(f"{type(error).__name__}: {error}"), full)
        reason = "The document is damaged or uses features that cannot be read."
        return Refused("corrupt", reason, _wear())


def _work(request: Request, limits: EngineLimits, answers: int) -> Outcome:
    path = Path(request.path)
    _verify(path, request.sha256, lambda: write_answer(answers, Started()))
    match request.task:
        case CountPages():
            return Counted(kinds.pdf_parts().count(path), _wear())
        case CutPages(start, stop):
            return Cut(_bounded(kinds.pdf_parts().cut(path, start, stop), limits), _wear())
        case _:
            return _convert(request, limits, answers)


def _wear() -> Wear:
    return Wear(confinement.resident_bytes(), confinement.cramped())


def _convert(request: Request, limits: EngineLimits, answers: int) -> Converted:
    last_said = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal last_said
        now = time.monotonic()
        if not last_said or (done and done == total) or now - last_said >= PROGRESS_EVERY:
            last_said = now
            write_answer(answers, Progress(done, total))

    written = kinds.converter(request.content_type)(Path(request.path), limits, progress)
    size = sum(len(page.encode()) for page in written.pages)
    if size > limits.max_output_bytes:
        raise Unconvertible(
            "too_large",
            f"The document becomes {size} bytes of Markdown; "
            f"at most {limits.max_output_bytes} are allowed.",
        )
    return Converted(tuple(written.pages), written.model, _wear())


def _bounded(data: bytes, limits: EngineLimits) -> bytes:
    if len(data) > limits.max_output_bytes:
        raise Unconvertible("too_large", f"The pages are {len(data)} bytes by themselves.")
    return data


def _verify(path: Path, sha256: str | None, alive: Callable[[], None]) -> None:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while sha256 and (piece := file.read(HASHED_BYTES)):
            digest.update(piece)
            if len(piece) == HASHED_BYTES:
                alive()
    if sha256 and digest.hexdigest() != sha256:
        raise Unconvertible(
            "integrity", "The stored file is not the one that was submitted (wrong SHA-256)."
        )


def _forget() -> None:
    """Give memory back between documents, so that an idle child is a small one."""
    if confinement.resident_bytes() < FORGET_ABOVE_BYTES:
        return  # It takes milliseconds, which the next small document would wait for.
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


if __name__ == "__main__":
    try:
        main()
    except confinement.Orphaned:
        sys.exit("the engine is gone")
    except sandbox.Incomplete as lack:
        sys.exit(f"ILIOS_SANDBOX is strict, and there is {lack}")
