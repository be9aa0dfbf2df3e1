"""A line of progress on a terminal, for work on several files of many pages."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from ilios.visible import visible

SHOWN_AFTER = 1.0
"""Seconds of work before there is a line: a shorter one would only flicker."""
REDRAW_INTERVAL = 0.1  # seconds
BAR_SHARE = 3  # a third of the terminal is the bar
UNKNOWN_COLUMNS = 80  # of a terminal that does not tell
MIN_BAR_COLUMNS = 40  # of a terminal; a narrower one has no room for a bar


class Progress:
    """Progress of files and their pages; nothing is written unless the stream is a terminal."""

    def __init__(
        self,
        files: int,
        stream: TextIO | None = None,
        *,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._files = files
        self._stream = stream or sys.stderr
        self._enabled = not quiet and self._stream is not None and self._stream.isatty()
        self._clock = clock
        self._next_draw = clock() + SHOWN_AFTER
        self._finished = 0
        self._running: dict[str, float] = {}  # the share of a file that is done
        self._is_shown = False

    def page(self, name: str, done: int, total: int) -> None:
        """Show that a page of a file is done."""
        self._running[name] = done / max(total, 1)
        self._draw(f"{Path(name).name}: page {done} of {total}")

    def show_done(self, name: str, pages: int, seconds: float) -> None:
        """Show that a file is done, which was counted."""
        self._draw(f"{Path(name).name}: {pages} pages in {seconds:.1f} s")

    def end(self, name: str) -> None:
        """Count a file that is done or has failed."""
        self._finished += 1
        self._running.pop(name, None)

    def clear(self) -> None:
        """Clear the line for other output."""
        if self._is_shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._is_shown = False

    def _draw(self, what: str) -> None:
        now = self._clock()
        if not self._enabled or now < self._next_draw:
            return
        self._next_draw = now + REDRAW_INTERVAL
        # Asked each time, because a window is resized; a line that wraps cannot be cleared.
        columns = os.get_terminal_size(self._stream.fileno()).columns or UNKNOWN_COLUMNS
        columns -= 1
        line = f"[{self._finished}/{self._files}] {self._bar(columns)}{visible(what)}"
        self._stream.write(f"\r\x1b[K{line[:columns]}")
        self._stream.flush()
        self._is_shown = True

    def _bar(self, columns: int) -> str:
        share = min(1.0, (self._finished + sum(self._running.values())) / self._files)
        if columns < MIN_BAR_COLUMNS:
            return f"{share:.0%} "
        width = columns // BAR_SHARE
        full = int(share * width)
        return f"[{'#' * full}{'-' * (width - full)}] {share:.0%} "
