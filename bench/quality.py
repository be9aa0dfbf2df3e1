"""Quality of conversions: samples of every kind of fault, or directories of documents, scored."""

import asyncio
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.quality.suite import write_samples

SAMPLES = "samples"


async def measure(
    directory: Path | None = None,
    corpus: bool = False,  # noqa: FBT001, FBT002  an option of the command
    against: Path | None = None,
    store: Path | None = None,
    gallery: Path | None = None,
) -> None:
    """Score our own samples, or the documents of a directory.

    The options are those of ``ilios score``.
    """
    with _documents(directory) as place:
        arguments = ["score", str(place), *(["--corpus"] if corpus else [])]
        for name, value in (("against", against), ("store", store), ("gallery", gallery)):
            if value is not None:
                arguments += [f"--{name}", str(value)]
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "ilios", *arguments)
        code = await process.wait()
    if code:
        sys.exit(code)


@contextmanager
def _documents(directory: Path | None) -> Iterator[Path]:
    if directory is not None:
        yield directory
        return
    with tempfile.TemporaryDirectory(prefix="ilios-bench-") as name:
        write_samples(Path(name, SAMPLES))
        yield Path(name, SAMPLES)
