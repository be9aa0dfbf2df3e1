"""The files of ``ilios batch``: which they are, their digests, and where their results go."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from ilios.client.sources import form_texts
from schemas.requests import SubmitFields

MAX_NAME_BYTES = 255


class SourceFile(Struct, frozen=True):
    """A file below the directory, and the file of its result."""

    path: Path
    relative: str
    target: Path


def find_files(directory: Path, results: Path, suffix: str) -> list[SourceFile]:
    """Return the files of a directory and those below it, in the order of their paths.

    Left out are those whose names begin with a dot, those of the directory of the results, and
    whatever is no plain file. Links to directories are not followed.

    :raises OSError: a directory cannot be read.
    """
    found: list[SourceFile] = []
    for folder, folders, names in os.walk(directory, onerror=_raise):
        here = Path(folder)
        folders[:] = sorted(
            one for one in folders if not one.startswith(".") and not _is_same(here / one, results)
        )
        for name in names:
            path = here / name
            if name.startswith(".") or not path.is_file():
                continue
            relative = path.relative_to(directory)
            target = results / relative.with_name(_result_name(name, suffix))
            found.append(SourceFile(path, str(relative), target))
    return sorted(found, key=lambda one: os.fsencode(one.relative))


def _result_name(name: str, suffix: str) -> str:
    """Return the name of a result, which is shortened where a file system has no room for it."""
    whole = os.fsencode(name)
    if len(whole) + len(suffix) < MAX_NAME_BYTES:
        return f"{name}.{suffix}"
    return f"{os.fsdecode(whole[:200])}-{hashlib.sha256(whole).hexdigest()[:16]}.{suffix}"


def content_digest(file: SourceFile, fields: SubmitFields) -> str:
    """Return a digest of the path, the bytes and the options of a file.

    :raises OSError: the file cannot be read.
    """
    with file.path.open("rb") as opened:
        content = hashlib.file_digest(opened, "sha256").digest()
    # Without the password: the service compares requests without it, and a digest would leak it.
    fields = msgspec.structs.replace(fields, password=None)
    return _digest((os.fsencode(file.relative), content, _bytes_of(form_texts(fields))))


def _bytes_of(texts: dict[str, str]) -> bytes:
    return msgspec.json.encode(texts, order="sorted")


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8) + part)
    return digest.hexdigest()


def _is_same(path: Path, results: Path) -> bool:
    return results.exists() and path.samefile(results)


def _raise(error: OSError) -> None:
    raise error
