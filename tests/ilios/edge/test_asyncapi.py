"""The description of the bus is true, and changes only by additions."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ilios.edge.asyncapi import CHANNELS, address, describe
from ilios.nats.users import IMPORTED_SUBJECTS, PUBLISH_SUBJECTS, REQUEST_SUBJECTS
from schemas.documents import DocumentCancelled, DocumentEvent
from tests import events

GOLDEN = Path(__file__).parent / "golden" / "asyncapi.json"
PARSER = os.environ.get("ASYNCAPI_PARSER", "")
"""A directory in whose ``node_modules`` the package ``@asyncapi/parser`` is installed."""


def wildcard(subject: str) -> str:
    for parameter in ("{priority}", "{documentId}", "{batchId}"):
        subject = subject.replace(parameter, "*")
    return subject


def test_its_subjects_are_those_that_publishers_have_permission_for() -> None:
    received = {wildcard(address(one.event)) for one in CHANNELS if one.action == "receive"}
    sent = {wildcard(address(one.event)) for one in CHANNELS if one.action == "send"}
    assert received == set(PUBLISH_SUBJECTS)
    requests = {one["address"] for name, one in describe()["channels"].items() if is_request(name)}
    assert requests == set(REQUEST_SUBJECTS)
    assert sent == set(IMPORTED_SUBJECTS)


def is_request(channel: str) -> bool:
    return channel.startswith("api") and not channel.endswith("Reply")


def test_every_channel_has_its_parameters_and_its_message() -> None:
    described = describe()
    for channel in described["channels"].values():
        assert set(channel.get("parameters", ())) == {
            part[1:-1] for part in (channel["address"] or "").split(".") if part.startswith("{")
        }
        for message in channel["messages"].values():
            assert message["$ref"].rpartition("/")[2] in described["components"]["messages"]
    replies = {one for one in described["channels"] if one.endswith("Reply")}
    assert described["operations"].keys() == described["channels"].keys() - replies


def test_every_request_has_replies_whose_schemas_are_there() -> None:
    described = describe()
    schemas = described["components"]["schemas"]
    for name, one in described["operations"].items():
        assert ("reply" in one) == is_request(name)
        for message in one.get("reply", {}).get("messages", ()):
            channel = described["channels"][f"{name}Reply"]
            assert message["$ref"].rpartition("/")[2] in channel["messages"]
    referred = re.findall(r"#/components/schemas/(\w+)", json.dumps(described))
    assert set(referred) <= schemas.keys()
    assert "ApiProblem" in referred


def test_the_type_of_an_event_is_the_name_of_its_message() -> None:
    messages = describe()["components"]["messages"]
    assert messages["DocumentFailed"]["name"] == "document.failed/1"
    assert events.failed().__struct_config__.tag == messages["DocumentFailed"]["name"]


def test_nothing_that_clients_rely_on_has_changed_under_the_same_version() -> None:
    """A change other than an addition needs a new version of the event (its tag).

    Additions: `python -m tests.ilios.edge.test_asyncapi` writes the file again.
    """
    changed = list(differences(json.loads(GOLDEN.read_text()), described(), "$"))
    assert changed == []


def differences(old: Any, new: Any, path: str) -> "list[str]":  # JSON
    """Return the paths at which something is absent, or has another value or limit than before."""
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        if not path.endswith((".properties", ".schemas")):  # there they are names of members
            found += [f"{path}.{name}" for name in LIMITS & (new.keys() - old.keys())]
        for name, value in old.items():
            if name in ("description", "summary", "version"):
                continue
            here = f"{path}.{name}"
            found += [here] if name not in new else differences(value, new[name], here)
        return found
    if path.endswith(".required"):  # a further one would make events of today invalid
        return [] if sorted(old) == sorted(new) else [path]
    if isinstance(old, list) and isinstance(new, list):
        return [path for item in old if item not in new]
    return [] if old == new else [path]


LIMITS = frozenset(
    ("additionalProperties", "const", "enum", "format", "items", "pattern", "type")
) | {
    f"{edge}{what}"
    for edge in ("min", "max", "exclusiveMin", "exclusiveMax")
    for what in ("imum", "Length", "Items", "Properties")
}
"""What makes values invalid that were valid without it."""


def described() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(describe()))
    return found


def test_a_removed_or_changed_member_is_found() -> None:
    now = described()
    schema = now["components"]["schemas"]["DocumentFailed"]
    del schema["properties"]["reason"]
    schema["required"].append("attempts")
    now["channels"]["documentFailed"]["address"] = "elsewhere"
    found = differences(json.loads(GOLDEN.read_text()), now, "$")
    assert found == [
        "$.channels.documentFailed.address",
        "$.components.schemas.DocumentFailed.properties.reason",
        "$.components.schemas.DocumentFailed.required",
    ]


@pytest.mark.parametrize(
    ("schema", "member", "value", "change"),
    [
        ("DocumentSubmitted", "operation", {"enum": ["convert"], "default": "convert"}, "enum"),
        ("DocumentFailed", "attempts", {"type": "string", "default": 1}, "type"),
        ("DocumentFailed", "attempts", {"type": "integer", "default": 2}, "default"),
        ("DocumentFailed", "code", {"type": "string", "maxLength": 9}, "maxLength"),
        ("DocumentFailed", "code", {"type": "string", "pattern": "^[a-z]+$"}, "pattern"),
    ],
)
def test_another_type_default_or_limit_of_a_member_is_found(
    schema: str, member: str, value: dict[str, Any], change: str
) -> None:
    now = described()
    now["components"]["schemas"][schema]["properties"][member] = value
    found = list(differences(json.loads(GOLDEN.read_text()), now, "$"))
    assert found == [f"$.components.schemas.{schema}.properties.{member}.{change}"]


def test_a_further_member_with_a_default_is_no_change() -> None:
    now = described()
    now["components"]["schemas"]["DocumentFailed"]["properties"]["type_of_pattern"] = {}
    now["components"]["schemas"]["DocumentFailed"]["properties"]["pattern"] = {"type": "string"}
    assert list(differences(json.loads(GOLDEN.read_text()), now, "$")) == []


def test_a_change_of_a_subject_or_a_struct_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only one of the description: it is made of both."""
    monkeypatch.setattr("bus.subjects.BATCH", "ilios.batches")
    kind = msgspec.defstruct(
        "DocumentCancelled",
        [("document_id", str), ("tenant", str, "default"), ("priority", int, 5)],
        namespace={"__doc__": "Cancelled."},
        tag_field="type",
        tag="document.cancelled/2",
        bases=(DocumentEvent,),
        kw_only=True,
        frozen=True,
    )
    channels = [
        one._replace(event=kind) if one.event is DocumentCancelled else one for one in CHANNELS
    ]
    monkeypatch.setattr("ilios.edge.asyncapi.CHANNELS", channels)
    found = list(differences(json.loads(GOLDEN.read_text()), described(), "$"))
    assert "$.channels.batchSubmitted.address" in found
    assert "$.components.messages.DocumentCancelled.name" in found
    assert "$.components.schemas.DocumentCancelled.properties.tenant.pattern" in found


@pytest.mark.skipif(not PARSER, reason="ASYNCAPI_PARSER names no directory with @asyncapi/parser")
def test_the_official_parser_accepts_it(tmp_path: Path) -> None:
    node = shutil.which("node")
    assert node is not None
    (tmp_path / "asyncapi.json").write_text(json.dumps(describe()))
    script = (
        "const { Parser } = require('@asyncapi/parser'); const fs = require('fs');"
        "new Parser().parse(fs.readFileSync(process.argv[1], 'utf8')).then((result) => {"
        "  const bad = result.diagnostics.filter((one) => one.severity === 0);"
        "  console.log(JSON.stringify(bad)); process.exit(bad.length ? 1 : 0); });"
    )
    done = subprocess.run(
        [node, "-e", script, str(tmp_path / "asyncapi.json")],
        cwd=PARSER,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(describe(), indent=1) + "\n")
