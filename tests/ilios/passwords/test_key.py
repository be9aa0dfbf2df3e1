"""The key file is for its owner alone, and is never replaced."""

import os
import stat
from pathlib import Path

import pytest

from ilios.passwords.key import OWN_FILE, check_key, load_key
from ilios.secret import Secret, SecretsDamaged


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    assert check_key(None, tmp_path) is None
    made = load_key(None, tmp_path)
    path = tmp_path / OWN_FILE
    assert len(made) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_key(None, tmp_path) == made
    assert check_key(None, tmp_path) == path
    assert load_key(path, tmp_path / "of another host") == made


def test_a_key_may_be_given_itself_and_is_checked(tmp_path: Path) -> None:
    made = load_key(None, tmp_path)
    text = (tmp_path / OWN_FILE).read_text().strip()
    assert load_key(None, tmp_path / "of another host", Secret(text)) == made
    assert not (tmp_path / "of another host").exists()
    with pytest.raises(SecretsDamaged, match="ILIOS_SEALING_KEY must be 32 bytes") as refused:
        load_key(None, tmp_path, Secret("c2hvcnQ="))
    assert "c2hvcnQ" not in str(refused.value)


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o620, 0o666])
def test_a_key_that_others_can_use_is_refused_with_the_remedy(tmp_path: Path, mode: int) -> None:
    load_key(None, tmp_path)
    path = tmp_path / OWN_FILE
    path.chmod(mode)
    with pytest.raises(SecretsDamaged, match=f"mode {mode:04o}.*chmod 600 {path}"):
        load_key(None, tmp_path)
    path.chmod(0o400)
    load_key(None, tmp_path)


@pytest.mark.parametrize("content", [b"", b"c2hvcnQ=", b"no base64 at all", bytes(32), b"A" * 5000])
def test_what_holds_no_key_is_refused_and_stays(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(SecretsDamaged, match="32 bytes as base64"):
        load_key(path, tmp_path)
    assert path.read_bytes() == content


def test_a_named_file_that_is_missing_is_not_made(tmp_path: Path) -> None:
    """Each of several hosts would make another key."""
    path = tmp_path / "key"
    with pytest.raises(SecretsDamaged, match=r"copy that of the other hosts"):
        check_key(path, tmp_path)
    with pytest.raises(SecretsDamaged, match=r"head -c 32 /dev/urandom \| base64"):
        load_key(path, tmp_path)
    assert os.listdir(tmp_path) == []
