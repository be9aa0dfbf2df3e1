"""Settings reach another process whole."""

from pathlib import Path

from ilios.secret import Secret
from ilios.settings import transfer
from ilios.settings.environ import from_environ
from ilios.settings.settings import Settings


def test_settings_of_every_kind_are_decoded_as_they_were() -> None:
    settings = from_environ(
        {
            "API_KEY": "first,second",
            "ILIOS_DATA_DIR": "./elsewhere",
            "LOCAL_DB_PATH": "/data/ilios.db",
            "NATS_URL": "nats://user:password@host:4222",
            "S3_BUCKET": "documents",
            "ILIOS_CONVERT_TIMEOUT": "1.5",
            "ILIOS_ENGINE_FALLBACK": "true",
            "ILIOS_LOG_DAYS": "14",
            "ILIOS_DOWNLOAD_ALLOW": "files.internal:8080",
        }
    )

    decoded = transfer.decode(transfer.encode(settings))

    assert decoded == settings
    assert decoded.api_keys == (Secret("first"), Secret("second"))
    assert decoded.data_dir == Path("elsewhere")


def test_defaults_are_decoded_as_they_were() -> None:
    assert transfer.decode(transfer.encode(Settings())) == Settings()
