"""All samples: ``python -m tests.quality.suite DIRECTORY`` writes them, for ``ilios score``."""

import sys
from collections.abc import Iterator
from pathlib import Path

from tests.quality import (
    annotations,
    arrangements,
    layers,
    scans,
    scripts,
    structure,
    tables,
    typesetting,
)
from tests.quality.sample import Sample

MODULES = (structure, typesetting, arrangements, tables, scripts, annotations, layers, scans)


def samples() -> Iterator[Sample]:
    """Yield every sample."""
    for module in MODULES:
        yield from module.samples()


def write_samples(directory: Path) -> int:
    """Write every sample; returns how many there are."""
    count = 0
    for sample in samples():
        sample.write(directory)
        count += 1
    return count


if __name__ == "__main__":
    print(write_samples(Path(sys.argv[1])))
