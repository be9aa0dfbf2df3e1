"""The key of the database comes from a variable or a file, and is never repeated."""

from pathlib import Path

import pytest

from ilios.secret import Secret
from ilios.settings.bad_settings import BadSettings
from ilios.settings.environ import from_environ

KEY = "correct horse battery"


def test_the_key_is_read_from_the_variable_or_the_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    assert from_environ({}).database_key is None
    assert from_environ({"DB_ENCRYPTION_KEY": KEY}).database_key == Secret(KEY)
    assert from_environ({"DB_ENCRYPTION_KEY_FILE": str(file)}).database_key == Secret(KEY)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read: No such file"),
        (b"too short\n", "must have at least 16 characters"),
        (b"\xff" * 32, "is not UTF-8"),
    ],
)
def test_a_file_without_a_key_is_refused(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    settings = from_environ({"DB_ENCRYPTION_KEY_FILE": str(file)})
    with pytest.raises(ValueError, match=reason) as refusal:
        _ = settings.database_key
    assert "too short" not in str(refusal.value)


def test_two_keys_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(KEY)
    with pytest.raises(BadSettings, match="unset one of them"):
        from_environ({"DB_ENCRYPTION_KEY": KEY, "DB_ENCRYPTION_KEY_FILE": str(file)})
