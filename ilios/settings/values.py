"""The values of settings: how each kind is read from its text, and what is wrong with a text.

A reader's complaint follows the variable's name; it never repeats the text, which may be a secret.
"""

import re
from collections.abc import Callable
from urllib.parse import urlsplit

BUS_SCHEMES = ("nats", "tls", "ws", "wss")
MAX_SECONDS = 86_400  # seconds
MAX_PORT = 65_535


class Secret:
    """Text that does not show itself: only ``reveal`` gives it away."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def get_secret_value(self) -> str:
        """Return the text itself."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


def integer(least: int, most: int) -> Callable[[str], int]:
    """Return the reader of whole numbers from ``least`` to ``most``."""

    def parse(text: str) -> int:
        # Not int() alone: it also takes 1_000, and its complaints are for programmers.
        digits = text.removeprefix("-")
        value = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else None
        if value is None or text.startswith("-") or not least <= value <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return value

    return parse


def seconds(text: str) -> float:
    """Read a length of time."""
    complaint = f"must be a number of seconds, more than 0 and at most {MAX_SECONDS}"
    try:
        value = float(text)
    except ValueError:
        raise ValueError(complaint) from None
    if not 0 < value <= MAX_SECONDS:
        raise ValueError(complaint)
    return value


def one_of(*choices: str) -> Callable[[str], str]:
    """Return the reader of one of some words."""

    def parse(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return text.lower()

    return parse


def boolean(text: str) -> bool:
    """Read a truth."""
    if text.lower() in ("true", "1", "yes", "on"):
        return True
    if text.lower() in ("false", "0", "no", "off"):
        return False
    raise ValueError("must be true or false")


def only_true(why: str) -> Callable[[str], bool]:
    """Return the reader of a truth that cannot be otherwise, and ``why`` it cannot."""

    def parse(text: str) -> bool:
        if not boolean(text):
            raise ValueError(f"must be true: {why}")
        return True

    return parse


def secret(text: str) -> Secret:
    """Read a key."""
    if not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be one word of printable ASCII characters")
    return Secret(text)


def model(text: str) -> str:
    """Read the name of a model."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,63}", text):
        raise ValueError("must be the name of a model: lower-case letters, digits, dots, hyphens")
    return text


def secret_list(text: str) -> tuple[Secret, ...]:
    """Read keys, separated by commas."""
    found = tuple(Secret(part) for part in _split(text))
    if not found:
        raise ValueError("holds no key; unset it if everybody may use the API")
    return found


def host(text: str) -> str:
    """Read what can be listened on."""
    if not text or any(c.isspace() or c == "/" for c in text):
        raise ValueError("must be a host name or an address")
    return text


def origin(text: str) -> str:
    """Read where clients find the HTTP edge: a URL that names a host and nothing on it."""
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
    """Read where a service is: a URL that names a host, and may name a path on it."""
    whole_url, path = text.rstrip("/"), ""
    if "://" in whole_url:
        scheme, _, rest = whole_url.partition("://")
        place, slash, path = rest.partition("/")
        whole_url, path = f"{scheme}://{place}", slash + path
    if not re.fullmatch(r"[A-Za-z0-9/._~-]*", path):
        raise ValueError("must be an http or https URL with a host, and without user or query")
    return origin(whole_url) + path


def bucket(text: str) -> str:
    """Read the name of a bucket."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{2,62}", text):
        raise ValueError("must be the name of a bucket: 3 to 63 letters, digits, dots, hyphens")
    return text


def region(text: str) -> str:
    """Read the name of a region."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", text):
        raise ValueError("must be the name of a region: lower-case letters, digits, hyphens")
    return text


def prefix(text: str) -> str:
    """Read what keys begin with; a missing slash at its end is added, one at its start is not."""
    text = text.strip("/")
    if not re.fullmatch(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*", text) or len(text) > 200:
        raise ValueError("must be at most 200 letters, digits, dots, hyphens, and slashes between")
    if {".", ".."} & set(text.split("/")):
        raise ValueError("must not have . or .. between slashes")
    return f"{text}/"


def size(least: int, most: int) -> Callable[[str], int]:
    """Return the reader of numbers of bytes, as 52428800, 50MB or 50MiB."""

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
    """Read ``host:port`` pairs, separated by commas; ``[::1]:80`` becomes ``::1:80``."""
    return tuple(_host_and_port(part) for part in _split(text))


def bus_url(text: str) -> Secret:
    """Read where a NATS server is; a missing port is the scheme's own."""
    schemes = f"{', '.join(BUS_SCHEMES[:-1])} or {BUS_SCHEMES[-1]}"
    complaint = f"must be one URL, {schemes}, with a host and a port from 1 to {MAX_PORT}"
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:  # its words would repeat what may be a part of the password
        raise ValueError(complaint) from None
    if url.scheme not in BUS_SCHEMES or not url.hostname or port == 0:
        raise ValueError(complaint)
    if "," in url.netloc.rpartition("@")[2] or any(c.isspace() for c in text):
        raise ValueError(complaint)
    return Secret(text)


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
