"""Logging: JSON, or coloured lines on a terminal; always on stderr."""

import asyncio
import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import msgspec
import structlog

from bus import tracing
from ilios.visible import visible, visible_json

_MULTILINE_KEYS = ("exc_info", "exception", "stack")  # tracebacks have lines
_LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
# Without local variables, which structlog would show: they hold keys and documents.
_TRACEBACKS = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def handle_loop_exception(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """Report errors of the event loop (``set_exception_handler``), except cancellations.

    The client of NATS does not await the tasks it cancels when it is closed without a server.
    """
    if not isinstance(context.get("exception"), asyncio.CancelledError):
        loop.default_exception_handler(context)


def _to_json(event: object, **_: object) -> str:
    return visible_json(msgspec.json.encode(event, enc_hook=repr).decode())


def _order_keys(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Put time, level and event first."""
    first = {key: event.pop(key) for key in ("timestamp", "level", "event") if key in event}
    return {**first, **event}


def _printable(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Escape control characters: some values come from outside."""
    return {
        visible(name): visible(value, lines=name in _MULTILINE_KEYS)
        if isinstance(value, str)
        else value
        for name, value in event.items()
    }


def _traceback(stream: TextIO, exc_info: structlog.typing.ExcInfo) -> None:
    """Write a traceback with its control characters escaped."""
    # Plain: where rich happens to be installed, its tracebacks take a tenth of a second each.
    written = io.StringIO()
    structlog.dev.plain_traceback(written, exc_info)
    stream.write(visible(written.getvalue(), lines=True))


class _Formatter(logging.Formatter):
    """Formats lines and tracebacks of libraries."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record), lines=True)


@contextmanager
def only_errors() -> Iterator[None]:
    """Log errors only, on stderr, while a command prints its results on stdout."""
    before = structlog.get_config()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS["error"]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**before)


def _add_trace_id(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """Add the trace in which something happened, if there is one."""
    if (trace_id := tracing.trace_id()) is not None:
        event["trace_id"] = trace_id
    return event


def set_up(level: str = "info", form: str = "auto") -> None:
    """Configure structlog; ``form`` is ``json``, ``console`` or ``auto``: console on a terminal."""
    console = form == "console" or (form == "auto" and sys.stderr.isatty())
    renderers: list[structlog.typing.Processor]
    if console:
        renderers = [
            _printable,
            structlog.dev.ConsoleRenderer(pad_event_to=28, exception_formatter=_traceback),
        ]
    else:
        renderers = [
            _TRACEBACKS,
            structlog.processors.JSONRenderer(serializer=_to_json),
        ]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            _add_trace_id,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S" if console else "iso", utc=not console),
            _order_keys,
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # Libraries use the standard library: warnings and errors only, and never on stdout.
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for noisy in ("nats", "aiohttp.access", "aiohttp.server", "aiohttp.internal", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
