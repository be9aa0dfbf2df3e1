"""``ilios convert``: the engine without the service around it."""

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from actors import sniffing
from actors.ports import (
    PAGE_SEPARATOR,
    Conversion,
    Engine,
    EngineCrashed,
    SourceFile,
    Unconvertible,
)
from ilios import settings as table
from ilios.cli import check, exit_codes
from ilios.engines.local import LocalEngine

STDIN = "-"


class Failed(Exception):
    """A document was not converted; the message says why."""


def run(options: argparse.Namespace) -> int:
    """Convert ``options.files``; what they become is delivered in their order."""
    files: list[str] = options.files
    output: Path | None = options.output
    try:
        settings = table.from_environ(os.environ)
    except table.BadSettings as error:
        check.print_problems(error)
        return exit_codes.USAGE
    if output and len(files) > 1 and output.exists() and not output.is_dir():
        print(f"ilios: {output} is a file; several documents need a directory", file=sys.stderr)
        return exit_codes.USAGE
    try:
        return asyncio.run(_convert_all(files, output, options.format, settings))
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED


async def _convert_all(
    files: list[str], output: Path | None, form: str, settings: table.Settings
) -> int:
    progress = Progress(len(files))
    failed = False
    async with LocalEngine(settings.engine_limits) as engine:
        slots = asyncio.Semaphore(settings.engine_processes)

        async def convert(name: str) -> Conversion:
            async with slots:
                return await _convert_one(engine, name, progress)

        tasks = [asyncio.create_task(convert(name)) for name in files]
        for name, task in zip(files, tasks, strict=True):
            try:
                conversion = await task
            except Failed as error:
                failed = True
                progress.clear()
                print(f"ilios: {name}: {error}", file=sys.stderr)
            else:
                progress.clear()
                _deliver(name, conversion, output, form, several=len(files) > 1)
    return exit_codes.SOME_FAILED if failed else exit_codes.OK


async def _convert_one(engine: Engine, name: str, progress: "Progress") -> Conversion:
    started = time.monotonic()
    try:
        async with _readable(name) as path:
            with path.open("rb") as file:
                head = file.read(sniffing.ENDS_LENGTH)
                file.seek(max(0, path.stat().st_size - sniffing.ENDS_LENGTH))
                tail = file.read()
            content_type = sniffing.sniff(head, tail)
            if content_type is None:
                what = sniffing.describe(head, tail)
                raise Failed(f"This is {what}; what can be converted: {sniffing.SUPPORTED}.")
            conversion = await engine.convert(
                SourceFile(path, content_type),
                lambda done, total: progress.page(name, done, total),
            )
    except OSError as error:
        raise Failed(error.strerror or str(error)) from error
    except Unconvertible as error:
        raise Failed(f"{error.reason} ({error.code})") from error
    except EngineCrashed as error:
        raise Failed("The converter crashed on this document. (crashed)") from error
    progress.done(name, len(conversion.pages), time.monotonic() - started)
    return conversion


@asynccontextmanager
async def _readable(name: str) -> AsyncIterator[Path]:
    """Lend the path of a file; stdin is copied into a file of its own first."""
    if name != STDIN:
        yield Path(name)
        return
    with tempfile.NamedTemporaryFile(prefix="ilios-") as copy:
        while chunk := await asyncio.to_thread(sys.stdin.buffer.read, 1024 * 1024):
            copy.write(chunk)
        copy.flush()
        yield Path(copy.name)


def _deliver(
    name: str, conversion: Conversion, output: Path | None, form: str, *, several: bool
) -> None:
    text = _render(name, conversion, form)
    if output is None:
        if several and form == "markdown":
            sys.stdout.write(f"<!-- {name} -->\n\n")
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    target = output
    if several or output.is_dir():
        output.mkdir(parents=True, exist_ok=True)
        stem = "stdin" if name == STDIN else Path(name).name
        target = output / f"{stem}.{'md' if form == 'markdown' else 'json'}"
    target.write_text(text, encoding="utf-8")


def _render(name: str, conversion: Conversion, form: str) -> str:
    if form == "markdown":
        return PAGE_SEPARATOR.join(conversion.pages).rstrip("\n") + "\n"
    line = {
        "fileName": name,
        "engine": conversion.engine,
        "model": conversion.model,
        "pages": conversion.pages,
    }
    return msgspec.json.encode(line).decode() + "\n"


class Progress:
    """One line on stderr that tells how far it is; nothing where stderr is no terminal."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._finished = 0
        self._shown = sys.stderr.isatty()

    def page(self, name: str, done: int, total: int) -> None:
        """A page of a document is done."""
        self._line(f"[{self._finished}/{self._total}] {Path(name).name}: page {done} of {total}")

    def done(self, name: str, pages: int, seconds: float) -> None:
        """A document is done."""
        self._finished += 1
        took = f"{pages} pages in {seconds:.1f} s"
        self._line(f"[{self._finished}/{self._total}] {Path(name).name}: {took}")

    def clear(self) -> None:
        """Make room for a line of somebody else."""
        self._line("")

    def _line(self, text: str) -> None:
        if self._shown:
            width = shutil.get_terminal_size().columns - 1  # a line that wraps cannot be cleared
            sys.stderr.write(f"\r\x1b[K{text[:width]}")
            sys.stderr.flush()
