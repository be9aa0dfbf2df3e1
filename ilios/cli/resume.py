"""``ilios resume``: ends a pause of fetchers or converters before its time."""

import argparse

from bus import pauses
from bus.connection import Connection
from ilios.cli.pause import add_roles, for_each_role
from ilios.worker_composition import CONSUMERS, Role


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ilios resume``."""
    parser.description = (
        "Have a role take work again, on every host. "
        "Exit code 0: done, or it was not paused; 3: the bus cannot be reached."
    )
    add_roles(parser)


def run(options: argparse.Namespace) -> int:
    """End the pauses; returns the exit code."""

    async def resume(connection: Connection, role: Role) -> str:
        await pauses.resume(connection, CONSUMERS[role])
        return f"{role} takes work"

    return for_each_role(options.roles, resume)
