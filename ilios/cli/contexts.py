"""Contexts: servers and their keys by name, in a file that only its owner can read."""

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct, field

from ilios.client.asynchronous import DEFAULT_SERVER
from ilios.settings.bad_settings import BadSettings
from ilios.settings.client_variables import CONTEXT, KEY, SERVER


class Context(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A server and the key for it."""

    server: str
    key: str | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.server!r})"


class Contexts(Struct, kw_only=True, omit_defaults=True):
    """All contexts; ``current`` is the one that is used where none is named."""

    current: str | None = None
    contexts: dict[str, Context] = field(default_factory=dict)

    def named(self, name: str) -> Context:
        """Return a context.

        :raises BadSettings: there is none of this name.
        """
        if name not in self.contexts:
            there = ", ".join(sorted(self.contexts)) or "none"
            raise BadSettings([f"there is no context {name}; there are: {there}"])
        return self.contexts[name]


def file_of(environ: Mapping[str, str]) -> Path:
    """Return the file of the contexts in the user's directory of configurations."""
    given = environ.get("XDG_CONFIG_HOME", "")
    directory = Path(given) if os.path.isabs(given) else Path.home() / ".config"
    return directory / "ilios" / "contexts.json"


def load(path: Path) -> Contexts:
    """Return the contexts of a file; none where it does not exist.

    :raises BadSettings: it cannot be read, or others can read it.
    """
    try:
        with path.open("rb") as opened:
            if os.name == "posix" and os.fstat(opened.fileno()).st_mode & 0o077:
                raise BadSettings([f"{path} has keys that others can read: chmod 600 {path}"])
            return msgspec.json.decode(opened.read(), type=Contexts)
    except FileNotFoundError:
        return Contexts()
    except OSError as error:
        raise BadSettings([f"{path} cannot be read: {error.strerror}"]) from error
    except msgspec.DecodeError as error:
        raise BadSettings([f"{path} is no file of contexts: {error}; move it away"]) from error


def store(path: Path, contexts: Contexts) -> None:
    """Replace the file by one with these contexts, whole or not at all.

    :raises BadSettings: it cannot be written.
    """
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as opened:
            opened.write(msgspec.json.format(msgspec.json.encode(contexts), indent=2) + b"\n")
            opened.flush()
            os.fsync(opened.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise BadSettings([f"{path} cannot be written: {error.strerror}"]) from error


def choose(named: str | None, environ: Mapping[str, str]) -> Context:
    """Return the context that a command works with.

    It is the one ``named``, or what the environment has, or else the current one. A server of the
    environment never gets the key of a context, which is for another server.

    :raises BadSettings: there is none of that name.
    """
    path = file_of(environ)
    if named is not None:
        return load(path).named(named)
    server, key = environ.get(SERVER) or None, environ.get(KEY) or None
    if server is not None:
        return Context(server=server, key=key)
    contexts = load(path)
    name = environ.get(CONTEXT) or contexts.current
    found = Context(server=DEFAULT_SERVER) if name is None else contexts.named(name)
    return found if key is None else msgspec.structs.replace(found, key=key)
