"""The manifests of deploy/kubernetes, as they are and as kustomize renders them."""

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

KUBERNETES = Path(__file__).parents[1] / "deploy" / "kubernetes"
Manifest = dict[str, Any]
SECRETS = {
    "API_KEY": "a-key-of-enough-letters",
    "NATS_URL": "nats://nats-0.nats:4222,nats://nats-1.nats:4222,nats://nats-2.nats:4222",
    "NATS_USER": "ilios",
    "NATS_PASSWORD": "secret",
    "AWS_ACCESS_KEY_ID": "id",
    "AWS_SECRET_ACCESS_KEY": "key",
    "ILIOS_SEALING_KEY": "c2l4dGVlbiBieXRlcyBhbmQgc2l4dGVlbiBtb3JlISE=",
}

SECRET_OF = {
    "API": "ilios-core",
    "NATS": "ilios-bus",
    "AWS": "ilios-blobs",
    "ILIOS": "ilios-passwords",
}


def plain() -> list[Manifest]:
    """Return the manifests of the base as they are."""
    listed = yaml.safe_load((KUBERNETES / "base" / "kustomization.yaml").read_text())
    texts = ((KUBERNETES / "base" / name).read_text() for name in listed["resources"])
    return [one for text in texts for one in yaml.safe_load_all(text)]


@cache
def rendered(name: str) -> list[Manifest]:
    """Return what kustomize makes of a directory."""
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl on PATH")
    made = subprocess.run(
        ["kubectl", "kustomize", str(KUBERNETES / name)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return list(yaml.safe_load_all(made.stdout))


def pod(workload: Manifest) -> Manifest:
    spec: Manifest = workload["spec"]["template"]["spec"]
    return spec


def container(workload: Manifest) -> Manifest:
    (found,) = pod(workload)["containers"]
    return dict(found)


def environ(workload: Manifest) -> dict[str, str]:
    """Return the variables of the container, with those secrets that it refers to."""
    text = (KUBERNETES / "base" / "settings.env").read_text()
    found = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE)) | {"ILIOS_HOST": "0.0.0.0"}
    named = {
        source["secretRef"]["name"]
        for source in container(workload)["envFrom"]
        if "secretRef" in source
    }
    given = {
        name: value for name, value in SECRETS.items() if SECRET_OF[name.partition("_")[0]] in named
    }
    own = {one["name"]: one["value"] for one in container(workload)["env"]}
    return found | given | {name: text for name, text in own.items() if name != "NATS_CA"}
