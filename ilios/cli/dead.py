"""``ilios dead``: lists, shows, requeues and drops dead letters."""

import argparse
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import msgspec

from bus.connection import Connection
from bus.dead_letters import CannotRequeue, DeadLetter, DeadLetterStore, requeue
from bus.errors import BusFull, BusUnavailable, EventTooLarge
from ilios.cli import ExitCode, printing
from ilios.cli.on_bus import run_on_bus
from ilios.visible import visible, visible_json

SHOWN_REASON = 60  # characters in the list


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ilios dead``."""
    parser.description = (
        "List dead letters and decide what becomes of them, also while the service runs. "
        "Exit code 0: done; 1: some could not be; 3: the bus cannot be reached."
    )
    actions = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    for what, help_text in (
        ("list", "list them, the oldest first"),
        ("show", "show one with the body of its event"),
        ("requeue", "publish its event again: its document no longer counts as failed"),
        ("drop", "delete it; its document stays as it is"),
    ):
        action = actions.add_parser(what, help=help_text)
        action.add_argument("--tenant", help="of one tenant only (with --all, or in the list)")
        if what == "list":
            action.add_argument("--json", action="store_true", help="one JSON object a line")
            continue
        which = action.add_mutually_exclusive_group(required=True)
        which.add_argument("--all", action="store_true", help="all of them")
        which.add_argument("numbers", type=int, nargs="*", default=[], metavar="NUMBER")


def run(options: argparse.Namespace) -> int:
    """List, show, requeue or drop dead letters; returns the exit code."""
    return run_on_bus(lambda connection: _run(connection, options))


async def _run(connection: Connection, options: argparse.Namespace) -> int:
    dead_letters = DeadLetterStore(connection)
    if options.what == "list":
        return await _list(dead_letters.iterate(options.tenant or "*"), as_json=options.json)
    return await _apply_to_each(dead_letters, options, _ACTIONS[options.what], connection)


async def _list(letters: AsyncIterator[DeadLetter], *, as_json: bool) -> int:
    found = [letter async for letter in letters]
    if as_json:
        printing.write_stdout("".join(_as_json(letter) for letter in found))
        return ExitCode.OK
    rows = [("number", "filed at", "actor", "tries", "event", "why"), *map(_row, found)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]) - 1)]
    for row in rows if found else ():
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        printing.write_stdout("  ".join([*cells, row[-1]]) + "\n")
    if not found:
        print("there are no dead letters", file=sys.stderr)
    return ExitCode.OK


async def _apply_to_each(
    dead_letters: DeadLetterStore,
    options: argparse.Namespace,
    action: "Action",
    connection: Connection,
) -> int:
    """Apply an action to each letter; one that fails does not stop the others."""
    numbers: list[int] = options.numbers
    if options.all:
        numbers = [letter.number async for letter in dead_letters.iterate(options.tenant or "*")]
    code = ExitCode.OK
    for number in numbers:
        try:
            letter = await dead_letters.get(number)
            if letter is None:
                raise CannotRequeue("there is no such dead letter")
            await action(connection, letter)
        except (CannotRequeue, BusFull, BusUnavailable, EventTooLarge) as error:
            printing.write_stderr(f"ilios: dead letter {number}: {error}")
            code = ExitCode.SOME_FAILED
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
    """Return the members of a letter without its body."""
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
