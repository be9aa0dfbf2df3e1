"""The line of progress: only on a terminal, only for longer work, never wider than the window."""

import fcntl
import io
import os
import pty
import struct
import termios
from collections.abc import Iterator
from contextlib import closing

import pytest

from ilios.cli.progress import Progress

END = "~"  # of what is read


class Terminal:
    """A real terminal, and a clock that is moved by hand."""

    def __init__(self) -> None:
        self._ours, theirs = pty.openpty()
        self.stream = os.fdopen(theirs, "w")
        self.now = 0.0

    def resize(self, columns: int) -> None:
        fcntl.ioctl(self.stream, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def shown(self) -> str:
        """Return what came since the last time, which may come in pieces."""
        self.stream.write(END)
        self.stream.flush()
        shown = ""
        while not shown.endswith(END):
            shown += os.read(self._ours, 65536).decode()
        return shown.removesuffix(END)

    def close(self) -> None:
        self.stream.close()
        os.close(self._ours)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with closing(Terminal()) as opened:
        opened.resize(61)
        yield opened


def test_a_line_has_the_files_and_the_pages(terminal: Terminal) -> None:
    progress = Progress(4, terminal.stream, clock=lambda: terminal.now)
    progress.end("first.pdf")
    terminal.now = 1.5
    progress.page("/a/second.pdf", 5, 10)
    assert (
        terminal.shown()
        == ("\r\x1b[K[1/4] [#######-------------] 38% second.pdf: page 5 of 10"[: 4 + 60])
    )
    progress.clear()
    assert terminal.shown() == "\r\x1b[K"


def test_the_line_follows_the_width_of_the_window(terminal: Terminal) -> None:
    progress = Progress(1, terminal.stream, clock=lambda: terminal.now)
    for columns in (200, 50, 20):
        terminal.now += 2
        terminal.resize(columns)
        progress.page("report\x1b[2J" + "x" * 300, 1, 2)
        line = terminal.shown().removeprefix("\r\x1b[K")
        assert len(line) == columns - 1
        assert "\x1b" not in line
        assert ("#" in line) is (columns > 40)


def test_short_work_shows_nothing(terminal: Terminal) -> None:
    progress = Progress(1, terminal.stream, clock=lambda: terminal.now)
    terminal.now = 0.9
    progress.page("a.pdf", 1, 2)
    progress.clear()
    assert terminal.shown() == ""


def test_fast_pages_are_not_all_drawn(terminal: Terminal) -> None:
    progress = Progress(1, terminal.stream, clock=lambda: terminal.now)
    for page in range(300):
        terminal.now += 0.01
        progress.page("a.pdf", page, 300)
    assert 15 < terminal.shown().count("\r") <= 20


def test_nothing_is_written_to_a_file_or_where_it_is_not_wanted(terminal: Terminal) -> None:
    file = io.StringIO()
    for progress in (
        Progress(1, file, clock=lambda: terminal.now),
        Progress(1, terminal.stream, quiet=True, clock=lambda: terminal.now),
    ):
        terminal.now += 5
        progress.page("a.pdf", 1, 2)
        progress.show_done("a.pdf", 2, 1.0)
        progress.clear()
    assert (file.getvalue(), terminal.shown()) == ("", "")
