"""Where the bytes lie, by the environment."""

import pytest

from ilios.settings import settings
from ilios.settings.settings import BadSettings, from_environ


def test_a_key_for_the_bucket_needs_the_secret_that_belongs_to_it() -> None:
    place = {"S3_BUCKET": "documents"}
    with pytest.raises(BadSettings, match=r"AWS_SECRET_ACCESS_KEY: .* set both"):
        from_environ(place | {"AWS_ACCESS_KEY_ID": "k"})
    with pytest.raises(BadSettings, match=r"AWS_SECRET_ACCESS_KEY: .* set both"):
        from_environ(place | {"AWS_SECRET_ACCESS_KEY": "s"})
    assert from_environ({"AWS_ACCESS_KEY_ID": "k"}).s3 is None, "it may be for others"


def test_a_bucket_is_named_in_the_path_wherever_it_is_not_that_of_aws() -> None:
    place = {"S3_BUCKET": "documents"}
    elsewhere = place | {"AWS_ENDPOINT_URL_S3": "https://s3.example.com"}
    for environ, style in (
        (place, "virtual"),
        (elsewhere, "path"),
        (elsewhere | {"ILIOS_S3_ADDRESSING": "virtual"}, "virtual"),
        (place | {"ILIOS_S3_ADDRESSING": "path"}, "path"),
    ):
        found = from_environ(environ).s3
        assert found is not None
        assert found.addressing_style == style


def test_without_a_bucket_s3_settings_have_no_effect_and_are_reported() -> None:
    environ = {"AWS_ACCESS_KEY_ID": "k", "ILIOS_S3_PREFIX": "a", "AWS_REGION": ""}
    assert settings.warnings(environ) == [
        "AWS_ACCESS_KEY_ID has no effect: S3_BUCKET is not set",
        "ILIOS_S3_PREFIX has no effect: S3_BUCKET is not set",
    ]
    assert settings.warnings(environ | {"S3_BUCKET": "documents"}) == []
