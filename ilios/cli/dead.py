"""``ilios dead``: what could not be worked on, and what is to become of it."""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import msgspec

from bus.connection import Connection
from bus.dead_letters import CannotRequeue, DeadLetter, DeadLetterStore, requeue
from bus.errors import BusFull, BusUnavailable, EventTooLarge
from ilios import logs
from ilios.cli import check, exit_codes, printing
from ilios.data_directory import CannotSwitchUser, NoData, act_as_owner, ensure_service_data
from ilios.nats.access import operator_connection
from ilios.nats.server import BusDidNotStart
from ilios.runtime.locks import AlreadyInUse, CannotLock
from ilios.secrets_file import SecretsDamaged
from ilios.settings import settings as table
from ilios.visible import visible, visible_json

SHOWN_REASON = 60  # characters in the list

_NO_BUS = (
    AlreadyInUse,
    BusDidNotStart,
    BusUnavailable,
    CannotSwitchUser,
    CannotLock,
    NoData,
    OSError,
    SecretsDamaged,
)


def run(options: argparse.Namespace) -> int:
    """List, show, requeue or drop dead letters; returns the exit code."""
    try:
        settings = table.from_environ(os.environ)
    except table.BadSettings as error:
        check.print_problems(error)
        return exit_codes.USAGE
    logs.set_up("error", settings.log_format)
    try:
        if settings.nats_url is None:
            ensure_service_data(settings)
            printing.print_note(act_as_owner(settings.data_dir))
        return asyncio.run(_run(settings, options))
    except printing.CannotPrint as error:
        printing.print_error(error)
        return exit_codes.SOME_FAILED
    except _NO_BUS as error:
        printing.print_error(error)
        return exit_codes.CANNOT_START
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED


async def _run(settings: table.Settings, options: argparse.Namespace) -> int:
    async with operator_connection(settings) as connection:
        dead_letters = DeadLetterStore(connection)
        if options.what == "list":
            return await _list(dead_letters.iterate(options.tenant or "*"), as_json=options.json)
        return await _apply_to_each(dead_letters, options, _ACTIONS[options.what], connection)


async def _list(letters: AsyncIterator[DeadLetter], *, as_json: bool) -> int:
    found = [letter async for letter in letters]
    if as_json:
        printing.write_stdout("".join(_as_json(letter) for letter in found))
        return exit_codes.OK
    rows = [("number", "filed at", "actor", "tries", "event", "why"), *map(_row, found)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]) - 1)]
    for row in rows if found else ():
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        printing.write_stdout("  ".join([*cells, row[-1]]) + "\n")
    if not found:
        print("there are no dead letters", file=sys.stderr)
    return exit_codes.OK


async def _apply_to_each(
    dead_letters: DeadLetterStore,
    options: argparse.Namespace,
    action: "Action",
    connection: Connection,
) -> int:
    """Do something about each letter that was named; one that cannot be done stops no other."""
    numbers: list[int] = options.numbers
    if options.all:
        numbers = [letter.number async for letter in dead_letters.iterate(options.tenant or "*")]
    code = exit_codes.OK
    for number in numbers:
        try:
            letter = await dead_letters.get(number)
            if letter is None:
                raise CannotRequeue("there is no such dead letter")
            await action(connection, letter)
        except (CannotRequeue, BusFull, BusUnavailable, EventTooLarge) as error:
            printing.write_stderr(f"ilios: dead letter {number}: {error}")
            code = exit_codes.SOME_FAILED
    return code


async def _show(_: Connection, letter: DeadLetter) -> None:
    members = _metadata(letter).items()
    lines = [f"{name.replace('_', ' '):<10}  {visible(str(value))}" for name, value in members]
    printing.write_stdout(
        "\n".join([*lines, "", visible(letter.body.decode(errors="replace")), ""])
    )


async def _requeue(connection: Connection, letter: DeadLetter) -> None:
    await requeue(connection, letter)
    printing.write_stdout(f"requeued {letter.number}: {visible(letter.subject)}\n")


async def _drop(connection: Connection, letter: DeadLetter) -> None:
    await DeadLetterStore(connection).delete(letter.number)
    printing.write_stdout(f"dropped {letter.number}: {visible(letter.subject)}\n")


Action = Callable[[Connection, DeadLetter], Awaitable[None]]
_ACTIONS: Mapping[str, Action] = {"show": _show, "requeue": _requeue, "drop": _drop}


def _metadata(letter: DeadLetter) -> dict[str, object]:
    """Return all but the body, by name."""
    members: dict[str, object] = msgspec.structs.asdict(letter)
    del members["body"]
    return members


def _row(letter: DeadLetter) -> tuple[str, ...]:
    reason = visible(letter.reason)
    return (
        str(letter.number),
        f"{letter.filed_at:%Y-%m-%d %H:%M:%S}",
        visible(letter.actor),
        str(letter.attempts),
        visible(letter.subject).removeprefix("ilios."),
        reason if len(reason) <= SHOWN_REASON else f"{reason[: SHOWN_REASON - 1]}…",
    )


def _as_json(letter: DeadLetter) -> str:
    body = letter.body.decode(errors="replace")
    return visible_json(msgspec.json.encode(_metadata(letter) | {"body": body}).decode()) + "\n"
