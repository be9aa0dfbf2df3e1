"""Parts of several commands: the settings, and work on the data of a service."""

import os
from collections.abc import Callable

from ilios import logs
from ilios.cli import ExitCode, printing
from ilios.data_directory import CannotSwitchUser, NoData, act_as_owner, ensure_service_data
from ilios.settings import environ
from ilios.settings.settings import Settings


def read_settings() -> Settings:
    """Return the settings of the environment and of ``./.env``.

    :raises BadSettings: some cannot be used.
    """
    environ.add_env_file(os.environ, environ.ENV_FILE)
    return environ.from_environ(os.environ)


def run_on_data(
    work: Callable[[Settings], int],
    *,
    cannot_start: tuple[type[Exception], ...] = (),
    log_level: str = "error",
) -> int:
    """Run the work of a command with the settings of a service; returns the exit code.

    Errors of ``cannot_start`` end it with an exit code of their own.
    """
    errors: tuple[type[Exception], ...] = (CannotSwitchUser, NoData, *cannot_start)
    settings = read_settings()
    logs.set_up(log_level, settings.log_format)
    try:
        return work(settings)
    except errors as error:
        printing.print_error(error)
        return ExitCode.CANNOT_START


def claim_data(settings: Settings) -> None:
    """Ensure that a service has run on these data, and go on as their owner.

    :raises NoData, CannotSwitchUser: none has, or this user may not.
    """
    ensure_service_data(settings)
    printing.print_note(act_as_owner(settings.data_dir))
