"""Private names of libraries that the product uses: each has a reason, and still exists.

The sources are searched for three ways to use one: an inherited member of a library's class, an
attribute of some other object that the file does not define itself, and a name that is imported or
replaced in a library's module. A name that was used by its string alone is not found.
"""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.house_rules import FLOORS

ROOT = Path(__file__).parent.parent
DOCUMENTED = {"MAX_IMAGE_PIXELS", "_asdict", "_exit", "_fields", "_fields_", "_make", "_replace"}
"""What is documented although it begins with an underscore, or is meant to be replaced."""


class Use(NamedTuple):
    """The use of one private name in one file."""

    file: str
    name: str


class PrivateNames(NamedTuple):
    """Private names of one class or module: who uses them, why, and the version looked at."""

    file: str
    owner: str
    distribution: str
    version: str
    names: frozenset[str]
    reason: str

    def uses(self) -> set[Use]:
        return {Use(self.file, name) for name in self.names}


KNOWN = (
    PrivateNames(
        "ilios/database/sqlite.py",
        "aiosqlite.Connection",
        "aiosqlite",
        "0.22",
        frozenset({"_execute"}),
        "in public each statement is handed over to the thread alone, a dozen for each commit",
    ),
    PrivateNames(
        "ilios/edge/connection.py",
        "aiohttp.web.RequestHandler",
        "aiohttp",
        "3.14",
        frozenset({"_messages"}),
        "nothing public shows that the rest of a body is malformed, or that requests are queued",
    ),
    PrivateNames(
        "ilios/sources/connection.py",
        "aiohttp.client_proto.ResponseHandler",
        "aiohttp",
        "3.14",
        frozenset(
            {
                "_buffer_paused",
                "_exception",
                "_loop",
                "_pause_transport_reading",
                "_reading_paused",
                "_resume_transport_reading",
            }
        ),
        "the client parses all that has come at once, and has no limit for headers in all",
    ),
    PrivateNames(
        "ilios/sources/connection.py",
        "aiohttp.TCPConnector",
        "aiohttp",
        "3.14",
        frozenset({"_factory", "_loop"}),
        "a connector has no option for the class of its connections",
    ),
    PrivateNames(
        "bus/client.py",
        "nats.aio.client.Client",
        "nats-py",
        "2.16",
        frozenset(
            {
                "_build_message",
                "_close",
                "_error_cb",
                "_pending",
                "_pending_data_size",
                "_pongs",
                "_process_err",
                "_process_info",
                "_current_server",
                "_public_nkey",
                "_server_info",
                "_process_headers",
                "_process_op_err",
                "_process_pong",
                "_transport",
            }
        ),
        "the client stops reading on messages anybody may publish and on errors of the server, and "
        "leaves its connection open when its closing is cancelled",
    ),
    PrivateNames(
        "bus/lean_client.py",
        "nats.aio.client.Client",
        "nats-py",
        "2.16",
        frozenset(
            {
                "_attempt_reconnect",
                "_build_message",
                "_error_cb",
                "_flush_pending",
                "_flush_queue",
                "_max_pending_size",
                "_pending",
                "_pending_data_size",
                "_process_headers",
                "_process_msg",
                "_remove_sub",
                "_transport",
            }
        ),
        "the client wakes two tasks and starts a timer for each message, a third of their cost",
    ),
    PrivateNames(
        "bus/lean_client.py",
        "nats.aio.subscription.Subscription",
        "nats-py",
        "2.16",
        frozenset({"_id"}),
        "a message names its subscription by number only",
    ),
    PrivateNames(
        "bus/lean_client.py",
        "nats.aio.transport.TcpTransport",
        "nats-py",
        "2.16",
        frozenset({"_io_writer"}),
        "nothing public shows whether the server takes what is written",
    ),
    PrivateNames(
        "bus/client.py",
        "nats.aio.client",
        "nats-py",
        "2.16",
        frozenset({"TcpTransport"}),
        "the client has no option for the class of its connections",
    ),
    PrivateNames(
        "bus/client.py",
        "nats.protocol.parser",
        "nats-py",
        "2.16",
        frozenset({"HMSG_RE", "MSG_RE"}),
        "the client loses its place in the stream on subjects with control characters",
    ),
)


def test_every_use_of_a_private_name_is_listed_with_its_reason() -> None:
    listed = set[Use]().union(*(one.uses() for one in KNOWN))
    found = set(uses_in(product()))
    assert found - listed == set(), "take a public way, or list it with its reason"
    assert listed - found == set(), "not used any more: delete it from the list"


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: f"{known.owner}-{known.file}")
def test_a_private_name_exists_in_the_version_it_is_used_of(known: PrivateNames) -> None:
    installed = version(known.distribution)
    assert f"{installed}.".startswith(f"{known.version}."), "look at each name in the new version"
    missing = known.names - members(known.owner)
    assert not missing, f"{known.distribution} {installed} has no {sorted(missing)}"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import aiohttp\nclass C(aiohttp.TCPConnector):\n def f(self): self._loop", "_loop"),
        (
            "from aiohttp import web\nclass C(web.Server):\n def _make_request(self): 1",
            "_make_request",
        ),
        (
            "from aiohttp import web\nclass C(web.Server):\n def f(self): super()._make_request()",
            "_make_request",
        ),
        ("from aiohttp.web_protocol import _ErrInfo", "_ErrInfo"),
        ("import aiohttp._x as x", "x"),
        ("def f(request): return request._payload", "_payload"),
        ("import nats.protocol.parser\nnats.protocol.parser.MSG_RE = 1", "MSG_RE"),
        ("from mistralai import x\nvars(x)['y'] = 1", "y"),
    ],
)
def test_a_new_use_is_found(source: str, name: str) -> None:
    assert set(uses_in({"a.py": ast.parse(source)})) == {Use("a.py", name)}


def test_private_names_of_our_own_are_not_meant() -> None:
    source = "class C:\n _x: int\n def _f(self, other): return other._x, self._f, other._replace()"
    assert set(uses_in({"a.py": ast.parse(source)})) == set()


@cache
def product() -> dict[str, ast.Module]:
    return {
        str(path.relative_to(ROOT)): ast.parse(path.read_text())
        for floor in FLOORS
        for path in sorted((ROOT / floor).rglob("*.py"))
    }


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in {"_", *DOCUMENTED}


def library_imports(tree: ast.Module) -> dict[str, str]:
    """Return what each name of a file stands for that was imported from a library."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    top = alias.name.partition(".")[0]
                    found[alias.asname or top] = alias.name if alias.asname else top
            case ast.ImportFrom(module=str(module), names=names, level=0):
                found |= {one.asname or one.name: f"{module}.{one.name}" for one in names}
    ours = (*FLOORS, "__future__")
    return {name: path for name, path in found.items() if path.partition(".")[0] not in ours}


def dotted(node: ast.expr, imported: dict[str, str]) -> str | None:
    """Return the path in a library that an expression names, if it does."""
    match node:
        case ast.Name(id=name):
            return imported.get(name)
        case ast.Attribute(value=value, attr=attr):
            above = dotted(value, imported)
            return above and f"{above}.{attr}"
        case ast.Subscript(value=value):
            return dotted(value, imported)
        case ast.Call(func=ast.Name(id="vars"), args=[value]):
            return dotted(value, imported)
    return None


def find(path: str) -> Any:
    """Return the module, class or attribute at a path; None if it does not exist."""
    parts = path.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:end]))
        except ImportError:
            continue
        for part in parts[end:]:
            found = getattr(found, part, None)
        return found
    return None


@cache
def members(path: str) -> frozenset[str]:
    """Return the names in a library's module, or in a class and those it inherits from."""
    owner = find(path)
    found = set(dir(owner))
    for one in owner.__mro__ if isinstance(owner, type) else ():
        try:
            source = inspect.getsource(one)
        except (OSError, TypeError):  # made in C
            continue
        found |= set(re.findall(r"\bself\.(_[a-z]\w*)", source))
    return frozenset(found)


def inherited(file: str, tree: ast.Module, imported: dict[str, str]) -> Iterator[Use]:
    """Yield the private members of libraries' classes that the file's own classes use."""
    for one in ast.walk(tree):
        if not isinstance(one, ast.ClassDef):
            continue
        names = set(filter(is_private, own_members(one)))
        bases = [path for base in one.bases if (path := dotted(base, imported))]
        # A library is only loaded for a class that has private names at all.
        theirs = frozenset[str]().union(*map(members, bases)) if names else frozenset[str]()
        yield from (Use(file, name) for name in names & theirs)


def own_members(defined: ast.ClassDef) -> Iterator[str]:
    """Yield the names of methods, and of attributes of the object, in the source of a class."""
    for node in ast.walk(defined):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.Attribute(
                value=ast.Name(id="self" | "cls") | ast.Call(func=ast.Name(id="super")), attr=name
            ):
                yield name


def foreign(file: str, tree: ast.Module) -> Iterator[Use]:
    """Yield private attributes of objects whose class is not defined in the file."""
    own: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                own.add(name)
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                own.add(name)
            case ast.AnnAssign(target=ast.Name(id=name)):
                own.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                own.add(name)
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                continue
            case ast.Attribute(value=ast.Call(func=ast.Name(id="super"))):
                continue
            case ast.Attribute(attr=name) if is_private(name) and name not in own:
                yield Use(file, name)


def replaced(file: str, tree: ast.Module, imported: dict[str, str]) -> Iterator[Use]:
    """Yield private names that are imported from a library, and any that is replaced in one."""
    for name, path in imported.items():
        if any(map(is_private, path.split("."))):
            yield Use(file, name)
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else []
        for target in targets:
            match target:
                case ast.Attribute(value=value, attr=name) if dotted(value, imported):
                    yield Use(file, name)
                case ast.Subscript(
                    value=ast.Call(func=ast.Name(id="vars"), args=[value]),
                    slice=ast.Constant(value=str(name)),
                ) if dotted(value, imported):
                    yield Use(file, name)


def uses_in(sources: dict[str, ast.Module]) -> Iterator[Use]:
    for file, tree in sources.items():
        imported = library_imports(tree)
        yield from inherited(file, tree, imported)
        yield from foreign(file, tree)
        yield from (use for use in replaced(file, tree, imported) if use.name not in DOCUMENTED)
