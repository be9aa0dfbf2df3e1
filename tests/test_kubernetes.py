"""The manifests for Kubernetes: what they are for holds in what kustomize makes of them."""

from collections.abc import Callable, Iterator

import pytest
import yaml  # type: ignore[import-untyped]

from bus.pauses import durables_of
from bus.streams import EVENTS
from ilios.settings.environ import from_environ
from ilios.worker_composition import CONSUMERS
from tests.manifests import KUBERNETES, Manifest, container, environ, plain, pod, rendered

Find = Callable[[str, str], Manifest]
NAMES = {"ilios-nats", "ilios-bus", "ilios-blobs", "ilios-core", "ilios-passwords"}
"""Secrets that an operator creates."""


@pytest.fixture(params=["plain", "base", "complete"])
def find(request: pytest.FixtureRequest) -> Find:
    """Return a function that finds a manifest by kind and name."""
    manifests = plain() if request.param == "plain" else rendered(request.param)

    def by_name(kind: str, name: str) -> Manifest:
        (found,) = (
            one for one in manifests if (one["kind"], one["metadata"]["name"]) == (kind, name)
        )
        return found

    return by_name


def workloads(find: Find) -> Iterator[Manifest]:
    yield find("StatefulSet", "nats")
    yield find("StatefulSet", "ilios-core")
    yield find("Deployment", "ilios-workers")


def test_three_nodes_go_one_at_a_time_and_move_their_clients_away_first(find: Find) -> None:
    nats = find("StatefulSet", "nats")
    assert (nats["spec"]["replicas"], nats["spec"]["serviceName"]) == (3, "nats")
    service = find("Service", "nats")
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"]
    assert find("PodDisruptionBudget", "nats")["spec"]["maxUnavailable"] == 1
    assert container(nats)["lifecycle"]["preStop"]["exec"]["command"][1:] == [
        "--signal",
        "ldm=/run/nats/nats.pid",
    ]
    lame_duck = 30  # seconds, as nats.conf has it
    assert (
        f'lame_duck_duration: "{lame_duck}s"' in (KUBERNETES.parents[1] / "nats.conf").read_text()
    )
    assert pod(nats)["terminationGracePeriodSeconds"] > lame_duck
    (claim,) = nats["spec"]["volumeClaimTemplates"]
    (store,) = (one for one in container(nats)["volumeMounts"] if one["name"] == "store")
    assert (claim["metadata"]["name"], store["mountPath"]) == ("store", "/data")


def test_core_and_workers_have_settings_that_they_start_with_and_agree_on(find: Find) -> None:
    core = from_environ(environ(find("StatefulSet", "ilios-core")))
    worker = from_environ(environ(find("Deployment", "ilios-workers")))
    assert core.api_keys
    assert not worker.api_keys, "a worker answers nothing but its health"
    assert worker.insecure
    assert core.external_bus == worker.external_bus
    assert core.s3 == worker.s3
    assert core.sealing_key == worker.sealing_key is not None
    for workload in (find("StatefulSet", "ilios-core"), find("Deployment", "ilios-workers")):
        mounted = {one["mountPath"] for one in container(workload)["volumeMounts"]}
        assert str(core.data_dir.parent) in mounted


def test_there_is_one_core_with_a_volume_and_workers_without(find: Find) -> None:
    core, workers = find("StatefulSet", "ilios-core"), find("Deployment", "ilios-workers")
    assert core["spec"]["replicas"] == 1
    assert [one["metadata"]["name"] for one in core["spec"]["volumeClaimTemplates"]] == ["data"]
    assert container(core)["args"] == ["serve"]
    assert container(workers)["args"] == ["run", "fetcher", "ocr"]
    assert {"name": "data"}.items() <= next(
        one for one in pod(workers)["volumes"] if "emptyDir" in one
    ).items()
    assert find("PodDisruptionBudget", "ilios-workers")["spec"]["maxUnavailable"] == 1


def test_every_container_is_confined_and_probed_and_ends_in_time(find: Find) -> None:
    for workload in workloads(find):
        assert pod(workload)["securityContext"]["runAsNonRoot"]
        assert pod(workload)["enableServiceLinks"] is False, "ILIOS_PORT would be set"
        assert pod(workload)["terminationGracePeriodSeconds"] >= 30
        assert container(workload)["securityContext"]["readOnlyRootFilesystem"]
        assert container(workload)["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        probes = {
            kind: container(workload)[kind]["httpGet"]["path"]
            for kind in ("startupProbe", "readinessProbe", "livenessProbe")
        }
        if workload["metadata"]["name"] == "nats":
            assert probes["livenessProbe"] == "/healthz?js-enabled-only=true"
        else:
            assert list(probes.values()) == ["/livez", "/readyz", "/livez"]


def test_every_name_that_is_referred_to_is_there(find: Find) -> None:
    """Selectors, budgets and services find pods; secrets are those that the docs create."""
    for name, kind in (("nats", "StatefulSet"), ("ilios-workers", "Deployment")):
        labels = find(kind, name)["spec"]["template"]["metadata"]["labels"]
        for selector in (
            find(kind, name)["spec"]["selector"]["matchLabels"],
            find("PodDisruptionBudget", name)["spec"]["selector"]["matchLabels"],
        ):
            assert selector.items() <= labels.items()
    core = find("StatefulSet", "ilios-core")["spec"]["template"]["metadata"]["labels"]
    assert find("Service", "ilios")["spec"]["selector"].items() <= core.items()
    named = set[str]()
    for workload in workloads(find):
        named |= {
            one["secret"]["secretName"] for one in pod(workload)["volumes"] if "secret" in one
        }
        sources = container(workload).get("envFrom", ())
        named |= {one["secretRef"]["name"] for one in sources if "secretRef" in one}
    docs = (KUBERNETES.parents[1] / "docs" / "scaling.md").read_text()
    assert named - {"nats-tls"} == NAMES
    assert all(f"generic {name} " in docs for name in NAMES)


def test_workers_grow_with_the_queues_that_there_are() -> None:
    scaled = yaml.safe_load((KUBERNETES / "keda" / "scaled-object.yaml").read_text())
    assert scaled["spec"]["scaleTargetRef"]["name"] == "ilios-workers"
    lanes = set()
    for trigger in scaled["spec"]["triggers"]:
        metadata = trigger["metadata"]
        assert trigger["type"] == "nats-jetstream"
        assert metadata["natsServerMonitoringEndpoint"] == "nats.ilios.svc.cluster.local:8222"
        assert (metadata["account"], metadata["stream"]) == ("ILIOS", EVENTS)
        assert int(metadata["lagThreshold"]) > 0
        lanes.add(metadata["consumer"])
    assert lanes == {
        durable for consumer in CONSUMERS.values() for durable in durables_of(consumer)
    }


def test_with_tls_a_server_has_a_certificate_and_clients_its_authority() -> None:
    manifests = {(one["kind"], one["metadata"]["name"]): one for one in rendered("complete")}
    nats = manifests["StatefulSet", "nats"]
    mounted = {one["name"]: one["mountPath"] for one in container(nats)["volumeMounts"]}
    assert container(nats)["args"] == [
        "--tls",
        f"--tlscert={mounted['certificate']}/tls.crt",
        f"--tlskey={mounted['certificate']}/tls.key",
    ]
    for key in (("StatefulSet", "ilios-core"), ("Deployment", "ilios-workers")):
        env = {one["name"]: one["value"] for one in container(manifests[key])["env"]}
        assert env["NATS_CA"] == "/etc/nats-tls/ca.crt"
    assert "replicas" not in manifests["Deployment", "ilios-workers"]["spec"], "KEDA has it"
    settings = next(name for kind, name in manifests if kind == "ConfigMap")
    used = container(manifests["Deployment", "ilios-workers"])["envFrom"][0]["configMapRef"]["name"]
    assert used == settings != "ilios-settings", "a change of it replaces the pods"
