"""What a worker host must have in common with the core."""

from pathlib import Path

import pytest

from ilios import cluster_facts
from ilios.blobs.shared_directory import NotShared, ensure_marked, write_mark
from ilios.cluster_facts import CannotJoin, ClusterFacts
from ilios.secret import Secret
from ilios.settings.settings import Settings

DIRECTORY = Settings(shared_blobs=Path("blobs"), engine_processes=1)
IN_BUCKET = Settings(s3_bucket="documents", s3_prefix="ilios/", engine_processes=1)


def facts(settings: Settings) -> ClusterFacts:
    return cluster_facts.facts_of(settings, "1.0.0", "ab12", owner="o", mark="m")


@pytest.mark.parametrize(
    ("core", "here", "named"),
    [
        (Settings(engine_processes=1), DIRECTORY, "set S3_BUCKET, or ILIOS_SHARED_BLOBS"),
        (DIRECTORY, IN_BUCKET, "S3_BUCKET: the blobs of the core are in a directory"),
        (DIRECTORY, Settings(engine_processes=1), "ILIOS_SHARED_BLOBS is not set"),
        (IN_BUCKET, DIRECTORY, "S3_BUCKET is not set"),
        (
            IN_BUCKET,
            Settings(s3_bucket="other", s3_prefix="ilios/", engine_processes=1),
            "S3_BUCKET is other, at the core it is documents",
        ),
        (
            IN_BUCKET,
            Settings(s3_bucket="documents", engine_processes=1),
            "ILIOS_S3_PREFIX is '', at the core it is 'ilios/'",
        ),
    ],
)
def test_other_blobs_are_refused_with_the_setting(
    core: Settings, here: Settings, named: str
) -> None:
    with pytest.raises(CannotJoin) as refused:
        cluster_facts.ensure_blobs_shared(here, facts(core))
    assert named in str(refused.value)


def test_the_same_settings_are_accepted_as_they_come_over_the_bus() -> None:
    for settings in (DIRECTORY, IN_BUCKET):
        core = cluster_facts.decode(cluster_facts.encode(facts(settings)))
        cluster_facts.ensure_blobs_shared(settings, core)
        cluster_facts.ensure_agreement(settings, core, converts=True)
        cluster_facts.ensure_seal_key(settings, core, "ab12")
        with pytest.raises(CannotJoin, match="ILIOS_SEAL_KEY_FILE"):
            cluster_facts.ensure_seal_key(settings, core, "cd34")


def test_another_engine_matters_only_where_documents_are_converted() -> None:
    core = facts(DIRECTORY)
    here = Settings(
        shared_blobs=Path("blobs"), engine_processes=1, mistral_key=Secret("a-secret-key")
    )
    cluster_facts.ensure_agreement(here, core, converts=False)
    with pytest.raises(CannotJoin) as refused:
        cluster_facts.ensure_agreement(here, core, converts=True)
    assert "MISTRAL_API_KEY is set here and not set at the core" in str(refused.value)
    assert "a-secret-key" not in str(refused.value)
    assert b"a-secret-key" not in cluster_facts.encode(facts(here))


def test_a_directory_is_proved_by_the_latest_mark_of_the_core(tmp_path: Path) -> None:
    with pytest.raises(NotShared, match="no mark"):
        ensure_marked(tmp_path, "any")
    before, mark = write_mark(tmp_path), write_mark(tmp_path)
    ensure_marked(tmp_path, mark)
    assert [path.name for path in tmp_path.iterdir()] == ["core.mark"]
    with pytest.raises(NotShared, match="another core"):
        ensure_marked(tmp_path, before)
