"""What a host that joins takes over from the core, and what it refuses."""

import base64
from pathlib import Path

import pytest

from ilios import cluster_facts
from ilios.cluster_facts import ADOPTED, ADOPTED_WITH_MISTRAL, CannotJoin, ClusterFacts
from ilios.joining import adopt, as_set
from ilios.secret import Secret, SecretsDamaged
from ilios.settings.environ import from_environ
from ilios.settings.settings import TABLE, Settings

KEY = {"ILIOS_SEALING_KEY": base64.b64encode(bytes(32)).decode()}
BUS = {"NATS_URL": "nats://a:4222"}
BUCKET = {
    "S3_BUCKET": "documents",
    "ILIOS_S3_PREFIX": "ilios/",
    "AWS_ENDPOINT_URL_S3": "https://s3.example",
    "AWS_ACCESS_KEY_ID": "id-of-the-core",
    "AWS_SECRET_ACCESS_KEY": "secret-of-the-core",
    "ILIOS_MAX_FILE_MB": "33",
    "ILIOS_PAGE_TIMEOUT": "7.5",
}


def facts(environ: dict[str, str]) -> ClusterFacts:
    core = from_environ(environ | {"WORKER_COUNT": "1"})
    made = cluster_facts.facts_of(core, "1.0.0", "ab12", owner="o", mark="m")
    return cluster_facts.decode(cluster_facts.encode(made))


def test_settings_that_must_agree_come_from_the_core_and_credentials_do_not() -> None:
    core = facts(BUS | BUCKET)
    assert "of-the-core" not in cluster_facts.encode(core).decode()
    joined = adopt(BUS | KEY, core)
    cluster_facts.ensure_blobs_shared(joined.settings, core)
    cluster_facts.ensure_agreement(joined.settings, core, converts=True)
    assert joined.settings.s3_endpoint == "https://s3.example"
    assert joined.settings.page_timeout == 7.5
    assert joined.settings.s3_access_key is None
    assert joined.roles == ("fetcher", "ocr")
    assert set(joined.adopted) == BUCKET.keys() - {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


def test_what_is_set_here_stays_and_is_compared() -> None:
    core = facts(BUS | BUCKET)
    joined = adopt(BUS | KEY | {"ILIOS_MAX_FILE_MB": "7", "ILIOS_PAGE_TIMEOUT": "9"}, core)
    assert joined.settings.page_timeout == 9
    with pytest.raises(CannotJoin, match="ILIOS_MAX_FILE_MB is 7 here and 33 at the core"):
        cluster_facts.ensure_agreement(joined.settings, core, converts=True)
    joined = adopt(BUS | KEY | {"S3_BUCKET": "another"}, core)
    with pytest.raises(CannotJoin, match="S3_BUCKET is another, at the core it is documents"):
        cluster_facts.ensure_blobs_shared(joined.settings, core)


def test_a_shared_directory_is_where_the_core_has_it_or_mounted_elsewhere() -> None:
    core = facts(BUS | {"ILIOS_SHARED_BLOBS": "blobs"})
    assert adopt(BUS | KEY, core).settings.shared_blobs == Path("blobs").absolute()
    elsewhere = adopt(BUS | KEY | {"ILIOS_SHARED_BLOBS": "/mnt/blobs"}, core)
    assert elsewhere.settings.shared_blobs == Path("/mnt/blobs")
    in_bucket = adopt(BUS | KEY | {"S3_BUCKET": "documents"}, core).settings
    with pytest.raises(CannotJoin, match="S3_BUCKET: the blobs of the core are in a directory"):
        cluster_facts.ensure_blobs_shared(in_bucket, core)


def test_a_host_converts_with_mistral_only_where_it_has_a_key() -> None:
    core = facts(BUS | BUCKET | {"MISTRAL_API_KEY": "k", "ILIOS_MISTRAL_MODEL": "mistral-ocr-2512"})
    without = adopt(BUS | KEY, core)
    assert without.roles == ("fetcher",)
    assert "MISTRAL_API_KEY is not set" in without.note
    cluster_facts.ensure_agreement(without.settings, core, converts=False)
    having = adopt(BUS | KEY | {"MISTRAL_API_KEY": "k"}, core)
    assert having.roles == ("fetcher", "ocr")
    assert having.settings.mistral_model == "mistral-ocr-2512"
    cluster_facts.ensure_agreement(having.settings, core, converts=True)


def test_a_host_without_the_key_for_passwords_does_not_join() -> None:
    core = facts(BUS | BUCKET)
    with pytest.raises(CannotJoin, match=r"ILIOS_SEAL_KEY_FILE is not set .or ILIOS_SEALING_KEY."):
        adopt(BUS, core)
    with pytest.raises(SecretsDamaged, match="ILIOS_SEALING_KEY must be"):
        adopt(BUS | {"ILIOS_SEALING_KEY": "c2hvcnQ="}, core)


def test_the_core_cannot_set_what_is_not_on_the_list() -> None:
    core = ClusterFacts(version="1", blobs="bucket", settings={"ILIOS_SANDBOX": "off"})
    assert adopt(BUS | KEY, core).settings.sandbox == Settings().sandbox
    by_variable = {one.variable: one for one in TABLE}
    for name in (*ADOPTED, *ADOPTED_WITH_MISTRAL):
        assert not isinstance(by_variable[name].read(by_variable[name].example), Secret)


def test_a_core_that_writes_otherwise_is_refused_with_its_version() -> None:
    core = ClusterFacts(version="9.9.9", blobs="bucket", blob_format=2)
    with pytest.raises(CannotJoin, match=r"install ilios 9\.9\.9 here"):
        cluster_facts.ensure_formats(core)


def test_a_host_with_settings_of_its_own_is_checked_before_the_bus_is_asked() -> None:
    for environ, named in (
        (KEY, "NATS_URL is not set"),
        (BUS, "ILIOS_SEAL_KEY_FILE is not set"),
        (BUS | KEY, "set S3_BUCKET"),
    ):
        with pytest.raises(CannotJoin, match=named):
            as_set(from_environ(environ), ("fetcher", "ocr"))
