"""The rules of the house, read off the sources: CONTRIBUTING.md explains them.

Each rule is a function from sources (path -> text) to complaints, so that tests/test_house.py can
show it broken ones too: a rule that has never been seen to fail is only a hope.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import PurePosixPath
from typing import NamedTuple

FLOORS = ("schemas", "bus", "actors", "ilios")
"""From the ground up: a floor imports the floors below it, never those above."""

TOOL_PACKAGES = ("bench", "tests")
"""May import every floor; no floor imports them."""

LIBRARIES = {
    "aiobotocore": ("ilios/blobs/",),
    "aiohttp": ("ilios/",),
    "aiosqlite": ("ilios/database/",),
    "botocore": ("ilios/blobs/",),
    "cv2": ("ilios/engines/",),
    "faster_paddle": ("ilios/engines/",),
    "httpx2": ("ilios/engines/",),
    "liteparse": ("ilios/engines/",),
    "lxml": ("ilios/engines/",),
    "markdown_it": ("ilios/formats/", "ilios/engines/"),
    "mistralai": ("ilios/engines/",),
    "msgspec": ("schemas/", "bus/", "actors/", "ilios/"),
    "multipart": ("ilios/edge/",),
    "nacl": ("bus/", "ilios/passwords/"),
    "nats": ("bus/",),
    "nh3": ("ilios/formats/",),
    "numpy": ("ilios/engines/",),
    "onnxruntime": ("ilios/engines/",),
    "PIL": ("ilios/engines/", "ilios/score/"),
    "prometheus_client": ("ilios/metrics/",),
    "pypdfium2": ("ilios/engines/", "ilios/score/"),
    "rapidocr": ("ilios/engines/",),
    "sqlcipher3": ("ilios/database/",),
    "sqlite3": ("ilios/",),
    "structlog": ("bus/", "actors/", "ilios/"),
    "uvloop": ("ilios/runtime/",),
    "yarl": ("ilios/",),
}
"""Where a library lives; one that is not here lives nowhere."""

SHARED_BY_ACTORS = {
    "actor",
    "attempts",
    "backoff",
    "blob_keys",
    "cancellations",
    "clock_guard",
    "engines",
    "draft_pages",
    "errors",
    "page_events",
    "page_markdown",
    "office_sniffing",
    "object_source",
    "ports",
    "pricing",
    "publishable",
    "slots",
    "content_types",
    "deadlines",
    "sniffing",
    "submissions",
    "text_sniffing",
    "writes",
}
"""What an actor may import on its own floor. Everything else there is another actor, a stranger."""

LATE_IMPORTS = {
    ("ilios/blobs/factory.py", "*"): "the SDK of S3 takes half a second and 20 MB, which a service "
    "without a bucket must not pay for",
    ("ilios/cli/completion.py", "*"): "a command may need more than is installed",
    ("ilios/cli/completion.py", "ilios.__main__"): "it has the table of commands, this one among "
    "them",
    ("ilios/__main__.py", "*"): "`ilios convert` must not wait for the web server it never starts",
    **{
        ("ilios/cli/preflight.py", name): "the client of NATS takes a quarter of a second, which a "
        "check of settings must not wait for where no service has run"
        for name in ("bus.connection", "ilios.integrity.missing_database")
    },
    ("bus/credentials.py", "nacl.signing.SigningKey"): "every command reads settings, and the "
    "library takes longer than they do",
    ("ilios/runtime/event_loop.py", "uvloop"): "there are no wheels of it for some platforms",
    ("ilios/database/encryption.py", "ilios.database.sqlcipher"): "the library takes 7 MB, which a "
    "service without a key must not pay for",
    ("ilios/engines/router.py", "ilios.engines.mistral.engine"): "the client of Mistral takes "
    "2 MB, which a service without a key must not pay for",
    ("ilios/engines/mistral/client.py", "ilios.engines.mistral.sdk.Sdk"): "the SDK takes a fifth "
    "of a second and 12 MB, which only uploads of large documents and batches need",
    **{
        (f"ilios/formats/{file}.py", f"ilios.formats.{name}"): "the parser of Markdown takes 7 MB, "
        "which a service without a request for these formats must not pay for"
        for file, name in (
            ("as_html", "fragments.fragments"),
            ("as_text", "fragments.fragments"),
            ("as_chunks", "chunking.Chunker"),
        )
    },
    ("ilios/engines/converters/registry.py", "*"): "a child loads the one converter its document "
    "needs",
    **{
        (f"ilios/engines/{file}.py", f"ilios.engines.{name}"): "a child loads the one "
        "converter its document needs, and OCR (a second, 150 MB) only for a scanned page"
        for file, name in (
            ("converters/registry", "pdf.document"),
            ("converters/registry", "pdf.protection"),
            ("converters/registry", "recognition.ocr"),
            ("recognition/ocr", "recognition.paddle"),
            ("recognition/ocr", "recognition.rapid"),
        )
    },
}
"""Imports that do not stand at the top of their file, and why; ``*`` is a name made at run time."""

CLIENT = "ilios/client/"
CLIENT_COMMANDS = tuple(
    f"ilios/cli/{name}.py"
    for name in (
        *("submit", "show", "get", "list", "watch", "cancel", "batch"),
        *("context", "completion"),
    )
)
"""Commands for a running service, which work where the client alone is installed."""
CLIENT_LIBRARIES = {"aiohttp", "msgspec"}
"""What an installation without extras brings."""

FORBIDDEN_NAMES = {"base", "common", "helper", "helpers", "manager", "misc", "util", "utils"}
MAX_LINES = 400

PRINTERS = ("ilios/cli/", "bench/", "tests/")
SQL = re.compile(
    r"\s*(SELECT\s|INSERT\s+(INTO|OR)\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s|PRAGMA\s+\w"
    r"|(CREATE|DROP|ALTER)\s+(UNIQUE\s+)?(TABLE|INDEX|VIEW|TRIGGER)\s|BEGIN\s+(IMMEDIATE|DEFERRED))"
)
# Put together from pieces, or this file would be the first to break its rule.
FOLDERS = "|".join(("ho" + "me", "ro" + "ot", "wo" + "rk", "Us" + "ers"))
HOSTS = "|".join(("py" + "pi.org", "python" + "hosted.org", "npm" + "js.", "deb" + "ian.org"))
FOREIGN = re.compile(rf"(?<![\w.])/({FOLDERS})/|{HOSTS}")

Sources = Mapping[str, str]


class Import(NamedTuple):
    """One name one file imports; ``late`` when not at the top level of the module."""

    name: str
    line: int
    late: bool
    relative: bool


def module_of(path: str) -> str:
    return ".".join(PurePosixPath(path).with_suffix("").parts).removesuffix(".__init__")


@cache
def imports(path: str, text: str) -> tuple[Import, ...]:
    tree = ast.parse(text, path)
    package = module_of(path).split(".")
    if not path.endswith("/__init__.py"):
        package = package[:-1]
    found = []
    for node in ast.walk(tree):
        late = node not in tree.body
        match node:
            case ast.Import(names=names):
                found += [Import(alias.name, node.lineno, late, relative=False) for alias in names]
            case ast.ImportFrom(module=module, names=names, level=level):
                above = package[: len(package) - level + 1] if level else []
                origin = ".".join([*above, *([module] if module else [])])
                found += [
                    Import(f"{origin}.{alias.name}", node.lineno, late, relative=bool(level))
                    for alias in names
                ]
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__")
                | ast.Attribute(attr="import_module"),
                args=[name, *_],
            ):
                text_of = name.value if isinstance(name, ast.Constant) else "*"
                found.append(Import(str(text_of), node.lineno, late=True, relative=False))
    return tuple(found)


def every_import(sources: Sources) -> Iterator[tuple[str, Import]]:
    for path, text in sources.items():
        if path.endswith(".py") and path.startswith(tuple(f"{floor}/" for floor in FLOORS)):
            yield from ((path, found) for found in imports(path, text))


def imports_point_down(sources: Sources) -> Iterator[str]:
    order = {name: height for height, name in enumerate((*FLOORS, *TOOL_PACKAGES))}
    for path, found in every_import(sources):
        here, there = path.split("/")[0], found.name.split(".")[0]
        if order.get(there, -1) > order[here]:
            yield f"{path}:{found.line}: {here} imports {found.name}, which is above it"


def schemas_stand_alone(sources: Sources) -> Iterator[str]:
    for path, found in every_import(sources):
        if (
            path.startswith("schemas/")
            and re.match(r"schemas\b", found.name)
            and not found.relative
        ):
            yield f"{path}:{found.line}: import {found.name} relatively, or ilios_schemas breaks"


def libraries_live_on_one_floor(sources: Sources) -> Iterator[str]:
    ours = {*FLOORS, *TOOL_PACKAGES, "*"}
    for path, found in every_import(sources):
        library = found.name.split(".")[0]
        if library in LIBRARIES:
            if not path.startswith(LIBRARIES[library]):
                homes = " and ".join(LIBRARIES[library])
                yield f"{path}:{found.line}: {library} lives in {homes} only"
        elif library not in ours and library not in sys.stdlib_module_names:
            yield f"{path}:{found.line}: {library} has no home yet: give it one in LIBRARIES"


def actors_are_independent(sources: Sources) -> Iterator[str]:
    for path, found in every_import(sources):
        match found.name.split("."):
            case ["actors", room, *_] if path.startswith("actors/"):
                inside = path.startswith(f"actors/{room}/")
                if room not in SHARED_BY_ACTORS and not inside:
                    yield f"{path}:{found.line}: an actor imports another one, {found.name}"


def the_client_stands_alone(sources: Sources) -> Iterator[str]:
    allowed = {"schemas", *CLIENT_LIBRARIES, *sys.stdlib_module_names}
    for path, found in every_import(sources):
        if path.startswith(CLIENT):
            ours = re.match(r"ilios\.client\b", found.name) is not None
            if not ours and found.name.split(".")[0] not in allowed:
                yield f"{path}:{found.line}: the client imports {found.name}"


def commands_of_the_client_need_no_service(sources: Sources) -> Iterator[str]:
    """Follow what is imported at the top: late imports are for those who have the library."""
    modules = {module_of(path): path for path in sources if path.endswith(".py")}
    waiting = [path for path in ("ilios/__main__.py", *CLIENT_COMMANDS) if path in sources]
    seen = set(waiting)
    while waiting:
        path = waiting.pop()
        for found in imports(path, sources[path]):
            library = found.name.split(".")[0]
            if library in LIBRARIES and library not in CLIENT_LIBRARIES and not found.late:
                yield f"{path}:{found.line}: commands of the client must not need {library}"
            parts = found.name.split(".")
            names = (".".join(parts[:length]) for length in range(1, len(parts) + 1))
            for there in (modules[name] for name in names if name in modules and not found.late):
                if there not in seen:
                    seen.add(there)
                    waiting.append(there)


def imports_stand_at_the_top(sources: Sources) -> Iterator[str]:
    for path, found in every_import(sources):
        if found.late and (path, found.name) not in LATE_IMPORTS:
            yield f"{path}:{found.line}: {found.name} is imported late, without a reason"


def no_circles(sources: Sources) -> Iterator[str]:
    modules = {module_of(path): path for path in sources if path.endswith(".py")}
    graph: dict[str, set[str]] = {module: set() for module in modules}
    for path, found in every_import(sources):
        target = found.name
        while target and target not in modules:
            target = target.rpartition(".")[0]
        if target:
            graph[module_of(path)].add(target)

    done: set[str] = set()

    def walk(module: str, trail: tuple[str, ...]) -> Iterator[str]:
        if module in trail:
            yield "a circle: " + " -> ".join((*trail[trail.index(module) :], module))
        elif module not in done:
            for target in sorted(graph[module]):
                yield from walk(target, (*trail, module))
            done.add(module)

    for module in sorted(graph):
        yield from walk(module, ())


def names_are_specific(sources: Sources) -> Iterator[str]:
    for path in sources:
        if path.endswith(".py"):
            for part in PurePosixPath(path).with_suffix("").parts:
                if part.strip("_") in FORBIDDEN_NAMES:
                    yield f"{path}: {part} does not name its content"


def files_are_short(sources: Sources) -> Iterator[str]:
    for path, text in sources.items():
        lines = len(text.splitlines())
        if path.endswith(".py") and lines > MAX_LINES:
            yield f"{path}: {lines} lines, {MAX_LINES} is the most: this is two files"


def sql_stays_in_the_database(sources: Sources) -> Iterator[str]:
    for path, text in sources.items():
        if not path.endswith(".py") or path.startswith(("ilios/database/", *TOOL_PACKAGES)):
            continue
        for node in ast.walk(ast.parse(text, path)):
            match node:
                case ast.Constant(value=str(value)) if SQL.match(value):
                    yield f"{path}:{node.lineno}: SQL belongs to ilios/database: {value[:40]!r}"


def only_the_command_line_prints(sources: Sources) -> Iterator[str]:
    for path, text in sources.items():
        if not path.endswith(".py") or path.startswith(PRINTERS):
            continue
        for node in ast.walk(ast.parse(text, path)):
            match node:
                case ast.Call(func=ast.Name(id="print")):
                    yield f"{path}:{node.lineno}: print() outside the command line: use a logger"


def exit_codes_of_children_stay_true(sources: Sources) -> Iterator[str]:
    for path, text in sources.items():
        if not path.endswith(".py") or path.startswith("tests/"):
            continue
        for node in ast.walk(ast.parse(text, path)):
            match node:
                case ast.Call(
                    func=ast.Attribute(
                        ast.Name(id=name) | ast.Attribute(attr=name),
                        "terminate" | "kill" | "send_signal",
                    )
                ) if name.endswith("process"):
                    yield f"{path}:{node.lineno}: signal {name} by ilios.runtime.child_signals"


def names_are_ours(owners: Mapping[str, Iterable[str]]) -> Iterator[str]:
    """Read ``packages_distributions()``: of two with one name, the one installed last wins."""
    for name in (*FLOORS, *TOOL_PACKAGES):
        for owner in owners.get(name, ()):
            if owner != "ilios":
                yield f"the distribution {owner!r} installs a {name}/ of its own: uninstall it"


def no_foreign_paths_or_hosts(sources: Sources) -> Iterator[str]:
    for path, text in sources.items():
        for number, line in enumerate(text.splitlines(), 1):
            if found := FOREIGN.search(line):
                yield f"{path}:{number}: {found[0]!r} holds on one machine or network only"


Rule = Callable[[Sources], Iterable[str]]
RULES: tuple[Rule, ...] = (
    imports_point_down,
    schemas_stand_alone,
    libraries_live_on_one_floor,
    actors_are_independent,
    the_client_stands_alone,
    commands_of_the_client_need_no_service,
    imports_stand_at_the_top,
    no_circles,
    names_are_specific,
    files_are_short,
    sql_stays_in_the_database,
    only_the_command_line_prints,
    exit_codes_of_children_stay_true,
    no_foreign_paths_or_hosts,
)
