"""Settings as annotated fields, and the parsers of their text.

A field has an ``Env`` in its annotation. Its type and bounds choose the parser, its default is the
default of the setting. The message of a parser's error follows the variable's name; it never
repeats the text, which may be a secret.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from bus.target import Target
from ilios.secret import Secret

BUS_SCHEMES = ("nats", "tls", "ws", "wss")
MAX_SECONDS = 86_400  # seconds
MAX_PORT = 65_535


def integer(least: int, most: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from ``least`` to ``most``."""

    def parse(text: str) -> int:
        # Not int() alone: it also takes 1_000, and its complaints are for programmers.
        digits = text.removeprefix("-")
        value = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else None
        if value is None or text.startswith("-") or not least <= value <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return value

    return parse


def seconds(text: str) -> float:
    """Parse a duration."""
    complaint = f"must be a number of seconds, more than 0 and at most {MAX_SECONDS}"
    try:
        value = float(text)
    except ValueError:
        raise ValueError(complaint) from None
    if not 0 < value <= MAX_SECONDS:
        raise ValueError(complaint)
    return value


def one_of(*choices: str) -> Callable[[str], str]:
    """Return a parser of one of several values, in any case."""

    def parse(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text.lower()

    return parse


def heif_decoder(text: str) -> str:
    """Parse auto, off or the path of a library."""
    if text.lower() in ("auto", "off"):
        return text.lower()
    path = Path(text)
    if not path.is_absolute() or not path.is_file():
        raise ValueError("must be auto, off or the absolute path of a library that exists")
    return text


def libreoffice_directory(text: str) -> str:
    """Parse auto, off or the path of a directory."""
    if text.lower() in ("auto", "off"):
        return text.lower()
    path = Path(text)
    # All of its parent is readable in the sandbox, so that must be LibreOffice and nothing else.
    is_program = path.name == "program" and path.is_dir() and (path.parent / "share").is_dir()
    if not path.is_absolute() or not is_program:
        raise ValueError(
            "must be auto, off or the absolute path of LibreOffice's directory program, which is "
            "beside its directory share"
        )
    return text


def boolean(text: str) -> bool:
    """Parse true or false, in any of the usual spellings."""
    if text.lower() in ("true", "1", "yes", "on"):
        return True
    if text.lower() in ("false", "0", "no", "off"):
        return False
    raise ValueError("must be true or false")


def only_true(why: str) -> Callable[[str], bool]:
    """Return a parser that accepts true alone; ``why`` explains a refusal of false."""

    def parse(text: str) -> bool:
        if not boolean(text):
            raise ValueError(f"must be true: {why}")
        return True

    return parse


def secret(text: str) -> Secret:
    """Parse one key."""
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be printable ASCII characters without spaces")
    return Secret(text)


def model(text: str) -> str:
    """Parse the name of a model."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,63}", text):
        raise ValueError("must be the name of a model: lower-case letters, digits, dots, hyphens")
    return text


def secret_list(text: str) -> tuple[Secret, ...]:
    """Parse keys, separated by commas."""
    found = tuple(Secret(part) for part in _split(text))
    if not found:
        raise ValueError("has no key; unset it if everybody may use the API")
    return found


def host(text: str) -> str:
    """Parse a host name or an address."""
    if not text or any(c.isspace() or c == "/" for c in text):
        raise ValueError("must be a host name or an address")
    return text


def host_name(text: str) -> str:
    """Parse the name of a host, which is a token of subjects."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", text):
        raise ValueError("must be letters, digits, - and _, at most 64")
    return text


def origin(text: str) -> str:
    """Parse an origin: a URL of a scheme, a host and perhaps a port."""
    complaint = "must be an http or https URL with a host, and without user, path or query"
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError(complaint) from None
    if url.scheme not in ("http", "https") or not url.hostname or port == 0 or "@" in url.netloc:
        raise ValueError(complaint)
    plain = text.isascii() and text.isprintable() and not set(text) & set(' "<>\\^`{|}?#,')
    if not plain or url.path not in ("", "/"):
        raise ValueError(complaint)
    return f"{url.scheme}://{url.netloc}"


def endpoint(text: str) -> str:
    """Parse the URL of a service: an origin, and perhaps a path."""
    whole_url, path = text.rstrip("/"), ""
    if "://" in whole_url:
        scheme, _, rest = whole_url.partition("://")
        place, slash, path = rest.partition("/")
        whole_url, path = f"{scheme}://{place}", slash + path
    if not re.fullmatch(r"[A-Za-z0-9/._~-]*", path):
        raise ValueError("must be an http or https URL with a host, and without user or query")
    return origin(whole_url) + path


def bucket(text: str) -> str:
    """Parse the name of a bucket."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{2,62}", text):
        raise ValueError("must be the name of a bucket: 3 to 63 letters, digits, dots, hyphens")
    return text


def region(text: str) -> str:
    """Parse the name of a region."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", text):
        raise ValueError("must be the name of a region: lower-case letters, digits, hyphens")
    return text


def prefix(text: str) -> str:
    """Parse a prefix of keys; it has a slash at its end and none at its start."""
    text = text.strip("/")
    if not re.fullmatch(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*", text) or len(text) > 200:
        raise ValueError("must be at most 200 letters, digits, dots, hyphens, and slashes between")
    if {".", ".."} & set(text.split("/")):
        raise ValueError("must not have . or .. between slashes")
    return f"{text}/"


def size(least: int, most: int) -> Callable[[str], int]:
    """Return a parser of sizes, as 52428800, 50MB or 50MiB."""

    def parse(text: str) -> int:
        found = re.fullmatch(r"([0-9]{1,12}) ?(|[KMG]I?B)", text.upper())
        unit = found[2] if found else ""
        base = 1024 if "I" in unit else 1000
        value = int(found[1]) * base ** " KMG".index(unit[:1] or " ") if found else -1
        if not least <= value <= most:
            raise ValueError(f"must be a number of bytes from {least} to {most}")
        return value

    return parse


def hosts_and_ports(text: str) -> tuple[str, ...]:
    """Parse ``host:port`` pairs, separated by commas; ``[::1]:80`` becomes ``::1:80``."""
    return tuple(_host_and_port(part) for part in _split(text))


def origins(text: str) -> tuple[str, ...]:
    """Parse origins, separated by commas, in the form in which browsers send them."""
    return tuple(_browser_origin(part) for part in _split(text))


def hosts(text: str) -> tuple[str, ...]:
    """Parse host names, separated by commas; they have no port."""
    names = tuple(part.lower() for part in _split(text))
    if not all(re.fullmatch(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", name) for name in names):
        raise ValueError("must be host names without port, separated by commas")
    return names


def bus_urls(text: str) -> Secret:
    """Parse URLs of servers of one NATS; a missing port is the default of the scheme."""
    schemes = f"{', '.join(BUS_SCHEMES[:-1])} or {BUS_SCHEMES[-1]}"
    complaint = f"must be URLs, {schemes}, with a host and a port from 1 to {MAX_PORT}"
    if any(c.isspace() for c in text.replace(", ", ",")):
        raise ValueError(complaint)
    try:
        urls = [urlsplit(part) for part in _split(text)]
        usable = [url.scheme in BUS_SCHEMES and url.hostname and url.port != 0 for url in urls]
    except ValueError:  # its message may repeat a part of the password
        raise ValueError(complaint) from None
    if not urls or not all(usable):
        raise ValueError(complaint)
    if len({url.scheme.startswith("ws") for url in urls}) > 1:
        raise ValueError("must not have both ws and nats, which are other protocols")
    Target.of(text)
    return Secret(text)


def user(text: str) -> str:
    """Parse the name of a user."""
    if not text.isprintable():
        raise ValueError("must be printable characters")
    return text


def password(text: str) -> Secret:
    """Parse a password."""
    return Secret(user(text))


def one_number_of(*numbers: int) -> Callable[[str], int]:
    """Return a parser of one of some numbers."""
    parse_text = one_of(*map(str, numbers))
    return lambda text: int(parse_text(text))


def _browser_origin(text: str) -> str:
    url = urlsplit(origin(text).lower())
    usual = {"http": ":80", "https": ":443"}[url.scheme]
    return f"{url.scheme}://{url.netloc.removesuffix(usual)}"


def _host_and_port(text: str) -> str:
    name, _, port = text.rpartition(":")
    bracketed = name.startswith("[") and name.endswith("]")
    if bracketed:
        name = name[1:-1]
    try:
        host(name)
        number = integer(1, MAX_PORT)(port)
    except ValueError:
        number = 0
    if not number or "@" in name or (":" in name) != bracketed:
        raise ValueError("must be host:port pairs, separated by commas")
    return f"{name}:{number}"


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


_PARSERS: dict[object, Callable[[str], Any]] = {
    bool: boolean,
    float: seconds,
    Path: Path,
    Secret: secret,
}


class Env(Struct, frozen=True):
    """The variable of a field. Without an example its default is one; ``unit`` is that of its text.

    A setting that ``needs`` another variable has no effect without it.
    """

    variable: str
    description: str
    example: str = ""
    parse: Callable[[str], Any] | None = None
    unit: int = 1
    needs: str = ""


class Setting(Struct, frozen=True):
    """One setting: a variable, the field it fills, and the parser of its text."""

    variable: str
    field: str
    parse: Callable[[str], Any]
    example: str
    description: str
    unit: int
    needs: str

    def read(self, text: str) -> object:
        """Return the value of the field.

        :raises ValueError: the text is no such value; the message does not repeat it.
        """
        value = self.parse(text)
        return value if self.unit == 1 else value * self.unit

    def format(self, settings: object) -> str:
        """Return the text of the variable; that of a secret is ``***``."""
        return _format(getattr(settings, self.field), self.unit)


def settings_of(struct: type[Struct]) -> Iterator[Setting]:
    """Yield the setting of each field that has one, in their order."""
    defaults = dict(zip(struct.__struct_fields__, struct.__struct_defaults__, strict=True))
    for field, hint in get_type_hints(struct, include_extras=True).items():
        kind, *metadata = get_args(hint) or (hint,)
        env = next(one for one in metadata if isinstance(one, Env))
        yield Setting(
            variable=env.variable,
            field=field,
            parse=env.parse or _parser(kind, metadata, env.unit),
            example=env.example or _format(defaults[field], env.unit),
            description=env.description,
            unit=env.unit,
            needs=env.needs,
        )


def _parser(kind: object, metadata: list[object], unit: int) -> Callable[[str], Any]:
    for one in metadata:
        if isinstance(one, Meta) and one.ge is not None and one.le is not None:
            return integer(int(one.ge) // unit, int(one.le) // unit)
    if get_origin(kind) is Literal:
        return one_of(*get_args(kind))
    alternatives = [part for part in get_args(kind) if part is not NoneType]
    return _parser(alternatives[0], [], unit) if alternatives else _PARSERS[kind]


def _format(value: object, unit: int) -> str:
    match value:
        case None | ():
            return "-"
        case bool():
            return str(value).lower()
        case tuple():
            return ",".join(map(str, value))
        case float():
            return f"{value:.15g}"
        case int():
            return str(value // unit)
        case _:
            return str(value)
