"""Forms that are optional content by their own dictionary, such as watermarks that are off."""

import mmap
import re
from pathlib import Path

# The dictionary of a stream is never compressed or encrypted, so it is found without a parser. A
# match in something else costs a look at the pages, no more.
_OPTIONAL = re.compile(rb"/OC(?:\s{1,9}\d{1,9}\s{1,9}\d{1,9}\s{1,9}R|\s{0,9}<<)")


def has_layered_forms(path: Path) -> bool:
    """Whether a PDF may have forms that are shown or not by a layer of the document."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _OPTIONAL.search(data) is not None
