"""The house keeps its own rules, and every rule has been seen to catch what it is there for."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.house_rules import (
    FLOORS,
    LATE_IMPORTS,
    MAX_LINES,
    RULES,
    TOOL_PACKAGES,
    Rule,
    every_import,
    names_are_ours,
)

ROOT = Path(__file__).resolve().parents[1]


def our_files() -> Iterator[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError):  # an unpacked archive
        folders = (*FLOORS, *TOOL_PACKAGES, "deploy", "docs")
        yield from (file for folder in folders for file in (ROOT / folder).rglob("*"))
        yield from ROOT.glob("*")
    else:
        yield from (ROOT / name for name in listed.stdout.split("\0") if name)


@pytest.fixture(scope="session")
def house() -> dict[str, str]:
    sources = {}
    for file in our_files():
        if file.is_file() and "__pycache__" not in file.parts:
            try:
                sources[file.relative_to(ROOT).as_posix()] = file.read_text("utf-8")
            except UnicodeDecodeError:
                continue  # a picture, a document
    return sources


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_the_rule(rule: Rule, house: dict[str, str]) -> None:
    if complaints := sorted(set(rule(house))):
        pytest.fail("\n".join(complaints), pytrace=False)


def test_all_floors_were_read(house: dict[str, str]) -> None:
    assert {path.split("/")[0] for path in house if path.endswith(".py")} >= {*FLOORS, "tests"}


def test_no_other_distribution_has_our_names() -> None:
    complaints = list(names_are_ours(packages_distributions()))
    assert not complaints, "\n".join(complaints)


def test_every_late_import_is_still_there(house: dict[str, str]) -> None:
    late = {(path, found.name) for path, found in every_import(house) if found.late}
    assert late >= LATE_IMPORTS.keys(), "strike what nobody needs any more"


def test_the_locks_pin_all_that_is_declared() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())
    words = tomllib.loads((ROOT / "schemas/pyproject.toml").read_text())
    project = declared["project"]
    needed = {*project["dependencies"], *words["project"]["dependencies"]}
    needed |= {*project["optional-dependencies"]["serve"]}
    needed |= {*declared["build-system"]["requires"], *words["build-system"]["requires"]}
    for lock in ("requirements.lock", "requirements-dev.lock"):
        pinned = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / lock).read_text(), re.MULTILINE))
        missing = {need for need in needed if re.split(r"[<>=]", need)[0] not in pinned}
        assert not missing, f"{lock} does not have {missing}: make lock"


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_only_packages_with_pinned_hashes_are_installed(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text, "where it comes from is the installer's own business"
    pins = re.split(r"^(?=[a-z])", text, flags=re.MULTILINE)[1:]
    assert len(pins) > 40
    for pin in pins:
        assert re.match(r"[a-z0-9-]+==\S+", pin), pin
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", pin), pin


def test_every_way_to_install_asks_for_hashes() -> None:
    for path in ("Makefile", "deploy/Dockerfile", "deploy/ilios.service"):
        commands = (ROOT / path).read_text().replace("\\\n", " ").splitlines()
        installing = [line for line in commands if re.search(r"\b(install|sync)\b.* -r ", line)]
        assert installing, path
        assert all("--require-hashes" in line for line in installing), path


SHUT_IN = {
    "deploy/Dockerfile": (
        "USER 10001:10001",
        "RUN install -d -o ilios -g ilios -m 0700 data blobs",
    ),
    "deploy/compose.yaml": (
        *("read_only: true", "cap_drop: [ALL]", "- no-new-privileges:true"),
        *("pids_limit: 512", "mem_limit: 5g", "- /tmp:size=1g", '- "127.0.0.1:1337:1337"'),
    ),
    "deploy/ilios.service": (
        *("DynamicUser=yes", "UMask=0077", "StateDirectoryMode=0700", "NoNewPrivileges=yes"),
        *("CapabilityBoundingSet=", "ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes"),
        *("PrivateDevices=yes", "RestrictNamespaces=yes", "SystemCallFilter=@system-service"),
        *("SystemCallFilter=~@privileged", "MemoryMax=5G", "TasksMax=512"),
    ),
}


@pytest.mark.parametrize("path", SHUT_IN)
def test_the_service_is_deployed_with_no_more_rights_than_it_needs(path: str) -> None:
    lines = {line.partition(" #")[0].strip() for line in (ROOT / path).read_text().splitlines()}
    assert {*SHUT_IN[path]} - lines == set()


HOME, INDEX = "ho" + "me", "py" + "pi"
BROKEN: dict[str, tuple[dict[str, str], str]] = {
    "imports_point_down": ({"bus/log.py": "from actors.writes import Writer"}, "is above"),
    "imports_point_down, relatively": (
        {"bus/log.py": "from ..ilios import settings"},
        "is above",
    ),
    "imports_point_down, to a test": ({"ilios/app.py": "from tests import fakes"}, "is above"),
    "imports_point_down, at run time": (
        {"bus/log.py": "import importlib\nimportlib.import_module('ilios.app')"},
        "log.py:2: bus imports ilios.app",
    ),
    "schemas_stand_alone": ({"schemas/records.py": "import schemas.documents"}, "relatively"),
    "libraries_live_on_one_floor": ({"actors/ocr.py": "import nats.js"}, "nats lives in bus/"),
    "libraries_live_on_one_floor, words": (
        {"schemas/ids.py": "import structlog"},
        "structlog lives",
    ),
    "libraries_live_on_one_floor, unknown": ({"ilios/edge/app.py": "import flask"}, "no home yet"),
    "actors_are_independent": ({"actors/ocr.py": "from .fetcher import Fetcher"}, "another one"),
    "actors_are_independent, by name": (
        {"actors/ocr.py": "from . import persister"},
        "another one",
    ),
    "the_client_stands_alone": ({"ilios/client/a.py": "from bus import log"}, "imports bus"),
    "the_client_stands_alone, apart from schemas": (
        {"ilios/client/a.py": "from schemas import ids\nfrom ilios.visible import visible"},
        "a.py:2: the client imports ilios.visible",
    ),
    "commands_of_the_client_need_no_service": (
        {
            "ilios/cli/list.py": "from ilios.formats import FORMATS",
            "ilios/formats/__init__.py": "import nh3",
        },
        "formats/__init__.py:1: commands of the client must not need nh3",
    ),
    "imports_stand_at_the_top": (
        {"bus/log.py": "def publish():\n    import json"},
        "imported late",
    ),
    "imports_stand_at_the_top, for types": (
        {"bus/log.py": "if TYPE_CHECKING:\n    from bus.codec import encode"},
        "log.py:2: bus.codec.encode",
    ),
    "no_circles": (
        {
            "bus/a.py": "from bus import b",
            "bus/b.py": "from .c import x",
            "bus/c.py": "def late():\n    import bus.a",
        },
        "bus.a -> bus.b -> bus.c -> bus.a",
    ),
    "names_are_specific": ({"ilios/utils.py": ""}, "utils does not name"),
    "names_are_specific, folders": ({"ilios/common/app.py": ""}, "common does not name"),
    "files_are_short": ({"bus/log.py": "\n" * (MAX_LINES + 1)}, "this is two files"),
    "sql_stays_in_the_database": ({"actors/a.py": "x = f'DELETE FROM {table}'"}, "SQL belongs"),
    "only_the_command_line_prints": ({"ilios/app.py": "print(1)"}, "use a logger"),
    "exit_codes_of_children_stay_true": ({"ilios/a.py": "self._process.kill()"}, "child_signals"),
    "no_foreign_paths_or_hosts": ({"README.md": f"see /{HOME}/me/notes"}, "one machine"),
    "no_foreign_paths_or_hosts, hosts": ({"a.txt": f"https://{INDEX}.org/simple"}, "one machine"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_rule_catches(name: str) -> None:
    sources, complaint = BROKEN[name]
    (rule,) = (rule for rule in RULES if rule.__name__ == name.partition(",")[0])
    assert complaint in "\n".join(rule(sources))


def test_the_rule_catches_a_distribution_with_one_of_our_names() -> None:
    (complaint,) = names_are_ours({"schemas": ["schemas", "ilios"], "flask": ["flask"]})
    assert complaint.startswith("the distribution 'schemas'")


def test_no_rule_goes_unproved() -> None:
    assert {name.partition(",")[0] for name in BROKEN} == {rule.__name__ for rule in RULES}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_leaves_good_sources_alone(rule: Rule) -> None:
    good = {
        "schemas/records.py": "from .documents import Blob",
        "schemas/documents.py": "import msgspec",
        "bus/codec.py": "import json\nimport nats\nfrom schemas.documents import Blob",
        "actors/ocr.py": "from . import ports\nfrom .actor import Actor\nfrom bus import wire",
        "ilios/database/queries.py": "import aiosqlite\nSQL = 'SELECT 1'",
        "ilios/cli/status.py": "print('Select one, or update and delete from here')",
        "ilios/edge/app.py": '"""Update it."""\nx = "create a table "\nfrom aiohttp import web',
        "docs/a.md": f"https://example.com/{HOME}/x",
    }
    assert not list(rule(good))
