"""Arguments of the commands that submit documents, derived from the fields of a submission."""

import argparse
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from ilios.settings.bad_settings import BadSettings
from schemas.requests import MAX_PASSWORD_LENGTH, SubmitFields

PASSWORD = "password"  # noqa: S105  # its name
_FIELDS = msgspec.structs.fields(SubmitFields)
_HINTS = get_type_hints(SubmitFields, include_extras=True)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add an argument for each field; the service checks what only it can."""
    group = parser.add_argument_group("conversion")
    for one in _FIELDS:
        described = _description(_HINTS[one.name])
        option = "--" + one.name.replace("_", "-")
        if one.name == PASSWORD:
            group.add_argument(
                "--password-file",
                metavar="FILE",
                help="open protected PDFs with the password on the first line of this file",
            )
        elif one.default is False:
            group.add_argument(option, action="store_true", help=described)
        else:
            group.add_argument(option, dest=one.name, metavar="VALUE", help=described)


def read(options: argparse.Namespace) -> SubmitFields:
    """Return the fields of the arguments.

    :raises BadSettings: one of them has no such value.
    """
    given: dict[str, Any] = {}
    for one in _FIELDS:
        value = (
            _read_password(options.password_file)
            if one.name == PASSWORD
            else getattr(options, one.name)
        )
        if value is not None and value is not False:
            given[one.encode_name] = value
    try:
        return msgspec.convert(given, SubmitFields, strict=False)
    except msgspec.ValidationError as error:
        raise BadSettings([f"the options of the conversion: {error}"]) from error


def _description(hint: Any) -> str:  # noqa: ANN401  # any type of a field
    if get_origin(hint) is not None:
        for one in get_args(hint):
            if isinstance(one, Meta) and one.description:
                # argparse has % for its own marks.
                return one.description.replace("%", "%%")
        return _description(get_args(hint)[0])
    return ""


def _read_password(file: str | None) -> str | None:
    if file is None:
        return None
    try:
        with Path(file).open("rb") as opened:
            line = opened.readline(4 * MAX_PASSWORD_LENGTH + 2)
        return line.removesuffix(b"\n").removesuffix(b"\r").decode()
    except OSError as error:
        raise BadSettings([f"--password-file: cannot read {file}: {error.strerror}"]) from error
    except UnicodeDecodeError:
        raise BadSettings([f"--password-file: {file} is not UTF-8"]) from None
