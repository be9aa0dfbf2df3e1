"""Files of secrets are readable by their owner alone, and keep their content."""

import os
from pathlib import Path

import msgspec
import pytest

from ilios.secret import generate_password, load_or_create_secrets, write_private_file


class Secrets(msgspec.Struct, frozen=True):
    """The content of a file of secrets."""

    word: str


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_secret_file_is_private_whatever_the_umask_or_earlier_file(
    tmp_path: Path,
) -> None:
    path = tmp_path / "secret"
    (tmp_path / "secret.new").touch(mode=0o644)
    before = os.umask(0)
    try:
        write_private_file(path, "a")
        assert mode(path) == 0o600
        path.chmod(0o644)
        write_private_file(path, "b")
    finally:
        os.umask(before)
    assert mode(path) == 0o600
    assert path.read_text() == "b"
    assert [file.name for file in tmp_path.iterdir()] == ["secret"]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret.new").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        write_private_file(tmp_path / "secret", "a")
    assert not (tmp_path / "elsewhere").exists()


def test_secrets_are_made_once(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    made = load_or_create_secrets(path, Secrets, lambda: Secrets(generate_password()))
    again = load_or_create_secrets(path, Secrets, lambda: Secrets("other"))
    assert made == again
    assert mode(path) == 0o600


def test_passwords_are_unique_and_need_no_quoting() -> None:
    passwords = {generate_password() for _ in range(100)}
    assert len(passwords) == 100
    assert all(word.isalnum() and word[0].isalpha() and len(word) == 33 for word in passwords)
